"""Records that somebody made to be a burden: they cost little, and tell nothing."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from tests.support.package_trees import compared

LONG = 200_000
HOSTILE = {
    "compose.yml": ["\n" * LONG, "- " * LONG, "image: " + "${a-" * LONG],
    ".env": ["\n" * LONG],
    "version.php": ["\n" * LONG, " \n" * LONG],
    "wp-includes/version.php": ["\n" * LONG, "$wp_version = '" * LONG],
    "wp-content/plugins/a/a.php": ["/" * LONG, "Plugin Name: x\nVersion:" + " " * LONG],
    "apps/a/appinfo/info.xml": ["<id>" + " " * LONG, "<id>" * LONG, "<version>\n" * LONG],
    "go.mod": ["replace (\n" * LONG, "\t" + "." * LONG, "require " + "a." * LONG],
    "vendor/modules.txt": ["# " * LONG, "# " + "a" * LONG],
    "Gemfile.lock": ["    a (1-\n" * LONG, "    " + "a" * LONG],
    "specifications/a.gemspec": ["\n" * LONG, "s.name = '\n" * LONG],
    "rpm-qa.txt": ["-" * LONG, "a-" * LONG, "a-1-1" * LONG],
    "pnpm-lock.yaml": ["\npackages:\n  /a/1" + "1" * LONG, "\npackages:\n" + "  a@1:\n" * 20_000 + "  '" + "@" * LONG],
    "yarn.lock": ["a@" + ":" * LONG + "x", "a@:" + " " * LONG + "x"],
    "requirements.txt": ["a" * LONG, "a[" * LONG, "a" + " " * LONG],
    "poetry.lock": ["[[package]]\n" * LONG, 'name = "' * LONG],
    "composer.lock": ["[" * LONG, '{"a":' * LONG],
    "vendor/composer/installed.json": ["[" * LONG],
    "lib/python3/site-packages/a.dist-info/METADATA": [
        ":" * LONG,
        "Name: " + "a" * LONG,
        "Name: a\nVersion: " + "1." * LONG,
    ],
    "var/lib/dpkg/status": ["\n" * LONG, "Package: a\n\n" * 20_000, "Conffiles:\n" + " \n" * LONG],
    "lib/apk/db/installed": ["\n\n" * LONG, "P:\n" * LONG],
}


@pytest.mark.parametrize(("path", "content"), [(p, c) for p, contents in HOSTILE.items() for c in contents])
def test_it_costs_little_and_tells_nothing(path: str, content: str) -> None:
    start = time.process_time()
    found = compared({}, {path: content})
    # The worst that is allowed for is far from what a pattern that goes back and forth needs: minutes.
    assert time.process_time() - start < 3
    assert all(len(p.name) <= 300 and len(p.new or "") <= 300 for p in found.changes)


def test_an_archive_with_a_list_without_end_is_not_opened() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Implementation-Version: 1\n")
    good = held.getvalue()
    end = good.rfind(b"PK\x05\x06")
    bad = good[: end + 12] + (1 << 30).to_bytes(4, "little") + good[end + 16 :]
    assert [p.name for p in compared({}, {"a.jar": good, "b.jar": bad}).changes] == ["a"]


def test_a_manifest_that_unpacks_to_much_is_read_to_a_limit() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", "A: b\n" * 4_000_000 + "Implementation-Version: 1\n")
    assert not compared({}, {"a.jar": held.getvalue()}).changes
