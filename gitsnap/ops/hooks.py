"""The commands that the sidecar's configuration wants run before and after each snapshot that is asked for.

No lock of the sidecar is held while one runs, so that it may use gitsnap; that gitsnap finds GITSNAP_HOOK in its
environment and runs no hooks in turn.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gitsnap.core.errors import GitsnapError
from gitsnap.core.settings import Hooks
from gitsnap.core.upgrade import failure_of
from gitsnap.ops.processes import send, signal_name

BEFORE, AFTER = "before-snapshot", "after-snapshot"
_POLL, _GRACE = 0.02, 2.0
# What one prints that may not print is kept from its end.
_KEPT = 4096


@dataclass(slots=True, frozen=True)
class HookResult:
    """What came of one hook. `exit_code` is None where there was no process, negative for a signal; `problem` is empty
    when it succeeded. `output` is the end of what it printed, where that was kept. `duration` is in seconds."""

    hook: str
    command: str
    problem: str = ""
    exit_code: int | None = None
    duration: float = 0.0
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return not self.problem

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "hook": self.hook,
            "command": self.command,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "problem": self.problem or None,
            "output": self.output,
            "duration": round(self.duration, 3),
        }


class HookFailedError(GitsnapError):
    """The hook before a snapshot failed, so there is no snapshot."""

    kind = "hook-failed"


Report = Callable[[HookResult], None]


class Around:
    """The hooks around one snapshot of the installation at `directory`. `variables` tell them of it.

    Use as a context manager: entering runs the first, leaving the second, whatever happened in between.
    """

    def __init__(self, hooks: Hooks | None, directory: str, variables: Mapping[str, str], report: Report) -> None:
        self._hooks, self._directory, self._report = hooks or Hooks(), directory, report
        self._variables = dict(variables)
        self.results: list[HookResult] = []

    def __enter__(self) -> Around:
        """Raises HookFailedError; what was begun is ended by the second hook all the same."""
        if self._hooks.before:
            try:
                result = self._run(BEFORE, self._hooks.before)
            except BaseException:
                self._after("failed", "")
                raise
            if not result.ok:
                self._after("failed", "")
                raise HookFailedError(
                    f"the hook {BEFORE} {result.problem}; no snapshot was taken",
                    hint=result.output.strip()
                    or f"it is [hooks] {BEFORE} in {self._variables['GITSNAP_STORE']}/gitsnap.toml",
                )
        self._outcome = ("failed", "")
        return self

    @property
    def elapsed(self) -> timedelta:
        """How long they have taken."""
        return timedelta(seconds=sum(result.duration for result in self.results))

    def done(self, outcome: str, snapshot: str) -> None:
        """What the second hook is to be told: `taken` or `unchanged`, and the snapshot's id."""
        self._outcome = (outcome, snapshot)

    def __exit__(self, *_: object) -> None:
        self._after(*self._outcome)

    def _after(self, outcome: str, snapshot: str) -> None:
        if self._hooks.after:
            self._variables |= {"GITSNAP_OUTCOME": outcome, "GITSNAP_SNAPSHOT": snapshot}
            self._run(AFTER, self._hooks.after)

    def _run(self, hook: str, command: str) -> HookResult:
        environ = {**self._hooks.environ, **self._variables, "GITSNAP_HOOK": hook}
        result = _run(hook, command, self._directory, environ, self._hooks)
        self.results.append(result)
        self._report(result)
        return result


def _run(hook: str, command: str, directory: str, environ: dict[str, str], hooks: Hooks) -> HookResult:
    started = time.monotonic()
    with tempfile.TemporaryFile() if hooks.quiet else open(os.devnull, "rb") as kept:
        output = kept.fileno() if hooks.quiet else 2
        try:
            process = subprocess.Popen(
                ["sh", "-c", command],
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=hooks.umask,
            )
        except OSError as error:
            return HookResult(hook, command, f"could not be started: {error.strerror}")
        try:
            code = _wait(process, started + hooks.timeout)
        except BaseException:
            # A Ctrl-C is for us alone: it is in a session of its own.
            _end(process)
            raise
        problem = failure_of(code, signal_name(code)) if code is not None else f"took longer than {hooks.timeout:g} s"
        if code is None:
            code = _end(process)
        text = os.pread(kept.fileno(), _KEPT, max(os.fstat(kept.fileno()).st_size - _KEPT, 0))
    return HookResult(hook, command, problem, code, time.monotonic() - started, text.decode("utf-8", "replace"))


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    while (code := process.poll()) is None and time.monotonic() < deadline:
        time.sleep(_POLL)
    return code


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """End a hook, and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(PermissionError):
            send(-process.pid, number)
        if (code := _wait(process, time.monotonic() + _GRACE)) is not None:
            with suppress(PermissionError):
                send(-process.pid, signal.SIGKILL)
            return code
    return None
