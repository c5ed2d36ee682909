"""Reading packs: indexes mapped, objects by pread, large blobs as a stream.

Handles what stock git leaves after gc, repack or a push: deltas (by offset and by id) and large offsets. Everything
read is untrusted until its object id has been recomputed by the caller (objects.py).
"""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Set
from typing import Any

from isal import igzip_lib, isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git.deflate import IsalError, inflated

OFS_DELTA, REF_DELTA = 6, 7
_BULK_AFTER, _BULK_SHARE = 300, 5
# Up to so many ids are looked through in a third of the time that a bisection takes.
_SCANNED = 256
_PIECE = 1 << 18
# What holds a commit or a small tree is read in a sixth of the time of the larger gulp, which holds most files.
_SIP, _GULP = 1 << 10, 1 << 14


class Pack:
    """One pack and its index. Descriptors stay open, so that a concurrent gc takes nothing away from a reader."""

    def __init__(self, index_path: str) -> None:
        self.path = index_path[:-4] + ".pack"
        self.name = os.path.basename(index_path)
        fd = os.open(index_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = os.fstat(fd).st_size
            if size < 8 + 1024 + 40:
                raise IntegrityError("pack index is truncated", path=index_path)
            self._map = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self.fanout = struct.unpack_from(">256L", self._map, 8)
        self.count = self.fanout[255]
        if (
            self._map[:8] != b"\377tOc\0\0\0\2"
            or size < 1072 + 28 * self.count
            or list(self.fanout) != sorted(self.fanout)
        ):
            raise IntegrityError("pack index is damaged or of an unknown version", path=index_path)
        self._crcs = 1032 + 20 * self.count
        self._offsets = self._crcs + 4 * self.count
        self._large = self._offsets + 4 * self.count
        self._large_count = (size - 40 - self._large) // 8
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = os.fstat(self.fd).st_size
        self._lookups = 0
        self._table: dict[bytes, int] | None = None
        self._ids: bytes | None = None

    def close(self) -> None:
        """Release the descriptors."""
        self._map.close()
        os.close(self.fd)

    def oids(self) -> list[bytes]:
        """All object ids, sorted."""
        data = self._map[1032 : self._crcs]
        return [data[i : i + 20] for i in range(0, len(data), 20)]

    def find(self, oid: bytes) -> int | None:
        """The object's offset, or None."""
        if self._table is not None:
            return self._table.get(oid)
        self._lookups += 1
        # Loading it takes as long as finding every fifth of its objects.
        if self._lookups > max(_BULK_AFTER, self.count // _BULK_SHARE):
            self._table = self._load_table()
            return self._table.get(oid)
        i = self._row(oid)
        return None if i is None else self._offset_at(i)

    def _row(self, oid: bytes) -> int | None:
        """Where in the index an object is."""
        low, high = self.fanout[oid[0] - 1] if oid[0] else 0, self.fanout[oid[0]]
        if high - low > _SCANNED:
            i = bisect_right(range(high), oid, low, high, key=self._oid_at) - 1
            return i if i >= low and self._oid_at(i) == oid else None
        if self._ids is None:
            self._ids = self._map[1032 : self._crcs]
        at = self._ids.find(oid, 20 * low, 20 * high)
        while at % 20 and at >= 0:
            # The end of one id and the beginning of the next one.
            at = self._ids.find(oid, at + 1, 20 * high)
        return at // 20 if at >= 0 else None

    def places(self, oids: Collection[bytes]) -> list[tuple[int, bytes]]:
        """Offset and id of those of these objects that it holds, in the order in which they lie in it."""
        if _BULK_SHARE * len(oids) < self.count:
            found = [(at, oid) for oid in oids if (at := self.find(oid)) is not None]
        else:
            if self._table is None:
                self._table = self._load_table()
            table = self._table
            found = [(table[oid], oid) for oid in table.keys() & oids]
        found.sort()
        return found

    def held(self, oids: Set[bytes]) -> Set[bytes]:
        """Those of these objects that it holds, wherever in it they lie."""
        if _BULK_SHARE * len(oids) < self.count:
            return {oid for oid in oids if self._row(oid) is not None}
        return oids & set(self.oids())

    def with_prefix(self, low_oid: bytes, high_oid: bytes) -> list[bytes]:
        """The ids between two bounds, inclusive."""
        first, last = self.fanout[low_oid[0] - 1] if low_oid[0] else 0, self.fanout[high_oid[0]]
        return [o for o in map(self._oid_at, range(first, last)) if low_oid <= o <= high_oid]

    def _oid_at(self, i: int) -> bytes:
        return self._map[1032 + 20 * i : 1052 + 20 * i]

    def _offset_at(self, i: int) -> int:
        offset = int.from_bytes(self._map[self._offsets + 4 * i : self._offsets + 4 * i + 4], "big")
        return self._resolve_large(offset)

    def _resolve_large(self, offset: int) -> int:
        if offset < 1 << 31:
            return offset
        i = offset & 0x7FFFFFFF
        if i >= self._large_count:
            raise IntegrityError("pack index names an offset it does not hold", path=self.path)
        return int.from_bytes(self._map[self._large + 8 * i : self._large + 8 * i + 8], "big")

    def _load_table(self) -> dict[bytes, int]:
        return dict(zip(self.oids(), self._starts(), strict=True))

    def _starts(self) -> Iterable[int]:
        """The offset of every entry, in the order of the ids."""
        offsets = struct.unpack_from(f">{self.count}L", self._map, self._offsets)
        return offsets if max(offsets, default=0) < 1 << 31 else map(self._resolve_large, offsets)

    def entries(self) -> list[tuple[bytes, int, int, int]]:
        """(id, start, end, CRC-32) of every entry, in the order in which they lie in the pack."""
        crcs = struct.unpack_from(f">{self.count}L", self._map, self._crcs)
        placed = sorted(zip(self._starts(), self.oids(), crcs, strict=True))
        ends = [start for start, _, _ in placed[1:]] + [self.size - 20]
        return [(oid, start, end, crc) for (start, oid, crc), end in zip(placed, ends, strict=True)]

    def as_written(self, offset: int) -> bool:
        """Whether the entry at `offset` has the CRC-32 that the index has for it: gitformat-pack(5) has these so that
        what is deflated can be copied without being inflated, and damage does not go unnoticed."""
        _, start, end, expected = next((e for e in self.entries() if e[1] == offset), (b"", 0, 0, 0))
        crc = 0
        while start < end and (data := os.pread(self.fd, min(_PIECE, end - start), start)):
            crc = isal_zlib.crc32(data, crc)
            start += len(data)
        return start == end > 0 and crc == expected

    def all_as_written(self, oids: Iterable[bytes], kind: int) -> set[bytes]:
        """Those of these objects that lie here whole, of type `kind`, below 16 KB, and with the CRC-32 of the index."""
        rows = [(row, oid) for oid in oids if (row := self._row(oid)) is not None]
        starts = sorted(self._starts()) if rows else []
        found = set()
        for row, oid in rows:
            start, crc = self._offset_at(row), self._crcs + 4 * row
            after = bisect_right(starts, start)
            size = (starts[after] if after < len(starts) else self.size - 20) - start
            data = os.pread(self.fd, size, start) if 0 < size <= _GULP else b""
            checksum = isal_zlib.crc32(data).to_bytes(4, "big")
            if data and data[0] >> 4 & 7 == kind and checksum == self._map[crc : crc + 4]:
                found.add(oid)
        return found

    def load(self, offset: int, limit: int) -> tuple[int, int, bytes | int | None, bytes]:
        """(type, size, delta base, inflated data) of the entry at `offset`; no data for a size above `limit`."""
        # Most entries are read whole together with their heads.
        data = os.pread(self.fd, _SIP, offset) if 12 <= offset < self.size - 20 else b""
        kind, size, at, base = self._parse(data, offset)
        if size > limit:
            return kind, size, base, b""
        if at - offset + size > _SIP:
            data = os.pread(self.fd, _GULP, offset)
        # A tenth quicker than isal_zlib.decompressobj.
        inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
        try:
            out: bytes = inflater.decompress(data[at - offset :], size + 1)
        except IsalError as error:
            raise IntegrityError(f"pack data at {at} does not inflate: {error}", path=self.path) from None
        if len(out) != size or not inflater.eof:
            out = self.inflate(at, size)
        return kind, size, base, out

    def short(self, offset: int, kind: int) -> bytes | None:
        """The content of a whole object of type `kind` at `offset`, where one short read holds it; None for all else,
        what is damaged included."""
        data = os.pread(self.fd, _SIP, offset) if 12 <= offset < self.size - 20 else b""
        # One or two bytes say the type and a size below 2 KB (gitformat-pack(5)).
        if len(data) < 3 or data[0] >> 4 & 7 != kind or (data[0] & 0x80 and data[1] & 0x80):
            return None
        size, at = (data[0] & 15 | data[1] << 4, 2) if data[0] & 0x80 else (data[0] & 15, 1)
        inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
        try:
            out: bytes = inflater.decompress(data[at:], size + 1)
        except IsalError:
            return None
        return out if len(out) == size and inflater.eof else None

    def header(self, offset: int) -> tuple[int, int, int, bytes | int | None]:
        """(type, size, where the deflated data starts, delta base) of the entry at `offset`.

        The base is an id for REF_DELTA, an absolute offset for OFS_DELTA, None for whole objects.
        """
        return self._parse(os.pread(self.fd, 48, offset) if 12 <= offset < self.size - 20 else b"", offset)

    def _parse(self, data: bytes, offset: int) -> tuple[int, int, int, bytes | int | None]:
        try:
            byte, at, shift = data[0], 1, 4
            kind, size = byte >> 4 & 7, byte & 15
            while byte & 0x80:
                byte = data[at]
                size |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
            base: bytes | int | None = None
            if kind == OFS_DELTA:
                byte = data[at]
                distance, at = byte & 0x7F, at + 1
                while byte & 0x80:
                    byte = data[at]
                    distance, at = (distance + 1) << 7 | byte & 0x7F, at + 1
                base = offset - distance
            elif kind == REF_DELTA:
                base, at = data[at : at + 20], at + 20
        except IndexError:
            raise IntegrityError(f"pack entry at {offset} is damaged", path=self.path) from None
        return kind, size, offset + at, base

    def inflate(self, at: int, size: int) -> bytes:
        """The `size` bytes deflated from `at` on; raises IntegrityError."""
        # Deflated data is hardly ever longer than the plain: one read nearly always suffices.
        data = os.pread(self.fd, min(size + (size >> 9) + 64, 1 << 24), at)
        inflater = isal_zlib.decompressobj()
        try:
            out: bytes = inflater.decompress(data, size + 1)
        except IsalError as error:
            raise IntegrityError(f"pack data at {at} does not inflate: {error}", path=self.path) from None
        if len(out) == size and inflater.eof:
            return out
        return b"".join(self.inflate_stream(at, size))

    def inflate_stream(self, at: int, size: int) -> Iterator[bytes]:
        """The same in pieces, in constant memory."""
        seen = 0
        try:
            for piece in inflated(self.fd, at, size) or self._inflate_alone(at):
                seen += len(piece)
                if seen > size:
                    break
                yield piece
        except (IsalError, EOFError) as error:
            raise IntegrityError(f"pack data from {at} on does not inflate: {error}", path=self.path) from None
        if seen != size:
            raise IntegrityError(f"pack entry holds {seen} bytes where its header says {size}", path=self.path)

    def _inflate_alone(self, at: int) -> Iterator[bytes]:
        inflater: Any = isal_zlib.decompressobj()
        data = b""
        while not inflater.eof:
            data = data or inflater.unconsumed_tail
            if not data:
                data = os.pread(self.fd, _PIECE, at)
                at += len(data)
                if not data:
                    raise EOFError("the pack ends in the middle of it")
            out = inflater.decompress(data, 4 * _PIECE)
            data = inflater.unconsumed_tail
            if out:
                yield out
