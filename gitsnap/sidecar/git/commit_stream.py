"""The commits and tags at the front of a pack that streams in: git writes them before all trees and blobs."""

from __future__ import annotations

import hashlib
import zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import deltas

# The largest commit or tag, and the most of all of them, in bytes.
LARGEST, MOST = 1 << 20, 64 << 20
_NAMES = {1: b"commit", 4: b"tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_HEADER = 12


class CommitStream:
    """Takes a pack piece by piece (gitformat-pack(5)) and holds its commits and tags by their hex ids, which are
    computed of what came.

    `done` is when there are no more, `beyond` when something else has begun. Nothing of that is looked at.
    """

    def __init__(self) -> None:
        self.found: dict[str, tuple[bytes, bytes]] = {}
        self.done = self.beyond = False
        self.taken = 0
        self._left: int | None = None
        self._data = b""
        # Where in the pack the data begins; ids by where an object stood, for deltas.
        self._at = 0
        self._ids: dict[int, str] = {}
        self._held = 0

    def feed(self, data: bytes) -> None:
        """The next piece. IntegrityError for what is no pack, or larger than what is taken."""
        self.taken += len(data)
        if self.done:
            return
        self._data += data
        if self._left is None and len(self._data) >= _HEADER:
            if self._data[:4] != b"PACK":
                raise IntegrityError("what came is no pack")
            self._left = int.from_bytes(self._data[8:_HEADER], "big")
            self._advance(_HEADER)
        while self._left and not self.beyond and self._one():
            self._left -= 1
        self.done = self.beyond or self._left == 0
        if not self.done and len(self._data) > 2 * LARGEST:
            raise IntegrityError("a commit over there is larger than gitsnap takes")

    def _advance(self, size: int) -> None:
        self._data = self._data[size:]
        self._at += size

    def _one(self) -> bool:
        """Whether the object that comes next was there as a whole, and is one of those looked for."""
        data = self._data
        try:
            at, size, kind = 1, data[0] & 0x0F, data[0] >> 4 & 7
            shift = 4
            while data[at - 1] & 0x80:
                size |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
            base: str | None = None
            if kind == _OFS_DELTA:
                distance = data[at] & 0x7F
                while data[at] & 0x80:
                    at += 1
                    distance = (distance + 1) << 7 | (data[at] & 0x7F)
                at += 1
                base = self._ids.get(self._at - distance)
            elif kind == _REF_DELTA:
                base = data[at : at + 20].hex()
                at += 20
                if len(data) < at:
                    return False
        except IndexError:
            return False
        if kind not in _NAMES and base not in self.found:
            # A base stands before what is made of it.
            self.beyond = True
            return False
        if size > LARGEST:
            raise IntegrityError("a commit over there is larger than gitsnap takes")
        inflater = zlib.decompressobj()
        try:
            content = inflater.decompress(data[at:], size + 1)
        except zlib.error as error:
            raise IntegrityError(f"what came cannot be unpacked: {error}") from None
        if not inflater.eof:
            if len(content) > size:
                raise IntegrityError("what came cannot be unpacked: it is longer than it says")
            return False
        self._hold(kind, base, content)
        self._advance(len(data) - len(inflater.unused_data))
        return True

    def _hold(self, kind: int, base: str | None, content: bytes) -> None:
        if base is None:
            name = _NAMES[kind]
        else:
            name, of = self.found[base]
            if deltas.announced(content) > LARGEST:
                raise IntegrityError("a commit over there is larger than gitsnap takes")
            content = deltas.apply(of, content)
        self._held += len(content)
        if self._held > MOST:
            raise IntegrityError("what came has more commits than were asked for")
        oid = hashlib.sha1(b"%s %d\0%s" % (name, len(content), content), usedforsecurity=False).hexdigest()
        self._ids[self._at] = oid
        self.found[oid] = (name, content)
