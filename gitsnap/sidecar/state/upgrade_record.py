"""The upgrade that is under way, if any: one small private file, written before anything starts.

It tells a later command what an upgrade that was killed was doing. It decides nothing that refs and trailers can tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from gitsnap.core.deadline import Reading, Term
from gitsnap.core.errors import LockedError
from gitsnap.core.upgrade import OnFailure, Process, UpgradePhase
from gitsnap.sidecar import files, locks
from gitsnap.sidecar.repository import UPGRADE_RECORD, Sidecar

Members = tuple[tuple[str, str], ...]


@dataclass(slots=True, frozen=True)
class Wait:
    """What an upgrade waits for after its command, for whoever goes on with that: spans of time in seconds, 0 for none.
    `stop` and `start` are those of its service. Of several directories, the first one's decides.

    `directory` is where the checks run, "" for the installation. `soaked` are the seconds during which checks were run
    and passed, `term` runs since the first of them have. `kept` tells that somebody has said keep. All commands are of
    the command line that is recorded; they count only `where` they were written, so that none comes from elsewhere with
    a sidecar.
    """

    soak: float = 0.0
    every: float = 30.0
    confirm: float = 0.0
    keep_edits: bool = False
    on_failure: str = "rollback"
    checks: tuple[str, ...] = ()
    check_timeout: float = 300.0
    umask: int = -1
    stop: str = ""
    start: str = ""
    directory: str = ""
    where: str = ""
    soaked: float = 0.0
    rounds: int = 0
    term: Term | None = None
    kept: bool = False


@dataclass(slots=True, frozen=True)
class UpgradeRecord:
    """What is going on. `child` is the command's process, `exit_code` what it ended with. `members` are the directories
    that it is over, in their order, where that are several: real path and sidecar of each."""

    upgrade: str
    command: str
    runner: Process
    stage: UpgradePhase = UpgradePhase.SNAPSHOT
    pre: str | None = None
    child: Process | None = None
    exit_code: int | None = None
    problem: str = ""
    wait: Wait | None = None
    members: Members = ()


def load(sidecar: Sidecar) -> UpgradeRecord | None:
    """The record, or None when there is none or it cannot be read."""
    data = files.read(sidecar.own(UPGRADE_RECORD))
    if data is None:
        return None
    try:
        found = json.loads(data)
        processes = {k: Process(**found[k]) if found[k] else None for k in ("runner", "child")}
        wait = _wait(found["wait"]) if found.get("wait") is not None else None
        read = {"stage": UpgradePhase(found["stage"]), "wait": wait, "members": members_of(found.get("members", []))}
        record = UpgradeRecord(**{**found, **processes, **read})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if _is_sound(record) else None


def members_of(found: object) -> Members:
    """What is read of several directories; ValueError for what we would not have written."""
    if not isinstance(found, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in found):
        raise ValueError("these are no directories")
    if not all(isinstance(path, str) and path.startswith("/") and "\0" not in path for pair in found for path in pair):
        raise ValueError("these are no directories")
    return tuple((root, store) for root, store in found)


def _wait(found: dict[str, Any]) -> Wait:
    """ValueError, TypeError or KeyError for what we would not have written."""
    term = found["term"]
    if term is not None:
        term = Term(Reading(**term["began"]), term["seen"])
        numbers = (term.began.ticks, term.began.wall, term.seen)
        if type(term.began.boot) is not str or not all(map(_is_number, numbers)):
            raise ValueError("no clocks")
    wait = Wait(**{**found, "term": term, "checks": tuple(found["checks"])})
    spans = (wait.soak, wait.every, wait.confirm, wait.check_timeout, wait.soaked)
    texts = (*wait.checks, wait.where, wait.on_failure, wait.stop, wait.start, wait.directory)
    if not (
        all(_is_number(span) and span >= 0 for span in spans)
        and all(type(text) is str for text in texts)
        and all(type(flag) is bool for flag in (wait.kept, wait.keep_edits))
        and all(type(number) is int for number in (wait.umask, wait.rounds))
        and wait.on_failure in list(OnFailure)
        and wait.every > 0
    ):
        raise ValueError("no wait")
    return wait


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -1e12 < value < 1e12  # type: ignore[operator]


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


def decide(
    sidecar: Sidecar, wait: float, change: Callable[[UpgradeRecord | None], UpgradeRecord | None]
) -> UpgradeRecord | None:
    """Have `change` make the record what it is to be, while nobody else can. What is there then.

    None of it leaves the record as it is. Raises LockedError or OSError, and what `change` raises; nothing has changed.
    """
    with locks.hold(sidecar.own("upgrade.lock"), exclusive=True, wait=wait):
        known = load(sidecar)
        record = change(known)
        if record is None:
            return known
        _write(sidecar, record)
        return record


def here(sidecar: Sidecar) -> str:
    """What tells this sidecar, where it lies, from any copy of it: none that comes from elsewhere can have the same."""
    try:
        machine = (files.read("/etc/machine-id") or b"").decode("ascii", "replace").strip()
    except OSError:
        machine = ""
    found = os.stat(sidecar.path)
    return f"{machine}:{found.st_ino}"


def is_private(sidecar: Sidecar) -> bool:
    """Whether nobody but who runs this, or root, can have written the record."""
    return is_owners(sidecar.own(UPGRADE_RECORD))


def is_owners(path: str) -> bool:
    """Whether nobody but who runs this, or root, can have written a file."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def clear(sidecar: Sidecar) -> None:
    """The upgrade has come to its end."""
    with suppress(FileNotFoundError):
        os.unlink(sidecar.own(UPGRADE_RECORD))


def _write(sidecar: Sidecar, record: UpgradeRecord) -> None:
    files.replace(sidecar.own(UPGRADE_RECORD), json.dumps(asdict(record)).encode(), sidecar.scratch)
