"""After the command and its first checks: the checks go on for a while, or somebody has to say keep.

What is decided is decided in the record of the upgrade, under its lock, so that one who says keep at the last moment is
either heard or told that it is too late. What has passed is written down again and again: whoever goes on after a kill
or a restart has no more to wait for than what was left.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core.deadline import Term
from gitsnap.core.duration import told
from gitsnap.core.upgrade import CheckResult, Moment, UpgradePhase
from gitsnap.ops.live import in_progress
from gitsnap.ops.process import clocks
from gitsnap.ops.process.processes import Waiter
from gitsnap.ops.process.shell import Surroundings
from gitsnap.ops.upgrade.checks import Check, run_check
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.upgrade_record import Wait

# In seconds: how soon somebody who says keep is heard, and how much of the time that has passed a kill may lose.
_LOOK, _WRITE = 0.25, 10.0

# Shown with the seconds that are left to soak, and those left to say keep in.
Countdown = Callable[[float | None, float | None], None]
# Runs one check and tells of it.
Try = Callable[[Check, Surroundings], CheckResult]


@dataclass(slots=True, frozen=True)
class Decided:
    """What was decided: `failure` says why the directory goes back, empty where it is kept. `left` tells that nothing
    was decided, `kept` that somebody has said keep."""

    failure: str = ""
    left: bool = False
    kept: bool = False


@dataclass(slots=True)
class Undecided:
    """One upgrade that waits. `report` is told of each check that was run, and of what else happens.

    Of several directories, it is decided in the first one's record; those `beside` it say how far it is as well.
    """

    sidecar: Sidecar
    wait: Wait
    checks: Sequence[Check]
    where: Surroundings
    waiter: Waiter
    lock_wait: float
    clock: Callable[[], datetime]
    tell: Callable[..., None]
    report: Callable[[CheckResult, datetime], None]
    countdown: Countdown = lambda *_: None
    beside: Sequence[Sidecar] = ()
    _stage: UpgradePhase = UpgradePhase.SOAK
    _interrupted: int = 0
    _told_to_stop: bool = False
    _since: float = 0.0
    _soaked: float = 0.0
    _written: float = 0.0
    _due: float = 0.0

    def until_decided(self) -> Decided:
        """Wait, and run the checks meanwhile, until it is decided what becomes of the upgrade."""
        begins = self.wait.term is None
        if begins:
            self.wait = replace(self.wait, term=Term(clocks.read()))
        self._since, self._soaked = time.monotonic(), self.wait.soaked
        # Where nobody has looked for a while, the first look is now.
        self._due = self._since + (self.wait.every if begins else 0.0)
        self._enter(UpgradePhase.SOAK if self._is_soaking else UpgradePhase.CONFIRM, resumed=not begins)
        while (decided := self._decide()) is None:
            if self._is_soaking and time.monotonic() >= min(self._due, self._soak_ends):
                failed = self._round()
                # One that was cut off because it is too late anyway has not failed.
                if failed is not None and not self._is_late:
                    return Decided(f"the check '{failed.check}' {failed.problem}")
            else:
                self._pause()
        return decided

    @property
    def _is_soaking(self) -> bool:
        return self.wait.soaked < self.wait.soak

    @property
    def _soak_ends(self) -> float:
        return self._since + self.wait.soak - self._soaked

    @property
    def _passed(self) -> float:
        assert self.wait.term is not None
        return self.wait.term.passed(clocks.read())

    def _enter(self, stage: UpgradePhase, *, resumed: bool = False) -> None:
        self._stage = stage
        self._write()
        facts = {
            "soak_left": round(self.wait.soak - self.wait.soaked, 3) if self._is_soaking else None,
            "confirm_left": round(max(self.wait.confirm - self._passed, 0.0), 3) if self.wait.confirm else None,
        }
        if resumed:
            self.tell(Moment.WAIT_RESUMED, **facts)
        elif stage is UpgradePhase.SOAK:
            self.tell(Moment.SOAK_STARTED, every=self.wait.every, **facts)
        else:
            self.tell(Moment.CONFIRM_STARTED, **facts)

    def _decide(self) -> Decided | None:
        if in_progress.is_kept(self.sidecar):
            return Decided(kept=True)
        if self._interrupted:
            return Decided(f"interrupted by {signal.Signals(self._interrupted).name}")
        if self._told_to_stop:
            self._write()
            return Decided(left=True)
        if self._is_late:
            return Decided(f"nobody said keep within {told(self.wait.confirm)}")
        if self._is_soaking:
            return None
        if not self.wait.confirm:
            return Decided()
        if self._stage is not UpgradePhase.CONFIRM:
            self._enter(UpgradePhase.CONFIRM)
        return None

    @property
    def _is_late(self) -> bool:
        return bool(self.wait.confirm) and self._passed >= self.wait.confirm

    def _round(self) -> CheckResult | None:
        """Run all checks once; the one that failed. The time until they were begun counts when all have passed."""
        began = time.monotonic()
        for check in self.checks:
            when = self.clock()
            found = run_check(check, self._in_time(), self.waiter, self._react)
            self.report(found, when)
            if not found.ok:
                return found
        soaked = min(self._soaked + began - self._since, self.wait.soak)
        self.wait = replace(self.wait, soaked=soaked, rounds=self.wait.rounds + 1)
        self._due = max(began + self.wait.every, time.monotonic())
        self._write()
        if not self._is_soaking:
            self.tell(Moment.SOAK_COMPLETED, seconds=round(self.wait.soak, 3), rounds=self.wait.rounds)
        return None

    def _in_time(self) -> Surroundings:
        """A check that hangs must not put off the moment at which it is too late to say keep."""
        if not self.wait.confirm:
            return self.where
        left = max(self.wait.confirm - self._passed, 0.1)
        return replace(self.where, timeout=min(self.where.timeout, left))

    def _pause(self) -> None:
        """Sleep until something is to be done: a check, a write, a look whether somebody has spoken."""
        self._show()
        if time.monotonic() - self._written >= _WRITE:
            self._write()
        # Where signals wait, the sleep is what lets them through.
        until = time.monotonic() + _LOOK
        if self._is_soaking:
            until = min(until, self._due, self._soak_ends)
        if self.wait.confirm:
            until = min(until, time.monotonic() + max(self.wait.confirm - self._passed, 0.0))
        self.waiter.until(lambda: self._interrupted or self._told_to_stop or None, until, self._react)

    def _show(self) -> None:
        soak = max(self._soak_ends - time.monotonic(), 0.0) if self._is_soaking else None
        self.countdown(soak, max(self.wait.confirm - self._passed, 0.0) if self.wait.confirm else None)

    def _write(self) -> None:
        assert self.wait.term is not None
        self._written = time.monotonic()
        # Of another boot, what has surely passed is not to be counted twice.
        now = clocks.read()
        passed = self.wait.term.passed(now)
        began = replace(now, ticks=now.ticks - passed, wall=now.wall - passed) if self._has_moved(now.boot) else None
        self.wait = replace(self.wait, term=Term(began or self.wait.term.began, passed))
        for sidecar in (self.sidecar, *self.beside):
            in_progress.save(sidecar, self.lock_wait, self._stage, self.wait)

    def _has_moved(self, boot: str) -> bool:
        return self.wait.term is not None and self.wait.term.began.boot != boot

    def _react(self, number: int, alone: bool) -> None:
        """A hang-up ends nothing: that is what one waits for. Who shuts the machine down decides nothing, either."""
        if number == signal.SIGTERM:
            self._told_to_stop = True
        elif number != signal.SIGHUP:
            self._interrupted = number
