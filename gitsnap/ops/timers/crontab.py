"""Lines of this user's crontab, where there is no systemd. What else is in it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitsnap.core import schedule as core
from gitsnap.core.errors import GitsnapError
from gitsnap.core.schedule import Schedule, Timed
from gitsnap.ops.process import systemd
from gitsnap.ops.timers.timer import Standing, carried

_WHERE = "crontab"


@dataclass(slots=True, frozen=True)
class Crontab:
    """The crontab of whoever runs this."""

    environ: Mapping[str, str]
    scheduler = "cron"

    def texts(self, timed: Timed, schedule: Schedule) -> dict[str, str]:
        """What would be written, by where that is. UsageError for what cron cannot do."""
        return {_WHERE: "".join(f"{line}\n" for line in core.cron_lines(timed, schedule, carried(self.environ)))}

    def check(self, timed: Timed, schedule: Schedule) -> None:
        """cron tells nothing before it is given a crontab."""

    def install(self, timed: Timed, schedule: Schedule) -> None:
        """Add the lines, in place of those that are there for the directory. GitsnapError."""
        added = core.cron_lines(timed, schedule, carried(self.environ))
        try:
            self._replace([*core.without(self._lines(), timed.name), *added])
        except GitsnapError as error:
            raise GitsnapError(
                f"the crontab could not be changed: {error.message}",
                hint="gitsnap timer install --print shows the line, for any other scheduler",
                kind="timer",
            ) from None

    def remove(self, name: str) -> str | None:
        """Take the lines of a timer out; cron sees to it by itself, so there is nothing left to say. GitsnapError."""
        lines = self._lines()
        left = core.without(lines, name)
        if left != lines:
            self._replace(left)
        return None

    def standing(self) -> list[Standing]:
        """All that are there; none where there is no cron."""
        try:
            lines = self._lines()
        except GitsnapError:
            return []
        return [Standing(timed, self.scheduler, _WHERE) for line in lines if (timed := core.told(line)) is not None]

    def _lines(self) -> list[str]:
        try:
            said = systemd.ask(["crontab", "-l"], self.environ, "crontab")
        except GitsnapError as error:
            # That there is none yet, as cron's and busybox's say it.
            if "no crontab" in error.message or "can't open" in error.message:
                return []
            raise
        return said.removesuffix("\n").split("\n")

    def _replace(self, lines: list[str]) -> None:
        """The whole of it, which is read back."""
        text = "".join(f"{line}\n" for line in lines)
        systemd.ask(["crontab", "-"], self.environ, "crontab", text)
        if self._lines() != lines:
            raise GitsnapError("it does not hold what was written", kind="timer")
