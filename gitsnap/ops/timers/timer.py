"""What a timer is, whoever keeps it: what would be written, and how one stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from gitsnap.core.schedule import LABEL, Timed
from gitsnap.ops.process import ourselves

# Which files are read, and where sidecars are, as it was when the timer was set up.
_CARRIED = ("GITSNAP_HOME", "PYTHONPATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
# Another gitsnap is waited for so long, in seconds: an upgrade may be under way.
WAIT = 600


class Standing(NamedTuple):
    """A timer that is there. `where` is its unit, or the crontab. What nobody can tell is None: whether it is `active`,
    when it comes `next`, when its command ran `last` and with which `exit_code`."""

    timed: Timed
    scheduler: str
    where: str
    active: bool | None = None
    next: datetime | None = None
    last: datetime | None = None
    exit_code: int | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.timed.name

    @property
    def installation(self) -> str:
        """The directory."""
        return self.timed.installation


def timed(installation: str, store: str, every: str) -> Timed:
    """The snapshots of a directory that are to be taken by themselves."""
    words = [*ourselves.command(), "-C", installation, "--store", store, "--lock-wait", str(WAIT), "-q", "snapshot"]
    return Timed(installation, store, every, (*words, "--skip-unchanged", "--label", LABEL))


def carried(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a snapshot is to be taken with. Not PATH: what the machine's own is, a caller's may not be."""
    return {name: environ[name] for name in _CARRIED if environ.get(name)}
