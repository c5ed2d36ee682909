"""One shell command in the installation's directory: in a session of its own, with a limit of time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import NamedTuple

from gitsnap.core.upgrade import failure_of
from gitsnap.ops.process.processes import Polling, Waiter, end_session, send, signal_name, signals_held

# What a command prints is kept from its end: that is where programs say what went wrong.
_KEPT = 4096
# In seconds, after SIGTERM and again after SIGKILL.
_GRACE = 2.0
# In seconds, for what has been killed to be gone: the kernel takes back much memory first, on a busy machine slowly.
_GONE = 10.0


@dataclass(slots=True, frozen=True)
class Surroundings:
    """Where commands run: their directory and environment, and seconds that each may take."""

    directory: str
    environ: Mapping[str, str]
    timeout: float
    umask: int = -1


class Ended(NamedTuple):
    """How a command ended.

    `problem` is empty when it succeeded, else says in a few words what went wrong. `exit_code` is None where there was
    no process, negative for a signal. `duration` is in seconds. `output` is the end of what it printed, where that was
    kept.
    """

    problem: str
    exit_code: int | None
    duration: float
    output: str


def run(
    command: str,
    where: Surroundings,
    waiter: Waiter | None = None,
    react: Callable[[int, bool], None] = lambda *_: None,
    *,
    output: int | None = None,
    feed: bytes = b"",
) -> Ended:
    """Run `sh -c COMMAND` to its end, or to that of its time.

    It reads `feed`, and prints to the descriptor `output`; without one, what it prints is kept. `react` is told of
    signals that the waiter hears; where it hears none, they raise here, and the command is ended.
    """
    started, waiter = time.monotonic(), waiter or Polling()
    process: subprocess.Popen[bytes] | None = None
    try:
        # A file and not a pipe: a child that the command leaves behind holds nobody up by keeping it open.
        with tempfile.TemporaryFile() if output is None else nullcontext(output) as kept:
            printing = kept if isinstance(kept, int) else kept.fileno()
            with signals_held():
                process = _start(command, where, printing, feed)
            code = waiter.until(process.poll, started + where.timeout, react, every=1)
            if code is None:
                code, problem = _end(process, waiter), f"took longer than {where.timeout:g} s"
            else:
                problem = failure_of(code, signal_name(code))
            text = _tail(printing) if output is None else ""
    except BaseException as error:
        if process is not None:
            # A Ctrl-C is for us alone: the command is in a session of its own.
            _end(process, Polling())
        elif isinstance(error, OSError):
            return Ended(f"could not be started: {error.strerror}", None, time.monotonic() - started, "")
        raise
    return Ended(problem, code, time.monotonic() - started, text)


def _start(command: str, where: Surroundings, output: int, feed: bytes) -> subprocess.Popen[bytes]:
    with _holding(feed) as reading:
        return subprocess.Popen(
            ["sh", "-c", command],
            cwd=where.directory,
            env=dict(where.environ),
            stdin=reading,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=where.umask,
        )


@contextmanager
def _holding(feed: bytes) -> Iterator[int]:
    """A descriptor to read it from. A file and not a pipe: who does not read it holds nobody up."""
    if not feed:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(feed)
        file.flush()
        file.seek(0)
        yield file.fileno()


def _end(process: subprocess.Popen[bytes], waiter: Waiter) -> int | None:
    """End a command, with what it has started: when this returns, nothing of it is at work any more.

    But for what cannot be ended: another user's, or one that the kernel holds up.
    """
    code = None
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(process, number)
        code = waiter.until(process.poll, time.monotonic() + _GRACE, lambda *_: None)
        if code is not None:
            break
    # Others of its session may have outlived the shell.
    end_session(process.pid, waiter, _GONE)
    return code


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    # Someone else's by now: it has changed its user.
    with suppress(PermissionError):
        send(-process.pid, number)


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, _KEPT, max(size - _KEPT, 0)).decode("utf-8", "replace")
