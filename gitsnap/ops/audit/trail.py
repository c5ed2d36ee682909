"""Reading the audit log: all of it, a part of it, or as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from gitsnap.core.audit import decode
from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit

_PAUSE = 0.25

Line = dict[str, Any]


def lines(sidecar: Sidecar, since: datetime | None = None, upgrade: str | None = None) -> list[Line]:
    """The lines that can be read, oldest first: those not before a moment, those of an upgrade.

    `upgrade` is an id, a beginning of one, or the end of one after its time. NoSuchSnapshotError where no line is about
    it, or lines are about several.
    """
    found = [line for line in map(decode, audit.lines(sidecar.path)) if line is not None]
    if upgrade is not None:
        named = {str(u) for line in found if (u := line.get("upgrade")) and _names(upgrade, str(u))}
        exact = {upgrade} & named or named
        if len(exact) != 1:
            what = f"names {len(exact)} upgrades" if exact else "names no upgrade"
            raise NoSuchSnapshotError(
                f"'{upgrade}' {what} in the audit log", kind="no-such-upgrade", hint="gitsnap audit"
            )
        found = [line for line in found if is_about(line, next(iter(exact)))]
    return [line for line in found if since is None or not _before(line, since)]


def _names(selector: str, upgrade: str) -> bool:
    return bool(selector) and (upgrade.startswith(selector) or upgrade.rpartition("Z-")[2] == selector)


def is_about(line: Line, upgrade: str) -> bool:
    """Whether a line tells of an upgrade, or of a snapshot of it."""
    if line.get("upgrade") == upgrade:
        return True
    snapshots = [*line.get("taken", ()), *line.get("removed", ())]
    return any(isinstance(s, dict) and s.get("upgrade") == upgrade for s in snapshots)


def _before(line: Line, moment: datetime) -> bool:
    try:
        return datetime.fromisoformat(line["time"]) < moment
    except (KeyError, ValueError, TypeError):
        return False


def follow(sidecar: Sidecar, after: int, tell: Callable[[Line], None], *, pause: float = _PAUSE) -> None:
    """Tell of each line after that number, for as long as nobody interrupts it."""
    for line in _growing(sidecar, after, pause):
        tell(line)


def _growing(sidecar: Sidecar, after: int, pause: float) -> Iterator[Line]:
    while True:
        if audit.tip(sidecar.path).sequence > after:
            for line in lines(sidecar):
                if line["sequence"] > after:
                    after = line["sequence"]
                    yield line
        time.sleep(pause)
