"""What is set up for a directory at once: a timer, a unit that settles what was interrupted at boot, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gitsnap.core.at_boot import AtBoot
from gitsnap.core.schedule import Schedule, Timed
from gitsnap.ops.timers.at_boot import AtBootStanding, AtBootUnits
from gitsnap.ops.timers.crontab import Crontab
from gitsnap.ops.timers.timer import Standing
from gitsnap.ops.timers.units import Units


class ByClock(NamedTuple):
    """A timer, and who keeps it."""

    keeper: Units | Crontab
    timed: Timed
    schedule: Schedule


class Settling(NamedTuple):
    """A unit that settles what was interrupted, and where it goes."""

    units: AtBootUnits
    unit: AtBoot


@dataclass(slots=True, frozen=True)
class Setup:
    """One of them at least."""

    by_clock: ByClock | None
    settling: Settling | None

    @property
    def name(self) -> str:
        """Of the timer, else of the unit."""
        return self.by_clock.timed.name if self.by_clock else self.settling.unit.name if self.settling else ""

    def texts(self) -> dict[str, str]:
        """What would be written, by where that is. UsageError for what cannot be written there."""
        texts: dict[str, str] = {}
        if self.by_clock:
            texts |= self.by_clock.keeper.texts(self.by_clock.timed, self.by_clock.schedule)
        if self.settling:
            texts |= self.settling.units.texts(self.settling.unit)
        return texts

    def check(self) -> None:
        """What systemd says of it before anything is written, where it can be asked. UsageError, GitsnapError."""
        if self.by_clock:
            self.by_clock.keeper.check(self.by_clock.timed, self.by_clock.schedule)
        if self.settling:
            self.settling.units.check(self.settling.unit)

    def install(self) -> None:
        """Write both, and start the timer. GitsnapError; what was there before is there again then."""
        take_back = self.settling.units.install(self.settling.unit) if self.settling else None
        if self.by_clock:
            try:
                self.by_clock.keeper.install(self.by_clock.timed, self.by_clock.schedule)
            except BaseException:
                if take_back:
                    take_back()
                raise

    def standing(self) -> tuple[list[Standing], list[AtBootStanding]]:
        """How they stand."""
        by_clock, settling = self.by_clock, self.settling
        return (
            [one for one in by_clock.keeper.standing() if one.name == by_clock.timed.name] if by_clock else [],
            [one for one in settling.units.standing() if one.name == settling.unit.name] if settling else [],
        )
