"""Renames of files that were changed as well: what is alike, and which of several is the origin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from gitsnap.core.comparison import Change, Status, compare
from gitsnap.core.model import Entry, Inventory
from gitsnap.ops.compare.renames import pair
from tests.support.inprocess import Protected, workspace
from tests.support.inventories import file, tree

TEXT = b"".join(b"line %d of a text that two files share\n" % n for n in range(40))


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        (where / "app").mkdir()
        with Protected(where / "app", where / "home") as protected:
            yield protected


def described(contents: dict[bytes, bytes]) -> Inventory:
    return tree(*(file(p, hashlib.md5(c).digest(), size=len(c)) for p, c in contents.items()))


def found(place: Protected, old: dict[bytes, bytes], new: dict[bytes, bytes]) -> list[Change]:
    def read(side: int, entry: Entry) -> Iterator[bytes]:
        yield (old, new)[side][entry.path]

    return pair(compare(described(old), described(new), directory_times=False).changes, read, place.sidecar)


def renames(changes: list[Change]) -> dict[bytes, bytes | None]:
    return {c.path: c.old_path for c in changes if c.status is Status.RENAMED}


def test_half_of_it_is_enough(place: Protected) -> None:
    changes = found(place, {b"a": TEXT}, {b"b": TEXT + b"one more line\n"})
    assert renames(changes) == {b"b": b"a"}
    (rename,) = changes
    assert 90 < rename.similarity < 100
    assert renames(found(place, {b"a": TEXT}, {b"b": TEXT[:400] + b"something else entirely\n" * 50})) == {}


def test_of_files_that_are_alike_the_one_of_the_same_name_is_the_origin(place: Protected) -> None:
    old = {b"a/other.py": TEXT, b"m/name.py": TEXT, b"z/third.py": TEXT}
    changed = {p: TEXT + p for p in (b"x/name.py", b"y/third.py", b"w/other.py")}
    assert renames(found(place, old, changed)) == {
        b"w/other.py": b"a/other.py",
        b"x/name.py": b"m/name.py",
        b"y/third.py": b"z/third.py",
    }


@pytest.mark.parametrize("name", [b"m/name.py", b"a/name.py", b"zz/name.py"])
def test_where_one_came_and_several_went_the_name_decides(place: Protected, name: bytes) -> None:
    """Not the order of paths, nor how they are numbered for git."""
    old = {b"b/one.py": TEXT, name: TEXT, b"y/two.py": TEXT}
    assert renames(found(place, old, {b"new/name.py": TEXT + b"more\n"})) == {b"new/name.py": name}


def test_a_text_and_what_is_none_are_never_the_same_file(place: Protected) -> None:
    assert renames(found(place, {b"a": TEXT}, {b"b": TEXT + b"\0"})) == {}


def test_what_is_wholly_renamed_is_left_as_it_is(place: Protected) -> None:
    (only,) = found(place, {b"a": TEXT}, {b"b": TEXT})
    assert (only.status, only.old_path, only.similarity) == (Status.RENAMED, b"a", 100)


def test_empty_files_are_not_renamed(place: Protected) -> None:
    assert [c.status for c in found(place, {b"a": b""}, {b"b": b""})] == [Status.REMOVED, Status.ADDED]


def test_one_that_cannot_be_read_is_like_nothing(place: Protected) -> None:
    def read(side: int, entry: Entry) -> Iterator[bytes]:
        if entry.path == b"gone":
            raise FileNotFoundError(entry.path)
        yield TEXT + entry.path

    old, new = described({b"a": TEXT, b"gone": TEXT + b"x"}), described({b"b": TEXT + b"xy"})
    assert renames(pair(compare(old, new).changes, read, place.sidecar)) == {b"b": b"a"}
