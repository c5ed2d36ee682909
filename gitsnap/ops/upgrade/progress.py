"""Progress for programs: the same that a terminal shows, told at most twice a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from gitsnap.core.events import Observer

_EVERY = 0.5


# Takes phase, files, bytes, total_files and total_bytes as keywords.
Report = Callable[..., None]


class Reporting:
    """An observer that passes everything on to another one, and reports now and then."""

    def __init__(self, observer: Observer, report: Report) -> None:
        self._observer, self._report = observer, report
        self._phase, self._files, self._size = "", 0, 0
        self._totals: tuple[int | None, int | None] = (None, None)
        self._told = 0.0

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        """A phase begins."""
        self._phase, self._files, self._size, self._totals = phase, 0, 0, (files, size)
        self._told = time.monotonic()
        self._observer.started(phase, files, size)

    def advanced(self, files: int = 0, size: int = 0) -> None:
        """So much more is done."""
        self._files += files
        self._size += size
        self._observer.advanced(files, size)
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            files_in_all, size_in_all = self._totals
            self._report(
                phase=self._phase,
                files=self._files,
                bytes=self._size,
                total_files=files_in_all,
                total_bytes=size_in_all,
            )

    def finished(self) -> None:
        """The phase ended."""
        self._observer.finished()

    def noticed(self, message: str) -> None:
        """A remark."""
        self._observer.noticed(message)
