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
from gitsnap.core.comparison import Change
from gitsnap.core.counts import Counts
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.upgrade import (
    CheckResult,
    Moment,
    OnFailure,
    Outcome,
    UpgradePhase,
)
from gitsnap.installation import root as directory
from gitsnap.ops.capture.hooks import HookFailedError
from gitsnap.ops.compare import stored
from gitsnap.ops.live import in_progress, service
from gitsnap.ops.process.processes import React, Waiter
from gitsnap.ops.process.shell import Surroundings
from gitsnap.ops.store import outcomes
from gitsnap.ops.upgrade.bring_back import Ask, BringBack
from gitsnap.ops.upgrade.checks import run_check
from gitsnap.ops.upgrade.problems import describe
from gitsnap.ops.upgrade.result import Upgraded
from gitsnap.ops.upgrade.waiting import Undecided
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import disk_reserve
from gitsnap.sidecar.state.upgrade_record import Wait

# How many paths the audit log names of what an upgrade changed.
_NOTED = 20


class Upgrade(BringBack):
    """One upgrade of a sidecar's installation. `begin`, change the directory, then `finish`."""

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
                facts["changed"] = [_path_that_changed(c) for c in found[:_NOTED]]
        noted.details |= facts

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


def _path_that_changed(change: Change) -> dict[str, Any]:
    """One path of what an upgrade changed, as the audit log has it: what is more than its name, only where there is."""
    more: dict[str, Any] = {"directory": True} if change.is_directory else {}
    more |= {"what": list(change.what)} if change.what else {}
    return {"path": path_text(change.path), "status": change.status.value, **more}
