"""That the service of an installation was stopped, and by what it is to be started again: one small private file.

It is there before the service is stopped, and goes when it was started. A process that is killed in between leaves it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from gitsnap.core.upgrade import Process
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import SERVICE_MARK, Sidecar
from gitsnap.sidecar.state.upgrade_record import here, is_owners


@dataclass(slots=True, frozen=True)
class Mark:
    """Who stops it; `stopped` tells that it does not run, else it may do so by halves. The command to start it counts
    only `where` it was written."""

    by: Process
    start: str
    stopped: bool
    where: str


def load(sidecar: Sidecar) -> Mark | None:
    """The mark, without a command where that may come from elsewhere; None when there is none or it cannot be read."""
    path = sidecar.own(SERVICE_MARK)
    data = files.read(path)
    if data is None:
        return None
    try:
        found = json.loads(data)
        mark = Mark(Process(**found["by"]), found["start"], found["stopped"], found["where"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    sound = type(mark.by.pid) is int and type(mark.stopped) is bool
    if not sound or not all(type(text) is str for text in (mark.start, mark.where)):
        return None
    return mark if mark.where == here(sidecar) and is_owners(path) else replace(mark, start="")


def write(sidecar: Sidecar, by: Process, start: str, *, stopped: bool) -> None:
    """Say that it is about to be stopped, or that it is. Raises OSError."""
    mark = Mark(by, start, stopped, here(sidecar))
    files.replace(sidecar.own(SERVICE_MARK), json.dumps(asdict(mark)).encode(), sidecar.scratch)


def clear(sidecar: Sidecar) -> None:
    """It was started."""
    with suppress(FileNotFoundError):
        os.unlink(sidecar.own(SERVICE_MARK))
