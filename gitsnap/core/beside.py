"""A digest that is computed on a thread of its own, beside whoever reads or deflates: for large files."""

from __future__ import annotations

from typing import Protocol

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
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._digest.update(piece)

    def update(self, data: bytes, /) -> None:
        """Hand over a piece; waits when the thread is far behind."""
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
