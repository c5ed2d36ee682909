"""Where events go: a file, a FIFO, a descriptor or stdout, as JSON Lines, each line written at once.

Nothing that goes wrong here may stop an upgrade: a reader that has gone away, or does not read, gets no more events.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Callable
from typing import Any

from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.upgrade import Event

# How long to wait for a FIFO's reader to come, and for a slow one to go on reading.
_PATIENCE = 10.0


Conceal = Callable[[dict[str, Any]], dict[str, Any]]


class EventStream:
    """Writes events to a descriptor; `complain` is told once when that is no longer possible.

    `conceal` takes the secrets out of what is written.
    """

    def __init__(self, fd: int, complain: Callable[[str], None], conceal: Conceal = dict) -> None:
        self._fd, self._complain, self._conceal = fd, complain, conceal

    def tell(self, event: Event) -> None:
        """Write one event, flushed."""
        from gitsnap.cli.render import json

        if self._fd < 0:
            return
        try:
            self._write(json.encode(self._conceal(event.document())))
        except OSError as error:
            self._fd = -1
            self._complain(f"events can no longer be written ({error.strerror}); the upgrade goes on without them")

    def _write(self, data: bytes) -> None:
        view, deadline = memoryview(data), time.monotonic() + _PATIENCE
        while view:
            _, ready, _ = select.select([], [self._fd], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise OSError(errno.ETIMEDOUT, "nobody reads them")
            # A pipe that is ready takes PIPE_BUF bytes at least; more could block.
            view = view[os.write(self._fd, view[: select.PIPE_BUF]) :]


def open_stream(target: str, complain: Callable[[str], None], conceal: Conceal = dict) -> EventStream:
    """The stream that `target` names: `-`, `fd:N`, or a path. Lines are added to a file that is there already.

    Raises GitsnapError when it cannot be written to: before the upgrade, when nothing is lost by saying so.
    """
    if target == "-":
        return EventStream(1, complain, conceal)
    if target.startswith("fd:"):
        return EventStream(_inherited(target), complain, conceal)
    try:
        return EventStream(_open(target), complain, conceal)
    except OSError as error:
        raise GitsnapError(
            f"events cannot be written to {target}: {error.strerror}; nothing was started", kind="io", path=target
        ) from None


def _inherited(target: str) -> int:
    number = target.removeprefix("fd:")
    if not number.isdecimal():
        raise UsageError(f"'{target}' names no file descriptor", hint="for example: --events fd:3 3>events.jsonl")
    try:
        # A copy that the command does not inherit.
        copy = os.dup(int(number))
        if int(number) > 2:
            os.set_inheritable(int(number), False)
    except (OSError, OverflowError):
        raise UsageError(f"file descriptor {number} is not open", hint="open it in the shell: 3>events.jsonl") from None
    return copy


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        is_fifo = stat.S_ISFIFO(os.stat(path).st_mode)
    except FileNotFoundError:
        is_fifo = False
    if not is_fifo:
        return os.open(path, flags, 0o600)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            # Without O_NONBLOCK this would wait for a reader for ever.
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() >= deadline:
                if error.errno == errno.ENXIO:
                    error.strerror = "nobody reads this FIFO"
                raise
            time.sleep(0.05)
