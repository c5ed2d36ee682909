"""A tree without some paths is the tree that the rest makes, whatever lies where."""

from __future__ import annotations

from hashlib import sha1
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.sidecar import purge
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.git.objects import ObjectStore

NAMES = st.sampled_from([b"a", b"a.b", b"b", b".git", b"z", b"a%"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)


class Store(dict[bytes, bytes]):
    """Trees by their ids."""

    def put(self, data: bytes) -> bytes:
        oid = sha1(b"tree %d\0%s" % (len(data), data), usedforsecurity=False).digest()
        self[oid] = data
        return oid

    def read(self, oid: bytes, _: bytes) -> tuple[bytes, bytes]:
        return b"tree", self[oid]


def inventory(files: set[bytes], empty: set[bytes]) -> Inventory:
    folders = {b""} | empty
    folders |= {path[:cut] for path in files | empty for cut in range(len(path)) if path[cut : cut + 1] == b"/"}
    entries = [Entry(f, Type.DIR, 0o755) for f in folders]
    entries += [
        Entry(f, Type.FILE, 0o644, size=1, oid=sha1(f, usedforsecurity=False).digest()) for f in files - folders
    ]
    return Inventory(sorted(entries, key=lambda e: e.path))


@given(st.sets(PATHS, max_size=12), st.sets(PATHS, max_size=4), st.lists(PATHS, min_size=1, max_size=3))
def test_as_if_it_had_never_been_there(files: set[bytes], empty: set[bytes], gone: list[bytes]) -> None:
    whole = inventory(files, empty - files)
    whole.entries = [
        e for e in whole.entries if not any(f.path and e.path.startswith(f.path + b"/") for f in whole.files())
    ]
    store = Store()
    root, _ = trees.build(whole.entries, store.put)
    rest = purge.without(whole, gone)
    assert not [e for e in rest.entries if purge.below(e.path, gone)]
    assert [e for e in whole.entries if e not in rest.entries] == [
        e for e in whole.entries if purge.below(e.path, gone)
    ]
    written = trees.without(cast(ObjectStore, store), root, gone, store.put)
    assert written == trees.identify(rest.entries)
    assert (written == root) == (not any(e.oid and purge.below(e.path, gone) for e in whole.entries))
