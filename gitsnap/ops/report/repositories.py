"""Repositories inside the installation: where their HEADs were and are, read as files. No git runs on them.

A `.git` found in an installation may hold hooks, filters and settings of anybody's making, so that its refs and commits
are read from the snapshots' bytes, with bounds on what is read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from gitsnap.core.changelog import RepositoryChange
from gitsnap.core.comparison import Change, Status
from gitsnap.core.generated_files import repository_of
from gitsnap.core.model import Entry, Type

Read = Callable[[int, Entry], Iterator[bytes]]

_LARGEST, _LARGEST_COMMIT, _MOST_COMMITS = 1 << 20, 1 << 20, 10_000
_OID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_OBJECT = re.compile(rb"objects/([0-9a-f]{2})/([0-9a-f]{38}|[0-9a-f]{62})")
_PARENT = re.compile(rb"^parent ([0-9a-f]{40,64})$", re.MULTILINE)


def moved(changes: Sequence[Change], sides: Sequence[Iterable[Entry]], read: Read) -> list[RepositoryChange]:
    """The repositories whose HEAD is another commit than before, by path. `sides` hold all files before and after."""
    tops = sorted({top for c in changes if (top := repository_of(c.path)) is not None})
    if not tops:
        return []
    found = []
    held = [{e.path: e for e in side} for side in sides]
    for top in tops:
        heads = [_head(side, held[side], top, read) for side in (0, 1)]
        (old, _), (new, branch) = heads
        if old != new:
            count = _count(old, new, top, changes, read) if new else None
            found.append(RepositoryChange(top.rpartition(b"/")[0], _text(old), _text(new), branch, count))
    return found


def _text(oid: bytes | None) -> str | None:
    return oid.decode("ascii") if oid else None


def _head(side: int, held: Mapping[bytes, Entry], top: bytes, read: Read) -> tuple[bytes | None, str | None]:
    """(commit, branch) of HEAD; None for what there is not."""
    text = _file(side, held, top + b"/HEAD", read).strip()
    if not text.startswith(b"ref:"):
        return (text if _OID.fullmatch(text) else None), None
    name = text[4:].strip()
    branch = name.removeprefix(b"refs/heads/").decode("utf-8", "surrogateescape")
    text = _file(side, held, top + b"/" + name, read).strip()
    if _OID.fullmatch(text):
        return text, branch
    for line in _file(side, held, top + b"/packed-refs", read).splitlines():
        oid, _, of = line.partition(b" ")
        if of == name and _OID.fullmatch(oid):
            return oid, branch
    return None, branch


def _file(side: int, held: Mapping[bytes, Entry], path: bytes, read: Read) -> bytes:
    entry = held.get(path)
    if entry is None or entry.type is not Type.FILE or entry.size > _LARGEST:
        return b""
    with suppress(OSError):
        return b"".join(read(side, entry))
    return b""


def _count(old: bytes | None, new: bytes, top: bytes, changes: Sequence[Change], read: Read) -> int | None:
    """How many commits came that the new HEAD leads to; None where they may lie in a pack, which is not read."""
    objects: dict[bytes, Entry] = {}
    for change in changes:
        if change.new is None or change.new.type is not Type.FILE or not change.path.startswith(top + b"/objects/"):
            continue
        if change.path.endswith(b".pack") and change.status is not Status.METADATA:
            return None
        if match := _OBJECT.fullmatch(change.path[len(top) + 1 :]):
            objects[match[1] + match[2]] = change.new
    waiting, seen = [new], {old}
    count = 0
    while waiting and count <= _MOST_COMMITS:
        oid = waiting.pop()
        if oid in seen or oid not in objects:
            # What is not new was there before.
            continue
        seen.add(oid)
        parents = _parents(objects[oid], read)
        if parents is None:
            return None
        count += 1
        waiting += parents
    return count if count and not waiting else None


def _parents(entry: Entry, read: Read) -> list[bytes] | None:
    """The parents of a loose commit; None for what is none."""
    if entry.size > _LARGEST_COMMIT:
        return None
    try:
        text = zlib.decompressobj().decompress(b"".join(read(1, entry)), _LARGEST_COMMIT)
    except (zlib.error, OSError):
        return None
    head, _, body = text.partition(b"\0")
    return _PARENT.findall(body.partition(b"\n\n")[0]) if head.startswith(b"commit ") else None
