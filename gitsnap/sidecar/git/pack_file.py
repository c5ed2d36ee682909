"""One pack as it is written, and its index (gitformat-pack(5), version 2 of both)."""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from typing import NamedTuple

from isal import isal_zlib

from gitsnap.core.content import CHUNK, WORTHWHILE, beside
from gitsnap.sidecar.files import private_create
from gitsnap.sidecar.git.packed_index import PackedIndex

OFS_DELTA = 6
# Offsets from here on have a column of their own in an index.
_FAR = 1 << 31


class Entry(NamedTuple):
    """What lies in a pack of one object: the number of its type and its size, or, with a `base` (raw id), the size of
    the delta that makes it of that one; and the bytes, deflated."""

    kind: int
    size: int
    deflated: bytes
    base: bytes | None = None


class PackFile:
    """A temporary pack in the directory `scratch`. `index` holds CRC-32 and offset of what its user has written.

    With the `count` of its objects known, its digest is computed as it is written; without, it is read again for that.
    """

    def __init__(self, scratch: str, count: int = 0) -> None:
        self._path = os.path.join(scratch, f"pack-{os.getpid()}-{os.urandom(6).hex()}")
        self._file = os.fdopen(private_create(self._path), "w+b", buffering=1 << 18)
        self._sha1 = beside(hashlib.sha1(usedforsecurity=False), WORTHWHILE) if count else None
        self._trailer = b""
        self._reading: _Reading | None = None
        self.index = PackedIndex()
        self.at = 0
        # Once it is finished.
        self.name = ""
        self.write(b"PACK" + struct.pack(">LL", 2, count))

    @property
    def stem(self) -> str:
        """As Pack.stem, once it is finished."""
        return f"pack-{self.name}"

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self.at += len(data)
        if self._sha1 is not None:
            self._sha1.update(data)

    def add(self, oid: bytes, entry: Entry) -> None:
        """Append an entry; its base, if it has one, was added before."""
        start = self.at
        head = entry_header(OFS_DELTA if entry.base else entry.kind, entry.size)
        if entry.base:
            head += distance(start - self.index[entry.base][1])
        self.write(head)
        self.write(entry.deflated)
        self.index[oid] = (isal_zlib.crc32(entry.deflated, isal_zlib.crc32(head)), start)

    def rewind(self, at: int) -> None:
        """Take back what was written from an offset on, where the count of objects is not known."""
        self._file.flush()
        self._file.seek(at)
        self._file.truncate()
        self.at = at

    def end(self) -> None:
        """Every object is written, as many as were counted."""
        if self._sha1 is not None:
            # Its thread ends: beside threads no process is forked.
            self._trailer, self._sha1 = self._sha1.digest(), None

    def end_beside(self) -> None:
        """Every object is written: a thread computes the digest while others are written to another pack."""
        self._reading = self._read_again(beside=True)

    def finish(self, objects: str) -> str:
        """Complete and sync the pack, and put it and its index into the object store, held by a `.keep`; its name."""
        self.name = place(self._path, self.index.by_id(), self._complete(), objects)
        return self.name

    def _complete(self) -> bytes:
        self.end()
        with self._file as file:
            trailer = self._trailer or (self._reading or self._read_again()).digest()
            file.seek(0, os.SEEK_END)
            file.write(trailer)
            file.flush()
            os.fsync(file.fileno())
        return trailer

    def _read_again(self, *, beside: bool = False) -> _Reading:
        self._file.flush()
        os.pwrite(self._file.fileno(), struct.pack(">L", len(self.index)), 8)
        return _Reading(self._file.fileno(), self.at, beside=beside)

    def abandon(self) -> None:
        """Drop it. Harmless after finish()."""
        self.end()
        if self._reading is not None:
            # It needs the open file.
            self._reading.wait()
        # Closing writes what is buffered, which a full disk refuses: the file must go all the more.
        with suppress(OSError):
            self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)


class _Reading:
    """The SHA-1 of the first bytes of an open file, computed now, or `beside` whoever goes on."""

    def __init__(self, file: int, size: int, *, beside: bool) -> None:
        self._file, self._size = file, size
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None
        if beside:
            self._thread = threading.Thread(target=self._run, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # No room for one more thread.
                self._thread, beside = None, False
        if not beside:
            self._run()

    def _run(self) -> None:
        at = 0
        try:
            while at < self._size and (data := os.pread(self._file, CHUNK, at)):
                self._sha1.update(data)
                at += len(data)
        except OSError as error:
            self._failure = error

    def wait(self) -> None:
        """Until the file is not needed any more."""
        if self._thread is not None:
            self._thread.join()

    def digest(self) -> bytes:
        """The digest; raises what reading has met."""
        self.wait()
        if self._failure is not None:
            raise self._failure
        return self._sha1.digest()


def place(path: str, entries: Iterable[tuple[bytes, int, int]], trailer: bytes, objects: str) -> str:
    """Put the synced pack at `path`, which ends in `trailer`, and an index of its entries (id, offset and CRC-32,
    sorted by id) into the object store, held by a `.keep`; its name."""
    name = trailer.hex()
    base = os.path.join(objects, "pack", f"pack-{name}")
    os.makedirs(os.path.dirname(base), mode=0o700, exist_ok=True)
    index, keep = path + ".idx", path + ".keep"
    try:
        _write_synced(index, index_of(entries, trailer))
        if not os.path.exists(base + ".keep"):
            # By a rename: one that is empty could be anybody's, and gc would leave it for good.
            _write_synced(keep, [b"gitsnap: a snapshot is being written\n"])
            os.rename(keep, base + ".keep")
        os.rename(path, base + ".pack")
        os.rename(index, base + ".idx")
    except BaseException:
        for left in (index, keep):
            with suppress(FileNotFoundError):
                os.unlink(left)
        raise
    return name


def index_of(entries: Iterable[tuple[bytes, int, int]], trailer: bytes) -> Iterator[bytes]:
    """A pack's index, in pieces. dulwich's writer wants all entries in a list, 200 bytes for each."""
    fan, names = [0] * 256, bytearray()
    crcs, offsets, far = array("I"), array("I"), array("Q")
    for oid, at, crc in entries:
        fan[oid[0]] += 1
        names += oid
        crcs.append(crc)
        if at >= _FAR:
            offsets.append(_FAR + len(far))
            far.append(at)
        else:
            offsets.append(at)
    sha1 = hashlib.sha1(usedforsecurity=False)
    for column in (b"\377tOc\0\0\0\2", array("I", accumulate(fan)), names, crcs, offsets, far, trailer):
        if isinstance(column, array) and sys.byteorder == "little":
            column.byteswap()
        piece = bytes(column)
        sha1.update(piece)
        yield piece
    yield sha1.digest()


def entry_header(kind: int, size: int) -> bytes:
    """How an entry begins."""
    out = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        out[-1] |= 0x80
        out.append(size & 0x7F)
        size >>= 7
    return bytes(out)


def distance(back: int) -> bytes:
    """How far before a delta its base begins, as gitformat-pack(5) has it."""
    out = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        out.append(0x80 | back & 0x7F)
    return bytes(reversed(out))


def _write_synced(path: str, pieces: Iterable[bytes]) -> None:
    with os.fdopen(private_create(path), "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
