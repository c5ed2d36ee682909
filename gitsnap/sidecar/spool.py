"""A text that is formed piece by piece, and lies in a file without a name meanwhile: it may be a hundred megabytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

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
        # A writer that clears up may have been quicker.
        with suppress(FileNotFoundError):
            os.unlink(path)
        return file

    def write_all(self, pieces: Iterable[bytes]) -> None:
        """Append all pieces."""
        for piece in pieces:
            self.write(piece)

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from an offset on, fewer where there are none."""
        if self._file is None:
            # Of what is held this is asked again and again.
            self._held = [b"".join(self._held)]
            return self._held[0][at : at + size]
        if self._held:
            self._flush()
        return os.pread(self._file.fileno(), size, at)

    def close(self) -> None:
        """Let go of it."""
        self._held = []
        if self._file is not None:
            self._file.close()
            self._file = None
