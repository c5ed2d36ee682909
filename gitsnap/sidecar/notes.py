"""Manifests and metadata as git notes on the snapshots' commits.

Each notes ref is one parentless commit over a tree with a 2/38 fan-out, so that a pruned snapshot's texts can go.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import commits
from gitsnap.sidecar.objects import ObjectStore
from gitsnap.sidecar.packwriter import COMMIT, TREE, PackWriter

# git never writes a fan-out of more than this, 16 bits; few trees that hold each other many times make a "git bomb".
_MOST_TREES = 1 << 17


def _entries(store: ObjectStore, oid: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(mode, name, id) of a notes tree. Not trees.parse(): stock git may lay notes out as it likes."""
    data = store.read(oid, b"tree")[1]
    out, at = [], 0
    while at < len(data):
        end = data.find(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        if end < 0 or end + 21 > len(data) or not name:
            raise IntegrityError(f"notes tree {oid.hex()} is malformed")
        out.append((mode, name, data[end + 1 : end + 21]))
        at = end + 21
    return out


def load(store: ObjectStore, ref_value: str | None) -> tuple[dict[str, bytes], set[bytes]]:
    """Every note (the annotated commit's hex id → the raw id of the note's blob), and the ids of the fan-out trees.

    For whoever writes them anew: what cannot be read is passed over, and the snapshots it speaks of are damaged.
    """
    found: dict[str, bytes] = {}
    fans: set[bytes] = set()
    if ref_value is None:
        return found, fans
    stack: list[tuple[bytes, bytes]] = []
    with suppress(IntegrityError):
        stack.append((b"", _tree_of(store, ref_value)))
    read = 0
    while stack:
        prefix, oid = stack.pop()
        read += 1
        if read > _MOST_TREES or len(stack) > _MOST_TREES:
            raise IntegrityError(f"notes commit {ref_value} holds more than any sidecar has")
        try:
            entries = _entries(store, oid)
        except IntegrityError:
            fans.discard(oid)
            continue
        for mode, name, child in entries:
            if mode == b"40000" and len(prefix + name) < 40:
                stack.append((prefix + name, child))
                fans.add(child)
            elif len(prefix + name) == 40:
                found[(prefix + name).decode("ascii", "replace")] = child
    return found, fans


def find(store: ObjectStore, ref_value: str | None, commit: str) -> bytes | None:
    """The raw id of one commit's note blob, reading only the trees along the way."""
    if ref_value is None:
        return None
    rest, oid = commit.encode(), _tree_of(store, ref_value)
    while True:
        for mode, name, child in _entries(store, oid):
            if name == rest and mode != b"40000":
                return child
            if mode == b"40000" and rest.startswith(name):
                rest, oid = rest[len(name) :], child
                break
        else:
            return None


def _tree_of(store: ObjectStore, commit: str) -> bytes:
    data = store.read(bytes.fromhex(commit), b"commit")[1]
    return bytes.fromhex(commits.parse(data, commit).tree)


def write(pack: PackWriter, notes: Mapping[str, bytes], what: str, when: datetime) -> str:
    """Write the notes tree and its parentless commit into `pack`; the commit's hex id."""
    fan: dict[bytes, list[bytes]] = {}
    for commit in sorted(notes):
        name = commit.encode()
        fan.setdefault(name[:2], []).append(b"100644 %s\0%s" % (name[2:], notes[commit]))
    root = b"".join([b"40000 %s\0%s" % (two, pack.add(TREE, b"".join(lines))) for two, lines in sorted(fan.items())])
    message = f"{what} of {len(notes)} snapshots\n".encode()
    return pack.add(COMMIT, commits.form(pack.add(TREE, root), message, commits.author_line(when))).hex()
