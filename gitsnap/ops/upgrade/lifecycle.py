"""The two halves of an upgrade: what must stand before anything changes, and what becomes of it afterwards.

Whoever changes the directory in between is not this module's business: a command (ops/upgrade/run.py), or a program
that has imported gitsnap. No lock of the sidecar is held in between.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from gitsnap.core.audit import moment, path_text
from gitsnap.core.counts import Counts
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Kind, Snapshot, slug
from gitsnap.core.outcome import Ending
from gitsnap.core.settings import Settings
from gitsnap.core.space import told
from gitsnap.core.upgrade import (
    CheckResult,
    Event,
    Moment,
    OnFailure,
    Outcome,
    Stored,
    Tell,
    UpgradePhase,
    upgrade_id,
    upgrades,
)
from gitsnap.installation import open_files
from gitsnap.installation import root as directory
from gitsnap.ops.capture.hooks import HookFailedError, HookResult
from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.capture.snapshot import take
from gitsnap.ops.check.verify import verify
from gitsnap.ops.compare import stored
from gitsnap.ops.live import in_progress, service
from gitsnap.ops.live.feasible import lasting, owned, require_some_way_in
from gitsnap.ops.live.service import Turned
from gitsnap.ops.process.processes import React, Waiter
from gitsnap.ops.process.shell import Surroundings
from gitsnap.ops.restore.merge import MergeResult
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.store import outcomes, retention
from gitsnap.ops.upgrade.checks import run_check
from gitsnap.ops.upgrade.problems import describe, named
from gitsnap.ops.upgrade.progress import Reporting
from gitsnap.ops.upgrade.result import IncompleteError, Upgraded, UpgradeRequest
from gitsnap.ops.upgrade.rollback_of_a_failure import Clock, bring_back, keep_edits
from gitsnap.ops.upgrade.waiting import Countdown, Undecided
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import disk_reserve, register
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord, Wait

# How many paths are named of those that a rollback could not put back; the rest is counted.
_FORESEEN = 100
# How many paths the audit log names of what an upgrade changed.
_NOTED = 20
# That is for information: what processes have open, and then what they have mapped, is looked at for no longer.
_SECONDS_FOR_OPEN_FILES = (0.25, 0.02)

_OF_THE_ROLLBACK = {
    "nothing was changed": "nothing was brought back",
    "so the directory is untouched": "so nothing was brought back",
}
# Asked with the reason for the failure: whether to roll back.
Ask = Callable[[str], bool]


class Upgrade:
    """One upgrade of a sidecar's installation. `begin`, change the directory, then `finish`."""

    def __init__(
        self,
        sidecar: Sidecar,
        wanted: UpgradeRequest,
        settings: Settings,
        *,
        clock: Clock,
        tell: Tell = lambda _: None,
        observer: Observer = SILENT,
        countdown: Countdown = lambda *_: None,
    ) -> None:
        self.sidecar, self._wanted, self._settings = sidecar, wanted, settings
        self._clock, self._tell, self._countdown = clock, tell, countdown
        self._observer = Reporting(observer, lambda **facts: self.tell(Moment.SNAPSHOT_PROGRESS, **facts))
        self._started = time.monotonic()
        self.id = ""
        self.result: Upgraded | None = None
        self._reserve: str | None = None
        self._is_started = False
        # Where another process had begun it: what that one has written down last.
        self._known: UpgradeRecord | None = None
        # Seconds for which it had gone on then.
        self.waited = 0.0

    def tell(self, moment: Moment, **facts: Any) -> None:
        """Tell of something that happened to this upgrade. Once that is started, who cannot listen changes nothing."""
        try:
            self._tell(Event(moment, self._clock(), self.id, facts))
        except Exception as error:
            if not self._is_started or self.result is None:
                raise
            self._tell = lambda _: None
            self.result.doubts.append(f"what happened could not be told any more: {describe(error)}")

    def begin(self, umask: int = -1) -> Snapshot:
        """Take the first snapshot and read every byte of it again. Nothing may be changed before this returns.

        `umask` is what checks are to run with, should another process have to go on.

        Raises GitsnapError or OSError: LockedError while another upgrade of the directory is under way,
        IncompleteError, IntegrityError. There is no first snapshot then.
        """
        now = self._clock()
        wanted = self._wanted
        known = {u.id for u in upgrades(catalog.snapshots(self.sidecar))} | register.load(self.sidecar).upgrades()
        self.id = self.sidecar.noted.upgrade = upgrade_id(now, wanted.label, known)
        in_progress.claim(self.sidecar, self.id, wanted.command, self._settings.lock_wait, self._wait(umask))
        self.tell(
            Moment.UPGRADE_STARTED,
            installation=self.sidecar.installation,
            command=wanted.command,
            on_failure=wanted.on_failure.value,
            checks=[c if isinstance(c, str) else getattr(c, "__name__", "callable") for c in wanted.checks],
            soak=wanted.soak or None,
            every=wanted.every if wanted.soak else None,
            confirm=wanted.confirm or None,
        )
        pre = None
        try:
            around = self._settings.service
            if around is not None and around.upgrade:
                service.stop(self.sidecar, around, self._turned)
            pre = self._take(Kind.PRE, now, None).snapshot
            self._prove(pre)
            self._foresee(pre)
            # Whatever happens from now on: nobody knows how it ends until somebody does.
            outcomes.record(self.sidecar, pre, Ending(self.id, command=wanted.command), now, self._settings.lock_wait)
        except BaseException:
            self._forsake(pre)
            raise
        self.result = Upgraded(self.id, pre, wanted.command)
        in_progress.update(self.sidecar, stage=UpgradePhase.READY, pre=pre.id)
        self._reserve = disk_reserve.hold(self.sidecar)
        return pre

    def _wait(self, umask: int) -> Wait | None:
        wanted = self._wanted
        if not wanted.waits:
            return None
        return Wait(
            soak=wanted.soak,
            every=wanted.every,
            confirm=wanted.confirm,
            keep_edits=wanted.keep_edits,
            on_failure=wanted.on_failure.value,
            checks=tuple(c for c in wanted.checks if isinstance(c, str)),
            check_timeout=wanted.check_timeout,
            umask=umask,
            stop=self._settings.service.stop if self._settings.service else "",
            start=self._settings.service.start if self._settings.service else "",
        )

    def go_on(self, known: UpgradeRecord, mine: Stored) -> None:
        """It is the upgrade `mine`, which another process has begun, and of which this is known. `finish` comes next.

        The directory may be changed from now on.
        """
        self.id = self.sidecar.noted.upgrade = known.upgrade
        self.result = result = Upgraded(known.upgrade, mine.pre, known.command, post=mine.post)
        if mine.ending is not None:
            result.changes = mine.ending.changes
            passed = known.wait.term.seen if known.wait and known.wait.term else 0.0
            self.waited = (mine.ending.duration or 0.0) + passed
            self._started -= self.waited
        self._known, self._is_started = known, True
        self.sidecar.noted.begin()

    def forsake(self) -> None:
        """Give it up before `start`: nothing has begun, and there is no first snapshot."""
        assert self.result is not None
        disk_reserve.release(self._reserve)
        self._forsake(self.result.pre)

    def _forsake(self, pre: Snapshot | None) -> None:
        """Nothing was started, so nothing may look as if it had been."""
        try:
            if pre is not None:
                retention.delete(self.sidecar, [pre.id], self._settings, now=self._clock(), by=self.id)
            in_progress.clear(self.sidecar)
        finally:
            if self._settings.service is not None and service.is_ours(self.sidecar):
                service.start(self.sidecar, self._settings.service, self._turned)

    def _turned(self, done: Turned) -> None:
        """The service was stopped or started, or could not be."""
        how = Moment.SERVICE_STOPPED if done.word == service.STOP else Moment.SERVICE_STARTED
        self.tell(how if done.ok else Moment.SERVICE_FAILED, **done.document())

    def start(self) -> None:
        """Write down that from now on the directory may be changed. Nothing may be changed before this returns.

        Raises GitsnapError where that cannot be written: whoever comes after a kill would not know of it.
        """
        assert self.result is not None
        try:
            in_progress.started(self.sidecar)
        except OSError as error:
            with suppress(OSError, GitsnapError):
                disk_reserve.release(self._reserve)
                self._forsake(self.result.pre)
            problem = f"that the upgrade begins could not be written down: {describe(error)}; nothing was started"
            raise GitsnapError(problem, kind="io", path=self.sidecar.path) from None
        self._is_started = True
        self.sidecar.noted.begin()

    def runs_as(self, pid: int) -> None:
        """This process is the command."""
        in_progress.update(self.sidecar, child=pid)

    def note_left(self, processes: list[dict[str, Any]]) -> None:
        """For the audit log: what the command has left running."""
        self.sidecar.noted.details["left_running"] = processes

    @property
    def doubts(self) -> list[str]:
        """Why going back may not be exact."""
        assert self.result is not None
        return self.result.doubts

    def _take(self, kind: Kind, now: datetime, exit_code: int | None) -> Captured:
        wanted = self._wanted
        word = "before" if kind is Kind.PRE else "after"
        request = Request(
            kind=kind,
            label=f"{slug(wanted.label, 'upgrade')[:50]}-{kind}" if wanted.label else "",
            message=wanted.message or f"{word} {wanted.command or wanted.label or 'the upgrade'}",
            upgrade=self.id,
            command=wanted.command or None,
            exit_code=exit_code,
            directories=wanted.directories,
        )

        def report(done: HookResult) -> None:
            self.tell(Moment.HOOK_PASSED if done.ok else Moment.HOOK_FAILED, role=kind.value, **done.document())

        taken = take(self.sidecar, request, self._settings, now=now, observer=self._observer, report=report)
        if taken.partial and kind is Kind.PRE and not wanted.incomplete:
            retention.delete(self.sidecar, [taken.snapshot.id], self._settings, now=now, by=self.id)
            raise IncompleteError(
                f"{len(taken.partial)} path{'s' * (len(taken.partial) != 1)} could not be captured: "
                f"{taken.partial[0].reason}; nothing was started",
                path=taken.partial[0].path,
                hint="make them readable, exclude them, or say --incomplete to go without them",
            )
        s = taken.snapshot
        self.tell(
            Moment.SNAPSHOT_COMPLETED,
            role=kind.value,
            snapshot=s.id,
            files=s.files,
            bytes=s.bytes,
            new_files=taken.counts.new_files,
            changed_files=taken.counts.changed_files,
            removed_files=taken.counts.removed_files,
            summary=taken.counts.summary,
            directories=taken.counts.directory_summary,
            partial=len(taken.partial),
            databases_running=[r.document() for r in taken.running],
            hooked=bool(self._settings.hooks and self._settings.hooks.before),
            pruned=[{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in taken.pruned],
            retention_held=taken.held.document() if taken.held else None,
            limits=[kept.document() for kept in taken.kept],
            limits_told=[line for kept in taken.kept for line in told(kept)],
            duration=round(taken.duration, 3),
        )
        return taken

    def _prove(self, pre: Snapshot) -> None:
        started = time.monotonic()
        verdict = verify(self.sidecar, [pre.id], self._settings, now=self._clock(), observer=self._observer)[0]
        if not verdict.ok:
            problem = verdict.problems[0]
            raise IntegrityError(
                f"the snapshot before the upgrade did not pass verification ({problem.problem}); nothing was started",
                path=problem.path,
            )
        self.tell(
            Moment.VERIFIED,
            snapshot=pre.id,
            files=verdict.files,
            bytes=verdict.bytes,
            duration=round(time.monotonic() - started, 3),
        )

    def _foresee(self, pre: Snapshot) -> None:
        """Tell what a rollback could not put back. GitsnapError where that is all of it, and one is wanted."""
        root = self.sidecar.installation
        opened = open_files.look(root, *_SECONDS_FOR_OPEN_FILES)
        if opened.holders:
            shown = [h.document() for h in opened.holders[:_FORESEEN]]
            self.tell(Moment.FILES_OPEN, count=len(opened.holders), processes=shown)
        found = lasting(root, owned(self.sidecar.load_cache().rows), pre.bytes)
        if not found:
            return
        self.tell(
            Moment.FORESEEN,
            paths=len(found),
            problems=[named(p) for p in found[:_FORESEEN]],
        )
        if self._wanted.on_failure is OnFailure.ROLLBACK:
            require_some_way_in(root)

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
    ) -> Upgraded:
        """Take the second snapshot, run the checks unless there is a `failure` already, and keep or roll back.

        `quiesce` is called before a rollback, to end what may still be writing. Raises nothing, not even what is a
        mistake of gitsnap's own: whatever goes wrong now, the result carries it.
        """
        result = self.result
        assert result is not None
        result.exit_code, result.failure = exit_code, failure
        try:
            self._carry_through(result, waiter, environ, umask, ask, quiesce)
        except Exception as error:  # noqa: BLE001 - the command was started: there is no going back to "nothing happened"
            if result.outcome is Outcome.KEPT:
                self._fail(result, describe(error))
        result.duration = time.monotonic() - self._started
        if result.left:
            result.outcome, result.verified = Outcome.UNKNOWN, False
        else:
            self._record(result)
        self._note(result)
        self.tell(Moment.WAIT_LEFT if result.left else Moment.UPGRADE_COMPLETED, **result.document())
        return result

    def _carry_through(
        self,
        result: Upgraded,
        waiter: Waiter,
        environ: Mapping[str, str] | None,
        umask: int,
        ask: Ask,
        quiesce: Callable[[], None],
    ) -> None:
        disk_reserve.release(self._reserve)
        variables = dict(environ if environ is not None else os.environ) | self.variables
        where = Surroundings(self.sidecar.installation, variables, self._wanted.check_timeout, umask)
        if self._known is None or self._known.stage not in in_progress.UNDECIDED:
            self._prove_it_works(result, where, waiter)
        if not result.failure and self._wanted.waits:
            self._await(result, where, waiter)
            if result.left:
                return
        if result.failure and self._rolls_back(result.failure, ask):
            if in_progress.go_back(self.sidecar, result.failure, self._settings.lock_wait):
                self._roll_back(result, quiesce)
            else:
                result.confirmed = True
        around = self._settings.service
        if around is not None and service.is_ours(self.sidecar) and self.sidecar.pending is None:
            # It failed and was kept: what runs is what is there.
            done = service.start(self.sidecar, around, self._turned, waiter)
            result.doubts += [] if done.ok else [done.told]
        if result.outcome is not Outcome.KEPT:
            return
        if result.doubts:
            result.verified = False

    def _prove_it_works(self, result: Upgraded, where: Surroundings, waiter: Waiter) -> None:
        """The second snapshot, and the checks unless there is a failure already."""
        in_progress.update(self.sidecar, stage=UpgradePhase.POST, exit_code=result.exit_code, problem=result.failure)
        if result.post is None:
            self._take_post(result)
        if not result.failure:
            in_progress.update(self.sidecar, stage=UpgradePhase.CHECKS)
            self._start_service(result, waiter)
        if not result.failure and self._wanted.checks:
            self._check(result, where, waiter)

    def _start_service(self, result: Upgraded, waiter: Waiter) -> None:
        """Where it was stopped for the upgrade. That it does not start is what a check that fails is."""
        around = self._settings.service
        if around is None or not (service.is_ours(self.sidecar) or service.left_stopped(self.sidecar)):
            return
        done = service.start(self.sidecar, around, self._turned, waiter)
        if not done.ok:
            result.checks.append(CheckResult(done.command, done.problem, done.exit_code, done.duration, done.output))
            result.failure = done.told

    def _await(self, result: Upgraded, where: Surroundings, waiter: Waiter) -> None:
        """Wait until it is decided what becomes of it; what there is to be recorded of it is, before that."""
        result.duration = time.monotonic() - self._started
        self._record_undecided(result)
        first = self._known.wait if self._known else self._wait(where.umask)
        assert first is not None
        self._until_decided(result, first, where, waiter)

    def _record_undecided(self, result: Upgraded) -> None:
        with suppress(GitsnapError, OSError):
            ending = result.ending()._replace(outcome=Outcome.UNKNOWN)
            outcomes.record(self.sidecar, result.pre, ending, self._clock(), self._settings.lock_wait)

    def _until_decided(
        self, result: Upgraded, wait: Wait, where: Surroundings, waiter: Waiter, beside: Sequence[Sidecar] = ()
    ) -> None:
        """Wait until it is decided, with the records of those `beside` saying how far it is."""

        def report(found: CheckResult, began: datetime) -> None:
            told = found.document() | {"during": "soak"}
            if not found.ok:
                # Of those that pass, the number tells.
                result.checks.append(found)
                self.sidecar.noted.checks.append({"time": moment(began, "milliseconds"), **told})
            self.tell(Moment.CHECK_PASSED if found.ok else Moment.CHECK_FAILED, **told)

        undecided = Undecided(
            self.sidecar,
            wait,
            self._wanted.checks,
            where,
            waiter,
            self._settings.lock_wait,
            self._clock,
            self.tell,
            report,
            self._countdown,
            beside,
        )
        decided = undecided.until_decided()
        result.failure, result.left, result.confirmed = decided.failure, decided.left, decided.kept
        result.soaked, result.rounds = undecided.wait.soaked, undecided.wait.rounds
        if decided.kept:
            self.tell(Moment.CONFIRMED)

    def _fail(self, result: Upgraded, problem: str) -> None:
        # What a rollback by itself rightly says: here the command may have changed much.
        for said, meant in _OF_THE_ROLLBACK.items():
            problem = problem.replace(said, meant)
        result.outcome, result.verified, result.rollback_error = Outcome.ROLLBACK_FAILED, False, problem
        result.half_way = self.sidecar.pending is not None

    def _record(self, result: Upgraded) -> None:
        """Record how it ended, and then that it is over; where that is impossible, it stays unknown, and is told."""
        try:
            outcomes.record(self.sidecar, result.pre, result.ending(), self._clock(), self._settings.lock_wait)
            if result.outcome is not Outcome.ROLLBACK_FAILED:
                in_progress.clear(self.sidecar)
        except Exception as error:  # noqa: BLE001 - as in finish
            problem = f"how the upgrade ended could not be recorded: {describe(error)}"
            result.doubts.append(problem)
            if result.outcome is Outcome.KEPT:
                result.verified, result.broke_off = False, result.broke_off or problem
        if result.outcome is Outcome.ROLLBACK_FAILED:
            problem = f"{result.failure}; {result.rollback_error}"
            in_progress.update(self.sidecar, stage=UpgradePhase.ROLLBACK_FAILED, problem=problem)

    def _note(self, result: Upgraded) -> None:
        """For the audit log: what the exit code alone does not tell."""
        noted = self.sidecar.noted
        noted.outcome = result.outcome.value
        noted.cause = "; ".join(t for t in (result.failure, result.rollback_error, result.broke_off) if t)
        noted.counts |= {} if result.exit_code is None else {"command_exit_code": result.exit_code}
        noted.counts |= result.changes.figures if result.changes is not None else {}
        facts: dict[str, Any] = {
            "pre": result.pre.id,
            "post": result.post.id if result.post else None,
            "doubts": list(result.doubts),
            "verified": result.verified,
            "half_way": result.half_way,
            "aside": result.aside,
        }
        if self._wanted.waits:
            facts |= {"soaked": round(result.soaked, 3), "rounds": result.rounds, "confirmed": result.confirmed}
            facts |= {"left": True} if result.left else {}
            # Whoever goes on with it is no `run`, and has settled one all the same.
            facts |= {"settled": result.outcome.value} if self._known is not None and not result.left else {}
        if result.outcome is not Outcome.KEPT and result.post is not None:
            # The next one who reads may have neither snapshot any more.
            with suppress(GitsnapError, OSError):
                found = stored.changes(self.sidecar, result.pre, result.post, similar=False)
                facts["changed"] = [{"path": path_text(c.path), "status": c.status.value} for c in found[:_NOTED]]
        noted.details |= facts

    @property
    def variables(self) -> dict[str, str]:
        """What the command and the checks find in their environment."""
        assert self.result is not None
        return {
            "GITSNAP_UPGRADE": self.id,
            "GITSNAP_PRE": self.result.pre.id,
            "GITSNAP_DIR": self.sidecar.installation,
        }

    def _take_post(self, result: Upgraded) -> None:
        """The evidence. That it cannot be had is no reason to leave the directory as it is."""
        if directory.missing(self.sidecar.installation):
            result.failure = result.failure or "the directory itself is gone"
            self.tell(Moment.SNAPSHOT_FAILED, role="post", problem="the directory itself is gone")
            return
        try:
            taken = self._take(Kind.POST, self._clock(), result.exit_code)
            result.post, known = taken.snapshot, taken.before == result.pre.id
            result.changes = taken.counts if known else self._changes(result.pre, taken.snapshot)
        except Exception as error:  # noqa: BLE001 - as in finish
            problem = describe(error)
            said = f"the snapshot after it failed: {problem}"
            result.failure = result.failure or said
            if self._wanted.on_failure is OnFailure.KEEP and not isinstance(error, HookFailedError):
                result.broke_off = said
            self.tell(Moment.SNAPSHOT_FAILED, role="post", problem=problem)

    def _changes(self, pre: Snapshot, post: Snapshot) -> Counts | None:
        """What the upgrade changed, where another snapshot was taken while it ran."""
        with suppress(GitsnapError, OSError):
            return stored.counts(self.sidecar, pre, post, observer=self._observer)
        return None

    def _check(self, result: Upgraded, where: Surroundings, waiter: Waiter) -> None:
        """Run the checks in order, up to the first that fails, or that cannot be run."""
        for check in self._wanted.checks:
            began = self._clock()
            try:
                found = run_check(check, where, waiter, self._heed(result))
            except Exception as error:  # noqa: BLE001 - as in finish
                name = check if isinstance(check, str) else getattr(check, "__name__", "callable")
                found = CheckResult(name, f"could not be run: {describe(error)}")
            result.checks.append(found)
            self.sidecar.noted.checks.append({"time": moment(began, "milliseconds"), **found.document()})
            self.tell(Moment.CHECK_PASSED if found.ok else Moment.CHECK_FAILED, **found.document())
            if not found.ok:
                result.failure = f"the check '{found.check}' {found.problem}"
            if result.failure:
                return

    def _heed(self, result: Upgraded) -> React | None:
        """A hang-up is no failure of a check where somebody may have to be waited for who lost the connection."""
        if not self._wanted.waits:
            return None

        def react(number: int, alone: bool) -> None:
            if number != signal.SIGHUP:
                result.failure = f"interrupted by {signal.Signals(number).name}"

        return react

    def _rolls_back(self, failure: str, ask: Ask) -> bool:
        policy = self._wanted.on_failure
        if policy is not OnFailure.ASK:
            return policy is OnFailure.ROLLBACK
        try:
            return ask(failure)
        except Exception:  # noqa: BLE001 - nobody has said to keep it
            return True

    def _roll_back(self, result: Upgraded, quiesce: Callable[[], None], target: Snapshot | None = None) -> None:
        """To the snapshot before it, with the edits since where they are to be kept; or to what somebody else says."""
        self.tell(Moment.ROLLBACK_STARTED, to=result.pre.id, reason=result.failure)
        try:
            quiesce()
        except Exception as error:  # noqa: BLE001 - what it would have ended may be gone anyway
            result.doubts.append(f"what the command has left running may still write: {describe(error)}")
        try:
            if directory.missing(self.sidecar.installation):
                result.aside = directory.recreate(self.sidecar.installation)
            kept = self._keep_edits(result) if target is None else None
            result.restored = done = kept or bring_back(
                self.sidecar, target or result.pre, self._settings, self._clock, self._observer
            )
        except Exception as error:  # noqa: BLE001 - as in finish
            self._fail(result, describe(error))
        else:
            result.verified = done.verified
            result.outcome = Outcome.ROLLED_BACK if done.verified else Outcome.ROLLBACK_FAILED
            if not done.verified:
                result.rollback_error = "the directory is not the same as the snapshot"
        for turned in result.restored.service.results if result.restored else ():
            self._turned(turned)
            result.doubts += [] if turned.ok else [turned.told]
        if result.outcome is Outcome.ROLLED_BACK:
            safety = result.restored.safety if result.restored else None
            self.tell(
                Moment.ROLLBACK_COMPLETED,
                to=result.pre.id,
                safety_snapshot=safety.id if safety else None,
                verified=result.verified,
                incomplete=len(result.restored.incomplete) if result.restored else 0,
            )
        else:
            self.tell(
                Moment.ROLLBACK_FAILED, to=result.pre.id, reason=result.failure, rollback_error=result.rollback_error
            )

    def _keep_edits(self, result: Upgraded) -> Restored | None:
        """Undo it and keep what was changed since, where that was asked for and there is any of it."""
        if not self._wanted.keep_edits or result.post is None:
            return None
        try:
            merged = keep_edits(self.sidecar, self.id, result.post, self._settings, self._clock, self._observer)
        except (GitsnapError, OSError) as error:
            if self.sidecar.pending is not None:
                raise
            result.doubts.append(f"what was changed since the upgrade could not be kept apart: {describe(error)}")
            return None
        if merged is None:
            return None
        self._note_conflicts(result, merged)
        return merged.restored

    def _note_conflicts(self, result: Upgraded, merged: MergeResult) -> None:
        result.conflicts = len(merged.plan.conflicts)
        if result.conflicts:
            s = "s" * (result.conflicts != 1)
            result.doubts.append(f"{result.conflicts} file{s} changed since the upgrade in what it had changed itself")
