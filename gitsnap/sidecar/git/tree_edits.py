"""The trees of a state, made of those of another one: only directories in which something differs are formed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitsnap.core.paths import decode_component, encode_component
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.trees import DIRECTORY, LINK, parse

# A tree's entries by their encoded names: mode and raw id.
_Tree = dict[bytes, tuple[int, bytes]]


class EditedTrees(NamedTuple):
    """The raw id of the new root, and of the trees that are `gone` and `new`, one for each directory."""

    root: bytes
    gone: list[bytes]
    new: list[bytes]


def edit(
    store: ObjectStore,
    root: bytes,
    changes: Mapping[bytes, tuple[int, bytes] | None],
    add_tree: Callable[[bytes], bytes],
) -> EditedTrees:
    """Write the trees that differ from those below `root` through `add_tree`.

    `changes` has mode and raw id of each file or symlink that is new or differs, and None for each path at which there
    is none now; what lies below it is among them. IntegrityError where an old tree is damaged.
    """
    return _Edit(store, root).made(changes, add_tree)


class _Edit:
    def __init__(self, store: ObjectStore, root: bytes) -> None:
        self._store, self._root = store, root
        self._old: dict[bytes, tuple[bytes, _Tree]] = {}
        self._now: dict[bytes, _Tree] = {}

    def made(
        self, changes: Mapping[bytes, tuple[int, bytes] | None], add_tree: Callable[[bytes], bytes]
    ) -> EditedTrees:
        self._tree(b"")
        for path in changes:
            # As they were, before anything of it changes.
            self._tree(path.rpartition(b"/")[0])
        for path, change in changes.items():
            self._set(path, change)
        gone: list[bytes] = []
        new: list[bytes] = []
        for folder in sorted(self._now, key=lambda p: (p.count(b"/") + bool(p), p), reverse=True):
            oid, entries = self._old[folder][0], self._now[folder]
            if oid:
                gone.append(oid)
            made = add_tree(_content(entries)) if entries or not folder else None
            new += [made] if made else []
            if folder:
                self._link(folder, made)
        return EditedTrees(new[-1], gone, new)

    def _tree(self, folder: bytes) -> _Tree:
        """The entries of a directory of before, to be changed; none where there was no such tree."""
        if folder not in self._now:
            oid = self._root
            if folder:
                parent, _, name = folder.rpartition(b"/")
                self._tree(parent)
                mode, found = self._old[parent][1].get(encode_component(name), (0, b""))
                oid = found if mode == DIRECTORY else b""
            entries = {n: (m, o) for n, m, o in parse(self._store.read(oid, b"tree")[1], oid)} if oid else {}
            self._old[folder] = oid, entries
            self._now[folder] = dict(entries)
        return self._now[folder]

    def _set(self, path: bytes, change: tuple[int, bytes] | None) -> None:
        folder, _, name = path.rpartition(b"/")
        entries = self._now[folder]
        # A symlink may be stored under another name than a file.
        for encoded in (encode_component(name), encode_component(name, link=True)):
            mode = entries[encoded][0] if encoded in entries else 0
            # A directory goes when nothing is left in it, or when something else has its name.
            if mode and (change or mode != DIRECTORY) and decode_component(encoded, link=mode == LINK) == name:
                del entries[encoded]
        if change is not None:
            entries[encode_component(name, link=change[0] == LINK)] = change

    def _link(self, folder: bytes, oid: bytes | None) -> None:
        """Let a directory that was formed be the one that its parent holds."""
        parent, _, name = folder.rpartition(b"/")
        encoded, entries = encode_component(name), self._now[parent]
        if oid is not None:
            entries[encoded] = (DIRECTORY, oid)
        elif entries.get(encoded, (0, b""))[0] == DIRECTORY:
            del entries[encoded]


def _content(entries: _Tree) -> bytes:
    # git orders a directory as if its name ended in a slash (base_name_compare in git's tree.c).
    ordered = sorted(
        (name + b"/" if mode == DIRECTORY else name, name, mode, oid) for name, (mode, oid) in entries.items()
    )
    return b"".join([b"%o %s\0%s" % (mode, name, oid) for _, name, mode, oid in ordered])
