"""Trees from inventories and back: only canonical ones are read, and each only so far as it can be meant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from dulwich.objects import Tree

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Type
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.git.trees import Leaf

OID = bytes(range(20))


class Store:
    """Trees in memory."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.reads: list[bytes] = []

    def add(self, data: bytes) -> bytes:
        oid = hashlib.sha1(b"tree %d\0%s" % (len(data), data)).digest()
        self.held[oid] = data
        return oid

    def read(self, oid: bytes, expected: bytes) -> tuple[bytes, bytes]:
        self.reads.append(oid)
        if oid not in self.held:
            raise IntegrityError(f"object {oid.hex()} is missing")
        return expected, self.held[oid]


@pytest.fixture
def store() -> Store:
    return Store()


def line(mode: str, name: bytes, oid: bytes = OID) -> bytes:
    return mode.encode() + b" " + name + b"\0" + oid


def entries(*paths: tuple[bytes, Type, int]) -> list[Entry]:
    made = [Entry(p, t, m, oid=None if t is Type.DIR else OID) for p, t, m in paths]
    return sorted([Entry(b"", Type.DIR, 0o755), *made], key=lambda e: e.path)


INVENTORY = entries(
    (b"a", Type.DIR, 0o700), (b"a/.git", Type.DIR, 0o755), (b"a/.git/x", Type.FILE, 0o640), (b"a-b", Type.FILE, 0o755),
    (b"a0", Type.LINK, 0o777), (b"empty", Type.DIR, 0o755), (b"empty/too", Type.DIR, 0o755), (b"run", Type.FILE, 0o654),
)  # fmt: skip


def test_there_and_back(store: Store) -> None:
    root, made = trees.build(INVENTORY, store.add)
    assert made[-1] == root
    assert set(made) == store.held.keys()
    found = {leaf.path: leaf for leaf in trees.flatten(store, root, 100)}  # type: ignore[arg-type]
    assert {p: leaf.mode for p, leaf in found.items()} == {
        b"a": 0o040000, b"a/.git": 0o040000, b"a/.git/x": 0o100644, b"a-b": 0o100755, b"a0": 0o120000, b"run": 0o100644,
    }  # fmt: skip
    assert found[b"a/.git/x"].oid == OID
    assert trees.identify(INVENTORY) == root


def test_a_directory_is_written_when_all_of_it_is_told(store: Store) -> None:
    """As soon as a path is beyond it, be it a neighbour that git orders otherwise: nothing waits for the last one."""
    taken: list[bytes] = []
    written: list[tuple[bytes, bytes]] = []

    def told() -> Iterator[Entry]:
        for entry in INVENTORY:
            taken.append(entry.path)
            yield entry

    def add(data: bytes) -> bytes:
        written.append((taken[-1], data))
        return store.add(data)

    trees.build(told(), add)
    assert [at for at, _ in written] == [b"a0", b"a0", b"run"]


def test_dulwich_finds_them_in_order(store: Store) -> None:
    root, _ = trees.build(INVENTORY, store.add)
    names = [item.path for item in Tree.from_string(store.held[root]).iteritems()]
    assert names == [e for e, _, _ in trees.parse(store.held[root], root)]
    assert names[:3] == [b"a-b", b"a", b"a0"]
    assert Tree.from_string(store.held[root]).check() is None


def test_an_empty_installation(store: Store) -> None:
    root, made = trees.build(entries(), store.add)
    assert (store.held[root], made) == (b"", [root])


@pytest.mark.parametrize(
    "data",
    [
        line("100644", b"b") + line("100644", b"a"),
        line("100644", b"a") + line("100644", b"a"),
        line("100644", b"a") + line("40000", b"a") + line("100644", b"a-"),
        line("40000", b"a") + line("100644", b"a-"),
        line("100664", b"a"),
        line("160000", b"a"),
        line("040000", b"a"),
        line("100644", b""),
        line("100644", b"a/b"),
        line("100644", b"a")[:-1],
        b"100644 a",
        line("1006x4", b"a"),
    ],
)
def test_what_is_not_canonical_is_damage(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"tree {OID.hex()}"):
        trees.parse(data, OID)


def test_a_name_that_occurs_twice_when_it_is_decoded(store: Store) -> None:
    git, encoded = b".git", trees.encode_component(b".git")
    assert encoded != git
    root = store.add(b"".join(sorted([line("100644", encoded), line("100644", git)])))
    with pytest.raises(IntegrityError):
        list(trees.flatten(store, root, 10))  # type: ignore[arg-type]


def test_a_small_tree_that_is_large(store: Store) -> None:
    oid = store.add(line("100644", b"f"))
    for _ in range(40):
        oid = store.add(line("40000", b"a", oid) + line("40000", b"b", oid))
    with pytest.raises(IntegrityError, match=r"more entries than its metadata says \(50\)"):
        list(trees.flatten(store, oid, 50))  # type: ignore[arg-type]
    store.reads.clear()
    assert len(list(trees.walk(store, [oid]))) == len(store.reads) == 41  # type: ignore[arg-type]


def test_the_limit_is_what_may_be_there(store: Store) -> None:
    root, _ = trees.build(INVENTORY, store.add)
    assert len(list(trees.flatten(store, root, 6))) == 6  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        list(trees.flatten(store, root, 5))  # type: ignore[arg-type]


def test_every_tree_once_and_damaged_ones_told(store: Store) -> None:
    low = store.add(line("100644", b"f"))
    wrong = store.add(line("100644", b"b") + line("100644", b"a"))
    lost = bytes(20)
    top = store.add(line("40000", b"a", low) + line("40000", b"b", wrong) + line("40000", b"c", lost))
    found = {oid: (below, blobs) for oid, below, blobs in trees.walk(store, [top, low, top])}  # type: ignore[arg-type]
    assert found == {top: ([low, wrong, lost], []), low: ([], [OID]), wrong: ([], None), lost: ([], None)}
    assert len(store.reads) == 4


def test_one_path(store: Store) -> None:
    root, _ = trees.build(INVENTORY, store.add)
    assert trees.lookup(store, root, b"a/.git/x") == Leaf(b"a/.git/x", 0o100644, OID)  # type: ignore[arg-type]
    assert trees.lookup(store, root, b"") == Leaf(b"", 0o040000, root)  # type: ignore[arg-type]
    for path in (b"a/x", b"a-b/x", b"empty", b"a/.git/x/y"):
        assert trees.lookup(store, root, path) is None, path  # type: ignore[arg-type]


def test_many_files_of_one_tree(store: Store) -> None:
    root, _ = trees.build(INVENTORY, store.add)
    lookup = trees.Lookup(store, root)  # type: ignore[arg-type]
    assert lookup.blob(b"a/.git/x") == lookup.blob(b"run") == lookup.blob(b"a0") == OID
    assert len(store.reads) == 3
    for path in (b"a", b"a/.git", b"nowhere/x", b"run/x", b"a/.git/y"):
        with pytest.raises(IntegrityError, match="the tree does not hold it"):
            lookup.blob(path)


def test_a_damaged_directory_is_named(store: Store) -> None:
    low = store.add(line("100644", b"b") + line("100644", b"a"))
    root = store.add(line("40000", b"d", store.add(line("40000", b"e", low))))
    del store.held[low]
    with pytest.raises(IntegrityError) as caught:
        list(trees.flatten(store, root, 10))  # type: ignore[arg-type]
    assert caught.value.path == b"d/e"


def test_trees_that_are_remembered_are_read_once(store: Store) -> None:
    root, _ = trees.build(INVENTORY, store.add)
    read = list(trees.flatten(store, root, 100))  # type: ignore[arg-type]
    once, store.reads = store.reads, []
    for limit, twice in ((1 << 20, False), (0, True)):
        remembered = trees.Remembered(store, limit)  # type: ignore[arg-type]
        assert list(trees.flatten(remembered, root, 100)) == list(trees.flatten(remembered, root, 100)) == read
        assert store.reads == once * (1 + twice)
        store.reads = []
