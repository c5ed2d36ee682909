"""Writing packs as streams: constant memory, one read of each file, durable before they are named.

The layout is that of gitformat-pack(5): version 2, whole objects only. dulwich indexes and inflates what it has just
written and holds whole blobs; this writer does neither (docs/adr/0001).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from isal import igzip_lib, isal_zlib

from gitsnap.core.content import WHOLE, Digests, SizeChanged, beside
from gitsnap.core.model import Entry
from gitsnap.core.statcache import Row
from gitsnap.sidecar.files import sync_directory
from gitsnap.sidecar.git.deflate import SAMPLE, compressible, deflated
from gitsnap.sidecar.git.pack_file import PackFile, entry_header

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
_OWN = 1 << 26


class WrittenPack(NamedTuple):
    """Packs in their places, held by their `.keep` files until the refs that need them stand, and how many objects they
    hold together."""

    names: tuple[str, ...]
    keeps: tuple[str, ...]
    objects: int

    def release(self) -> None:
        """The refs stand: take the `.keep` files away."""
        for keep in self.keeps:
            os.unlink(keep)


class PackWriter:
    """Collects objects into a temporary pack; nothing is visible until finish().

    A very large blob gets a pack of its own, whose count of objects is known before: its digest is complete with the
    last byte, where that of the other one takes another reading.

    `known` tells which objects the repository surely keeps, so that they need not be written again.
    """

    def __init__(self, objects: str, scratch: str, known: Callable[[bytes], bool]) -> None:
        self._objects, self._scratch, self._known = objects, scratch, known
        self._pack = PackFile(scratch)
        self._index = self._pack.index
        self._own: list[PackFile] = []

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._index or any(oid in pack.index for pack in self._own)

    def has(self, oid: bytes) -> bool:
        """Whether the object is in this pack or kept by the repository already."""
        return oid in self or self._known(oid)

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

    def add_blob(self, size: int, chunks: Iterable[bytes], *, alone: bool = True) -> Digests:
        """Add a file's content of `size` bytes; raises SizeChanged, leaving the pack as it was. Unless it may be
        `alone`, a very large one gets no pack of its own."""
        if size > WHOLE:
            return self._stream_blob(size, chunks, alone=alone)
        data = b"".join(_bounded(chunks, size))
        digests = digest_blob(data)
        if not self.has(digests.oid):
            self._write(digests.oid, BLOB, data)
        return digests

    def adopt(self, oid: bytes, packed: bytes, crc: int) -> None:
        """Take in what pack_blob() made elsewhere, unless it is here already. `crc` is the CRC-32 of `packed`."""
        if oid not in self._index:
            start = self._pack.at
            self._pack.write(packed)
            self._index[oid] = (crc, start)

    def along(self, pack: PackFile) -> None:
        """Another pack, complete, that is to be named together with this one."""
        self._own.append(pack)

    def _write(self, oid: bytes, kind: int, data: bytes) -> None:
        packed = _pack(kind, data)
        self.adopt(oid, packed, isal_zlib.crc32(packed))

    def _stream_blob(self, size: int, chunks: Iterable[bytes], *, alone: bool) -> Digests:
        pack = PackFile(self._scratch, count=1) if alone and size >= _OWN else self._pack
        start = pack.at
        try:
            digests, crc = _stream(pack, size, chunks)
        except BaseException:
            self._drop(pack, start)
            raise
        if self.has(digests.oid):
            self._drop(pack, start)
            return digests
        pack.index[digests.oid] = (crc, start)
        if pack is not self._pack:
            pack.end()
            self._own.append(pack)
        return digests

    def split(self) -> None:
        """No more contents will come, only what tells of them: many have a pack of their own, so that its digest is
        computed meanwhile."""
        if self._pack.at >= _OWN:
            self._pack.end_beside()
            self._own.append(self._pack)
            self._pack = PackFile(self._scratch)
            self._index = self._pack.index

    def _drop(self, pack: PackFile, start: int) -> None:
        pack.rewind(start) if pack is self._pack else pack.abandon()

    def finish(self) -> WrittenPack | None:
        """Complete, sync and name the packs; None when there was nothing to write. The writer is closed then.

        A `.keep` file is there before an index, so that no git running beside us can take a pack away before its refs
        exist (git-repack(1): packs with a .keep file are left alone).
        """
        packs = [pack for pack in (*self._own, self._pack) if pack.index]
        if not packs:
            self.abandon()
            return None
        names = [pack.finish(self._objects) for pack in packs]
        self._pack.abandon()
        folder = os.path.join(self._objects, "pack")
        sync_directory(folder)
        keeps = tuple(os.path.join(folder, f"pack-{name}.keep") for name in names)
        return WrittenPack(tuple(names), keeps, sum(len(pack.index) for pack in packs))

    def abandon(self) -> None:
        """Drop everything written. Harmless after finish()."""
        for pack in (*self._own, self._pack):
            pack.abandon()


def _stream(pack: PackFile, size: int, chunks: Iterable[bytes]) -> tuple[Digests, int]:
    """Write a large blob as an entry of a pack; its digests and the entry's CRC-32."""
    sha1 = beside(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), size)
    sha256 = beside(hashlib.sha256(), size)

    def digested() -> Iterator[bytes]:
        for chunk in _bounded(chunks, size):
            sha1.update(chunk)
            sha256.update(chunk)
            yield chunk

    crc = 0
    try:
        for packed in chain([entry_header(BLOB, size)], deflated(digested(), size)):
            pack.write(packed)
            crc = isal_zlib.crc32(packed, crc)
    finally:
        # Their threads, if they have any, end.
        digests = Digests(sha1.digest(), sha256.digest())
    return digests, crc


def object_id(kind: int, data: bytes) -> bytes:
    """git's name for an object."""
    sha1 = hashlib.sha1(b"%s %d\0" % (_NAMES[kind], len(data)), usedforsecurity=False)
    sha1.update(data)
    return sha1.digest()


def digest_blob(data: bytes, known: Row | None = None, staged: Entry | None = None) -> Digests:
    """Both digests of a small file's content, which may be what a row of the stat cache was made from, or what was
    `staged` by an entry that has both."""
    sha256 = hashlib.sha256(data).digest()
    if known is not None and known.has_content and known.sha256 == sha256:
        return Digests(known.oid, sha256)
    if staged is not None and staged.oid is not None and staged.sha256 == sha256:
        return Digests(staged.oid, sha256)
    return Digests(object_id(BLOB, data), sha256)


def pack_blob(data: bytes) -> bytes:
    """A small file's content as an entry of a pack, for PackWriter.adopt()."""
    return _pack(BLOB, data)


def _pack(kind: int, data: bytes) -> bytes:
    return entry_header(kind, len(data)) + deflate(data)


def _bounded(chunks: Iterable[bytes], size: int) -> Iterable[bytes]:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise SizeChanged
        yield chunk
    if seen != size:
        raise SizeChanged


def _compress(data: bytes) -> bytes:
    # A fifth quicker than isal_zlib.compress, and the same bytes.
    packed: bytes = igzip_lib.compress(data, 1, igzip_lib.COMP_ZLIB)
    return packed


def deflate(data: bytes) -> bytes:
    """A small object deflated, or as it is where that is no smaller."""
    packed = _compress(data) if len(data) <= SAMPLE or compressible(data) else b""
    # Stored blocks cost five bytes for each 64 KiB; what does not shrink is kept readable at the speed of a copy.
    return packed if packed and len(packed) < len(data) + 11 else zlib.compress(data, 0)
