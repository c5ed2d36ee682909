"""Settling what was interrupted over several directories: from any of them, all to the same end.

The records say how far it was, in this order: a first snapshot may be missing (nothing was started: it is forgotten);
the end was recorded somewhere (it holds for all); else the upgrade may have changed anything, and all go back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from gitsnap.core.database_servers import Policy
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Outcome
from gitsnap.core.upgrade import KEEPING_EDITS, Stored, UpgradePhase, upgrades
from gitsnap.ops.live import in_progress, service
from gitsnap.ops.restore import recover as single
from gitsnap.ops.restore.give_up import give_up
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import Rollback, RollbackOptions
from gitsnap.ops.sets import all_or_nothing
from gitsnap.ops.sets.interrupted import NOT_STARTED, Unsettled, require_quiet
from gitsnap.ops.sets.members import Member, MissingError, Open, belongs_to, held, opened, services_stopped
from gitsnap.ops.store import outcomes, retention
from gitsnap.ops.upgrade.rollback_of_a_failure import merge_edits
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.state import set_rollback, upgrade_record
from gitsnap.sidecar.state.journal_file import JournalFile

_LEAVE = "`gitsnap recover --give-up` leaves all as it is"


@dataclass(slots=True)
class SetRecovered:
    """What was settled. `direction` is None where nothing had to move: nothing was `started`, or the `outcome` was
    recorded already. `parts` by directory. `services` tells which do not run again."""

    upgrade: str
    direction: Direction | None = None
    started: bool = True
    outcome: Outcome | None = None
    parts: dict[str, Recovered] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    duration: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether all was left as it is."""
        return self.direction is Direction.GIVE_UP

    @property
    def verified(self) -> bool:
        """Whether that holds for each."""
        return all(part.verified for part in self.parts.values())


def settle(
    unsettled: Unsettled,
    open_one: Open,
    direction: Direction | None,
    options: RollbackOptions,
    wait: float,
    *,
    at_boot: bool = False,
) -> SetRecovered:
    """Bring all directories to the same end. Can be interrupted and repeated. `at_boot` their services wait for it:
    they are neither stopped nor started, and whatever starts everything starts them.

    Raises MissingError before anything moves where one of them cannot be had, LockedError where the upgrade or its
    command is still at work, SetFailedError where some could not be brought back; the others are, and all is waited
    for then.
    """
    started = time.monotonic()
    if direction is Direction.GIVE_UP:
        result = _give_up(unsettled, open_one, options, wait)
    else:
        with opened(unsettled.members, open_one, _LEAVE) as members, held(members, wait):
            require_quiet(unsettled, members)
            concerned = [replace(m, settings=m.own_settings) for m in members] if at_boot else members
            result = _Settling(unsettled, concerned, options, direction).run()
            for member in members:
                if not at_boot:
                    result.services += _started_again(member)
                elif service.left_stopped(member.sidecar):
                    service.forget(member.sidecar)
    result.duration = time.monotonic() - started
    return result


class _Settling:
    """For a caller who holds all of them."""

    def __init__(
        self,
        unsettled: Unsettled,
        members: Sequence[Member],
        options: RollbackOptions,
        direction: Direction | None,
    ) -> None:
        self._members, self._options, self._direction = members, options, direction
        self._upgrade = unsettled.upgrade
        self._records = [self._record_of(m) for m in members]
        self._returns = [set_rollback.load(m.sidecar) for m in members]
        self._result = SetRecovered(unsettled.upgrade)

    def _record_of(self, member: Member) -> upgrade_record.UpgradeRecord | None:
        known = upgrade_record.load(member.sidecar)
        return known if known is not None and known.upgrade == self._upgrade and known.members else None

    def run(self) -> SetRecovered:
        """Decide by the records, and do it."""
        result = self._result
        if any(self._records):
            if any(r is not None and r.stage in NOT_STARTED for r in self._records):
                return self._forget()
            outcome = Outcome.KEPT if self._is_kept else self._recorded()
            if outcome is not None:
                return self._conclude(outcome)
            return self._bring_back()
        if self._goes_back():
            return self._arrive()
        # None has moved yet, or all have arrived.
        self._close()
        result.started = False
        return result

    @property
    def _is_kept(self) -> bool:
        """Whether somebody has said keep: in the record of the first, where it is decided."""
        first = self._records[0]
        return first is not None and first.wait is not None and first.wait.kept

    def _goes_back(self) -> bool:
        """Whether all have been told where to go, and none has been told that it is over."""
        return None not in self._returns and len({r.name for r in self._returns if r}) == 1

    def _stored(self, member: Member) -> Stored | None:
        found = upgrades(catalog.snapshots(member.sidecar))
        return next((u for u in found if u.id == self._upgrade), None)

    def _recorded(self) -> Outcome | None:
        """The end that was reached before the records of it could go: kept in one is kept in all, back in all is
        back."""
        found = [u.outcome if u and u.ending else None for u in map(self._stored, self._members)]
        if Outcome.KEPT in found:
            return Outcome.KEPT
        return Outcome.ROLLED_BACK if all(o is Outcome.ROLLED_BACK for o in found) else None

    def _forget(self) -> SetRecovered:
        """Nothing was started, so nothing may look as if it had been."""
        for member in self._members:
            mine = self._stored(member)
            if mine is not None:
                now, by = self._options.now, self._upgrade
                retention.delete(member.sidecar, [mine.pre.id], member.settings, now=now, by=by)
        self._close()
        self._result.started = False
        return self._result

    def _conclude(self, outcome: Outcome) -> SetRecovered:
        """What the end of one says holds for all."""
        endings = [u.ending for u in map(self._stored, self._members) if u and u.ending]
        # Where somebody has said keep, no end of one may be recorded yet.
        said = next((e.failure for e in endings if e.outcome is outcome), self._problem)
        for member in self._members:
            self._end(member, outcome, said)
            member.sidecar.noted.details["settled"] = outcome.value
        self._close()
        self._result.outcome = outcome
        return self._result

    @property
    def _problem(self) -> str:
        return next((r.problem for r in self._records if r is not None and r.problem), "")

    def _end(self, member: Member, outcome: Outcome, failure: str) -> None:
        mine = self._stored(member)
        if mine is None or mine.ending is None or mine.ending.outcome is outcome:
            return
        ending = mine.ending._replace(outcome=outcome, failure=mine.ending.failure or failure, rollback_error="")
        outcomes.record(member.sidecar, mine.pre, ending, self._options.now, member.settings.lock_wait)

    def _bring_back(self) -> SetRecovered:
        """The upgrade was cut short, or could not be rolled back: all go back, or what was begun of that is undone."""
        missing = [m.root for m, r in zip(self._members, self._records, strict=True) if r is None]
        lost = [m.root for m in self._members if self._stored(m) is None]
        if missing or lost:
            told = f"of {', '.join(missing)} nothing tells any more that the upgrade {self._upgrade} was cut short"
            gone = f"the snapshot before the upgrade {self._upgrade} is gone from {', '.join(lost)}"
            raise MissingError(
                f"{gone if lost else told}; nothing was touched", lost or missing, exit_code=14, hint=_LEAVE
            )
        if self._direction is Direction.REVERT:
            return self._take_back() if self._goes_back() else self._result
        mine = [u for u in map(self._stored, self._members) if u]
        self._result.outcome = Outcome.ROLLED_BACK
        if self._goes_back():
            return self._arrive_at(self._announced())
        targets = [self._target(m, u, r) for m, u, r in zip(self._members, mine, self._records, strict=True)]
        all_or_nothing.announce(self._members, targets, self._upgrade)
        return self._arrive_at(targets)

    def _target(self, member: Member, mine: Stored, known: upgrade_record.UpgradeRecord | None) -> str:
        """Where one goes: to the snapshot before the upgrade, or to what comes of keeping the edits since."""
        sidecar, settings, options = member.sidecar, member.own_settings, self._options
        # Merged before it was said that all go there: others may have been edited since.
        left = [s.id for s in catalog.snapshots(sidecar) if s.command == KEEPING_EDITS + self._upgrade]
        if left:
            retention.delete(sidecar, left, settings, now=options.now, by=self._upgrade)
        if known is None or known.wait is None or not known.wait.keep_edits or mine.post is None:
            return mine.pre.id
        with suppress(GitsnapError):
            found = merge_edits(sidecar, self._upgrade, mine.post, settings, lambda: options.now, options.observer)
            if found is not None and found.snapshot is not None:
                return found.snapshot.id
        return mine.pre.id

    def _announced(self) -> list[str]:
        """Where each goes, by what was written down before any moved."""
        told = self._returns[0]
        assert told is not None
        # Their own order, not that of whoever asks.
        where = dict(zip((root for root, _ in told.members), told.targets, strict=True))
        return [where[m.root] for m in self._members]

    def _arrive(self) -> SetRecovered:
        """A rollback of all that somebody asked for."""
        if self._direction is Direction.REVERT:
            return self._take_back()
        return self._arrive_at(self._announced())

    def _arrive_at(self, targets: Sequence[str]) -> SetRecovered:
        self._result.direction = Direction.FINISH
        where = dict(zip((m.root for m in self._members), targets, strict=True))

        def work(member: Member) -> None:
            self._result.parts[member.root] = self._bring(member, where[member.root])

        self._all(list(reversed(self._members)), work)
        if self._result.outcome is not None:
            stage = next((r.stage for r in self._records if r is not None), UpgradePhase.COMMAND)
            for member in self._members:
                self._end(member, Outcome.ROLLED_BACK, self._problem or f"it was cut short ({stage})")
                member.sidecar.noted.details["settled"] = Outcome.ROLLED_BACK.value
        self._close()
        return self._result

    def _take_back(self) -> SetRecovered:
        """Each is again what it was before the rollback of all; what was cut short before that still is."""
        self._result.direction = Direction.REVERT

        def work(member: Member) -> None:
            told = set_rollback.load(member.sidecar)
            assert told is not None
            self._result.parts[member.root] = self._take_one_back(member, told)

        self._all(self._members, work)
        all_or_nothing.arrived(self._members)
        return self._result

    def _take_one_back(self, member: Member, told: set_rollback.SetRollback) -> Recovered:
        sidecar = member.sidecar
        done = Recovered()
        if sidecar.pending is not None:
            done = single.recover(sidecar, Direction.REVERT, member.own_settings, self._options)
        safety = _taken_since(catalog.snapshots(sidecar), told)
        if safety is None:
            return replace(done, direction=Direction.REVERT)
        return self._roll(member, safety, Direction.REVERT)

    def _all(self, members: Sequence[Member], work: Callable[[Member], None]) -> None:
        def noting(member: Member) -> None:
            member.sidecar.noted.begin()
            work(member)
            part = self._result.parts[member.root]
            member.sidecar.noted.target, member.sidecar.noted.safety = part.target, part.safety
            if not part.verified and part.unverified is None:
                raise GitsnapError("the directory is not the same as the snapshot")

        with services_stopped(members, alone=True) as services:
            failures = all_or_nothing.each(members, noting)
        self._result.services += [turns.problem for turns in services if turns.problem]
        if failures:
            hint = "all of them are waited for: `gitsnap recover` again, or " + _LEAVE
            raise all_or_nothing.failed(failures, len(members) - len(failures), hint)

    def _bring(self, member: Member, target: str) -> Recovered:
        """By the journal, where one was interrupted in it; then by comparing everything."""
        sidecar = member.sidecar
        if sidecar.pending is not None:
            with suppress(GitsnapError):
                found = JournalFile(sidecar).load()
                finish = found is None or found[1].target == target
                way = Direction.FINISH if finish else Direction.REVERT
                single.recover(sidecar, way, member.own_settings, self._options)
        # Where something is pending still, this says so.
        return self._roll(member, selectors.resolve(catalog.snapshots(sidecar), target), Direction.FINISH)

    def _roll(self, member: Member, snapshot: Snapshot, direction: Direction) -> Recovered:
        settings = replace(member.own_settings, databases=Policy.LEAVE)
        with member.sidecar.writing(settings.lock_wait):
            options = self._options
            if self._returns[0] is not None and direction is Direction.FINISH:
                options = all_or_nothing.as_said(options, self._returns[0].how, snapshot.id)
            job = Rollback(member.sidecar, snapshot, settings, options, reversing=snapshot.kind is Kind.SAFETY)
            done = job.run()
        safety = done.safety.id if done.safety else None
        return Recovered(
            direction,
            None,
            snapshot.id,
            safety,
            moved=safety is not None,
            verified=done.verified,
            incomplete=done.incomplete,
            duration=done.duration,
        )

    def _close(self) -> None:
        """It is over: first that they go back, then that there was an upgrade."""
        all_or_nothing.arrived(self._members)
        for member, known in zip(self._members, self._records, strict=True):
            if known is not None:
                in_progress.clear(member.sidecar)


def _started_again(member: Member) -> list[str]:
    """Start the service that somebody who was killed has stopped; what went wrong with that."""
    if not member.sidecar.service_marked or not service.left_stopped(member.sidecar):
        return []
    around = service.known(member.sidecar, member.settings.service, dict(os.environ))
    if around is None:
        return [f"the service of {member.root} was stopped for what was interrupted; start it"]
    done = service.start(member.sidecar, around)
    return [] if done.ok else [done.told]


def _taken_since(living: Sequence[Snapshot], told: set_rollback.SetRollback) -> Snapshot | None:
    """The safety snapshot that this rollback of all has taken of a directory; None where it has not come to it."""
    ids = [s.id for s in living]
    begun = ids.index(told.since) + 1 if told.since in ids else 0
    return next((s for s in living[begun:] if s.kind is Kind.SAFETY), None)


def _give_up(unsettled: Unsettled, open_one: Open, options: RollbackOptions, wait: float) -> SetRecovered:
    """Leave every directory as it is, and forget that anything waits for them; those that are away are left out."""
    result = SetRecovered(unsettled.upgrade, Direction.GIVE_UP)
    for root, store in unsettled.members:
        with suppress(MissingError), _one(root, store, open_one) as member, held([member], wait):
            belongs_to(member, unsettled.members)
            sidecar = member.sidecar
            if in_progress.living(sidecar) == unsettled.upgrade:
                require_quiet(unsettled, [member])
            part = Recovered(Direction.GIVE_UP)
            if sidecar.pending is not None:
                part = give_up(sidecar, options)
            set_rollback.end(sidecar)
            known = upgrade_record.load(sidecar)
            if known is not None and known.upgrade == unsettled.upgrade:
                in_progress.clear(sidecar)
            result.parts[root] = part
    return result


@contextmanager
def _one(root: str, store: str, open_one: Open) -> Iterator[Member]:
    with opened(((root, store),), open_one, _LEAVE) as (member,):
        yield member
