"""Writing a pack anew from entries of others, each copied as it is stored, against the checksum in its index.

A delta whose base is left out is made anew: of what that base was built on itself, of another orphan of the same base,
or else the object is written whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set

from isal import isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import delta_write
from gitsnap.sidecar.git.pack_file import Entry, PackFile
from gitsnap.sidecar.git.pack_read import TYPES, Pack, entry_head
from gitsnap.sidecar.git.pack_write import BLOB, deflate

_PIECE = 1 << 20
_NUMBERS = {name: number for number, name in TYPES.items()}


def copy(pack: Pack, out: PackFile, wanted: Set[bytes], read: Callable[[bytes], tuple[bytes, bytes]]) -> None:
    """Copy those of the `wanted` objects that the pack holds, and that are not in `out` already.

    `read` gives type and content of an object, verified. Raises IntegrityError for what is not as it was written.
    """
    copying = _Copying(pack, out, wanted, read)
    left = [row for row in pack.spans() if row[0] in wanted and row[0] not in out.index]
    while left:
        # A base named by its id may lie behind what is built on it.
        later = [row for row in left if not copying.entry(*row)]
        if len(later) == len(left):
            raise IntegrityError("a chain of deltas does not end", path=pack.path)
        left = later


class _Copying:
    def __init__(
        self, pack: Pack, out: PackFile, wanted: Set[bytes], read: Callable[[bytes], tuple[bytes, bytes]]
    ) -> None:
        self._pack, self._out, self._wanted, self._read = pack, out, wanted, read
        self._ids: dict[int, bytes] = {}
        # What was made anew, by the base that it lost.
        self._orphans: dict[bytes, bytes] = {}

    def entry(self, oid: bytes, start: int, end: int, crc: int) -> bool:
        """Copy one; False where its base comes first and is not there yet."""
        size = min(end - start, _PIECE)
        data = os.pread(self._pack.data.fd, size, start)
        # Before anything in it is believed.
        if end - start <= _PIECE and isal_zlib.crc32(data) != crc:
            raise self._damaged(start)
        try:
            kind, length, inner, named = entry_head(data, start)
        except IndexError:
            raise self._damaged(start) from None
        if kind in TYPES:
            self._whole(oid, data, (start, end, crc))
            return True
        base = self._base(named, start)
        if base in self._out.index:
            data += os.pread(self._pack.data.fd, end - start - size, start + size)
            if isal_zlib.crc32(data) != crc:
                raise self._damaged(start)
            self._out.add(oid, Entry(kind, length, data[inner - start :], base))
        elif base in self._wanted and self._pack.index.find(base) is not None:
            return False
        else:
            self._out.add(oid, self._anew(oid, base))
            self._orphans.setdefault(base, oid)
        return True

    def _whole(self, oid: bytes, data: bytes, place: tuple[int, int, int]) -> None:
        start, end, crc = place
        at = self._out.at
        self._out.write(data)
        # What is no longer than a piece was looked at.
        if end - start > _PIECE:
            found, start = isal_zlib.crc32(data), start + len(data)
            while start < end and (data := os.pread(self._pack.data.fd, min(end - start, _PIECE), start)):
                self._out.write(data)
                found, start = isal_zlib.crc32(data, found), start + len(data)
            if start != end or found != crc:
                raise self._damaged(place[0])
        self._out.index[oid] = (crc, at)

    def _anew(self, oid: bytes, lost: bytes) -> Entry:
        name, content = self._read(oid)
        whole = Entry(_NUMBERS[name], len(content), deflate(content))
        base = self._instead(lost)
        if whole.kind != BLOB or base is None:
            return whole
        return by_difference(whole, content, base, self._read(base)[1])

    def _instead(self, lost: bytes) -> bytes | None:
        """What can be the base of what was built on this one."""
        base: bytes | None = lost
        while base is not None and base not in self._out.index:
            if base in self._orphans:
                return self._orphans[base]
            offset = self._pack.index.find(base)
            kind, _, _, named = self._pack.data.header(offset) if offset is not None else (BLOB, 0, 0, None)
            base = None if kind in TYPES or offset is None else self._base(named, offset)
        return base

    def _base(self, named: bytes | int | None, start: int) -> bytes:
        """The id of a delta's base, as its entry names it."""
        if isinstance(named, bytes):
            return named
        self._ids = self._ids or {at: oid for oid, at, _, _ in self._pack.spans()}
        found = self._ids.get(named) if named is not None and named < start else None
        if found is None:
            raise self._damaged(start)
        return found

    def _damaged(self, start: int) -> IntegrityError:
        return IntegrityError(f"pack entry at {start} is damaged, or its base is not there", path=self._pack.path)


def by_difference(whole: Entry, content: bytes, base: bytes, other: bytes) -> Entry:
    """An entry of `content`: what makes it of the `other` content, that of `base`, or as a `whole` where that is no
    larger."""
    if not delta_write.alike(other, content):
        return whole
    delta = delta_write.make(other, content)
    deflated = deflate(delta)
    return Entry(BLOB, len(delta), deflated, base) if len(deflated) < len(whole.deflated) else whole
