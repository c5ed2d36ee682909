"""A timer of systemd that goes on with an upgrade when this process is gone, for as long as that waits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gitsnap.core import units
from gitsnap.core.errors import GitsnapError
from gitsnap.ops.process import ourselves, systemd


class TimerError(GitsnapError):
    """The timer could not be set up, so nothing was started."""

    kind = "timer"


@dataclass(slots=True, frozen=True)
class Timer:
    """The units of one sidecar: where they lie, and whose systemd reads them (the machine's, or with `user` the
    user's)."""

    installation: str
    store: str
    directory: str
    user: bool
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of both units, without the ending."""
        return f"gitsnap-recover-{hashlib.sha256(os.fsencode(self.store)).hexdigest()[:12]}"

    def _path(self, kind: str) -> str:
        return os.path.join(self.directory, f"{self.name}.{kind}")

    def install(self) -> None:
        """Write both units and have the timer started, now and at each boot. TimerError; nothing is left then."""
        command = [*ourselves.command(), "-C", self.installation, "--store", self.store, "-q", "recover"]
        # What the checks were tried with.
        variables = {name: self.environ[name] for name in ("PATH", "PYTHONPATH") if self.environ.get(name)}
        texts = {
            "service": units.service(self.installation, command, variables),
            "timer": units.timer(self.installation),
        }
        try:
            os.makedirs(self.directory, exist_ok=True)
            for kind, text in texts.items():
                systemd.write_unit(self._path(kind), text)
            self._systemctl("daemon-reload")
            self._systemctl("enable", "--now", f"{self.name}.timer")
        except (OSError, GitsnapError) as error:
            self.remove()
            said = error.message if isinstance(error, GitsnapError) else str(error)
            raise TimerError(
                f"the timer could not be set up: {said}; nothing was started",
                hint="without --timer, have `gitsnap recover` run at boot",
            ) from None

    def remove(self) -> None:
        """Nothing waits any more. Units that are not there, and a systemd that does not answer, are no failure."""
        if not any(os.path.lexists(self._path(kind)) for kind in ("timer", "service")):
            return
        with suppress(GitsnapError):
            self._systemctl("disable", "--now", f"{self.name}.timer")
        for kind in ("timer", "service"):
            with suppress(OSError):
                os.unlink(self._path(kind))
        with suppress(GitsnapError):
            self._systemctl("daemon-reload")

    def _systemctl(self, *words: str) -> None:
        systemd.systemctl(words, user=self.user, environ=self.environ)
