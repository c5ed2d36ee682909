"""Units of systemd that settle an interrupted rollback at boot: enabled, and never started or stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from glob import escape, glob
from typing import NamedTuple

from gitsnap.core import at_boot as core
from gitsnap.core.at_boot import AtBoot
from gitsnap.core.errors import GitsnapError
from gitsnap.ops.process import ourselves, systemd
from gitsnap.ops.timers import files
from gitsnap.ops.timers.timer import WAIT, carried
from gitsnap.sidecar.repository import JOURNAL, SET_RETURN, Sidecar

_ASKED = "UnitFileState,ExecMainStatus,ExecMainExitTimestamp"


class AtBootStanding(NamedTuple):
    """A unit that is there, at the path `where`. What nobody can tell is None: whether it is `enabled`, and when its
    command ran `last` (since this boot) and with which `exit_code`."""

    unit: AtBoot
    where: str
    enabled: bool | None = None
    last: datetime | None = None
    exit_code: int | None = None

    @property
    def name(self) -> str:
        """Of the unit, without the ending."""
        return self.unit.name

    @property
    def installation(self) -> str:
        """The directory."""
        return self.unit.installation


def at_boot(sidecar: Sidecar, before: Sequence[str]) -> AtBoot:
    """What is to be settled at boot, `before` which units. UsageError for what is no name of a unit."""
    words = [*ourselves.command(), "-C", sidecar.installation, "--store", sidecar.path, "--lock-wait", str(WAIT)]
    return AtBoot(
        sidecar.installation,
        sidecar.path,
        core.services(before),
        (*words, "recover", "--at-boot"),
        ourselves.program(),
        (sidecar.own(f"{JOURNAL}*"), sidecar.own(SET_RETURN)),
    )


@dataclass(slots=True, frozen=True)
class AtBootUnits:
    """Where units lie, and whose systemd reads them (the machine's, or with `user` the user's)."""

    directory: str
    user: bool
    environ: Mapping[str, str]
    scheduler = "systemd"

    def texts(self, wanted: AtBoot) -> dict[str, str]:
        """What would be written, by path. UsageError for what no unit can hold."""
        return {self._path(wanted.name): core.unit(wanted, carried(self.environ), user=self.user)}

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, f"{name}.service")

    def check(self, wanted: AtBoot) -> None:
        """What systemd says of it before anything is written, where it can be asked. GitsnapError."""
        files.verify(self.texts(wanted), user=self.user, environ=self.environ)

    def unknown(self, wanted: AtBoot) -> list[str]:
        """Which of the units that are to wait systemd does not know; none where it cannot be asked."""
        return [name for name in wanted.before if self._shown(name, "LoadState").get("LoadState") == "not-found"]

    def install(self, wanted: AtBoot) -> Callable[[], None]:
        """Write the unit and have it run at each boot from the next one on; what takes that back. GitsnapError; what
        was there before is there again then."""
        texts = self.texts(wanted)
        before = files.present(texts, core.told)

        def take_back() -> None:
            with suppress(OSError, GitsnapError):
                if None in before.values():
                    self.remove(wanted.name)
                else:
                    self._write(wanted.name, {path: text or "" for path, text in before.items()})

        try:
            self._write(wanted.name, texts)
        except (OSError, GitsnapError) as error:
            take_back()
            said = error.message if isinstance(error, GitsnapError) else str(error)
            raise GitsnapError(
                f"the unit could not be set up: {said}; nothing was changed",
                hint="gitsnap timer install --recover-at-boot --print shows it",
                kind="timer",
            ) from None
        return take_back

    def _write(self, name: str, texts: Mapping[str, str]) -> None:
        os.makedirs(self.directory, exist_ok=True)
        for path, text in texts.items():
            systemd.write_unit(path, text)
        self._systemctl("daemon-reload")
        # What waited for an older one of that name waits no more.
        self._systemctl("reenable", f"{name}.service")

    def remove(self, name: str) -> str | None:
        """Remove a unit, if there is one of that name; why systemd could not be asked, where that is so.

        It is not stopped: what requires it would be stopped as well."""
        said = None
        try:
            self._systemctl("disable", f"{name}.service")
        except GitsnapError as error:
            said = error.message
        for kind in ("wants", "requires"):
            for link in glob(os.path.join(escape(self.directory), f"*.{kind}", f"{escape(name)}.service")):
                with suppress(FileNotFoundError):
                    os.unlink(link)
                with suppress(OSError):
                    os.rmdir(os.path.dirname(link))
        with suppress(FileNotFoundError):
            os.unlink(self._path(name))
        with suppress(GitsnapError):
            self._systemctl("daemon-reload")
        return said

    def standing(self) -> list[AtBootStanding]:
        """All that are there, by name."""
        found = []
        for path in sorted(glob(os.path.join(escape(self.directory), f"{core.PREFIX}*.service"))):
            unit = core.told(files.read(path) or "")
            if unit is not None:
                found.append(self._state(unit, path))
        return found

    def _state(self, unit: AtBoot, path: str) -> AtBootStanding:
        facts = self._shown(os.path.basename(path), _ASKED)
        if not facts:
            return AtBootStanding(unit, path)
        last = systemd.moment(facts.get("ExecMainExitTimestamp", ""))
        code = int(facts.get("ExecMainStatus") or 0) if last else None
        return AtBootStanding(unit, path, facts.get("UnitFileState", "").startswith("enabled"), last, code)

    def _shown(self, unit: str, asked: str) -> dict[str, str]:
        try:
            said = self._systemctl("show", f"-p{asked}", "--", unit)
        except GitsnapError:
            return {}
        return dict(line.partition("=")[::2] for line in said.splitlines())

    def _systemctl(self, *words: str) -> str:
        return systemd.systemctl(words, user=self.user, environ=self.environ)
