"""Timers of systemd: a service and a timer for each directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import escape, glob

from gitsnap.core import schedule as core
from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.schedule import Schedule, Timed
from gitsnap.ops.process import systemd
from gitsnap.ops.timers import files
from gitsnap.ops.timers.timer import Standing, carried

_ASKED = "ActiveState,NextElapseUSecRealtime,LastTriggerUSec,ExecMainStatus,ExecMainExitTimestamp"


@dataclass(slots=True, frozen=True)
class Units:
    """Where units lie, and whose systemd reads them (the machine's, or with `user` the user's)."""

    directory: str
    user: bool
    environ: Mapping[str, str]
    scheduler = "systemd"

    def _path(self, name: str, kind: str) -> str:
        return os.path.join(self.directory, f"{name}.{kind}")

    def texts(self, timed: Timed, schedule: Schedule) -> dict[str, str]:
        """What would be written, by path. UsageError for what no unit can hold."""
        texts = core.units(timed, schedule, carried(self.environ))
        return {self._path(timed.name, kind): text for kind, text in texts.items()}

    def check(self, timed: Timed, schedule: Schedule) -> None:
        """What systemd says of it before anything is written, where it can be asked. UsageError."""
        if shutil.which("systemd-analyze", path=self.environ.get("PATH")) is None:
            return
        try:
            systemd.ask(["systemd-analyze", "calendar", schedule.calendar], self.environ, "systemd-analyze")
        except GitsnapError as error:
            raise UsageError(f"--on-calendar: {error.message}", hint="man systemd.time") from None
        files.verify(self.texts(timed, schedule), user=self.user, environ=self.environ)

    def install(self, timed: Timed, schedule: Schedule) -> None:
        """Write both units and start the timer, now and at each boot. GitsnapError; what was there before is there
        again then."""
        texts = self.texts(timed, schedule)
        before = files.present(texts, core.told)
        try:
            os.makedirs(self.directory, exist_ok=True)
            for path, text in texts.items():
                systemd.write_unit(path, text)
            self._systemctl("daemon-reload")
            self._systemctl("enable", f"{timed.name}.timer")
            # One that runs has to be told what its new time is.
            self._systemctl("restart", f"{timed.name}.timer")
        except (OSError, GitsnapError) as error:
            self._take_back(timed.name, before)
            said = error.message if isinstance(error, GitsnapError) else str(error)
            raise GitsnapError(
                f"the timer could not be set up: {said}; nothing was changed",
                hint="gitsnap timer install --scheduler cron",
                kind="timer",
            ) from None

    def _take_back(self, name: str, before: Mapping[str, str | None]) -> None:
        if any(text is None for text in before.values()):
            self.remove(name)
            return
        with suppress(OSError, GitsnapError):
            for path, text in before.items():
                systemd.write_unit(path, text or "")
            self._systemctl("daemon-reload")
            self._systemctl("restart", f"{name}.timer")

    def remove(self, name: str) -> str | None:
        """Stop and remove a timer, if there is one of that name; why systemd could not be asked, where that is so."""
        said = None
        try:
            self._systemctl("disable", "--now", f"{name}.timer")
        except GitsnapError as error:
            said = error.message
        # When it was last at work, which is remembered for a timer that may have missed its time.
        with suppress(GitsnapError):
            self._systemctl("clean", "--what=state", f"{name}.timer")
        link = os.path.join(self.directory, "timers.target.wants", f"{name}.timer")
        for path in (link, self._path(name, "timer"), self._path(name, "service")):
            with suppress(FileNotFoundError):
                os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(link))
        with suppress(GitsnapError):
            self._systemctl("daemon-reload")
        return said

    def standing(self) -> list[Standing]:
        """All that are there, by name."""
        found = []
        for path in sorted(glob(os.path.join(escape(self.directory), f"{core.PREFIX}*.timer"))):
            timed = core.told(files.read(path) or "")
            if timed is not None:
                found.append(self._state(timed, path))
        return found

    def _state(self, timed: Timed, path: str) -> Standing:
        name = os.path.basename(path).removesuffix(".timer")
        bare = Standing(timed, self.scheduler, path)
        try:
            said = self._systemctl("show", f"-p{_ASKED}", f"{name}.timer", f"{name}.service")
        except GitsnapError:
            return bare
        timer, _, service = said.partition("\n\n")
        facts = dict(line.partition("=")[::2] for line in timer.splitlines())
        ran = dict(line.partition("=")[::2] for line in service.splitlines())
        last = systemd.moment(ran.get("ExecMainExitTimestamp", ""))
        return bare._replace(
            active=facts.get("ActiveState") == "active",
            next=systemd.moment(facts.get("NextElapseUSecRealtime", "")),
            last=last or systemd.moment(facts.get("LastTriggerUSec", "")),
            exit_code=int(ran.get("ExecMainStatus") or 0) if last else None,
        )

    def _systemctl(self, *words: str) -> str:
        return systemd.systemctl(words, user=self.user, environ=self.environ)
