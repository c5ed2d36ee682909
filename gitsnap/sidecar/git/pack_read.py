"""Reading packs: dulwich's, with objects read by pread and inflated by isal, and large blobs as a stream.

dulwich maps a pack whole and reads from the map: a pack that is cut short meanwhile ends the process with SIGBUS, a
large one counts as memory, and zlib takes half of the time (docs/adr/0101). Everything read is untrusted until its
object id has been recomputed by the caller (objects.py).
"""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Set
from contextlib import suppress
from operator import itemgetter
from typing import Any

from dulwich import pack as dulwich_pack
from dulwich.object_format import SHA1
from dulwich.pack import OFS_DELTA as OFS_DELTA
from dulwich.pack import REF_DELTA as REF_DELTA
from dulwich.pack import PackIndex2, UnpackedObject, bisect_find_sha, unpack_object
from isal import igzip_lib, isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files, limits
from gitsnap.sidecar.git.deflate import IsalError, inflated
from gitsnap.sidecar.git.deltas import LARGEST
from gitsnap.sidecar.git.pack_file import Entry
from gitsnap.sidecar.git.packed_ids import cut_ids

_BULK_AFTER, _BULK_SHARE = 300, 5
# What stands whole in a pack, by the number there.
TYPES = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_PIECE = 1 << 18
# What holds a commit or a small tree is read in a sixth of the time of the larger gulp, which holds most files.
_SIP, _GULP = 1 << 10, 1 << 14
_HEADER, _TRAILER = 12, 20
_START = itemgetter(1)
# Of dulwich's cache of what deltas have made, in bytes. ObjectStore has its own.
_CACHE = 1 << 20


class Index(PackIndex2):
    """The index of a pack, held in memory: one that is mapped and cut short meanwhile, or on a disk that fails, would
    end the process (SIGBUS). IntegrityError for what is no index."""

    # What dulwich's looks at when it goes, whatever failed: the file may not be there any more.
    _file: Any = None

    def __init__(self, path: str) -> None:
        with open(files.opened(path), "rb") as file:
            self._file = file
            try:
                contents = file.read(limits.PER_PATH_FILE)
                super().__init__(path, SHA1, file=file, contents=contents)
            except (ValueError, AssertionError, struct.error, IndexError) as error:
                raise IntegrityError(f"pack index is damaged or of an unknown version: {error}", path=path) from None
        if len(contents) < self._pack_offset_largetable_offset + 2 * _TRAILER or self._fan_out_table != sorted(
            self._fan_out_table
        ):
            raise IntegrityError("pack index is damaged or of an unknown version", path=path)
        self._large_count = (len(contents) - 2 * _TRAILER - self._pack_offset_largetable_offset) // 8
        self._lookups = 0
        self._table: dict[bytes, int] | None = None

    def _read_fan_out_table(self, start_offset: int) -> list[int]:
        # At once: dulwich's reads it number by number, which is half the time of opening a small pack.
        return list(struct.unpack_from(">256L", self._contents, start_offset))

    def oids(self) -> list[bytes]:
        """All object ids, sorted."""
        return cut_ids(self._names())

    def find(self, oid: bytes) -> int | None:
        """The object's offset, or None."""
        if self._table is not None:
            return self._table.get(oid)
        self._lookups += 1
        # Loading it takes as long as finding every fifth of its objects.
        if self._lookups > max(_BULK_AFTER, len(self) // _BULK_SHARE):
            self._table = self._load_table()
            return self._table.get(oid)
        i = self._row(oid)
        return None if i is None else self._unpack_offset(i)

    def _row(self, oid: bytes) -> int | None:
        """Where in the index an object is."""
        low, high = self._fan_out_table[oid[0] - 1] if oid[0] else 0, self._fan_out_table[oid[0]]
        return bisect_find_sha(low, high - 1, oid, self._unpack_name) if low < high else None

    def places_of(self, oids: set[bytes]) -> list[tuple[int, bytes]]:
        """Offset and id of those of these objects that it holds; their ids begin with the same byte, and there is one
        at least."""
        first = next(iter(oids))[0]
        low, high = self._fan_out_table[first - 1] if first else 0, self._fan_out_table[first]
        if _BULK_SHARE * len(oids) < high - low:
            rows = [(self._row(oid), oid) for oid in oids]
        else:
            at = self._name_table_offset
            rows = list(enumerate(cut_ids(self._contents[at + 20 * low : at + 20 * high]), low))
        return [(self._unpack_offset(row), oid) for row, oid in rows if row is not None and oid in oids]

    def held(self, oids: Set[bytes]) -> Set[bytes]:
        """Those of these objects that it holds, wherever in it they lie."""
        if _BULK_SHARE * len(oids) < len(self):
            return {oid for oid in oids if self._row(oid) is not None}
        return oids & set(self.oids())

    def held_of(self, oids: set[bytes]) -> set[bytes]:
        """The same of objects whose ids begin with the same byte, of which there is one at least."""
        first = next(iter(oids))[0]
        low, high = self._fan_out_table[first - 1] if first else 0, self._fan_out_table[first]
        if _BULK_SHARE * len(oids) < high - low:
            return {oid for oid in oids if self._row(oid) is not None}
        at = self._name_table_offset
        return oids.intersection(cut_ids(self._contents[at + 20 * low : at + 20 * high]))

    def _names(self) -> bytes:
        return self._contents[self._name_table_offset : self._crc32_table_offset]

    def _unpack_offset(self, i: int) -> int:
        at = self._pack_offset_table_offset + 4 * i
        return self._resolve_large(int.from_bytes(self._contents[at : at + 4], "big"))

    def _resolve_large(self, offset: int) -> int:
        if offset < 1 << 31:
            return offset
        i = offset & 0x7FFFFFFF
        if i >= self._large_count:
            raise IntegrityError("pack index names an offset it does not hold", path=self.path)
        at = self._pack_offset_largetable_offset + 8 * i
        return int.from_bytes(self._contents[at : at + 8], "big")

    def _load_table(self) -> dict[bytes, int]:
        return dict(zip(self.oids(), self._starts(), strict=True))

    def _starts(self) -> Iterable[int]:
        """The offset of every entry, in the order of the ids."""
        offsets = struct.unpack_from(f">{len(self)}L", self._contents, self._pack_offset_table_offset)
        return offsets if max(offsets, default=0) < 1 << 31 else map(self._resolve_large, offsets)

    def spans(self, end: int) -> list[tuple[bytes, int, int, int]]:
        """(id, start, end, CRC-32) of every entry, in the order in which they lie in the pack, the last up to `end`."""
        crcs = struct.unpack_from(f">{len(self)}L", self._contents, self._crc32_table_offset)
        placed = sorted(zip(self._starts(), self.oids(), crcs, strict=True))
        ends = [start for start, _, _ in placed[1:]] + [end]
        return [(oid, start, after, crc) for (start, oid, crc), after in zip(placed, ends, strict=True)]

    def rows(self, oids: Set[bytes], end: int) -> list[tuple[bytes, int, int, int]]:
        """What spans() says of those of these objects that it holds."""
        if _BULK_SHARE * len(oids) >= len(self):
            return [span for span in self.spans(end) if span[0] in oids]
        found = [(row, oid) for oid in oids if (row := self._row(oid)) is not None]
        starts = sorted(self._starts()) if found else []
        out = []
        for row, oid in found:
            start = self._unpack_offset(row)
            after = bisect_right(starts, start)
            size = starts[after] if after < len(starts) else end
            out.append((oid, start, size, self._unpack_crc32_checksum(row)))
        out.sort(key=_START)
        return out


def entry_head(data: bytes, offset: int) -> tuple[int, int, int, bytes | int | None]:
    """(type, size, where the deflated data starts, delta base) of the entry that lies at `offset` and begins so.

    The base is an id for REF_DELTA, an absolute offset for OFS_DELTA, None for whole objects. IndexError for one that
    is cut off.
    """
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
    return kind, size, offset + at, base


class PackData(dulwich_pack.PackData):
    """The entries of a pack, by pread: nothing is mapped unless dulwich itself goes through the whole of it."""

    def __init__(self, path: str) -> None:
        # Not dulwich's own, which maps the pack (1.2.21). What it sets beside the map, its other methods need.
        self._filename, self.object_format = path, SHA1
        self._header_size, self._close_file, self._contents = _HEADER, True, None
        self.delta_window_size = self.window_memory = self.delta_cache_size = self.depth = self.threads = None
        self.big_file_threshold = self.delta_base_cache_limit = None
        self._file = open(files.opened(path), "rb", buffering=0)
        self.fd = self._file.fileno()
        self._size = os.fstat(self.fd).st_size
        self._num_objects = int.from_bytes(os.pread(self.fd, 4, 8), "big")
        self._init_offset_cache(_CACHE)

    @property
    def end(self) -> int:
        """Where the last entry ends, in bytes from the start."""
        return self._size - _TRAILER

    def _buffer(self) -> bytes | mmap.mmap:
        if self._contents is None:
            self._contents = mmap.mmap(self.fd, self._size, access=mmap.ACCESS_READ)
        return self._contents

    def get_unpacked_object_at(self, offset: int, *, include_comp: bool = False) -> UnpackedObject:
        """The entry at `offset`, inflated, and deflated as well if that is asked for."""
        at = offset

        def read(size: int) -> bytes:
            nonlocal at
            data = os.pread(self.fd, size, at)
            at += len(data)
            return data

        found, _ = unpack_object(read, SHA1.hash_func, include_comp=include_comp)
        found.offset = offset
        return found

    def get_object_at(self, offset: int) -> tuple[int, Any]:
        """dulwich's view of load(): its deltas hold their distance, not their base."""
        kind, _, base, data = self.load(offset, LARGEST)
        if kind == OFS_DELTA and isinstance(base, int):
            return kind, (offset - base, [data])
        return kind, (base, [data]) if kind == REF_DELTA else [data]

    def load(self, offset: int, limit: int) -> tuple[int, int, bytes | int | None, bytes]:
        """(type, size, delta base, inflated data) of the entry at `offset`; no data for a size above `limit`."""
        # Most entries are read whole together with their heads.
        data = os.pread(self.fd, _SIP, offset) if _HEADER <= offset < self.end else b""
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
            raise IntegrityError(f"pack data at {at} does not inflate: {error}", path=self._path) from None
        if len(out) != size or not inflater.eof:
            out = self.inflate(at, size)
        return kind, size, base, out

    def header(self, offset: int) -> tuple[int, int, int, bytes | int | None]:
        """entry_head() of the entry at `offset`; IntegrityError."""
        return self._parse(os.pread(self.fd, 48, offset) if _HEADER <= offset < self.end else b"", offset)

    def _parse(self, data: bytes, offset: int) -> tuple[int, int, int, bytes | int | None]:
        try:
            return entry_head(data, offset)
        except IndexError:
            raise IntegrityError(f"pack entry at {offset} is damaged", path=self._path) from None

    def inflate(self, at: int, size: int) -> bytes:
        """The `size` bytes deflated from `at` on; raises IntegrityError."""
        # Deflated data is hardly ever longer than the plain: one read nearly always suffices.
        data = os.pread(self.fd, min(size + (size >> 9) + 64, 1 << 24), at)
        inflater = isal_zlib.decompressobj()
        try:
            out: bytes = inflater.decompress(data, size + 1)
        except IsalError as error:
            raise IntegrityError(f"pack data at {at} does not inflate: {error}", path=self._path) from None
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
            raise IntegrityError(f"pack data from {at} on does not inflate: {error}", path=self._path) from None
        if seen != size:
            raise IntegrityError(f"pack entry holds {seen} bytes where its header says {size}", path=self._path)

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

    @property
    def _path(self) -> str:
        return os.fspath(self._filename)


class Pack(dulwich_pack.Pack):
    """One pack and its index. Descriptors are there from the start, so that a gc beside us takes nothing away."""

    def __init__(self, index_path: str) -> None:
        super().__init__(index_path[:-4], object_format=SHA1)
        self.path = self._data_path
        index = Index(index_path)
        try:
            self._data = PackData(self.path)
        except BaseException:
            index.close()
            raise
        self._idx = index

    @property
    def stem(self) -> str:
        """What its files are called, without what tells them apart."""
        return os.path.basename(self.path)[:-5]

    @property
    def index(self) -> Index:
        """Where its objects lie."""
        assert isinstance(self._idx, Index)
        return self._idx

    @property
    def data(self) -> PackData:
        """Its entries."""
        assert isinstance(self._data, PackData)
        return self._data

    def spans(self) -> list[tuple[bytes, int, int, int]]:
        """(id, start, end, CRC-32) of every entry, in the order in which they lie in the pack."""
        return self.index.spans(self.data.end)

    def remove(self) -> None:
        """Take it away, the index first: whoever sees one may rely on the pack. Who has it open can read on."""
        for suffix in (".idx", ".rev", ".bitmap", ".mtimes", ".pack"):
            with suppress(FileNotFoundError):
                os.unlink(self.path[:-5] + suffix)

    def stored_entries(self) -> Iterator[tuple[bytes, Entry]]:
        """(id, entry) of every object, a base before what is built on it, each as it was once written.

        Raises IntegrityError for one that is not, or whose base is not in this pack before it.
        """
        at: dict[int, bytes] = {}
        for oid, start, end, crc in self.spans():
            data = os.pread(self.data.fd, end - start, start)
            kind, size, inner, base = self.data.header(start)
            known = at.get(base) if isinstance(base, int) else None
            if isal_zlib.crc32(data) != crc or (kind not in TYPES and known is None):
                raise IntegrityError(f"pack entry at {start} is damaged, or no base is before it", path=self.path)
            at[start] = oid
            yield oid, Entry(kind, size, data[inner - start :], known)

    def as_written(self, oids: Set[bytes], kinds: Container[int] = TYPES) -> set[bytes]:
        """Those of these objects that lie here whole, of one of the `kinds`, in bytes that have the index's CRC-32.

        gitformat-pack(5) has these so that what is deflated can be copied without being inflated, and damage does not
        go unnoticed.
        """
        found = set()
        fd = self.data.fd
        for oid, start, end, expected in self.index.rows(oids, self.data.end):
            data = os.pread(fd, min(_PIECE, end - start), start) if start < end else b""
            if not data or data[0] >> 4 & 7 not in kinds:
                continue
            crc = isal_zlib.crc32(data)
            start += len(data)
            while start < end and (data := os.pread(fd, min(_PIECE, end - start), start)):
                crc = isal_zlib.crc32(data, crc)
                start += len(data)
            if start == end and crc == expected:
                found.add(oid)
        return found
