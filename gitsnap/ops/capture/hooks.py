"""The commands that the sidecar's configuration wants run before and after each snapshot that is asked for.

No lock of the sidecar is held while one runs, so that it may use gitsnap; that gitsnap finds GITSNAP_HOOK in its
environment and runs no hooks in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gitsnap.core.command_end import CommandEnd
from gitsnap.core.errors import GitsnapError
from gitsnap.core.settings import Hooks
from gitsnap.ops.process import shell

BEFORE, AFTER = "before-snapshot", "after-snapshot"


@dataclass(slots=True, frozen=True)
class HookResult(CommandEnd):
    """What came of one hook. `exit_code` is None where there was no process, negative for a signal; `problem` is empty
    when it succeeded. `output` is the end of what it printed, where that was kept. `duration` is in seconds."""

    hook: str
    command: str
    problem: str = ""
    exit_code: int | None = None
    duration: float = 0.0
    output: str = ""

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {"hook": self.hook, "command": self.command} | self.facts()


class HookFailedError(GitsnapError):
    """The hook before a snapshot failed, so there is no snapshot."""

    kind = "hook-failed"


HookObserver = Callable[[HookResult], None]


class SnapshotHooks:
    """The hooks around one snapshot of the installation at `directory`. `variables` tell them of it.

    Use as a context manager: entering runs the first, leaving the second, whatever happened in between.
    """

    def __init__(self, hooks: Hooks | None, directory: str, variables: Mapping[str, str], report: HookObserver) -> None:
        self._hooks, self._directory, self._report = hooks or Hooks(), directory, report
        self._variables = dict(variables)
        self.results: list[HookResult] = []

    def __enter__(self) -> SnapshotHooks:
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
        hooks = self._hooks
        environ = {**hooks.environ, **self._variables, "GITSNAP_HOOK": hook}
        where = shell.Surroundings(self._directory, environ, hooks.timeout, hooks.umask)
        # Where it may not print, what it prints is kept; else it is heard, but nothing that is read as our result.
        result = HookResult(hook, command, *shell.run(command, where, output=None if hooks.quiet else 2))
        self.results.append(result)
        self._report(result)
        return result
