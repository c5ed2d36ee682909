"""File content on its way into or past the store: one read, both digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

CHUNK = 1 << 20
# What is no longer than this is read and stored in one piece.
WHOLE = 1 << 22


class Digests(NamedTuple):
    """A file's git blob id (SHA-1 over git's header and the bytes) and its SHA-256, raw."""

    oid: bytes
    sha256: bytes


class SizeChanged(Exception):  # noqa: N818 - a signal to read again, not a failure
    """The chunks did not add up to the announced size: the file changed while it was read."""


class BlobSink(Protocol):
    """Takes a file's bytes. `size` is announced first; SizeChanged is raised when the chunks disagree with it."""

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Digest, and perhaps store, one blob."""


class Look(NamedTuple):
    """A small file as a walk saw it, to be read by another process.

    `key` are its packed stat fields; `twice` asks for it to be read again, because it changed a moment ago.
    """

    number: int
    folder: bytes
    name: bytes
    size: int
    key: bytes
    twice: bool


class ReadResult(NamedTuple):
    """What a reader made of the `number`ed look: digests and extended attributes.

    None where the walk itself has to look again: the file was `tried` and something was wrong, or nobody did.
    """

    number: int
    digests: Digests | None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    tried: bool = True


class Discarding:
    """A sink that takes no content: only names, sizes and counts are wanted."""

    def add_blob(self, size: int, chunks: object) -> Digests:
        """Pretend."""
        return Digests(bytes(20), bytes(32))


class Digesting:
    """A sink that only computes the digests."""

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Digest one blob; raises SizeChanged."""
        sha1 = beside(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), size)
        sha256 = beside(hashlib.sha256(), size)
        seen = 0
        try:
            for chunk in chunks:
                seen += len(chunk)
                if seen > size:
                    # Whoever appends as fast as we read must not keep us here.
                    raise SizeChanged
                sha1.update(chunk)
                sha256.update(chunk)
            if seen != size:
                raise SizeChanged
        finally:
            # Their threads, if they have any, end.
            digests = Digests(sha1.digest(), sha256.digest())
        return digests


# Below this, starting a thread costs more than it saves.
WORTHWHILE = 1 << 24


_AHEAD = 4


class Digest(Protocol):
    """What hashlib's objects have."""

    def update(self, data: bytes, /) -> None:
        """Take in more."""

    def digest(self) -> bytes:
        """The digest of all that was taken in."""


class _Beside:
    """The same, a few pieces behind. The thread ends with the process when nobody asks for the digest."""

    def __init__(self, digest: Digest) -> None:
        # Most commands meet no large file.
        import queue
        import threading

        self._digest = digest
        # Not a Queue with a limit: a signal that raises in one of its methods may lose a wake-up for ever.
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_AHEAD):
            self._room.put(None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._digest.update(piece)
            self._room.put(None)

    def update(self, data: bytes, /) -> None:
        """Hand over a piece; waits when the thread is far behind."""
        self._room.get()
        self._pieces.put(data)

    def digest(self) -> bytes:
        """Wait for the thread; to be asked once."""
        self._pieces.put(None)
        self._thread.join()
        return self._digest.digest()


def beside(digest: Digest, size: int) -> Digest:
    """`digest` itself, or on its own thread where `size` bytes are worth one."""
    if size < WORTHWHILE:
        return digest
    try:
        return _Beside(digest)
    except RuntimeError:
        # No room for one more thread.
        return digest
