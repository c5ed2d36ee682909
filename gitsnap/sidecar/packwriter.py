"""Writing one pack as a stream: constant memory, one read of each file, durable before it is named.

The layout is that of gitformat-pack(5): version 2, whole objects only. dulwich indexes and inflates what it has just
written and holds whole blobs; this writer does neither (docs/adr/0001).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from isal import igzip_lib, isal_zlib

from gitsnap.core.beside import beside
from gitsnap.core.content import CHUNK, WHOLE, Digests, SizeChanged
from gitsnap.core.statcache import Row
from gitsnap.sidecar.blocks import SAMPLE, compressible, deflated
from gitsnap.sidecar.files import private_create, sync_directory

COMMIT, TREE, BLOB = 1, 2, 3
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}


class WrittenPack(NamedTuple):
    """A pack in its place, held by its `.keep` file until the refs that need it stand."""

    name: str
    keep: str
    oids: frozenset[bytes]


class PackWriter:
    """Collects objects into a temporary pack; nothing is visible until finish().

    `known` tells which objects the repository surely keeps, so that they need not be written again.
    """

    def __init__(self, objects: str, scratch: str, known: Callable[[bytes], bool]) -> None:
        self._objects = objects
        self._path = os.path.join(scratch, f"pack-{os.getpid()}-{os.urandom(6).hex()}")
        self._file = os.fdopen(private_create(self._path), "w+b", buffering=1 << 18)
        self._file.write(b"PACK" + struct.pack(">LL", 2, 0))
        self._at = 12
        self._known = known
        self._index: dict[bytes, tuple[int, int]] = {}

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._index

    def has(self, oid: bytes) -> bool:
        """Whether the object is in this pack or kept by the repository already."""
        return oid in self._index or self._known(oid)

    def add(self, kind: int, data: bytes) -> bytes:
        """Add a small object unless the repository has it; its id."""
        name = object_id(kind, data)
        if not self.has(name):
            self._write(name, kind, data)
        return name

    def put(self, kind: int, data: bytes) -> bytes:
        """Add a small object whether the repository has it or not; its id."""
        name = object_id(kind, data)
        if name not in self._index:
            self._write(name, kind, data)
        return name

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Add a file's content of `size` bytes; raises SizeChanged, leaving the pack as it was."""
        if size > WHOLE:
            return self._stream_blob(size, chunks)
        data = b"".join(_bounded(chunks, size))
        digests = digest_blob(data)
        if not self.has(digests.oid):
            self._write(digests.oid, BLOB, data)
        return digests

    def adopt(self, oid: bytes, packed: bytes, crc: int) -> None:
        """Take in what pack_blob() made elsewhere, unless it is here already. `crc` is the CRC-32 of `packed`."""
        if oid not in self._index:
            self._file.write(packed)
            self._index[oid] = (crc, self._at)
            self._at += len(packed)

    def _write(self, oid: bytes, kind: int, data: bytes) -> None:
        packed = _pack(kind, data)
        self.adopt(oid, packed, isal_zlib.crc32(packed))

    def _stream_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        start = self._at
        sha1 = beside(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), size)
        sha256 = beside(hashlib.sha256(), size)
        head = _entry_header(BLOB, size)
        self._file.write(head)
        crc, written = isal_zlib.crc32(head), len(head)

        def digested() -> Iterator[bytes]:
            for chunk in _bounded(chunks, size):
                sha1.update(chunk)
                sha256.update(chunk)
                yield chunk

        try:
            for packed in deflated(digested(), size):
                self._file.write(packed)
                crc, written = isal_zlib.crc32(packed, crc), written + len(packed)
        except BaseException:
            self._rewind(start)
            # Their threads, if they have any, end.
            sha1.digest(), sha256.digest()
            raise
        digests = Digests(sha1.digest(), sha256.digest())
        if self.has(digests.oid):
            self._rewind(start)
        else:
            self._index[digests.oid] = (crc, start)
            self._at = start + written
        return digests

    def _rewind(self, at: int) -> None:
        self._file.flush()
        self._file.seek(at)
        self._file.truncate()
        self._at = at

    def finish(self) -> WrittenPack | None:
        """Complete, sync and name the pack; None when there was nothing to write. The writer is closed then.

        The `.keep` file is there before the index, so that no git running beside us can take the pack away before
        its refs exist (git-repack(1): packs with a .keep file are left alone).
        """
        if not self._index:
            self.abandon()
            return None
        trailer = self._complete()
        name = trailer.hex()
        base = os.path.join(self._objects, "pack", f"pack-{name}")
        os.makedirs(os.path.dirname(base), mode=0o700, exist_ok=True)
        index = self._path + ".idx"
        try:
            _write_synced(index, _index_bytes(self._index, trailer))
            if not os.path.exists(base + ".keep"):
                _write_synced(base + ".keep", b"gitsnap: a snapshot is being written\n")
            os.rename(self._path, base + ".pack")
            os.rename(index, base + ".idx")
        except BaseException:
            for leftover in (index, self._path):
                if os.path.exists(leftover):
                    os.unlink(leftover)
            raise
        sync_directory(os.path.dirname(base))
        return WrittenPack(name, base + ".keep", frozenset(self._index))

    def _complete(self) -> bytes:
        with self._file as file:
            file.seek(8)
            file.write(struct.pack(">L", len(self._index)))
            file.flush()
            file.seek(0)
            sha1 = hashlib.sha1(usedforsecurity=False)
            while chunk := file.read(CHUNK):
                sha1.update(chunk)
            file.seek(0, os.SEEK_END)
            file.write(sha1.digest())
            file.flush()
            os.fsync(file.fileno())
        return sha1.digest()

    def abandon(self) -> None:
        """Drop everything written. Harmless after finish()."""
        if not self._file.closed:
            # Closing writes what is buffered, which a full disk refuses: the file must go all the more.
            with suppress(OSError):
                self._file.close()
            os.unlink(self._path)


def object_id(kind: int, data: bytes) -> bytes:
    """git's name for an object."""
    sha1 = hashlib.sha1(b"%s %d\0" % (_NAMES[kind], len(data)), usedforsecurity=False)
    sha1.update(data)
    return sha1.digest()


def digest_blob(data: bytes, known: Row | None = None) -> Digests:
    """Both digests of a small file's content, which may be what a row of the stat cache was made from."""
    sha256 = hashlib.sha256(data).digest()
    if known is not None and known.has_content and known.sha256 == sha256:
        return Digests(known.oid, sha256)
    return Digests(object_id(BLOB, data), sha256)


def pack_blob(data: bytes) -> bytes:
    """A small file's content as an entry of a pack, for PackWriter.adopt()."""
    return _pack(BLOB, data)


def _pack(kind: int, data: bytes) -> bytes:
    return _entry_header(kind, len(data)) + _deflate(data)


def _bounded(chunks: Iterable[bytes], size: int) -> Iterable[bytes]:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise SizeChanged
        yield chunk
    if seen != size:
        raise SizeChanged


def _entry_header(kind: int, size: int) -> bytes:
    out = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        out[-1] |= 0x80
        out.append(size & 0x7F)
        size >>= 7
    return bytes(out)


def _compress(data: bytes) -> bytes:
    # A fifth quicker than isal_zlib.compress, and the same bytes.
    packed: bytes = igzip_lib.compress(data, 1, igzip_lib.COMP_ZLIB)
    return packed


def _deflate(data: bytes) -> bytes:
    packed = _compress(data) if len(data) <= SAMPLE or compressible(data) else b""
    # Stored blocks cost five bytes for each 64 KiB; what does not shrink is kept readable at the speed of a copy.
    return packed if packed and len(packed) < len(data) + 11 else zlib.compress(data, 0)


def _index_bytes(index: dict[bytes, tuple[int, int]], trailer: bytes) -> bytes:
    oids = sorted(index)
    counts = [0] * 256
    for oid in oids:
        counts[oid[0]] += 1
    for i in range(1, 256):
        counts[i] += counts[i - 1]
    crcs, offsets = zip(*(index[oid] for oid in oids), strict=True)
    large = [o for o in offsets if o >= 1 << 31]
    position = {o: 1 << 31 | i for i, o in enumerate(large)}
    n = len(oids)
    body = b"".join(
        [
            b"\377tOc" + struct.pack(">L256L", 2, *counts),
            *oids,
            struct.pack(f">{n}L", *crcs),
            struct.pack(f">{n}L", *(position.get(o, o) for o in offsets)),
            struct.pack(f">{len(large)}Q", *large),
            trailer,
        ]
    )
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def _write_synced(path: str, data: bytes) -> None:
    with os.fdopen(private_create(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
