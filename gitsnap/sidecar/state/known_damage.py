"""What is known to be damaged: which snapshots, where in them, since when and by what it was found.

One line of JSON for each snapshot, by its commit. A record of what was seen: losing it costs a warning until the next
verification. It goes with the snapshot, or when what was damaged is found whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.model import Problem
from gitsnap.sidecar import files, locks
from gitsnap.sidecar.repository import Sidecar

_FILE = "damage"
# More are not worth a line each.
MOST = 100
_OBJECT = re.compile(r"object ([0-9a-f]{40})")


@dataclass(slots=True, frozen=True)
class Damage:
    """One snapshot's damage: when it was first `found`, `by` which command, and the first of `count` problems."""

    found: datetime
    by: str
    count: int
    problems: tuple[Problem, ...]

    def objects(self) -> set[bytes] | None:
        """The raw ids of the objects that are damaged; None where more than objects is."""
        matches = [_OBJECT.search(p.reason) for p in self.problems]
        return None if self.count > len(matches) else _ids(matches)


def _ids(matches: Sequence[re.Match[str] | None]) -> set[bytes] | None:
    return None if None in matches else {bytes.fromhex(m[1]) for m in matches if m}


def load(sidecar: Sidecar) -> dict[str, Damage]:
    """What is known, by commit. Lines that do not parse count as absent."""
    found: dict[str, Damage] = {}
    data = files.read(sidecar.own(_FILE))
    if not data:
        return found
    # Loaded where there is something to read: every command asks.
    import json

    for line in data.splitlines():
        try:
            row = json.loads(line)
            problems = tuple(Problem(_bytes(path), str(reason)) for path, reason in row["problems"])
            found[str(row["commit"])] = Damage(
                datetime.fromisoformat(row["found"]), str(row["by"]), int(row["count"]), problems
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return found


def change(sidecar: Sidecar, how: Callable[[dict[str, Damage]], dict[str, Damage]], wait: float) -> None:
    """Replace what is known by what `how` makes of it; OSError, LockedError."""
    with locks.hold(sidecar.own("damage.lock"), exclusive=True, wait=wait):
        before = load(sidecar)
        after = how(dict(before))
        if after == before:
            return
        import json

        rows = [
            {
                "commit": commit,
                "found": d.found.isoformat(),
                "by": d.by,
                "count": d.count,
                "problems": [[_text(p.path), p.reason] for p in d.problems],
            }
            for commit, d in sorted(after.items())
        ]
        files.replace(sidecar.own(_FILE), "".join(f"{json.dumps(row)}\n" for row in rows).encode(), sidecar.scratch)


def damage(found: datetime, by: str, problems: Sequence[Problem], before: Damage | None = None) -> Damage:
    """What was found now, known since `before` where it was known then."""
    since = min(found, before.found) if before else found
    return Damage(since, before.by if before else by, len(problems), tuple(problems[:MOST]))


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
