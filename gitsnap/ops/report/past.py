"""What the audit log keeps of upgrades and of snapshots that are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gitsnap.core.audit import decode
from gitsnap.core.counts import Counts
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, register

# What a line that matters here has in it; all others are not taken apart.
_MARKS = (b'"removed":[{', b'"action":"run"', b'"action":"guard"')


@dataclass(slots=True, frozen=True)
class Removal:
    """When a snapshot was removed, by which command, by whom, and why, where retention did it."""

    when: datetime
    action: str
    user: str
    reasons: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Told:
    """What the log tells of an upgrade that has ended: its `checks`, as in the JSON of `run`, with their times; who ran
    it, where and by which version; what it changed, None where it does not say.
    """

    checks: tuple[Mapping[str, Any], ...] = ()
    user: str = ""
    host: str = ""
    version: str = ""
    changed: Counts | None = None


@dataclass(slots=True)
class Past:
    """By upgrade, what is told of it; the snapshots that are gone, and their removals by id."""

    upgrades: dict[str, Told] = field(default_factory=dict)
    gone: dict[str, Snapshot] = field(default_factory=dict)
    removals: dict[str, Removal] = field(default_factory=dict)


def load(sidecar: Sidecar) -> Past:
    """All of it. A line that is not as gitsnap writes it tells nothing: `verify --all` and `doctor` name it."""
    past = Past()
    for text in audit.lines(sidecar.path):
        line = decode(text) if any(mark in text for mark in _MARKS) else None
        if line is None:
            continue
        # The log is a file that anybody may have written to.
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            if line["phase"] == "ended" and line["upgrade"] and line["action"] in ("run", "guard"):
                past.upgrades[str(line["upgrade"])] = _told(line)
            _take_in(past, line)
    places = register.load(sidecar).places() if past.gone else {}
    past.gone = {name: replace(s, sequence=places.get(name)) for name, s in past.gone.items()}
    return past


def who(line: Mapping[str, Any]) -> str:
    """Who ran it, and who they were before they became that."""
    user = line["user"]
    name, before = str(user["name"] or user["uid"]), user["sudo_user"] or user["login"]
    return f"{name} ({before})" if before and before != name else name


def _told(line: Mapping[str, Any]) -> Told:
    counts = line["counts"]
    changed = None
    if line["details"].get("post"):
        changed = Counts.from_figures(counts) or Counts.of_three(
            int(counts["new_files"]), int(counts["removed_files"]), int(counts["changed_files"])
        )
    checks = tuple(c for c in line["checks"] if isinstance(c, dict))
    return Told(checks, who(line), str(line["host"]), str(line["version"]), changed)


def _take_in(past: Past, line: Mapping[str, Any]) -> None:
    for found in line["removed"]:
        snapshot = _snapshot(found)
        past.gone[snapshot.id] = snapshot
        when = datetime.fromisoformat(line["time"])
        past.removals[snapshot.id] = Removal(when, str(line["action"]), who(line), tuple(map(str, found["reasons"])))


def _snapshot(found: Mapping[str, Any]) -> Snapshot:
    """A snapshot as far as the line of its removal tells it: its content is gone."""

    def text(name: str, of: Callable[[Any], str] = str) -> str | None:
        return None if found.get(name) is None else of(found[name])

    ending = None
    if found.get("outcome") and found.get("upgrade"):
        ending = Ending(
            str(found["upgrade"]),
            Outcome(found["outcome"]),
            found.get("command_exit_code"),
            text("failure") or "",
            text("failed_check") or "",
            text("rollback_error") or "",
            duration=found["duration"] if isinstance(found.get("duration"), float) else None,
        )
    return Snapshot(
        str(found["id"]),
        str(found["commit"]),
        "",
        datetime.fromisoformat(found["created"]),
        Kind(found["kind"]),
        str(found["label"]),
        str(found["message"]),
        int(found["files"]),
        int(found["bytes"]),
        str(found["manifest_sha256"]),
        "",
        upgrade=text("upgrade"),
        command=text("command"),
        exit_code=found["exit_code"] if isinstance(found["exit_code"], int) else None,
        partial=int(found["partial"]),
        ending=ending,
    )
