"""Ctrl-C and SIGTERM, held back while a change must not be cut off between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns signals into a question that the work asks itself between two steps."""

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        """While it lasts, a first signal is only noted; a second one interrupts at once, as ever."""
        asked = False

        def note(number: int, frame: FrameType | None) -> None:
            nonlocal asked
            if asked:
                raise KeyboardInterrupt
            asked = True

        before = {number: signal.signal(number, note) for number in _HEEDED if _may_heed(number)}
        try:
            yield lambda: asked
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _may_heed(number: int) -> bool:
    """A caller that ignores a signal (nohup) goes on doing so."""
    return signal.getsignal(number) is not signal.SIG_IGN
