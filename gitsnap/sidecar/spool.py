"""A text that is formed piece by piece, and lies in a file without a name meanwhile: it may be a hundred megabytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from gitsnap.core.content import CHUNK
from gitsnap.sidecar.files import private_create

# So much is held before there is a file at all.
_HELD = 1 << 20


class Spool:
    """Takes a text in pieces, and gives it back when it is complete, as often as it is wanted. Close it.

    `scratch` is the directory for the file. Raises OSError where that cannot be written.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._file: BinaryIO | None = None
        self._held: list[bytes] = []
        self._pending = 0
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 so far, in hex."""
        return self._sha256.hexdigest()

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._sha256.update(piece)
        self._held.append(piece)
        self.size += len(piece)
        self._pending += len(piece)
        if self._pending > _HELD:
            self._flush()

    def _flush(self) -> None:
        if self._file is None:
            self._file = self._nameless()
        self._file.writelines(self._held)
        self._file.flush()
        self._held, self._pending = [], 0

    def _nameless(self) -> BinaryIO:
        path = os.path.join(self._scratch, f"text-{os.getpid()}-{os.urandom(6).hex()}")
        file = os.fdopen(private_create(path), "w+b")
        os.unlink(path)
        return file

    def pieces(self) -> Iterator[bytes]:
        """The text, in pieces."""
        at = 0
        while self._file is not None and (piece := os.pread(self._file.fileno(), CHUNK, at)):
            at += len(piece)
            yield piece
        yield from self._held

    def whole(self) -> bytes:
        """The text in one piece."""
        if self._file is None:
            return b"".join(self._held)
        self._flush()
        # Read at once: pieces that are joined are there twice.
        data = os.pread(self._file.fileno(), self.size, 0)
        return data if len(data) == self.size else b"".join(self.pieces())

    def close(self) -> None:
        """Let go of it."""
        self._held = []
        if self._file is not None:
            self._file.close()
            self._file = None
