"""Whose a changed file is: its package's, or somebody's who edited it."""

from __future__ import annotations

from gitsnap.core.comparison import compare
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.packages.model import Edited
from gitsnap.ops.compare import packages
from tests.support.package_trees import compared, distribution, entries, told

SITE = "lib/python3.11/site-packages/"


def test_files_that_record_lists_are_told_with_their_package() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1", "foo/b.py": "1", "single.py": "1", "../../../bin/foo": "1"})
    new = distribution("foo", "1.1", {"foo/a.py": "2", "foo/c/d.py": "new", "single.py": "2", "../../../bin/foo": "2"})
    old, new = ({k.replace(SITE + "../../../", ""): v for k, v in side.items()} for side in (old, new))
    old[SITE + "foo/__pycache__/a.cpython-311.pyc"] = "x"
    new[SITE + "foo/__pycache__/c.cpython-311.pyc"] = "y"
    old["notes.txt"], new["notes.txt"] = "a", "b"
    found = compared(old, new)
    assert told(found.changes) == ["python foo 1.0 > 1.1 up"]
    changed = {p for p in {*old, *new} if old.get(p) != new.get(p)}
    assert {p.decode() for p in found.within} >= changed - {"notes.txt", SITE + "foo/__pycache__/c.cpython-311.pyc"}
    assert b"notes.txt" not in found.within
    assert (SITE + "foo/c").encode() in found.within


def test_what_is_compiled_of_somebodys_own_module_is_no_packages() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1"})
    new = distribution("foo", "1.1", {"foo/a.py": "2"}) | {
        SITE + "foo/__pycache__/mine.cpython-311.pyc": "y",
        SITE + "foo/mine.py": "",
    }
    assert {p.decode() for p in compared(old, new).within}.isdisjoint(
        {SITE + "foo/__pycache__/mine.cpython-311.pyc", SITE + "foo/mine.py"}
    )


def test_an_edit_that_the_upgrade_went_over_is_the_users_own() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1", "foo/b.py": "1"}) | {SITE + "foo/a.py": "edited"}
    found = compared(old, distribution("foo", "1.1", {"foo/a.py": "2", "foo/b.py": "2"}))
    assert found.edited == [Edited((SITE + "foo/a.py").encode(), "foo", True)]
    assert (SITE + "foo/a.py").encode() not in found.within
    assert (SITE + "foo/b.py").encode() in found.within


def test_an_edit_in_a_package_of_the_same_version_is_told() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1", "foo/gone.py": "2", "../../../bin/foo": "s"})
    old = {k.replace(SITE + "../../../", ""): v for k, v in old.items()}
    new = old | {SITE + "foo/a.py": "edited", "bin/foo": "edited"}
    del new[SITE + "foo/gone.py"]
    found = compared(old, new)
    assert not found.changes
    assert [(e.path.decode(), e.before) for e in found.edited] == [
        ("bin/foo", False), (SITE + "foo/a.py", False), (SITE + "foo/gone.py", False),
    ]  # fmt: skip


def test_an_edit_taken_back_was_the_users_own_before() -> None:
    new = distribution("foo", "1.0", {"foo/a.py": "1"})
    found = compared(new | {SITE + "foo/a.py": "edited"}, new)
    assert [e.before for e in found.edited] == [True]


def test_another_build_of_the_same_version_is_no_edit() -> None:
    found = compared(distribution("foo", "1.0", {"foo/a.py": "1"}), distribution("foo", "1.0", {"foo/a.py": "2"}))
    assert told(found.changes) == ["python foo 1.0 > 1.0 rebuilt"]
    assert not found.edited
    assert (SITE + "foo/a.py").encode() in found.within


def test_what_moves_to_another_python_is_told_as_moved() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1"}) | distribution("bar", "1.0", {"bar.py": "1"})
    new = distribution("foo", "1.0", {"foo/a.py": "1"}, "lib/python3.12/site-packages/")
    new |= distribution("bar", "2.0", {"bar.py": "2"}, "lib/python3.12/site-packages/")
    found = compared(old, new)
    assert told(found.changes) == ["python bar 1.0 > 2.0 up", "python foo 1.0 > 1.0 moved"]
    assert not found.edited


def test_commands_that_npm_links_belong_to_their_package() -> None:
    def project(version: int, **commands: str) -> list[Entry]:
        held = entries({"node_modules/a/package.json": str(version), "node_modules/b/package.json": ""})
        at = "node_modules/.bin/"
        links = [Entry((at + c).encode(), Type.LINK, 0o777, target=to.encode()) for c, to in commands.items()]
        return sorted([*held, *links], key=lambda e: e.path)

    sides = project(0, old="../a/old.js", own="../../mine.js"), project(1, new="../a/new.js")
    changes = compare(Inventory(sides[0]), Inventory(sides[1])).changes
    found = packages.compare(sides, changes, lambda side, entry: iter([b'{"version": "1.%d.0"}' % side]))
    assert found.within == {b"node_modules/a/package.json", b"node_modules/.bin/old", b"node_modules/.bin/new"}


def test_where_the_same_came_from_is_no_other_build() -> None:
    sides = [distribution("foo", "1.0", {"foo.py": "1", "foo-1.0.dist-info/direct_url.json": f"{n}"}) for n in (1, 2)]
    found = compared(*sides)
    assert not found.changes
    assert not found.edited
