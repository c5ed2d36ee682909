"""What became of upgrades, and what the directory went back to, recorded at the moment when it is known."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from gitsnap.core.errors import GitsnapError
from gitsnap.core.message import format_return
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import newest
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.upgrade import in_force
from gitsnap.ops.live import upgrading
from gitsnap.sidecar import catalog, outcomes, publish
from gitsnap.sidecar.repository import Sidecar

_STANDS = (Outcome.KEPT, Outcome.UNKNOWN, Outcome.ROLLBACK_FAILED)
_GONE = (Outcome.REVERTED, Outcome.ROLLED_BACK)


def record(sidecar: Sidecar, pre: Snapshot, ending: Ending, now: datetime, wait: float) -> None:
    """Record how an upgrade ended. Raises GitsnapError or OSError."""
    # A rollback that is left half way is a thing to be recorded, too.
    with sidecar.writing(wait, recovering=True):
        outcomes.store(sidecar, pre, ending, now)


def follow(
    sidecar: Sidecar, before: Sequence[Snapshot], target: Snapshot, now: datetime, *, recovering: bool = False
) -> list[Ending]:
    """The whole directory is what `target` holds, by a rollback, an undo or a recovery: record what that has made of
    upgrades. `before` are all snapshots (in order) as they were until then. For a caller who holds the writer's lock.
    With `recovering` the rollback may be the one that an upgrade had begun itself. What has become of those whose work
    came or went.

    The directory is right whatever becomes of the records: that one cannot be written is no failure of that.
    """
    pres = {s.upgrade: s for s in before if s.kind is Kind.PRE and s.upgrade and s.ending is not None}
    if not pres:
        return []
    held, current = in_force(before)
    there = held.get(target.id, current)
    # One that is being run records what becomes of it itself.
    running = upgrading.running(sidecar)
    told = []
    for name, pre in pres.items():
        assert pre.ending is not None
        outcome = pre.ending.outcome
        if name in current - there and outcome in _STANDS:
            own = name == running or (recovering and outcome is not Outcome.KEPT)
            outcome = Outcome.ROLLED_BACK if own else Outcome.REVERTED
        elif name in there - current and outcome in _GONE:
            outcome = Outcome.KEPT
        if outcome is pre.ending.outcome:
            continue
        told.append(pre.ending._replace(outcome=outcome, rollback_error=""))
        if name != running:
            with suppress(OSError, GitsnapError):
                outcomes.store(sidecar, pre, told[-1], now)
    return told


def go_on(
    sidecar: Sidecar, target: Snapshot, when: datetime, author: str, told: Sequence[Ending], *, moved: bool
) -> None:
    """The directory holds the files of `target` now: the timeline goes on with that, and says what became of the
    upgrades that are `told`. Not where its tip shows the same, and nothing was `moved`.

    As with records, that it cannot be written is no failure: the next snapshot shows what there is.
    """
    with suppress(OSError, GitsnapError):
        living = catalog.snapshots(sidecar)
        last = newest(living)
        if last is None or target.id not in {s.id for s in living}:
            return
        if moved or catalog.chain(sidecar, living)[-1].snapshot.tree != target.tree:
            message = format_return(target.id, last.id, last.sequence or 0, told)
            publish.go_back(sidecar, living, message, target, when, author)
