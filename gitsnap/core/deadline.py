"""How much of a term has passed, by clocks that may jump and over restarts of the machine.

Within one boot the clock that only goes forward decides alone (CLOCK_BOOTTIME, which counts while the machine sleeps),
so that the wall clock may be set to whatever it likes. After a restart that clock has begun anew. What has surely
passed then is what had passed when it was last looked at, and the time since the restart; the time in between is only
to be had by the wall clock. That is believed where it says that more has passed, but not in the first minutes of a
boot: a hardware clock in local time is hours ahead until the network has set it right.
"""

from __future__ import annotations

from dataclasses import dataclass

# In seconds.
_CLOCK_SETTLES = 120.0


@dataclass(slots=True, frozen=True)
class Reading:
    """The clocks at one moment: which boot it is, the seconds of its clock that only goes forward, and wall time."""

    boot: str
    ticks: float
    wall: float


@dataclass(slots=True, frozen=True)
class Term:
    """A span of time that began at a moment. `seen` are the seconds that had passed when they were last looked at."""

    began: Reading
    seen: float = 0.0

    def passed(self, now: Reading) -> float:
        """How many seconds have passed."""
        if now.boot == self.began.boot:
            return max(now.ticks - self.began.ticks, 0.0)
        surely = self.seen + now.ticks
        if now.ticks < _CLOCK_SETTLES:
            return surely
        return max(surely, now.wall - self.began.wall)
