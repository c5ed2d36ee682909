"""One upgrade over several directories: all of them stand before anything starts, and all go back when it fails.

Whoever kills it leaves records in the sidecar of each directory, by which one `recover` settles all (recovery.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.upgrade import Event, Moment, OnFailure, Outcome, Stored, Tell, UpgradePhase, upgrade_id
from gitsnap.ops.live import in_progress
from gitsnap.ops.live.feasible import short_together
from gitsnap.ops.process.processes import Waiter
from gitsnap.ops.process.shell import Surroundings
from gitsnap.ops.sets import all_or_nothing
from gitsnap.ops.sets.directory import Part
from gitsnap.ops.sets.members import Member, held, named, services_stopped
from gitsnap.ops.sets.result import SetUpgraded
from gitsnap.ops.upgrade.bring_back import Ask
from gitsnap.ops.upgrade.problems import describe
from gitsnap.ops.upgrade.result import UpgradeRequest
from gitsnap.ops.upgrade.rollback_of_a_failure import Clock
from gitsnap.ops.upgrade.waiting import Countdown
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord


class SetUpgrade:
    """One upgrade of several directories. `begin`, change them, then `finish`."""

    def __init__(
        self,
        members: Sequence[Member],
        wanted: UpgradeRequest,
        *,
        clock: Clock,
        directory: str,
        tell: Tell = lambda _: None,
        observer: Observer = SILENT,
        countdown: Countdown = lambda *_: None,
    ) -> None:
        self._members, self._clock, self._tell, self._directory = members, clock, tell, directory
        self._wanted = replace(wanted, directories=tuple(m.root for m in members))
        self._parts = [
            Part(m.sidecar, self._wanted, m.settings, clock=clock, tell=tell, observer=observer, countdown=countdown)
            for m in members
        ]
        self._wait = members[0].settings.lock_wait
        self._started = time.monotonic()
        self.id = ""
        # How far it was, where another process had begun it.
        self._phase: UpgradePhase | None = None
        self.result: SetUpgraded | None = None

    @property
    def doubts(self) -> list[str]:
        """Why going back may not be exact."""
        assert self.result is not None
        return self.result.doubts

    @property
    def variables(self) -> dict[str, str]:
        """What the command and the checks find in their environment: the first directory's, and all in their order."""
        return self._parts[0].variables | {"GITSNAP_DIRS": os.pathsep.join(m.root for m in self._members)}

    @property
    def watchable(self) -> list[tuple[str, str, str]]:
        """Directory, sidecar and first snapshot of each."""
        return [(p.sidecar.installation, p.sidecar.path, p.done.pre.id) for p in self._parts]

    def tell(self, moment: Moment, **facts: Any) -> None:
        """Tell of something that happened to all of it."""
        try:
            self._tell(Event(moment, self._clock(), self.id, facts))
        except Exception as error:
            if self.result is None:
                raise
            self._tell = lambda _: None
            self.doubts.append(f"what happened could not be told any more: {describe(error)}")

    def begin(self, umask: int = -1) -> None:
        """Take the first snapshot of each and read all of them again. Nothing may be changed before this returns.

        `umask` is what checks are to run with, should another process have to go on.

        Raises GitsnapError or OSError, as for one directory. There are no first snapshots then.
        """
        wanted = self._wanted
        known = set().union(*(part.known() for part in self._parts))
        self.id = upgrade_id(self._clock(), wanted.label, known)
        try:
            for part in sorted(self._parts, key=lambda p: os.fsencode(p.sidecar.installation)):
                part.claim(self.id, named(self._members), umask, self._directory)
            self.tell(
                Moment.UPGRADE_STARTED,
                installations=list(wanted.directories),
                command=wanted.command,
                on_failure=wanted.on_failure.value,
                checks=[c if isinstance(c, str) else getattr(c, "__name__", "callable") for c in wanted.checks],
                soak=wanted.soak or None,
                every=wanted.every if wanted.soak else None,
                confirm=wanted.confirm or None,
            )
            for part in self._parts:
                part.stop_service()
            for part in self._parts:
                part.take_first()
            self._foresee()
        except BaseException:
            self._forsake()
            raise
        done = {p.sidecar.installation: p.done for p in self._parts}
        self.result = SetUpgraded(self.id, wanted.command, done)

    def _foresee(self) -> None:
        """Those that share a file system need their space together."""
        for problem in short_together({p.sidecar.installation: p.done.pre.bytes for p in self._parts}):
            facts = [{"path": os.fsdecode(problem.path), "reason": problem.reason}]
            self.tell(Moment.FORESEEN, paths=1, problems=facts)

    def go_on(self, records: Sequence[UpgradeRecord], stored: Sequence[Stored]) -> None:
        """It is an upgrade that another process has begun, and of which this is known of each. `finish` comes next."""
        for part, known, mine in zip(self._parts, records, stored, strict=True):
            part.take_over(known, mine)
        self.id, self._phase = records[0].upgrade, records[0].stage
        parts = {p.sidecar.installation: p.done for p in self._parts}
        self.result = SetUpgraded(self.id, records[0].command, parts)
        self._started -= max(part.waited for part in self._parts)

    def forsake(self) -> None:
        """Give it up before `start`: nothing has begun, and there are no first snapshots."""
        self._forsake()

    def _forsake(self) -> None:
        for part in self._parts:
            part.forsake()

    def start(self) -> None:
        """Write down in each that from now on it may be changed. Nothing may be changed before this returns."""
        try:
            for part in self._parts:
                part.start()
        except OSError as error:
            with suppress(OSError, GitsnapError):
                self._forsake()
            problem = f"that the upgrade begins could not be written down: {describe(error)}; nothing was started"
            raise GitsnapError(problem, kind="io", path=self._members[0].sidecar.path) from None

    def runs_as(self, pid: int) -> None:
        """This process is the command."""
        for member in self._members:
            in_progress.update(member.sidecar, child=pid)

    def note_left(self, processes: list[dict[str, Any]]) -> None:
        """For the audit logs: what the command has left running."""
        for part in self._parts:
            part.note_left(processes)

    def finish(
        self,
        failure: str,
        *,
        waiter: Waiter,
        exit_code: int | None = None,
        environ: Mapping[str, str] | None = None,
        umask: int = -1,
        ask: Ask = lambda _: True,
        quiesce: Callable[[], None] = lambda: None,
    ) -> SetUpgraded:
        """Take the second snapshots, run the checks once unless there is a `failure` already, and keep all or bring all
        back. Raises nothing, as for one directory."""
        result = self.result
        assert result is not None
        result.exit_code, result.failure = exit_code, failure
        try:
            self._carry_through(result, waiter, environ, umask, ask, quiesce)
        except Exception as error:  # noqa: BLE001 - the command was started: there is no going back to "nothing happened"
            for part in self._parts:
                if part.done.outcome is Outcome.KEPT:
                    part.fail(describe(error))
        result.duration = time.monotonic() - self._started
        if result.left:
            for part in self._parts:
                part.done.outcome, part.done.verified, part.done.left = Outcome.UNKNOWN, False, True
        else:
            self._record(result)
        for part in self._parts:
            part.note()
        self.tell(Moment.WAIT_LEFT if result.left else Moment.UPGRADE_COMPLETED, **result.document())
        return result

    def _carry_through(
        self,
        result: SetUpgraded,
        waiter: Waiter,
        environ: Mapping[str, str] | None,
        umask: int,
        ask: Ask,
        quiesce: Callable[[], None],
    ) -> None:
        variables = dict(environ if environ is not None else os.environ) | self.variables
        where = Surroundings(self._directory, variables, self._wanted.check_timeout, umask)
        if self._phase not in in_progress.UNDECIDED:
            self._prove_it_works(result, where, waiter)
        if not result.failure and self._wanted.waits:
            self._await(result, where, waiter)
            if result.left:
                return
        self._share(result)
        if result.failure and self._parts[0].decide(result.failure, ask):
            if in_progress.go_back(self._members[0].sidecar, result.failure, self._wait):
                self._go_back(result, quiesce)
            else:
                result.confirmed = True
        for part in self._parts:
            if part.done.outcome is Outcome.KEPT:
                # It failed and is kept: what runs is what is there.
                part.turn_on_service(waiter)

    def _prove_it_works(self, result: SetUpgraded, where: Surroundings, waiter: Waiter) -> None:
        self._take_second(result)
        if not result.failure:
            self._start_services(result, waiter)
        if not result.failure and self._wanted.checks:
            self._check(result, where, waiter)

    def _await(self, result: SetUpgraded, where: Surroundings, waiter: Waiter) -> None:
        """Wait until it is decided what becomes of all: in the record of the first, for all of them."""
        self._share(result)
        for part in self._parts:
            part.is_undecided(time.monotonic() - self._started)
        first, beside = self._parts[0], [m.sidecar for m in self._members[1:]]
        wait = first.wait
        if wait is None:
            raise GitsnapError("the record of what is waited for is gone")
        first.until_decided(wait, where, waiter, beside)
        done = first.done
        result.failure, result.left, result.checks = done.failure, done.left, done.checks
        result.confirmed, result.soaked, result.rounds = done.confirmed, done.soaked, done.rounds

    def _take_second(self, result: SetUpgraded) -> None:
        for part in self._parts:
            part.take_second(result.failure, result.exit_code)
            if part.done.failure and not result.failure:
                result.failure = f"{part.sidecar.installation}: {part.done.failure}"
        if any(part.done.broke_off for part in self._parts) and self._wanted.on_failure is not OnFailure.KEEP:
            result.failure = result.failure or result.broke_off

    def _start_services(self, result: SetUpgraded, waiter: Waiter) -> None:
        for part in self._parts:
            part.start_service(waiter)
            result.failure = result.failure or part.done.failure

    def _check(self, result: SetUpgraded, where: Surroundings, waiter: Waiter) -> None:
        for member in self._members:
            in_progress.update(member.sidecar, stage=UpgradePhase.CHECKS)
        first = self._parts[0]
        first.check(where, waiter)
        result.checks, result.failure = first.done.checks, first.done.failure

    def _share(self, result: SetUpgraded) -> None:
        """What the record of each directory says of all."""
        for part in self._parts:
            done = part.done
            done.failure, done.checks, done.soaked, done.rounds = (
                result.failure,
                result.checks,
                result.soaked,
                result.rounds,
            )
            done.confirmed = result.confirmed

    def _go_back(self, result: SetUpgraded, quiesce: Callable[[], None]) -> None:
        """All of them, in reverse; that one cannot is no reason to leave the others as they are."""
        for member in self._members:
            in_progress.update(member.sidecar, stage=UpgradePhase.ROLLBACK, problem=result.failure)
        try:
            quiesce()
        except Exception as error:  # noqa: BLE001 - what it would have ended may be gone anyway
            result.doubts.append(f"what the command has left running may still write: {describe(error)}")
        targets: dict[str, Snapshot] = {}
        try:
            with held(self._members, self._wait), services_stopped(self._members, alone=True) as services:
                for part in self._parts:
                    targets[part.sidecar.installation] = part.merged()
                self._announce(result, targets)
                self._bring_back(targets)
            result.doubts += [turns.problem for turns in services if turns.problem]
        except (GitsnapError, OSError):
            # Somebody is at work in one of them: that one alone has to wait, and says so.
            self._bring_back(targets)

    def _announce(self, result: SetUpgraded, targets: Mapping[str, Snapshot]) -> None:
        try:
            all_or_nothing.announce(self._members, [targets[m.root].id for m in self._members], self.id)
        except OSError as error:
            # The records of the upgrade tell the same, and say less of how far it is.
            result.doubts.append(f"that all go back could not be written down: {describe(error)}")

    def _bring_back(self, targets: Mapping[str, Snapshot]) -> None:
        for part in reversed(self._parts):
            if part.done.outcome is Outcome.KEPT:
                part.go_back(targets.get(part.sidecar.installation, part.done.pre))

    def _record(self, result: SetUpgraded) -> None:
        """Record how it ended in each; when that stands everywhere, it is over."""
        failed = [p for p in self._parts if p.done.outcome is Outcome.ROLLBACK_FAILED]
        problem = f"{result.failure}; {result.rollback_error}"
        is_recorded = True
        for part in self._parts:
            part.done.duration = result.duration
            try:
                part.record()
            except Exception as error:  # noqa: BLE001 - as in finish
                is_recorded = False
                told = f"how the upgrade ended could not be recorded: {describe(error)}"
                part.done.doubts.append(told)
                if part.done.outcome is Outcome.KEPT:
                    part.done.verified, part.done.broke_off = False, part.done.broke_off or told
        if failed:
            for member in self._members:
                in_progress.update(member.sidecar, stage=UpgradePhase.ROLLBACK_FAILED, problem=problem)
        elif is_recorded:
            all_or_nothing.arrived(self._members)
            for member in self._members:
                in_progress.clear(member.sidecar)
