"""Which files are most likely the user's: the kinds of names and evidence, each with its opposite."""

from __future__ import annotations

import pytest

from gitsnap.core.generated_files import COMPILED, LOCKS, MAPS, MINIFIED, REPOSITORY, generated_kind, repository_of
from gitsnap.core.likely_yours import (
    Known,
    Likely,
    Reason,
    changed_alone,
    family,
    likely,
    newest_batch,
    outliers,
    package_place,
    written_later,
)

YOURS = [
    ".env", ".env.production", "app/z/mine.conf", "config.yaml", "settings.js", "flows.json", "wp-config.php",
    "docker-compose.yml", "docker-compose.override.yml", "compose.yaml", "config/app.toml",
    "etc/jupyter/jupyter_server_config.py", "etc/nginx/sites.d/a", "conf.d/site", "conf/server.xml",
    "a/b/c/local_settings.py", "www/.htaccess", "data/secrets.yaml", "crontab", "package.json", "custom/theme.css",
    ".npmrc", "app/config.php", "srv/Caddyfile", "svc/app.service", "app/config.local.json", "run.json",
]  # fmt: skip
NOT = [
    "node_modules/x/.env", "node_modules/x/config.json", "vendor/a/b.conf",
    "lib/python3.11/site-packages/x/settings.ini", "README.md", "LICENSE", "app/config.sample.json",
    "wp-config-sample.php", "src/a/b/config.py", "x-1.0.dist-info/config.json", "lib/package.json", "docs/site.conf",
    "tests/app.ini", "app/main.py", "static/app.min.js", "app/__pycache__/config.pyc", "package-lock.json",
    ".git/objects/ab/cdef0123", "sub/.git/index", "locale/de/messages.mo", "wp-includes/settings.json",
]  # fmt: skip


@pytest.mark.parametrize("name", YOURS)
def test_names_and_places_of_configuration(name: str) -> None:
    found = likely(name.encode())
    assert found is not None
    assert found.reason in (Reason.CONFIGURATION, Reason.TOP)


@pytest.mark.parametrize("name", NOT)
def test_what_is_the_softwares(name: str) -> None:
    assert likely(name.encode()) is None


def test_names_that_are_not_utf_8() -> None:
    assert likely(b"conf\xe9.d/\xff.conf") is not None
    assert likely(b"lib/\xff\xfe", Reason.SINCE) == Likely(75, Reason.SINCE)


def test_evidence_counts_anywhere_but_for_what_is_generated() -> None:
    assert likely(b"node_modules/x/index.js", Reason.LATER) is not None
    assert likely(b"a/__pycache__/x.pyc", Reason.MADE) is None
    assert likely(b"a/app.min.js", Reason.SINCE) is None
    edited = likely(b"a/app.min.js", Reason.EDITED)
    assert edited is not None
    assert edited.score < 100


def test_order() -> None:
    paths = [
        (b"lib/x.py", Reason.EDITED), (b"lib/y.py", Reason.RECORD), (b"lib/z.py", Reason.SINCE), (b".env", None),
        (b"start.sh", None), (b"etc/a/b/c.conf", None), (b"app.py", None),
    ]  # fmt: skip
    scores = [found.score for path, known in paths if (found := likely(path, known))]
    assert len(scores) == len(paths)
    assert scores == sorted(scores, reverse=True)
    assert likely(b"var/app.log", Reason.SINCE).score < likely(b"var/notes.txt", Reason.SINCE).score  # type: ignore[union-attr]


def test_what_came_with_the_upgrade_is_no_work_of_the_users() -> None:
    assert likely(b"start", came=True) is None
    assert likely(b"z/one.txt", few=True, came=True) is None
    assert likely(b"config/new.py", came=True) is None
    new, old = likely(b"etc/new.conf", came=True), likely(b"etc/new.conf")
    assert new is not None
    assert old is not None
    assert new.score < old.score


def test_what_is_as_it_was_shipped_is_not_the_users() -> None:
    assert likely(b".env", untouched=True) is None


class TestKnown:
    def test_the_best_evidence_is_told(self) -> None:
        known = Known(shipped={b"a": b"1", b"s": b"1"}, since={b"a": b"1"}, edited=[b"a"], later=[b"a", b"s"])
        assert known.reason(b"a", b"2") is Reason.EDITED
        assert known.reason(b"b", b"2") is Reason.MADE
        assert known.reason(b"a", b"1") is Reason.RECORD
        assert known.reason(b"s", b"1") is None
        assert known.reason(b"a", None) is None

    def test_without_a_pristine_copy(self) -> None:
        known = Known(since={b"a": b"1"}, later=[b"a"], alone=[b"a"])
        assert known.reason(b"a", b"2") is Reason.SINCE
        assert known.reason(b"a", b"1") is Reason.LATER
        assert Known(alone=[b"a"], patched=[b"a"]).reason(b"a", b"1") is Reason.ALONE
        assert Known(unrecorded=[b"a"], later=[b"a"]).reason(b"a", b"1") is Reason.MADE
        assert Known().reason(b"a", b"1") is None


class TestOutliers:
    def test_one_component_beside_a_large_one(self) -> None:
        many = {f"a/generated-{n}.txt".encode(): "a" for n in range(200)}
        assert outliers({**many, b"z/mine": "z"}) == {b"z/mine"}

    def test_one_name_unlike_all_beside_it(self) -> None:
        many = {f"a/page-{n}-{n * 7919:08x}.html".encode(): "a" for n in range(200)}
        assert outliers({**many, b"a/mine.txt": "a"}) == {b"a/mine.txt"}

    def test_nothing_where_all_are_different(self) -> None:
        assert outliers({bytes([97 + n % 26]) * (n // 26 + 1) + b".py": "a" for n in range(200)}) == set()


def test_families_of_names() -> None:
    assert family(b"page-12-0a1b2c3d.html") == family(b"page-9-ffffff01.html") == b"page-*-*.html"
    assert family(b"facade.py") == b"facade.py"


def test_written_later() -> None:
    minute = 60 * 10**9
    times = {bytes([n]): 1000 * minute for n in range(30)}
    assert written_later(times) == set()
    assert written_later(times | {b"mine": 1003 * minute}) == {b"mine"}
    assert written_later(times | {b"mine": 1001 * minute}) == set()
    # Where many were written later, time tells nothing.
    assert written_later(times | {b"x%d" % n: 1100 * minute for n in range(10)}) == set()


def test_what_an_archive_brought_was_not_written_here() -> None:
    day = 24 * 3600 * 10**9
    makers = {b"f%03d" % n: n * day for n in range(100)} | {b"fixed%d" % n: 900 * day for n in range(5)}
    batch = newest_batch(makers.values())
    assert batch == 900 * day
    assert len(written_later(makers)) > 5, "the makers' own times are years apart"
    assert written_later(makers, batch) == set()
    assert written_later(makers | {b"before": 890 * day + 1, b"mine": 901 * day}, batch) == {b"before", b"mine"}
    assert newest_batch([day, day, day, 2 * day + 7, 2 * day + 7, 2 * day + 7, 2 * day + 7]) == -1, (
        "three, and a fraction"
    )


def test_written_later_among_few() -> None:
    second = 10**9
    same = {b"a": 5 * second, b"b": 6 * second, b"c": 7 * second}
    assert written_later(same | {b"mine": 1000 * second}) == {b"mine"}
    assert written_later(same | {b"d": 5 * second}) == set()
    assert written_later(same | {b"d": 1000 * second, b"e": 1001 * second}) == set(), "two: there were two times"
    assert written_later({b"a": 0, b"mine": 1000 * second}) == set(), "one says nothing of another"


def test_places_of_packages() -> None:
    assert package_place(b"node_modules/@a/b/lib/c.js") == b"node_modules/@a/b"
    assert package_place(b"node_modules/a/node_modules/b/c.js") == b"node_modules/a/node_modules/b"
    assert package_place(b"lib/site-packages/x.py") is None
    assert package_place(b"node_modules/.bin/tool") is None
    assert package_place(b"src/a.py") is None
    assert changed_alone({b"a": 1, b"b": 20, b"c": 1}, {b"a": 30, b"b": 30, b"c": 2}) == {b"a"}


def test_kinds_of_generated_files() -> None:
    kinds = {
        "a/__pycache__/x.cpython-311.pyc": COMPILED, "x.pyc": COMPILED, "app.min.js": MINIFIED, "app-min.css": MINIFIED,
        "7231.0ac8c9d4c2a3e2a8f0b1.js": MINIFIED, "main.4f2a9c10.css": MINIFIED, "app.js.map": MAPS, "yarn.lock": LOCKS,
        "x/composer.lock": LOCKS, ".git/objects/aa/bb": REPOSITORY, "a/.git/HEAD": REPOSITORY,
        "a/.git/hooks/pre-commit.sample": REPOSITORY,
    }  # fmt: skip
    assert {name: generated_kind(name.encode()) for name in kinds} == kinds
    plain = "app.js main.py facade.js map.txt a/.git/config a/.git/hooks/pre-commit a/.gitignore lock deadbeef.txt"
    assert {generated_kind(name.encode()) for name in plain.split()} == {None}
    assert repository_of(b"a/.git/refs/heads/x") == b"a/.git"
    assert repository_of(b"a/.gitignore") is None
