"""The upgrade that is under way, if any: one small private file, written before anything starts.

It tells a later command what an upgrade that was killed was doing. It decides nothing that refs and trailers can tell.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from gitsnap.core.errors import LockedError
from gitsnap.core.upgrade import Process, UpgradePhase
from gitsnap.sidecar import files, locks
from gitsnap.sidecar.repository import UPGRADE_RECORD, Sidecar


@dataclass(slots=True, frozen=True)
class UpgradeRecord:
    """What is going on. `child` is the command's process, `exit_code` what it ended with."""

    upgrade: str
    command: str
    runner: Process
    stage: UpgradePhase = UpgradePhase.SNAPSHOT
    pre: str | None = None
    child: Process | None = None
    exit_code: int | None = None
    problem: str = ""


def load(sidecar: Sidecar) -> UpgradeRecord | None:
    """The record, or None when there is none or it cannot be read."""
    data = files.read(sidecar.own(UPGRADE_RECORD))
    if data is None:
        return None
    try:
        found = json.loads(data)
        processes = {k: Process(**found[k]) if found[k] else None for k in ("runner", "child")}
        record = UpgradeRecord(**{**found, **processes, "stage": UpgradePhase(found["stage"])})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if _is_sound(record) else None


def _is_sound(record: UpgradeRecord) -> bool:
    """Whether everything in it is what we would have written: the sidecar may come from elsewhere."""
    texts = (record.upgrade, record.command, record.problem, record.pre or "")
    numbers = [n for p in (record.runner, record.child) if p for n in (p.pid, p.start)]
    return (
        record.runner is not None
        and all(type(text) is str for text in (*texts, *(p.boot for p in (record.runner, record.child) if p)))
        and all(type(number) is int and number >= 0 for number in numbers)
        and type(record.exit_code) in (int, type(None))
    )


def claim(sidecar: Sidecar, record: UpgradeRecord, wait: float, running: Process | None) -> None:
    """Write the first record; LockedError when `running`, the process of the one that is there, still lives."""
    with locks.hold(sidecar.own("upgrade.lock"), exclusive=True, wait=wait):
        if running is not None:
            raise LockedError(
                f"another upgrade of this directory is under way (process {running.pid})",
                hint="wait until it is done: gitsnap status",
            )
        _write(sidecar, record)


def update(sidecar: Sidecar, record: UpgradeRecord, *, strict: bool = False, **changes: object) -> UpgradeRecord:
    """Write it anew with changes. A full disk keeps the older record: it says less, and nothing wrong.

    Unless the change is what others must know before anything happens: `strict` raises OSError.
    """
    record = replace(record, **changes)  # type: ignore[arg-type]
    try:
        _write(sidecar, record)
    except OSError:
        if strict:
            raise
    return record


def clear(sidecar: Sidecar) -> None:
    """The upgrade has come to its end."""
    with suppress(FileNotFoundError):
        os.unlink(sidecar.own(UPGRADE_RECORD))


def _write(sidecar: Sidecar, record: UpgradeRecord) -> None:
    files.replace(sidecar.own(UPGRADE_RECORD), json.dumps(asdict(record)).encode(), sidecar.scratch)
