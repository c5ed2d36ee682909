"""What changed between two trees: each status, and what counts as a rename."""

from __future__ import annotations

from gitsnap.core.comparison import Status, compare
from gitsnap.core.model import Inventory
from tests.support.inventories import file, folder, link, tree


def told(old: Inventory, new: Inventory, **more: bool) -> dict[bytes, tuple[Status, bytes | None]]:
    return {c.path: (c.status, c.old_path) for c in compare(old, new, **more).changes}


def test_a_file_that_went_and_came_was_renamed() -> None:
    old, new = tree(file(b"a", b"one"), file(b"s", b"same")), tree(file(b"b", b"one"), file(b"s", b"same"))
    assert told(old, new) == {b"b": (Status.RENAMED, b"a")}
    assert told(old, new, renames=False) == {b"a": (Status.REMOVED, None), b"b": (Status.ADDED, None)}


def test_empty_files_are_not_renamed() -> None:
    """They are all the same, and none is another."""
    assert told(tree(file(b"a", b"")), tree(file(b"b", b""))) == {
        b"a": (Status.REMOVED, None),
        b"b": (Status.ADDED, None),
    }


def test_what_nobody_could_read_is_not_renamed() -> None:
    assert told(tree(file(b"a", None, size=3)), tree(file(b"b", None, size=3))) == {
        b"a": (Status.REMOVED, None),
        b"b": (Status.ADDED, None),
    }


def test_of_equal_files_the_one_of_the_same_name_is_the_origin() -> None:
    """Not the first one by path, which an order without names would take."""
    old = tree(file(b"a/other", b"one"), file(b"b/name", b"one"))
    assert told(old, tree(file(b"a/other", b"one"), file(b"z/name", b"one"), folder(b"b")))[b"z/name"] == (
        Status.RENAMED,
        b"b/name",
    )
    moved = tree(folder(b"a"), folder(b"b"), file(b"x/name", b"one"), file(b"y/other", b"one"))
    assert told(old, moved) == {
        b"x": (Status.ADDED, None),
        b"x/name": (Status.RENAMED, b"b/name"),
        b"y": (Status.ADDED, None),
        b"y/other": (Status.RENAMED, b"a/other"),
    }


def test_one_that_went_is_the_origin_of_one_alone() -> None:
    assert told(tree(file(b"a", b"one")), tree(file(b"b", b"one"), file(b"c", b"one"))) == {
        b"b": (Status.RENAMED, b"a"),
        b"c": (Status.ADDED, None),
    }


def test_a_symlink_is_not_renamed() -> None:
    """Its text is no content; two links to one place are two links."""
    assert told(tree(link(b"a", b"x")), tree(link(b"b", b"x"))) == {
        b"a": (Status.REMOVED, None),
        b"b": (Status.ADDED, None),
    }


def test_each_status() -> None:
    old = tree(file(b"content", b"1"), file(b"mode"), file(b"type"), file(b"gone", b"g"), link(b"link", b"x"))
    new = tree(
        file(b"content", b"2"), file(b"mode", mode=0o600), folder(b"type"), file(b"new", b"n"), link(b"link", b"y")
    )
    found = compare(old, new)
    assert {c.path: c.status for c in found.changes} == {
        b"content": Status.MODIFIED,
        b"gone": Status.REMOVED,
        b"link": Status.MODIFIED,
        b"mode": Status.METADATA,
        b"new": Status.ADDED,
        b"type": Status.TYPE,
    }
    assert found.counts.summary == {"added": 1, "removed": 1, "modified": 2, "renamed": 0, "metadata": 1, "type": 1}
    assert found.counts.directories == {}


def test_directories_are_counted_apart() -> None:
    """What was one and is a file now, or the other way round, is a file's change."""
    old = tree(folder(b"gone"), file(b"gone/a", b"a"), folder(b"mode"), folder(b"now a file"), file(b"now a folder"))
    new = tree(folder(b"new"), folder(b"mode", 0o700), file(b"now a file"), folder(b"now a folder"))
    found = compare(old, new).counts
    assert found.files == {Status.REMOVED: 1, Status.TYPE: 2}
    assert found.directories == {Status.ADDED: 1, Status.REMOVED: 1, Status.METADATA: 1}


def test_links_that_changed_with_other_metadata_are_told_with_them() -> None:
    """A new time alone would hide them: it is no change."""
    old = tree(file(b"a"), file(b"b"), hardlinks=[(b"a", b"b")])
    new = tree(file(b"a", mtime_ns=5), file(b"b"))
    assert {c.path: c.what for c in compare(old, new).changes} == {b"a": ("time", "hard links"), b"b": ("hard links",)}


def test_times_count_where_they_are_asked_for() -> None:
    old, new = tree(file(b"d/f")), tree(file(b"d/f", mtime_ns=1), folder(b"d", mtime_ns=1))
    assert {c.path: c.what for c in compare(old, new).changes} == {b"d/f": ("time",)}
    assert compare(old, new, times=False).changes == []
    both = compare(old, new, directory_times=True).changes
    assert {c.path: c.what for c in both} == {b"d": ("time",), b"d/f": ("time",)}


def test_what_differs_is_named() -> None:
    old = tree(file(b"a"), link(b"l", b"x"))
    other = link(b"l", b"x", uid=5)
    other.mode = 0o700
    new = tree(file(b"a", mode=0o600, gid=4, xattrs=(("user.x", b"1"),)), other)
    assert {c.path: c.what for c in compare(old, new).changes} == {
        b"a": ("mode", "owner", "xattr"),
        b"l": ("owner",),
    }


def test_other_hard_links_are_a_change_by_themselves() -> None:
    entries = file(b"a"), file(b"b"), file(b"c")
    old, new = tree(*entries, hardlinks=[(b"a", b"b")]), tree(*entries)
    assert {c.path: c.what for c in compare(old, new).changes} == {b"a": ("hard links",), b"b": ("hard links",)}
    assert compare(old, old).changes == []
