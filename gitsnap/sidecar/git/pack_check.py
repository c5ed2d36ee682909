"""Reading a pack once, from its first byte to its last, from whatever gives bytes: every id and digest is computed.

In bounded memory, and without a file: what was decrypted a moment ago lies nowhere. dulwich's reader of streams holds
each object whole (1.2.21).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from isal import igzip_lib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import limits
from gitsnap.sidecar.git import deltas
from gitsnap.sidecar.git.deflate import IsalError
from gitsnap.sidecar.git.delta_window import DeltaWindow
from gitsnap.sidecar.git.pack_read import OFS_DELTA, REF_DELTA, TYPES

_GULP = 1 << 18
# Larger blobs pass by in pieces.
_HELD = 24 << 20
_TRAILER = 20


class Passed(NamedTuple):
    """One object that has passed by: its id, type, size, SHA-256 of its content, and that content where it is small."""

    oid: bytes
    kind: bytes
    size: int
    sha256: bytes
    content: bytes | None


# Gives (type, content) of an object that is elsewhere; None for one that is not.
Elsewhere = Callable[[bytes], tuple[bytes, bytes] | None]


class Reading:
    """Bytes from `source`, which gives up to so many at a time, and b"" at its end."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._data, self._at, self._seen = b"", 0, 0
        self._dropped = 0
        self._sha1: Any = None

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._dropped + self._at

    def line(self, most: int) -> bytes:
        """The next line with its end; less of it where it is longer, or the bytes end."""
        while (end := self._data.find(b"\n", self._at)) < 0 and len(self._data) - self._at < most and self._more():
            continue
        end = min(end + 1 if end >= 0 else len(self._data), self._at + most)
        return self.take(end - self._at)

    def take(self, size: int) -> bytes:
        """Exactly so many bytes, or all that are left."""
        while len(self._data) - self._at < size and self._more():
            continue
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found

    def summed(self) -> None:
        """From here on, a SHA-1 of all bytes is computed."""
        self._sha1, self._seen = hashlib.sha1(usedforsecurity=False), self._at

    def sum(self) -> bytes:
        """The SHA-1 of all that was read since summed()."""
        self._sha1.update(memoryview(self._data)[self._seen : self._at])
        self._seen = self._at
        digest: bytes = self._sha1.digest()
        return digest

    def _more(self) -> bool:
        piece = self._source(_GULP)
        if self._sha1 is not None:
            self._sha1.update(memoryview(self._data)[self._seen : self._at])
        self._dropped += self._at
        self._data, self._at, self._seen = self._data[self._at :] + piece, 0, 0
        return bool(piece)

    def inflated(self, size: int) -> Iterator[bytes]:
        """The `size` bytes that are deflated next, in pieces; IntegrityError where that is not so."""
        inflater, seen, idle = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB), 0, 0
        want = min(size + (size >> 9) + 64, _GULP)
        while not inflater.eof:
            piece = self.take(want) if inflater.needs_input else b""
            try:
                out = inflater.decompress(piece, min(4 * _GULP, size - seen + 1))
            except IsalError as error:
                raise IntegrityError(f"an object does not inflate: {error}") from None
            seen, idle = seen + len(out), 0 if out or piece else idle + 1
            if seen > size or idle > 2:
                raise IntegrityError("the bundle is cut short" if idle > 2 else "an object is larger than it says")
            want = _GULP
            if out:
                yield out
        if seen != size:
            raise IntegrityError(f"an object has {seen} bytes, not {size}")
        self._at -= len(inflater.unused_data)


class PackCheck:
    """Reads one pack. After objects(), `unresolved` counts the deltas whose base is in none of what could be asked."""

    def __init__(self, reading: Reading, elsewhere: Elsewhere) -> None:
        self._reading, self._elsewhere = reading, elsewhere
        self._window = DeltaWindow()
        self._ids: dict[int, bytes] = {}
        self.unresolved = 0

    def objects(self) -> Iterator[Passed]:
        """Every object in the order in which it comes. Raises IntegrityError."""
        reading = self._reading
        reading.summed()
        head = reading.take(12)
        if len(head) < 12 or head[:8] != b"PACK\0\0\0\2":
            raise IntegrityError("the bundle is cut short, or holds no pack")
        for _ in range(int.from_bytes(head[8:], "big")):
            start = reading.position
            if (passed := self._next(start)) is not None:
                self._ids[start] = passed.oid
                yield passed
        expected = reading.sum()
        if reading.take(_TRAILER) != expected:
            raise IntegrityError("the bundle is cut short, or a byte of it has changed: its checksum does not match")
        if reading.take(1):
            raise IntegrityError("something follows the end of the bundle")

    def _next(self, start: int) -> Passed | None:
        kind, size, base = self._head(start)
        if base is not None:
            return self._made(base, b"".join(self._reading.inflated(min(size, deltas.LARGEST))), size)
        name = TYPES.get(kind)
        if name is None:
            raise IntegrityError("an object of the bundle is damaged: it is of no type that there is")
        if name != b"blob" and size > limits.WHOLE[name]:
            raise IntegrityError(f"a {name.decode()} of the bundle claims {size} bytes")
        if size <= _HELD:
            return self._pass(kind, b"".join(self._reading.inflated(size)))
        sha1 = hashlib.sha1(b"%s %d\0" % (name, size), usedforsecurity=False)
        sha256 = hashlib.sha256()
        for piece in self._reading.inflated(size):
            sha1.update(piece)
            sha256.update(piece)
        return Passed(sha1.digest(), name, size, sha256.digest(), None)

    def _pass(self, kind: int, content: bytes) -> Passed:
        name = TYPES[kind]
        sha1 = hashlib.sha1(b"%s %d\0" % (name, len(content)), usedforsecurity=False)
        sha1.update(content)
        oid = sha1.digest()
        self._window.passed(oid, len(content), kind, content)
        return Passed(oid, name, len(content), hashlib.sha256(content).digest(), content)

    def _made(self, base: bytes, delta: bytes, size: int) -> Passed | None:
        if len(delta) != size:
            raise IntegrityError("a delta of the bundle is larger than any is")
        found = self._window.use(base)
        if found is None and (known := self._elsewhere(base)) is not None:
            found = next(n for n, name in TYPES.items() if name == known[0]), known[1]
        if found is None:
            self.unresolved += 1
            return None
        if deltas.announced(delta) > limits.WHOLE[TYPES[found[0]]]:
            raise IntegrityError("a delta of the bundle makes more than any is")
        return self._pass(found[0], deltas.apply(found[1], delta))

    def _head(self, start: int) -> tuple[int, int, bytes | None]:
        byte = self._byte()
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self._byte()
            size |= (byte & 0x7F) << shift
            shift += 7
        if kind == OFS_DELTA:
            # As git writes them, by distance.
            byte = self._byte()
            distance = byte & 0x7F
            while byte & 0x80:
                byte = self._byte()
                distance = (distance + 1) << 7 | byte & 0x7F
            return kind, size, self._ids.get(start - distance, b"")
        return kind, size, self._reading.take(20) if kind == REF_DELTA else None

    def _byte(self) -> int:
        found = self._reading.take(1)
        if not found:
            raise IntegrityError("the bundle is cut short")
        return found[0]
