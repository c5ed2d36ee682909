"""The last drill of each snapshot: when it was brought back into a scratch directory, and what came of it.

One line of JSON for each snapshot, by its commit. Losing it costs the knowledge that there was one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gitsnap.sidecar import files, locks
from gitsnap.sidecar.repository import Sidecar

_FILE = "drills"


@dataclass(slots=True, frozen=True)
class Drill:
    """One drill: of which `snapshot` (an id), `when`, its `outcome` (`passed`, `incomplete`, `failed`), why it failed,
    how many checks were run, and how many seconds it took."""

    snapshot: str
    when: datetime
    outcome: str
    problem: str = ""
    checks: int = 0
    duration: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything came back, as far as it can here, and every check passed."""
        return self.outcome != "failed"

    def document(self) -> dict[str, Any]:
        """It as a JSON object; the time is RFC 3339."""
        return asdict(self) | {"when": self.when.isoformat()}


def load(sidecar: Sidecar) -> dict[str, Drill]:
    """The last drill of each snapshot, by commit. Lines that do not parse count as absent."""
    found: dict[str, Drill] = {}
    data = files.read(sidecar.own(_FILE))
    if not data:
        return found
    # Loaded where there is something to read.
    import json

    for line in data.splitlines():
        try:
            row = json.loads(line)
            found[str(row.pop("commit"))] = Drill(
                str(row["snapshot"]),
                datetime.fromisoformat(row["when"]),
                str(row["outcome"]),
                str(row["problem"]),
                int(row["checks"]),
                float(row["duration"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return found


def record(sidecar: Sidecar, commit: str, drill: Drill, living: Collection[str], wait: float) -> None:
    """Note a drill; forget those of snapshots that are not `living` (commits) any more, but for the newest of all.

    OSError, LockedError.
    """
    import json

    with locks.hold(sidecar.own("drills.lock"), exclusive=True, wait=wait):
        known = load(sidecar) | {commit: drill}
        newest = max(known, key=lambda c: known[c].when)
        kept = {c: d for c, d in known.items() if c in living or c in (newest, commit)}
        text = "".join(json.dumps({"commit": c, **d.document()}) + "\n" for c, d in sorted(kept.items()))
        files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch)


def last(sidecar: Sidecar) -> Drill | None:
    """The newest one."""
    return max(load(sidecar).values(), key=lambda d: d.when, default=None)
