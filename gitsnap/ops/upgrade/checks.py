"""Checks after an upgrade: shell commands that run in the installation, or callables of the embedding program."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from gitsnap.core.upgrade import CheckResult
from gitsnap.ops.process import shell
from gitsnap.ops.process.processes import React, Waiter
from gitsnap.ops.process.shell import Surroundings

Check = str | Callable[[], object]


def run_check(check: Check, where: Surroundings, waiter: Waiter, react: React | None = None) -> CheckResult:
    """Run one check to its end, or to that of its time. A signal is a failure, unless somebody else is to `react`."""
    return _run_shell(check, where, waiter, react) if isinstance(check, str) else _call(check)


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


def _run_shell(check: str, where: Surroundings, waiter: Waiter, react: React | None) -> CheckResult:
    interrupted: list[int] = []
    ended = shell.run(check, where, waiter, react or (lambda number, _: interrupted.append(number)))
    if interrupted:
        ended = ended._replace(problem=f"interrupted by {signal.Signals(interrupted[0]).name}")
    return CheckResult(check, *ended)
