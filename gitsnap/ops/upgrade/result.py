"""An upgrade as it is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gitsnap.core.counts import Counts
from gitsnap.core.errors import GitsnapError, StopRequestedError
from gitsnap.core.model import Snapshot
from gitsnap.core.outcome import Ending
from gitsnap.core.upgrade import CheckResult, OnFailure, Outcome, require_said, shown
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.upgrade.checks import Check


class IncompleteError(GitsnapError):
    """The snapshot before the upgrade could not hold everything, so nothing was started."""

    exit_code = 3
    kind = "incomplete"


class RollingBackFailedError(GitsnapError):
    """An upgrade failed, and so did rolling it back; both causes are in the message."""

    exit_code = 21
    kind = "rollback-failed"


class BrokeOffError(GitsnapError):
    """gitsnap itself failed after the command was started, and the directory was kept as it is."""

    exit_code = 21
    kind = "broke-off"


@dataclass(slots=True, frozen=True)
class UpgradeRequest:
    """An upgrade that is asked for. `command` is its text for people and trailers; `check_timeout` is in seconds.

    With `incomplete`, a first snapshot that lacks paths is good enough. `directories` are all that it is over (real
    paths), where that are several.

    `soak` and `confirm` are in seconds, 0 for neither: the checks go on for so long, `every` so many seconds; the
    directory goes back unless somebody says keep in time. With `keep_edits`, what was changed meanwhile stays then.
    """

    command: str = ""
    label: str = ""
    message: str = ""
    checks: Sequence[Check] = ()
    check_timeout: float = 300.0
    on_failure: OnFailure = OnFailure.ROLLBACK
    incomplete: bool = False
    directories: tuple[str, ...] = ()
    soak: float = 0.0
    every: float = 30.0
    confirm: float = 0.0
    keep_edits: bool = False

    def __post_init__(self) -> None:
        require_said(self.checks)

    @property
    def waits(self) -> bool:
        """Whether what becomes of it is not decided by the command and its first checks alone."""
        return bool(self.soak or self.confirm)


@dataclass(slots=True)
class Upgraded:
    """What came of it. `failure` says why it failed, empty when it did not; `doubts` why rolling back may not be exact.
    `half_way` tells that the rollback has to be settled by `recover`. `broke_off` says what of gitsnap's own work
    failed after the command was started, where the directory was kept as it is all the same. `left` tells that nothing
    is decided: whoever was to wait for that was told to stop, and `recover` goes on; `confirmed` that somebody has said
    keep. The checks went on for `soaked` seconds, and passed `rounds` times. `conflicts` are files of which two
    versions are there, where edits were kept.

    `verified`: of what was kept, whether the way back was proved; of what was rolled back, whether the directory was
    compared with the snapshot and is the same. `duration` is in seconds, and `changes` are counts: both are what is
    recorded of it (core.outcome.Ending).
    """

    upgrade: str
    pre: Snapshot
    command: str
    outcome: Outcome = Outcome.KEPT
    post: Snapshot | None = None
    exit_code: int | None = None
    failure: str = ""
    checks: list[CheckResult] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    restored: Restored | None = None
    rollback_error: str = ""
    half_way: bool = False
    broke_off: str = ""
    left: bool = False
    confirmed: bool = False
    soaked: float = 0.0
    rounds: int = 0
    conflicts: int = 0
    aside: str | None = None
    verified: bool = True
    duration: float = 0.0
    changes: Counts | None = None

    def ending(self) -> Ending:
        """What is recorded of it."""
        check = next((c.check for c in self.checks if not c.ok), "")
        return Ending(
            self.upgrade,
            self.outcome,
            self.exit_code,
            self.failure,
            check,
            self.rollback_error,
            self.command,
            duration=round(self.duration, 3),
            changes=self.changes,
        )

    def document(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "pre": self.pre.id,
            "post": self.post.id if self.post else None,
            "command": self.command,
            "exit_code": self.exit_code,
            "checks": shown(self.checks),
            "outcome": self.outcome.value,
            "failure": self.failure or None,
            "rollback_error": self.rollback_error or None,
            "broke_off": self.broke_off or None,
            "safety_snapshot": self.restored.safety.id if self.restored and self.restored.safety else None,
            "soaked": round(self.soaked, 3),
            "rounds": self.rounds,
            "confirmed": self.confirmed,
            "doubts": self.doubts,
            "verified": self.verified,
            "files_changed": self.changes.summary if self.changes is not None else None,
            "directories_changed": self.changes.directory_summary if self.changes is not None else None,
            "duration": round(self.duration, 3),
        }


def broke_off(result: Upgraded, hint: str) -> GitsnapError:
    """The error that a failure of gitsnap's own is, where the directory was kept."""
    return BrokeOffError(f"{result.broke_off}; the directory was kept as it is", hint=hint)


def failed(result: Upgraded, hint: str) -> GitsnapError:
    """The error that a failed rollback is."""
    return RollingBackFailedError(
        f"the upgrade failed ({result.failure}), and rolling back failed too: {result.rollback_error}", hint=hint
    )


def left(result: Upgraded, hint: str) -> GitsnapError:
    """The error that it is to be told to stop while nothing is decided."""
    return StopRequestedError(f"stopped, and nothing is decided: the upgrade {result.upgrade} waits", hint=hint)
