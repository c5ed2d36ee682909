"""Manifests and metadata as git notes on the snapshots' commits.

Each notes ref is one parentless commit over a tree with a 2/38 fan-out, so that a pruned snapshot's texts can go.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import commits
from gitsnap.sidecar.git.objects import ObjectStore, Reads


class Adds(Protocol):
    """What takes new objects, such as a PackWriter."""

    def add(self, kind: int, data: bytes, /) -> bytes:
        """Add a small object; its id."""


# git never writes a fan-out of more than this, 16 bits; few trees that hold each other many times make a "git bomb".
_MOST_TREES = 1 << 17
_TREE = 0o040000


def _entries(data: bytes, oid: bytes) -> list[tuple[bytes, int, bytes]]:
    """(name, mode, id) of a notes tree. Not trees.parse(): stock git may lay notes out as it likes."""
    try:
        return [(name, mode, unhexlify(child)) for name, mode, child in parse_tree(data, 20)]
    except (ObjectFormatException, ValueError):
        raise IntegrityError(f"notes tree {oid.hex()} is malformed") from None


def load(store: ObjectStore, ref_value: str | None) -> tuple[dict[str, bytes], dict[bytes, bytes]]:
    """Every note (the annotated commit's hex id → the raw id of the note's blob), and the trees by their contents.

    For whoever writes them anew: what cannot be read is passed over, and the snapshots it speaks of are damaged.
    """
    found: dict[str, bytes] = {}
    held: dict[bytes, bytes] = {}
    if ref_value is None:
        return found, held
    level: list[tuple[bytes, bytes]] = []
    with suppress(IntegrityError):
        level.append((b"", _tree_of(store, ref_value)))
    trees = 0
    while level:
        whole = store.read_many([oid for _, oid in level], b"tree")
        below: list[tuple[bytes, bytes]] = []
        for prefix, oid in level:
            trees += 1
            if trees > _MOST_TREES or len(below) > _MOST_TREES:
                raise IntegrityError(f"notes commit {ref_value} holds more than any sidecar has")
            try:
                data = whole.get(oid) or store.read(oid, b"tree")[1]
                entries = _entries(data, oid)
            except IntegrityError:
                continue
            held[data] = oid
            for name, mode, child in entries:
                path = prefix + name
                if len(path) == 40:
                    found[path.decode("ascii", "replace")] = child
                elif mode == _TREE and len(path) < 40:
                    below.append((path, child))
        level = below
    return found, held


def find(store: Reads, ref_value: str | None, commit: str) -> bytes | None:
    """The raw id of one commit's note blob, reading only the trees along the way."""
    if ref_value is None:
        return None
    rest, oid = commit.encode(), _tree_of(store, ref_value)
    while True:
        for name, mode, child in _entries(store.read(oid, b"tree")[1], oid):
            if name == rest and mode != _TREE:
                return child
            if mode == _TREE and rest.startswith(name):
                rest, oid = rest[len(name) :], child
                break
        else:
            return None


def _tree_of(store: Reads, commit: str) -> bytes:
    data = store.read(bytes.fromhex(commit), b"commit")[1]
    return bytes.fromhex(commits.parse(data, commit).tree)


def write(
    pack: Adds, notes: Mapping[str, bytes], what: str, when: datetime, held: Mapping[bytes, bytes] | None = None
) -> str:
    """Write the notes tree and its parentless commit into `pack`; the commit's hex id.

    `held` are trees, by their contents, that need no writing.
    """
    from gitsnap.sidecar.git.pack_write import COMMIT, TREE

    known = held or {}
    fan: dict[bytes, list[bytes]] = {}
    for commit in sorted(notes):
        name = commit.encode()
        fan.setdefault(name[:2], []).append(b"100644 %s\0%s" % (name[2:], notes[commit]))
    trees = [(two, b"".join(lines)) for two, lines in sorted(fan.items())]
    root = b"".join([b"40000 %s\0%s" % (two, known.get(data) or pack.add(TREE, data)) for two, data in trees])
    message = f"{what} of {len(notes)} snapshots\n".encode()
    return pack.add(COMMIT, commits.form(pack.add(TREE, root), message, when)).hex()
