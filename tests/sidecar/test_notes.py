"""Notes: written with one fan-out, read however stock git has laid them out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import commits, notes
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_write import COMMIT, TREE, PackWriter
from tests.support.inprocess import START

OID = bytes(range(20))
NAMES = ["aa" + "0" * 38, "aa" + "1" * 38, "ab" * 20]


class Repository:
    def __init__(self, top: Path) -> None:
        self._objects, self._scratch = top / "objects", top / "scratch"
        (self._objects / "pack").mkdir(parents=True)
        self._scratch.mkdir()
        self.store = ObjectStore(str(self._objects))
        self.pack = self.writer()

    def writer(self) -> PackWriter:
        return PackWriter(str(self._objects), str(self._scratch), lambda _: False)

    def seen(self) -> ObjectStore:
        """What was written so far, in the store."""
        self.pack.finish()
        self.pack = self.writer()
        self.store.refresh()
        return self.store

    def ref(self, *lines: bytes) -> str:
        """A notes commit over a tree of these lines."""
        return self.pack.add(COMMIT, commits.form(self.pack.add(TREE, b"".join(lines)), b"n", START)).hex()

    def tree(self, *lines: bytes) -> bytes:
        return self.pack.add(TREE, b"".join(lines))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def note(name: str, oid: bytes = OID) -> bytes:
    return b"100644 " + name.encode() + b"\0" + oid


def tree(name: str, oid: bytes) -> bytes:
    return b"40000 " + name.encode() + b"\0" + oid


def test_there_and_back(repository: Repository) -> None:
    wanted = {name: hashlib.sha1(name.encode()).digest() for name in NAMES}
    ref = notes.write(repository.pack, wanted, "manifests", START)
    store = repository.seen()
    found, held = notes.load(store, ref)
    assert found == wanted
    assert len(held) == 3
    assert {name: notes.find(store, ref, name) for name in NAMES} == wanted
    assert notes.find(store, ref, "ac" * 20) is notes.find(store, ref, "aa" + "2" * 38) is None
    parsed = commits.parse(store.read(bytes.fromhex(ref))[1], ref)
    assert (parsed.parent, parsed.message) == (None, b"manifests of 3 snapshots\n")


def test_trees_that_are_there_are_not_written_again(repository: Repository) -> None:
    wanted = dict.fromkeys(NAMES, OID)
    ref = notes.write(repository.pack, wanted, "n", START)
    _, held = notes.load(repository.seen(), ref)
    again = notes.write(repository.pack, {**wanted, "ac" * 20: OID}, "n", START, held)
    written = repository.pack.finish()
    assert written is not None
    # The commit, the root, and the one tree that is new.
    assert written.objects == 3
    repository.store.refresh()
    assert notes.load(repository.store, again)[0].keys() == {*NAMES, "ac" * 20}


def test_no_notes(repository: Repository) -> None:
    assert notes.load(repository.store, None) == ({}, {})
    assert notes.find(repository.store, None, NAMES[0]) is None
    ref = notes.write(repository.pack, {}, "n", START)
    assert notes.load(repository.seen(), ref)[0] == {}


def test_however_git_lays_them_out(repository: Repository) -> None:
    """Flat ones, and a fan-out of 2/2/36, in one tree."""
    deep = repository.tree(note("1" * 36))
    ref = repository.ref(tree("aa", repository.tree(tree("11", deep))), note(NAMES[2]))
    store = repository.seen()
    assert notes.load(store, ref)[0] == {"aa" + "11" + "1" * 36: OID, NAMES[2]: OID}
    assert notes.find(store, ref, "aa11" + "1" * 36) == notes.find(store, ref, NAMES[2]) == OID


def test_what_is_lost_takes_no_other_with_it(repository: Repository) -> None:
    ref = repository.ref(tree("aa", bytes(20)), tree("ab", repository.tree(note(NAMES[2][2:]))))
    store = repository.seen()
    assert notes.load(store, ref)[0] == {NAMES[2]: OID}
    assert notes.find(store, ref, NAMES[2]) == OID
    with pytest.raises(IntegrityError):
        notes.find(store, ref, NAMES[0])
    assert notes.load(store, "12" * 20) == ({}, {})


def test_what_is_no_note(repository: Repository) -> None:
    ref = repository.ref(note("a" * 39), note("a" * 41), tree("b" * 40, repository.tree(note("c"))), note("d"))
    found, _ = notes.load(repository.seen(), ref)
    assert found.keys() == {"b" * 40}
    assert notes.find(repository.store, ref, "b" * 40) is None


def test_few_trees_that_hold_each_other(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_MOST_TREES", 100)
    oid = repository.tree(note("f" * 20))
    for _ in range(10):
        oid = repository.tree(tree("aa", oid), tree("ab", oid))
    ref = repository.ref(tree("aa", oid))
    with pytest.raises(IntegrityError, match="more than any sidecar has"):
        notes.load(repository.seen(), ref)
