"""Whose a changed file is: its package's, or somebody's who edited it."""

from __future__ import annotations

from gitsnap.core.packages.model import Edited
from tests.support.package_trees import compared, distribution, told

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
