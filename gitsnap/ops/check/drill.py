"""A drill: a snapshot brought back into a scratch directory, compared, tried out there, and thrown away."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Problem, Snapshot
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import CheckResult, require_said, shown
from gitsnap.ops.process import shell
from gitsnap.ops.restore.export import copy_out, require_elsewhere
from gitsnap.sidecar import catalog, scratch_place, selectors
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import drills, verifications


@dataclass(slots=True, frozen=True)
class Trial:
    """How it is done: in which directory the scratch one is made, and the shell commands that have to succeed in it.

    Each may take `timeout` seconds. `environ` is their environment, `umask` the caller's.
    """

    parent: str
    checks: Sequence[str] = ()
    timeout: float = 300.0
    environ: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1

    def __post_init__(self) -> None:
        require_said(self.checks)


@dataclass(slots=True)
class Drilled:
    """What came of it. `differing` are paths that came back other than they were captured, `incomplete` those that
    cannot come back here (a foreign owner, a file system without extended attributes). `duration` is in seconds."""

    snapshot: Snapshot
    files: int = 0
    bytes: int = 0
    differing: list[Problem] = field(default_factory=list)
    incomplete: list[Problem] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    duration: float = 0.0

    @property
    def failure(self) -> str:
        """Why it failed; empty where it did not."""
        if self.differing:
            first = self.differing[0]
            return f"{os.fsdecode(first.path) or 'the directory itself'} came back with {first.reason}"
        failed = next((c for c in self.checks if not c.ok), None)
        return f"the check '{failed.check}' {failed.problem}" if failed else ""

    @property
    def outcome(self) -> str:
        """In a word."""
        return "failed" if self.failure else "incomplete" if self.incomplete else "passed"

    def record(self, when: datetime) -> drills.Drill:
        """What is kept of it."""
        took = round(self.duration, 3)
        return drills.Drill(self.snapshot.id, when, self.outcome, self.failure, len(self.checks), took)

    def checks_document(self) -> list[dict[str, Any]]:
        """The checks as JSON objects."""
        return shown(self.checks)


def drill(
    sidecar: Sidecar, selector: str, trial: Trial, settings: Settings, *, now: datetime, observer: Observer = SILENT
) -> Drilled:
    """Bring a snapshot into a new directory, compare everything, run the checks there, and remove it again.

    What passed counts as verified. Raises IntegrityError where the snapshot is damaged (recorded as a drill that
    failed), GitsnapError where there is no room for it, or no way to make the directory: no drill took place then.
    """
    started = time.monotonic()
    target = selectors.choose(sidecar, selector)
    sidecar.noted.target = target.id
    scratch_place.clear(sidecar.scratch)
    require_elsewhere(sidecar, os.path.join(trial.parent, "drill"))
    result = Drilled(target)
    try:
        with scratch_place.taken(sidecar.scratch, trial.parent) as place:
            # The directory itself gets the mode that it had, and must not be open to others here.
            directory = os.path.join(place, os.path.basename(sidecar.installation) or "root")
            _bring_back(sidecar, target, directory, settings, result, observer)
            _try_out(directory, trial, result)
    except IntegrityError as error:
        result.differing.append(Problem(error.path if isinstance(error.path, bytes) else b"", error.message))
        result.duration = time.monotonic() - started
        _remember(sidecar, result, settings, now, damaged=error.message)
        # The scratch directory is gone.
        error.hint = f"`gitsnap verify {target.id}` names all of it; what is whole comes out with `gitsnap restore "
        error.hint += f"{target.id} --to DIR --salvage`"
        raise
    except OSError as error:
        raise GitsnapError(
            f"there can be no scratch directory in {trial.parent}: {error.strerror}",
            kind="io",
            path=trial.parent,
            hint="name another directory: gitsnap drill --to DIR",
        ) from None
    result.duration = time.monotonic() - started
    _remember(sidecar, result, settings, now)
    return result


def _bring_back(
    sidecar: Sidecar, target: Snapshot, directory: str, settings: Settings, result: Drilled, observer: Observer
) -> None:
    restored = copy_out(sidecar, target.id, [], directory, settings, observer=observer)
    result.files, result.bytes = target.files, target.bytes
    if restored.verified:
        result.incomplete = list(restored.incomplete)
    else:
        result.differing = list(restored.incomplete) or [Problem(b"", "other content")]


def _try_out(directory: str, trial: Trial, result: Drilled) -> None:
    """Run the checks, up to the first that fails."""
    environ = {**trial.environ, "GITSNAP_DRILL": result.snapshot.id, "GITSNAP_DIR": directory, "PWD": directory}
    where = shell.Surroundings(directory, environ, trial.timeout, trial.umask)
    for check in trial.checks if not result.failure else ():
        result.checks.append(CheckResult(check, *shell.run(check, where)))
        if result.failure:
            return


def _remember(sidecar: Sidecar, result: Drilled, settings: Settings, now: datetime, *, damaged: str = "") -> None:
    noted, kept = sidecar.noted, result.record(now)
    noted.outcome = "damaged" if damaged else "failed" if result.failure else ""
    noted.cause = damaged or result.failure
    noted.checks = result.checks_document()
    noted.counts |= {"files": result.files}
    noted.details["drill"] = result.outcome
    # A full or read-only disk must not withhold the answer.
    with suppress(OSError, LockedError):
        living = {s.commit for s in catalog.snapshots(sidecar)}
        drills.record(sidecar, result.snapshot.commit, kept, living, settings.lock_wait)
        if not result.differing:
            verifications.record(sidecar, [result.snapshot], [], now, settings.lock_wait)
