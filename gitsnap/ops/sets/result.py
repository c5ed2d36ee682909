"""What came of one upgrade over several directories."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gitsnap.core.errors import GitsnapError, StopRequestedError
from gitsnap.core.upgrade import CheckResult, Outcome, shown
from gitsnap.ops.upgrade.result import BrokeOffError, RollingBackFailedError, Upgraded

# Of a directory's own facts, what is the same for all.
_SHARED = ("command", "exit_code", "checks", "failure", "duration", "doubts", "soaked", "rounds", "confirmed")


@dataclass(slots=True)
class SetUpgraded:
    """What came of it: `parts` by directory (real path), in the order in which they were named; the rest as in
    Upgraded."""

    upgrade: str
    command: str
    parts: dict[str, Upgraded]
    exit_code: int | None = None
    failure: str = ""
    checks: list[CheckResult] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    left: bool = False
    confirmed: bool = False
    soaked: float = 0.0
    rounds: int = 0
    duration: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Of all: failed where one could not be brought back."""
        found = {part.outcome for part in self.parts.values()}
        if self.left:
            return Outcome.UNKNOWN
        if Outcome.ROLLBACK_FAILED in found:
            return Outcome.ROLLBACK_FAILED
        return Outcome.ROLLED_BACK if Outcome.ROLLED_BACK in found else Outcome.KEPT

    @property
    def verified(self) -> bool:
        """Whether that holds for each."""
        return all(part.verified for part in self.parts.values()) and not self.doubts

    @property
    def broke_off(self) -> str:
        """What of gitsnap's own work failed, where the directories were kept."""
        return "; ".join(f"{root}: {part.broke_off}" for root, part in self.parts.items() if part.broke_off)

    @property
    def rollback_error(self) -> str:
        """Which could not be brought back, and why."""
        failed = [(root, p) for root, p in self.parts.items() if p.outcome is Outcome.ROLLBACK_FAILED]
        return "; ".join(f"{root}: {part.rollback_error}" for root, part in failed)

    def document(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        own = [
            {"installation": root} | {k: v for k, v in part.document().items() if k not in _SHARED}
            for root, part in self.parts.items()
        ]
        return {
            "installations": own,
            "command": self.command,
            "exit_code": self.exit_code,
            "checks": shown(self.checks),
            "outcome": self.outcome.value,
            "failure": self.failure or None,
            "rollback_error": self.rollback_error or None,
            "broke_off": self.broke_off or None,
            "soaked": round(self.soaked, 3),
            "rounds": self.rounds,
            "confirmed": self.confirmed,
            "doubts": self.doubts + [d for part in self.parts.values() for d in part.doubts],
            "verified": self.verified,
            "duration": round(self.duration, 3),
        }


def broke_off(result: SetUpgraded, hint: str) -> GitsnapError:
    """The error that a failure of gitsnap's own is, where the directories were kept."""
    return BrokeOffError(f"{result.broke_off}; the directories were kept as they are", hint=hint)


def failed(result: SetUpgraded, hint: str) -> GitsnapError:
    """The error that a failed rollback is: every directory that is not back is named."""
    back = [root for root, part in result.parts.items() if part.outcome is Outcome.ROLLED_BACK]
    rest = f"; {', '.join(back)} came back" if back else ""
    return RollingBackFailedError(
        f"the upgrade failed ({result.failure}), and rolling back failed too: {result.rollback_error}{rest}", hint=hint
    )


def left(result: SetUpgraded, hint: str) -> GitsnapError:
    """The error that it is to be told to stop while nothing is decided."""
    return StopRequestedError(f"stopped, and nothing is decided: the upgrade {result.upgrade} waits", hint=hint)
