"""What a patch can say so that `git apply` takes all of it. What git makes of the patches is tested with diff."""

from __future__ import annotations

import pytest

from gitsnap.core.comparison import Change, Status
from gitsnap.core.model import Entry, Type
from gitsnap.core.patchable import FilePatch, git_mode, parts


def entry(path: bytes, kind: Type = Type.FILE, mode: int = 0o644, content: bytes = b"a") -> Entry:
    if kind is Type.FILE:
        return Entry(path, kind, mode, sha256=content * 32, oid=content * 20)
    return Entry(path, kind, mode, target=content if kind is Type.LINK else b"")


def change(
    path: bytes, old: Entry | None, new: Entry | None, status: Status | None = None, source: bytes | None = None
) -> Change:
    if status is None:
        status = Status.ADDED if old is None else Status.REMOVED if new is None else Status.MODIFIED
    return Change(path, status, old, new, source)


def said(*changes: Change, text: bool = True) -> list[list[bool]]:
    return [[p.sayable for p in found] for found in parts(changes, lambda side, e: text)]


def test_what_git_has_no_word_for() -> None:
    mode = change(b"a", entry(b"a", mode=0o644), entry(b"a", mode=0o640), Status.METADATA)
    assert said(
        change(b"d", None, entry(b"d", Type.DIR)),
        change(b"p", entry(b"p", Type.FIFO), None),
        mode,
    ) == [[], [], []]
    executable = change(b"a", entry(b"a"), entry(b"a", mode=0o755), Status.METADATA)
    (found,) = parts([executable], lambda side, e: False)
    assert [(p.sayable, p.content_differs) for p in found] == [(True, False)]


def test_modes() -> None:
    sides = (None, entry(b"d", Type.DIR), entry(b"f"), entry(b"f", mode=0o100), entry(b"l", Type.LINK))
    assert [git_mode(e) for e in sides] == [0, 0, 0o100644, 0o100755, 0o120000]


def test_what_is_no_text() -> None:
    both = change(b"a", entry(b"a"), entry(b"a", content=b"b"))
    assert said(both) == [[True]]
    assert said(both, text=False) == [[False]]
    asked = []
    list(parts([both, change(b"n", None, entry(b"n"))], lambda side, e: asked.append((side, e.path)) is None))
    assert asked == [(0, b"a"), (1, b"a"), (1, b"n")]
    link = change(b"l", None, entry(b"l", Type.LINK))
    assert said(link, text=False) == [[True]]


def test_a_change_of_type_is_two_parts_and_the_last_bears_the_remarks() -> None:
    turned = change(b"a", entry(b"a"), entry(b"a", Type.LINK), Status.TYPE)
    (found,) = parts([turned], lambda side, e: True)
    assert [(p.old is None, p.new is None, p.sayable, p.last) for p in found] == [
        (False, True, True, False),
        (True, False, True, True),
    ]
    assert all(p.content_differs for p in found)
    assert isinstance(found[0], FilePatch)


@pytest.mark.parametrize("path", [b".git/config", b"a/.git", b"a/GIT~1"])
def test_names_that_git_refuses(path: bytes) -> None:
    assert said(change(path, None, entry(path))) == [[False]]
    renamed = change(b"new", entry(path), entry(b"new"), Status.RENAMED, path)
    assert said(renamed) == [[False]]


def test_what_stays_is_in_the_way_of_what_comes() -> None:
    """A binary file that the patch cannot remove, and a text file below where it stands."""
    binary, below = change(b"a", entry(b"a", content=b"\0"), None), change(b"a/b", None, entry(b"a/b"))
    found = [[p.sayable for p in f] for f in parts([binary, below], lambda side, e: e.path != b"a")]
    assert found == [[False], [False]]
    assert said(binary, below) == [[True], [True]]


def test_a_directory_in_which_something_stays_is_in_the_way_of_a_file() -> None:
    gone = change(b"d/bin", entry(b"d/bin"), None)
    turned = change(b"d", entry(b"d", Type.DIR), entry(b"d"), Status.TYPE)
    found = [[p.sayable for p in f] for f in parts([gone, turned], lambda side, e: e.path != b"d/bin")]
    assert found == [[False], [False]]
    assert said(gone, turned) == [[True], [True]]


def test_an_empty_directory_gives_way() -> None:
    assert said(change(b"d", entry(b"d", Type.DIR), entry(b"d"), Status.TYPE)) == [[True]]


def test_what_is_held_up_holds_up_others() -> None:
    """A rename that cannot be said keeps its source where another file is to come."""
    stays = change(b"x", entry(b"a"), entry(b"x"), Status.RENAMED, b"a")
    comes = change(b"a", None, entry(b"a"), Status.ADDED)
    blocked = change(b"x/y", None, entry(b"x/y"))
    assert said(stays, comes) == [[True], [True]]
    fifo = change(b"x", entry(b"x", Type.FIFO), None)
    assert said(fifo, blocked) == [[], [False]]
