"""What long work reports while it runs. The core declares it; whoever has a terminal implements it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Observer(Protocol):
    """Receives progress. Methods must be quick and must not raise."""

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        """A phase begins; `files` and `size` (bytes) are its totals where they are known."""

    def advanced(self, files: int = 0, size: int = 0) -> None:
        """So many more files and bytes of the current phase are done."""

    def finished(self) -> None:
        """The current phase ended."""

    def noticed(self, message: str) -> None:
        """Something worth one line to a person happened; nothing failed."""


class Silent:
    """Observes nothing."""

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        """Ignore it."""

    def advanced(self, files: int = 0, size: int = 0) -> None:
        """Ignore it."""

    def finished(self) -> None:
        """Ignore it."""

    def noticed(self, message: str) -> None:
        """Ignore it."""


SILENT = Silent()


class Interrupts(Protocol):
    """Holds back requests to stop (Ctrl-C, SIGTERM) while a change must not be cut off between two steps."""

    def deferred(self) -> AbstractContextManager[Callable[[], bool]]:
        """For as long as the context lasts; what it gives tells whether somebody asked to stop."""


class Unguarded:
    """Holds nothing back: whoever asks to stop does so by an exception, at any moment."""

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        """Nobody asks."""
        yield lambda: False


UNGUARDED = Unguarded()
