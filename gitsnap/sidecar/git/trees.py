"""Git trees from inventories, and back. Names are percent-encoded where git would act on or refuse them."""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha1
from operator import lt
from typing import NamedTuple

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Type
from gitsnap.core.paths import decode_component, encode_component
from gitsnap.sidecar.git.objects import ObjectStore, Reads

DIRECTORY, LINK = 0o040000, 0o120000
_ENTRIES = re.compile(rb"([0-7]+) [^\0]+\0(.{20})", re.DOTALL)
# No mode: what is in a directory.
_BELOW = 0
# Looked up once, because access to an enumeration's members is slow.
_DIR, _LINK = Type.DIR, Type.LINK
_MODES = frozenset({0o100644, 0o100755, LINK, DIRECTORY})


class Leaf(NamedTuple):
    """One entry of a flattened tree: the real path, git's mode and the raw object id."""

    path: bytes
    mode: int
    oid: bytes


def build(entries: Iterable[Entry], add_tree: Callable[[bytes], bytes]) -> tuple[bytes, list[bytes]]:
    """Write the trees for a sorted inventory through `add_tree`; the root's id and the ids of all trees.

    Directories that hold no file or symlink, at any depth, live in the metadata and not here.
    """
    children: dict[bytes, list[tuple[bytes, bytes]]] = {}
    trees: list[bytes] = []
    # Directories that are not complete yet, and what comes after everything in the last of them.
    opened: list[bytes] = []
    beyond = b""

    def close() -> None:
        path = opened.pop()
        lines = children.pop(path)
        if not lines and path:
            return
        lines.sort()
        oid = add_tree(b"".join([line for _, line in lines]))
        trees.append(oid)
        if path:
            parent, _, name = path.rpartition(b"/")
            name = encode_component(name)
            # git orders a directory as if its name ended in a slash (base_name_compare in git's tree.c).
            children[parent].append((name + b"/", b"40000 %s\0%s" % (name, oid)))

    folder: bytes | None = None
    lines: list[tuple[bytes, bytes]] = []
    for entry in entries:
        path = entry.path
        # As they are complete: of a million files no more is in memory than is in the directories above one.
        while beyond and path >= beyond:
            close()
            beyond = _beyond(opened[-1])
        if entry.type is _DIR:
            children[path] = []
            opened.append(path)
            beyond = _beyond(path)
            continue
        oid = entry.oid
        if oid is not None:
            cut = path.rfind(b"/") + 1
            if path[:cut] != folder:
                folder = path[:cut]
                lines = children[folder[:-1]]
            link = entry.type is _LINK
            name = encode_component(path[cut:], link=link)
            mode = b"120000 " if link else b"100755 " if entry.mode & 0o100 else b"100644 "
            lines.append((name, mode + name + b"\0" + oid))
    while opened:
        close()
    return trees[-1], trees


def _beyond(folder: bytes) -> bytes:
    """The least path that is after all that can be in a directory: none for the root. A zero follows the slash."""
    return folder and folder + b"0"


def identify(entries: Iterable[Entry]) -> bytes:
    """The id of the root tree of a sorted inventory; nothing is written."""
    return build(entries, lambda data: sha1(b"tree %d\0%s" % (len(data), data), usedforsecurity=False).digest())[0]


def parse(data: bytes, oid: bytes) -> list[tuple[bytes, int, bytes]]:
    """(encoded name, mode, id) of each entry of a tree object; IntegrityError unless it is canonical.

    dulwich reads the entries, and leaves their order, names and modes to whoever asks.
    """
    try:
        found = [(name, mode, unhexlify(child)) for name, mode, child in parse_tree(data, 20, strict=True)]
    except (ObjectFormatException, ValueError) as error:
        raise IntegrityError(f"tree {oid.hex()} has a malformed entry: {error}") from None
    for name, mode, _ in found:
        if mode not in _MODES or not name or b"/" in name:
            raise IntegrityError(f"tree {oid.hex()} has a malformed entry", path=name)
    # git orders a directory as if its name ended in a slash (base_name_compare in git's tree.c).
    keys = [name + b"/" if mode == DIRECTORY else name for name, mode, _ in found]
    if not all(map(lt, keys, keys[1:])):
        wrong = next(name for (name, _, _), a, b in zip(found[1:], keys, keys[1:], strict=False) if a >= b)
        raise IntegrityError(f"tree {oid.hex()} has a misplaced or duplicate entry", path=wrong)
    return found


def children(data: bytes, oid: bytes) -> tuple[list[bytes], list[bytes]]:
    """The ids of the trees and of the blobs directly below a tree object."""
    found = parse(data, oid)
    below = [child for _, mode, child in found if mode == DIRECTORY]
    return below, [child for _, mode, child in found if mode != DIRECTORY]


def walk(
    store: ObjectStore, roots: Iterable[bytes], seen: set[bytes] | None = None
) -> Iterator[tuple[bytes, list[bytes], list[bytes] | None]]:
    """(id, ids of the trees directly below, of the blobs) of every tree below `roots`, each read once.

    Of one that cannot be read, no trees and None. Those that were `seen` are passed over, and the others added.
    """
    seen = set() if seen is None else seen
    stack = list(roots)
    while stack:
        oid = stack.pop()
        if oid in seen:
            continue
        seen.add(oid)
        try:
            below, blobs = children(store.read(oid, b"tree")[1], oid)
        except IntegrityError:
            yield oid, [], None
            continue
        yield oid, below, blobs
        stack += below


class Remembered:
    """Trees that are read twice, as far as `limit` bytes of them may be held."""

    def __init__(self, store: Reads, limit: int = 1 << 23) -> None:
        self._store, self._left = store, limit
        self._held: dict[bytes, tuple[bytes, bytes]] = {}

    def read(self, oid: bytes, expected: bytes | None = None) -> tuple[bytes, bytes]:
        """As the store reads it. Raises IntegrityError."""
        found = self._held.get(oid)
        if found is None:
            found = self._store.read(oid, expected)
            self._left -= len(found[1])
            if self._left >= 0:
                self._held[oid] = found
        return found


def contents(store: Reads, root: bytes) -> Iterator[bytes]:
    """The ids of all files below a tree, some more than once, as they stand there: nothing is checked but the ids of
    the trees. IntegrityError where one of these cannot be read."""
    stack, seen = [root], set()
    while stack:
        oid = stack.pop()
        if oid in seen:
            continue
        seen.add(oid)
        found = _ENTRIES.findall(store.read(oid, b"tree")[1])
        stack += [child for mode, child in found if mode == b"40000"]
        yield from [child for mode, child in found if mode.startswith(b"100")]


def flatten(store: Reads, root: bytes, limit: int) -> Iterator[Leaf]:
    """The same as in_order(), with names for the parts."""
    return map(Leaf._make, in_order(store, root, limit))


def in_order(store: Reads, root: bytes, limit: int) -> Iterator[tuple[bytes, int, bytes]]:
    """(path, mode, raw id) of every entry below `root`, directories too, sorted by path, a directory before what is in
    it; IntegrityError after `limit` entries.

    The limit keeps a small tree that repeats itself (a "git bomb") from becoming a large one.
    """
    count = 0

    def steps(prefix: bytes, oid: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        nonlocal count
        entries = _directory(store, oid, prefix)
        count += len(entries)
        if count > limit:
            raise IntegrityError(f"tree {root.hex()} has more entries than its metadata says ({limit})")
        found = [(prefix + decode_component(e, link=mode == LINK), mode, child) for e, mode, child in entries]
        if len({path for path, _, _ in found}) != len(found):
            raise IntegrityError("a name occurs twice in one directory", path=prefix.rstrip(b"/"))
        # What is in a directory comes where its name with a slash would.
        found += [(path + b"/", _BELOW, child) for path, mode, child in found if mode == DIRECTORY]
        found.sort()
        return iter(found)

    stack = [steps(b"", root)]
    while stack:
        for step in stack[-1]:
            if step[1] == _BELOW:
                stack.append(steps(step[0], step[2]))
                break
            yield step
        else:
            stack.pop()


def _directory(store: Reads, oid: bytes, prefix: bytes) -> list[tuple[bytes, int, bytes]]:
    """The entries of one directory; what is damaged is named by its path."""
    try:
        return parse(store.read(oid, b"tree")[1], oid)
    except IntegrityError as error:
        if isinstance(error.path, bytes) or not prefix:
            raise
        raise IntegrityError(error.message, path=prefix[:-1]) from None


class Lookup:
    """Finds many files of one tree; a directory is read once."""

    def __init__(self, store: ObjectStore, root: bytes) -> None:
        self._store = store
        self._known: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
        self._root = root

    def blob(self, path: bytes) -> bytes:
        """The raw id of a file's content; IntegrityError where the tree does not hold it."""
        parent, _, name = path.rpartition(b"/")
        mode, oid = self._directory(parent).get(name, (DIRECTORY, b""))
        if mode == DIRECTORY:
            raise IntegrityError("the metadata names it, the tree does not hold it", path=path)
        return oid

    def _directory(self, path: bytes) -> dict[bytes, tuple[int, bytes]]:
        if path not in self._known:
            oid = self._root
            if path:
                parent, _, name = path.rpartition(b"/")
                mode, oid = self._directory(parent).get(name, (LINK, b""))
                if mode != DIRECTORY:
                    raise IntegrityError("the metadata names it, the tree does not hold it", path=path)
            self._known[path] = {
                decode_component(encoded, link=mode == LINK): (mode, child)
                for encoded, mode, child in _directory(self._store, oid, path + b"/" if path else b"")
            }
        return self._known[path]


def lookup(store: ObjectStore, root: bytes, path: bytes) -> Leaf | None:
    """The entry at `path`, or None. Reads only the trees along the way."""
    leaf = Leaf(b"", DIRECTORY, root)
    for name in path.split(b"/") if path else []:
        if leaf.mode != DIRECTORY:
            return None
        for encoded, mode, oid in parse(store.read(leaf.oid, b"tree")[1], leaf.oid):
            if decode_component(encoded, link=mode == LINK) == name:
                leaf = Leaf(path, mode, oid)
                break
        else:
            return None
    return leaf


def without(store: ObjectStore, root: bytes, paths: Collection[bytes], add_tree: Callable[[bytes], bytes]) -> bytes:
    """The id of the tree that is `root` without some paths, as `build` would make it: what holds nothing any more is
    not in it. Only trees that change are written through `add_tree`; without change it is `root`."""
    return _without(store, root, paths, add_tree) or add_tree(b"")


def _without(store: ObjectStore, oid: bytes, paths: Collection[bytes], add: Callable[[bytes], bytes]) -> bytes | None:
    tops: dict[bytes, list[bytes]] = {}
    for path in paths:
        name, _, rest = path.partition(b"/")
        tops.setdefault(name, []).append(rest)
    entries = parse(store.read(oid, b"tree")[1], oid)
    kept = []
    for encoded, mode, child in entries:
        rests = tops.get(decode_component(encoded, link=mode == LINK))
        left: bytes | None = child
        if rests is not None:
            if b"" in rests:
                left = None
            elif mode == DIRECTORY:
                left = _without(store, child, rests, add)
        if left is not None:
            kept.append((encoded, mode, left))
    if kept == entries:
        return oid
    return add(b"".join([b"%o %s\0%s" % (mode, name, child) for name, mode, child in kept])) if kept else None
