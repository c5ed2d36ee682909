"""Checks after an upgrade: shell commands that run in the installation, or callables of the embedding program."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitsnap.core.upgrade import CheckResult, failure_of
from gitsnap.ops.processes import Waiter, send, signal_name

# What a check prints is kept from its end: that is where programs say what went wrong.
_KEPT = 4096
_GRACE = 2.0

Check = str | Callable[[], object]


@dataclass(slots=True, frozen=True)
class Surroundings:
    """Where checks run: the installation's directory, their environment, and seconds that each may take."""

    directory: str
    environ: Mapping[str, str]
    timeout: float
    umask: int = -1


def run_check(check: Check, where: Surroundings, waiter: Waiter) -> CheckResult:
    """Run one check to its end, or to that of its time."""
    return _run_shell(check, where, waiter) if isinstance(check, str) else _call(check)


def _call(check: Callable[[], object]) -> CheckResult:
    """A callable passes unless it raises, or returns False."""
    started, problem = time.monotonic(), ""
    name = getattr(check, "__name__", type(check).__name__)
    try:
        if check() is False:
            problem = "returned False"
    except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
        problem = f"{type(error).__name__}: {error}"
    return CheckResult(name, problem, duration=time.monotonic() - started)


def _run_shell(check: str, where: Surroundings, waiter: Waiter) -> CheckResult:
    started = time.monotonic()
    # A file and not a pipe: a child that the check leaves behind holds nobody up by keeping it open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                ["sh", "-c", check],
                cwd=where.directory,
                env=dict(where.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=where.umask,
            )
        except OSError as error:
            return CheckResult(check, f"could not be started: {error.strerror}")
        interrupted: list[int] = []
        code = waiter.until(
            process.poll, started + where.timeout, lambda number, _: interrupted.append(number), every=1
        )
        if code is None:
            code = _end(process, waiter)
            problem = f"took longer than {where.timeout:g} s"
        else:
            problem = failure_of(code, signal_name(code))
        text = _tail(output.fileno())
    if interrupted:
        problem = f"interrupted by {signal.Signals(interrupted[0]).name}"
    return CheckResult(check, problem, code, time.monotonic() - started, text)


def _end(process: subprocess.Popen[bytes], waiter: Waiter) -> int | None:
    """End a check that takes too long, with what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        send(-process.pid, number)
        code = waiter.until(process.poll, time.monotonic() + _GRACE, lambda *_: None)
        if code is not None:
            # Others of its session may have outlived the shell.
            send(-process.pid, signal.SIGKILL)
            return code
    return None


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    data = os.pread(fd, _KEPT, max(size - _KEPT, 0))
    return data.decode("utf-8", "replace")
