"""A pack from elsewhere, as a file of ours that is checked before anything of it counts.

dulwich holds each object whole, and leaves what is in it to whoever reads it (1.2.21); here contents pass by in pieces,
each id is computed, and commits, trees and tags are what `git fsck --strict` takes (docs/adr/0134).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from dulwich.errors import ObjectFormatException
from dulwich.objects import Tag
from dulwich.pack import OFS_DELTA, REF_DELTA
from isal import igzip_lib, isal_zlib

from gitsnap.core.content import CHUNK
from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.paths import decode_component
from gitsnap.sidecar import limits
from gitsnap.sidecar.files import private_create, sync_directory
from gitsnap.sidecar.git import commits, deltas, trees
from gitsnap.sidecar.git.deflate import IsalError
from gitsnap.sidecar.git.delta_chains import DeltaChains
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_file import entry_header, place
from gitsnap.sidecar.git.pack_read import TYPES, PackData, entry_head
from gitsnap.sidecar.git.pack_write import WrittenPack, deflate

# Scratch files with this prefix are locked by whoever receives into them.
INCOMING = "incoming-"
_TRAILER = 20
_PIECE = 1 << 18
# Contents up to this size are held to be hashed; larger ones pass by.
_HELD = 1 << 20
_TAG = 4


class _Entry(NamedTuple):
    """Where an entry begins, the CRC-32 of its bytes, and what it is a delta of (None: it is whole)."""

    start: int
    crc: int
    base: bytes | int | None


class _Unindexed(NamedTuple):
    """What DeltaChains needs of a pack."""

    path: str
    data: PackData


class IncomingPack:
    """A pack that is being received into the directory `scratch`. write() all of it, check(), then place() it.

    Where it has deltas of objects that are `there` already, these are added, as `git index-pack --fix-thin` does.
    """

    def __init__(self, scratch: str, there: ObjectStore | None = None) -> None:
        self._there = there
        self.path = os.path.join(scratch, f"{INCOMING}{os.getpid()}-{os.urandom(6).hex()}")
        self._file = os.fdopen(private_create(self.path), "w+b", buffering=1 << 18)
        # No writer's lock is held for as long as a server sends: by this one others know that it is somebody's.
        fcntl.flock(self._file.fileno(), fcntl.LOCK_EX)
        self.size = 0
        self.index: dict[bytes, tuple[int, int]] = {}
        self._trailer = b""
        self._window, self._window_at = memoryview(b""), 0

    def write(self, data: bytes) -> int:
        """Append what has come; how much that was."""
        self._file.write(data)
        self.size += len(data)
        return len(data)

    def begin(self) -> None:
        """Its objects will be written one by one, and end() tells how many they were."""
        self.write(b"PACK" + struct.pack(">LL", 2, 0))

    def rewind(self, at: int) -> None:
        """Take back what was written from an offset on."""
        self._file.flush()
        self._file.seek(at)
        self._file.truncate()
        self.size = at

    def end(self, count: int) -> None:
        """All of the `count` objects are written."""
        self._file.flush()
        os.pwrite(self._file.fileno(), struct.pack(">L", count), 8)
        self.write(self._digest(self.size))

    def check(self, observer: Observer = SILENT) -> None:
        """Compute the id of every object; IntegrityError for a pack that is not whole, or holds what git refuses."""
        self._file.flush()
        count = self._require_whole()
        observer.started("checking", count, self.size)
        found = [self._entry(start, observer) for start in self._starts(count)]
        waiting = self._resolve([e for e in found if e.base is not None])
        if waiting and self._complete(waiting, count):
            waiting = self._resolve(waiting)
        if waiting:
            raise IntegrityError(
                f"the pack that came is not complete: {len(waiting)} of its objects build on others that it "
                "does not hold"
            )
        observer.finished()

    def place(self, objects: str) -> WrittenPack:
        """Put it into the object store, durable, held by a `.keep`. The file is closed then."""
        with self._file as file:
            os.fsync(file.fileno())
        entries = ((oid, at, crc) for oid, (crc, at) in sorted(self.index.items()))
        name = place(self.path, entries, self._trailer, objects)
        folder = os.path.join(objects, "pack")
        sync_directory(folder)
        return WrittenPack((name,), (os.path.join(folder, f"pack-{name}.keep"),), len(self.index))

    def abandon(self) -> None:
        """Drop it. Harmless after place()."""
        with suppress(OSError):
            self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _require_whole(self) -> int:
        """Compare the digest at its end; how many objects it says to hold."""
        fd, end = self._file.fileno(), self.size - _TRAILER
        head = os.pread(fd, 12, 0)
        if end < 12 or head[:4] != b"PACK" or int.from_bytes(head[4:8], "big") not in (2, 3):
            raise IntegrityError("what came is no pack")
        self._trailer = os.pread(fd, _TRAILER, end)
        if self._digest(end) != self._trailer:
            raise IntegrityError("the pack that came is not whole: its checksum does not match")
        return int.from_bytes(head[8:12], "big")

    def _digest(self, end: int) -> bytes:
        sha1, at = hashlib.sha1(usedforsecurity=False), 0
        while at < end and (data := os.pread(self._file.fileno(), min(CHUNK, end - at), at)):
            sha1.update(data)
            at += len(data)
        return sha1.digest()

    def _starts(self, count: int) -> Iterator[int]:
        self._at = 12
        for _ in range(count):
            yield self._at
        if self._at != self.size - _TRAILER:
            raise IntegrityError("the pack that came holds more than it says")

    def _entry(self, start: int, observer: Observer) -> _Entry:
        kind, size, base = self._heading(start)
        if kind in (OFS_DELTA, REF_DELTA):
            if size > deltas.LARGEST:
                raise IntegrityError(f"a delta in the pack that came claims {size} bytes")
            for _ in self._inflated(size):
                continue
        elif kind in TYPES:
            self._take_whole(kind, size, start)
        else:
            raise IntegrityError("the pack that came holds an object of an unknown type")
        crc = self._crc(start)
        if base is None:
            self._name(self._oid, crc, start)
        observer.advanced(1, self._at - start)
        return _Entry(start, crc, base)

    def _heading(self, start: int) -> tuple[int, int, bytes | int | None]:
        """Type, size, and base (an id, or an absolute offset) of the entry; what follows is deflated."""
        try:
            kind, size, self._at, base = entry_head(bytes(self._bytes(start, 64)), start)
        except IndexError:
            raise IntegrityError("the pack that came is cut off") from None
        return kind, size, base

    def _take_whole(self, kind: int, size: int, start: int) -> None:
        sha1 = hashlib.sha1(b"%s %d\0" % (TYPES[kind], size), usedforsecurity=False)
        if TYPES[kind] == b"blob" and size > _HELD:
            for piece in self._inflated(size):
                sha1.update(piece)
            self._oid = sha1.digest()
            return
        if size > limits.WHOLE[TYPES[kind]]:
            raise IntegrityError(f"a {TYPES[kind].decode()} in the pack that came claims {size} bytes")
        content = b"".join(self._inflated(size))
        sha1.update(content)
        self._oid = sha1.digest()
        require_well_formed(TYPES[kind], content, self._oid)

    def _inflated(self, size: int) -> Iterator[bytes]:
        """The content of `size` bytes that is deflated from where we are on, in pieces; then we are behind it."""
        inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
        end, seen, idle = self.size - _TRAILER, 0, 0
        want = min(size + (size >> 9) + 64, _PIECE)
        while not inflater.eof:
            piece = memoryview(b"")
            if inflater.needs_input:
                piece = self._bytes(self._at, min(want, end - self._at))
                if not piece:
                    raise IntegrityError("the pack that came is cut off")
                self._at += len(piece)
                want = _PIECE
            try:
                out = inflater.decompress(bytes(piece), min(4 * _PIECE, size - seen + 1))
            except IsalError as error:
                raise IntegrityError(f"an object in the pack that came does not inflate: {error}") from None
            seen, idle = seen + len(out), 0 if out or piece else idle + 1
            if seen > size or idle > 2:
                break
            if out:
                yield out
        if seen != size or not inflater.eof:
            raise IntegrityError(f"an object in the pack that came is not of the {size} bytes that it claims")
        self._at -= len(inflater.unused_data)

    def _bytes(self, at: int, size: int) -> memoryview:
        """Up to `size` bytes from an offset on, by a window that is read at once."""
        begin = at - self._window_at
        if not 0 <= begin <= len(self._window) - size:
            self._window = memoryview(os.pread(self._file.fileno(), max(size, _PIECE), at))
            self._window_at, begin = at, 0
        return self._window[begin : begin + size]

    def _crc(self, start: int) -> int:
        crc, at = 0, start
        while at < self._at and (data := self._bytes(at, min(_PIECE, self._at - at))):
            crc = isal_zlib.crc32(data, crc)
            at += len(data)
        return crc

    def _name(self, oid: bytes, crc: int, start: int) -> None:
        self.index.setdefault(oid, (crc, start))

    def _complete(self, waiting: Iterable[_Entry], count: int) -> bool:
        """Add the bases that are there already to the pack; whether there were any."""
        lacking = sorted({e.base for e in waiting if isinstance(e.base, bytes)} - self.index.keys())
        there = [oid for oid in lacking if self._there is not None and oid in self._there]
        if not there or self._there is None:
            return False
        self.rewind(self.size - _TRAILER)
        for oid in there:
            name, content = self._there.read(oid)
            number = next(number for number, each in TYPES.items() if each == name)
            packed = entry_header(number, len(content)) + deflate(content)
            self.index[oid] = isal_zlib.crc32(packed), self.size
            self.write(packed)
        self.end(count + len(there))
        self._file.flush()
        self._trailer = os.pread(self._file.fileno(), _TRAILER, self.size - _TRAILER)
        return True

    def _resolve(self, waiting: list[_Entry]) -> list[_Entry]:
        """Compute the ids of what is stored as deltas, each after its base, which is mostly remembered then; those of
        which the base is not in the pack."""
        if not waiting:
            return []
        of: dict[bytes | int, list[_Entry]] = {}
        for entry in waiting:
            if entry.base is not None:
                of.setdefault(entry.base, []).append(entry)
        data = PackData(self.path)
        try:
            pack = _Unindexed(self.path, data)

            def locate(oid: bytes) -> tuple[_Unindexed, int] | None:
                return (pack, self.index[oid][1]) if oid in self.index else None

            chains = DeltaChains(locate)
            stack = [(start, oid) for oid, (_, start) in self.index.items()]
            while stack:
                start, oid = stack.pop()
                for entry in (*of.pop(start, ()), *of.pop(oid, ())):
                    kind, content = chains.read(pack, entry.start, limits.INCOMING_DELTA)
                    sha1 = hashlib.sha1(b"%s %d\0" % (TYPES[kind], len(content)), usedforsecurity=False)
                    sha1.update(content)
                    require_well_formed(TYPES[kind], content, sha1.digest())
                    self._name(sha1.digest(), entry.crc, entry.start)
                    stack.append((entry.start, sha1.digest()))
        finally:
            data.close()
        return [entry for entries in of.values() for entry in entries]


def require_well_formed(kind: bytes, content: bytes, oid: bytes) -> None:
    """Raise IntegrityError for a commit, tree or tag that `git fsck --strict` would complain of."""
    if kind == b"tree":
        for name, mode, _ in trees.parse(content, oid):
            decode_component(name, link=mode == trees.LINK)
    elif kind == b"commit":
        commits.parse(content, oid.hex())
    elif kind == b"tag":
        try:
            tag = Tag.from_raw_string(_TAG, content)
            tag.check()
        except (ObjectFormatException, ValueError, AssertionError) as error:
            raise IntegrityError(f"tag {oid.hex()} is malformed: {error}") from None
