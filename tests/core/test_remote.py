"""What refs are called over there, and back; what a remote can be."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import remote
from gitsnap.core.errors import UsageError
from gitsnap.core.remote import (
    HEADS,
    PLAIN,
    Here,
    Layout,
    Remote,
    checked_url,
    from_table,
    here,
    shown,
    there,
    to_table,
)

_ID = "2026-11-30T10-00-00Z-manual"
_VALUE = "5" * 40
_LOCAL = [
    f"refs/gitsnap/snapshots/{_ID}",
    f"refs/gitsnap/pins/{_ID}",
    f"refs/gitsnap/upgrades/{_ID}",
    f"refs/gitsnap/rollbacks/{_ID}",
    "refs/gitsnap/audit",
]
_NOTES = ["refs/notes/gitsnap/manifest", "refs/notes/gitsnap/metadata"]
_TIMELINE = "refs/heads/timeline"
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
_HOSTS = _NAMES.filter(lambda text: "/" not in text) | st.sampled_from(
    ["timeline", "gitsnap", "fleet", "HEAD", ".", "..", "a.lock", "a..b", "-x", "@", "~", "%2E", ".hidden", "x."]
)


@pytest.mark.parametrize("refspec", [PLAIN, HEADS])
@given(host=_HOSTS, name=_NAMES | st.just("audit") | st.just("a/b.lock"))
def test_there_and_back(refspec: str, host: str, name: str) -> None:
    for layout in (Layout(None, refspec), Layout(f"{host}/{name}", refspec)):
        for local in _LOCAL + (_NOTES if refspec == PLAIN else [f"{remote.NOTES_OF}{_ID}"]):
            over_there = there(local, layout, _VALUE)
            assert over_there is not None
            assert here(over_there) == Here(local, layout)
        for local in (_TIMELINE, f"refs/tags/signed/{_ID}+2"):
            over_there = there(local, layout)
            assert over_there is not None
            assert here(over_there) == Here(local, Layout(layout.installation))


@given(first=st.tuples(_HOSTS, _NAMES), second=st.tuples(_HOSTS, _NAMES))
def test_two_installations_never_meet(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Neither by the same name, nor by one that is a directory of the other's."""
    if first == second:
        return
    names = [
        {there(local, Layout("/".join(each), refspec), _VALUE) for refspec in (PLAIN, HEADS) for local in _all(refspec)}
        for each in (first, second)
    ]
    names.append({there(local, Layout(None, refspec), _VALUE) for refspec in (PLAIN, HEADS) for local in _all(refspec)})
    for number, some in enumerate(names):
        for others in names[number + 1 :]:
            assert not some & others
            assert not [a for a in some for b in others if f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/")]


def _all(refspec: str) -> list[str]:
    return [
        *_LOCAL,
        _TIMELINE,
        f"refs/tags/signed/{_ID}",
        *(_NOTES if refspec == PLAIN else [f"{remote.NOTES_OF}{_ID}"]),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *[
            "@",
            "~",
            "^",
            ":",
            "?",
            "*",
            "[",
            "\\",
            ".",
            "..",
            "-",
            "-x",
            ".a",
            "a.",
            "a..b",
            "a.lock",
            "@{",
            "{",
            "}",
            "a@{b",
            "%",
        ],
        "a b",
        "a\tb",
        "ä",
        "\udcff",
        "a/b",
        "x" * 200,
    ],
)
def test_every_name_is_one_for_git(name: str) -> None:
    for host in (name.replace("/", "-"), "timeline"):
        for local in _all(PLAIN):
            over_there = there(local, Layout(f"{host}/{name}"))
            assert over_there is not None
            subprocess.run(["git", "check-ref-format", over_there], check=True)


@pytest.mark.parametrize(
    "name",
    [
        "refs/heads/main",
        "refs/heads/a/b/c",
        "refs/tags/v1",
        "refs/notes/commits",
        "refs/notes/gitsnap/other",
        "refs/gitsnap/deleted/x",
        "refs/gitsnap/snapshots/",
        "refs/gitsnap/fleet/host/snapshots/x",
        "refs/gitsnap/fleet/ho%73t/name/snapshots/x",
        "refs/gitsnap/fleet/timeline/name/snapshots/x",
        "refs/tags/gitsnap/upgrades/x",
        "refs/tags/gitsnap/upgrades/x/y",
        "refs/tags/gitsnap/audit",
        "refs/tags/signed/",
        "refs/tags/signed/fleet/timeline/name/x",
        "refs/heads/-x/y",
    ],
)
def test_what_is_none_of_ours(name: str) -> None:
    assert here(name) is None


def test_what_does_not_go() -> None:
    for local in (f"refs/gitsnap/deleted/{_ID}", "refs/gitsnap/else", "refs/heads/main", "HEAD", "refs/notes/commits"):
        assert there(local, Layout()) is None
        assert there(local, Layout(None, HEADS)) is None
    assert there(_NOTES[0], Layout(None, HEADS)) is None


@pytest.mark.parametrize(
    "url",
    [
        "/srv/a.git",
        "file:///srv/a.git",
        "ssh://host/a",
        "ssh://me@host:2222/~/a",
        "me@host:a.git",
        "host:/srv/a b.git",
        "https://host/a",
        "https://me@host:8443/a.git",
        "https://[::1]:8443/a.git",
        "git://host/a",
        "/srv/a:b",
        "bundles:/srv/bundles",
    ],
)
def test_urls(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\nb",
        "--upload-pack=x",
        "-oProxyCommand=x:a",
        "ext::sh -c x",
        "fd::3",
        "ftp://host/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://me@-oProxyCommand=x/a",
        "me@-x:a",
        "host:-x",
        "relative/path",
        "~/a",
        "bundles:relative",
        "https://me:geheim@host/a",
        "https://me:ge/heim@host/a",
        "https://me:ge@heim@host/a",
        "ssh://me:geheim@host/a",
        "https://:geheim@host/a",
        "https:/me:geheim@host/a",
        "https:me:geheim@host/a",
        "me:geheim@host:a",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as error:
        checked_url(url)
    assert "heim" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://me:pw@host/a", "https://host/a"),
        ("https://ghp_token@host:1/a?private_token=x#y", "https://host:1/a"),
        ("https://me:p@w@host/a", "https://host/a"),
        ("https://me:p/w@host/a", "https://me/..."),
        ("ssh://me:pw@host/a", "ssh://me@host/a"),
        ("me@host:a", "me@host:a"),
        ("/srv/a?b", "/srv/a?b"),
        ("https:/me:pw@host/a", "https:..."),
        ("me:pw@host:a", "me:..."),
        ("host:a/b@c", "host:a/b@c"),
        ("bundles:/srv/a@b", "bundles:/srv/a@b"),
    ],
)
def test_no_password_is_shown(url: str, seen: str) -> None:
    assert shown(url) == seen


def test_tables_there_and_back() -> None:
    for each in (
        Remote("a", "/srv/a"),
        Remote("b", "host:b", "after-snapshot", 3, HEADS, "allow", "host/name"),
    ):
        assert from_table(each.name, to_table(each)) == each


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"url": 1},
        {"url": "ext::x"},
        {"url": "/a", "push": "always"},
        {"url": "/a", "keep": 0},
        {"url": "/a", "keep": True},
        {"url": "/a", "keep": "3"},
        {"url": "/a", "refspec": "tags"},
        {"url": "/a", "secrets": "no"},
        {"url": "/a", "installation": "host"},
        {"url": "/a", "installation": "/x"},
        {"url": "/a", "installation": "x" * 250 + "/y"},
        {"url": "/a", "fetch": 1},
    ],
)
def test_tables_that_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        from_table("name", table)
    with pytest.raises(UsageError):
        from_table("na.me", {"url": "/a"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/srv/a b.git", "(umask 077; git init --bare '/srv/a b.git')"),
        ("file:///srv/a.git", "(umask 077; git init --bare /srv/a.git)"),
        ("me@host:a.git", "ssh me@host 'umask 077; git init --bare a.git'"),
        ("ssh://me@host:2222/srv/a.git", "ssh -p 2222 me@host 'umask 077; git init --bare /srv/a.git'"),
        ("ssh://host/srv/a.git", "ssh host 'umask 077; git init --bare /srv/a.git'"),
        ("https://host/a.git", None),
    ],
)
def test_what_makes_a_repository(url: str, words: str | None) -> None:
    assert remote.making(url) == words
