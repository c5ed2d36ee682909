"""The upgrade of several directories as it concerns one of them: its snapshots, its record, its going back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Ending
from gitsnap.core.upgrade import Moment, Stored, UpgradePhase, upgrades
from gitsnap.ops.live import in_progress, service
from gitsnap.ops.process.processes import Waiter
from gitsnap.ops.process.shell import Surroundings
from gitsnap.ops.store import outcomes
from gitsnap.ops.upgrade.bring_back import Ask
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.problems import describe
from gitsnap.ops.upgrade.result import Upgraded
from gitsnap.ops.upgrade.rollback_of_a_failure import merge_edits
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import disk_reserve, register, upgrade_record
from gitsnap.sidecar.state.upgrade_record import Members, UpgradeRecord, Wait

# What is told of all at once, not of one directory.
_OF_ALL = frozenset(
    {
        Moment.CHECK_PASSED,
        Moment.CHECK_FAILED,
        Moment.SOAK_STARTED,
        Moment.SOAK_COMPLETED,
        Moment.CONFIRM_STARTED,
        Moment.CONFIRMED,
        Moment.WAIT_RESUMED,
    }
)


class Part(Upgrade):
    """The upgrade as it concerns one directory of several."""

    done: Upgraded

    def tell(self, moment: Moment, **facts: Any) -> None:
        """As of any upgrade, with the directory that it is about."""
        where = {} if moment in _OF_ALL else {"installation": self.sidecar.installation}
        super().tell(moment, **where, **facts)

    def known(self) -> set[str]:
        """The ids of upgrades that this sidecar knows."""
        return {u.id for u in upgrades(catalog.snapshots(self.sidecar))} | register.load(self.sidecar).upgrades()

    def claim(self, name: str, members: Members, umask: int, directory: str) -> None:
        """Say that it begins, and over which directories; LockedError while another one lives."""
        wait = self._wait(umask)
        wait = replace(wait, directory=directory) if wait is not None else None
        in_progress.claim(self.sidecar, name, self._wanted.command, self._settings.lock_wait, wait, members)
        self.id = self.sidecar.noted.upgrade = name

    def stop_service(self) -> None:
        """Where it is to be stopped for the upgrade: before the first snapshot of any."""
        around = self._settings.service
        if around is not None and around.upgrade:
            service.stop(self.sidecar, around, self._turned)

    def take_first(self) -> None:
        """The snapshot before it, read again; and what could not be put back."""
        now = self._clock()
        pre = self._take(Kind.PRE, now, None).snapshot
        self.done = self.result = Upgraded(self.id, pre, self._wanted.command)
        self._prove(pre)
        self._foresee(pre)
        ending = Ending(self.id, command=self._wanted.command)
        outcomes.record(self.sidecar, pre, ending, now, self._settings.lock_wait)
        in_progress.update(self.sidecar, stage=UpgradePhase.READY, pre=pre.id)
        self._reserve = disk_reserve.hold(self.sidecar)

    def forsake(self) -> None:
        """Nothing was started."""
        disk_reserve.release(self._reserve)
        if self.id:
            self._forsake(self.result.pre if self.result else None)

    def start(self) -> None:
        """Write down that from now on the directory may be changed. Raises OSError."""
        in_progress.started(self.sidecar)
        self._is_started = True
        self.sidecar.noted.begin()

    def take_over(self, known: UpgradeRecord, mine: Stored) -> None:
        """Another process has begun it."""
        self.go_on(known, mine)
        assert self.result is not None
        self.done = self.result

    def take_second(self, failure: str, exit_code: int | None) -> None:
        """The snapshot after it, unless there is one."""
        disk_reserve.release(self._reserve)
        self.done.failure, self.done.exit_code = failure, exit_code
        in_progress.update(self.sidecar, stage=UpgradePhase.POST, exit_code=exit_code, problem=failure)
        if self.done.post is None:
            self._take_post(self.done)

    def is_undecided(self, duration: float) -> None:
        """What there is to be recorded of it is, before that is waited for."""
        self.done.duration = duration
        self._record_undecided(self.done)

    def until_decided(self, wait: Wait, where: Surroundings, waiter: Waiter, beside: Sequence[Sidecar]) -> None:
        """Wait until it is decided what becomes of all."""
        self._until_decided(self.done, wait, where, waiter, beside)

    @property
    def wait(self) -> Wait | None:
        """What is written down of what it waits for."""
        known = upgrade_record.load(self.sidecar)
        return known.wait if known is not None else None

    def merged(self) -> Snapshot:
        """The snapshot that it goes back to: that before it, or what comes of undoing it where edits since are kept."""
        done, post = self.done, self.done.post
        if not self._wanted.keep_edits or post is None:
            return done.pre
        try:
            found = merge_edits(self.sidecar, self.id, post, self._settings, self._clock, self._observer)
        except (GitsnapError, OSError) as error:
            done.doubts.append(f"what was changed since the upgrade could not be kept apart: {describe(error)}")
            return done.pre
        if found is None or found.snapshot is None:
            return done.pre
        self._note_conflicts(done, found)
        return found.snapshot

    def start_service(self, waiter: Waiter) -> None:
        """Where it was stopped for the upgrade."""
        self._start_service(self.done, waiter)

    def check(self, where: Surroundings, waiter: Waiter) -> None:
        """The checks of all."""
        self._check(self.done, where, waiter)

    def decide(self, failure: str, ask: Ask) -> bool:
        """Whether all go back."""
        return self._rolls_back(failure, ask)

    def go_back(self, target: Snapshot) -> None:
        """To the snapshot before it, or to what came of merging. Raises nothing."""
        # The services of all are stopped around the rollbacks of all.
        self._settings = replace(self._settings, service=None)
        self._roll_back(self.done, lambda: None, target)

    def fail(self, problem: str) -> None:
        """It could not be brought back."""
        self._fail(self.done, problem)

    def record(self) -> None:
        """How it ended, for good. Raises GitsnapError or OSError."""
        outcomes.record(self.sidecar, self.done.pre, self.done.ending(), self._clock(), self._settings.lock_wait)

    def note(self) -> None:
        """For the audit log."""
        self._note(self.done)

    def turn_on_service(self, waiter: Waiter) -> None:
        """It is kept: where its service was stopped for it, it runs again."""
        around = self._settings.service
        if around is not None and service.is_ours(self.sidecar):
            done = service.start(self.sidecar, around, self._turned, waiter)
            self.done.doubts += [] if done.ok else [done.told]
