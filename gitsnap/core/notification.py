"""Which hooks are told of what happened, and the event that each is given: made of the record for the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

AFTER_RUN, ON_FAILURE, AFTER_ROLLBACK, ON_DAMAGE = "after-run", "on-failure", "after-rollback", "on-damage"
# In the order in which they run.
HOOKS = (ON_DAMAGE, AFTER_ROLLBACK, ON_FAILURE, AFTER_RUN)

_RUNS = frozenset({"run", "guard"})
_BRING_BACK = frozenset({"rollback", "undo", "redo", "restore", "recover", "carry"})
# What they find is no failure of theirs.
_LOOK = frozenset({"verify", "validate-backup", "doctor", "audit"})
_FAILED = frozenset({"failed", "damaged", "rolled-back", "rollback-failed"})
# Exit codes of what was refused because something else stands in the way: locked, a rollback that waits.
_IN_THE_WAY = frozenset({11, 14})

Record = Mapping[str, Any]


def due(record: Record, damaged: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hooks that are to be told. `damaged` is what was found damaged for the first time."""
    wanted = {
        ON_DAMAGE: bool(damaged),
        AFTER_ROLLBACK: _went_back(record),
        ON_FAILURE: failed(record),
        AFTER_RUN: _ran(record),
    }
    return [name for name in HOOKS if wanted[name]]


def _ran(record: Record) -> bool:
    """Whether an upgrade has come to its end: by itself, or by what settled it."""
    details = record["details"]
    if details.get("left"):
        return False
    return (record["action"] in _RUNS and details.get("pre") is not None) or "settled" in details


def _went_back(record: Record) -> bool:
    """Whether the directory, or something in it, was brought back, or that was tried and left half done."""
    if record["action"] in _RUNS:
        return record["outcome"] in ("rolled-back", "rollback-failed")
    given_up = record["details"].get("direction") == "give-up"
    return record["action"] in _BRING_BACK and record["safety"] is not None and not given_up


def failed(record: Record) -> bool:
    """Whether it did not do what it was asked for, for a reason that lies not in how it was asked."""
    if record["action"] in _LOOK:
        return False
    if record["details"].get("left"):
        # Nothing is decided.
        return False
    if record["action"] in _RUNS and record["details"].get("pre") is not None:
        return record["outcome"] != "kept" or bool(record["cause"])
    if record["outcome"] == "incomplete" and record["action"] in _RUNS:
        # Nothing was started.
        return True
    return (
        record["outcome"] in _FAILED
        or record["details"].get("settled") in _FAILED
        or (record["outcome"] == "refused" and record["exit_code"] in _IN_THE_WAY)
    )


def event(name: str, record: Record, store: str, damaged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the hook of that name is told (docs/reference/events.md)."""
    details = record["details"]
    same = ("time", "host", "user", "version", "installation")
    about = ("action", "command", "upgrade", "outcome", "exit_code", "cause", "target", "checks", "duration")
    return {
        "schema": 1,
        "event": name,
        **{key: record[key] for key in same},
        "store": store,
        "installations": details.get("installations", []),
        **{key: record[key] for key in about},
        "failed": failed(record),
        "upgrade_outcome": record["outcome"] if record["action"] in _RUNS else details.get("settled"),
        "command_exit_code": record["counts"].get("command_exit_code"),
        "pre": details.get("pre"),
        "post": details.get("post"),
        "safety_snapshot": record["safety"],
        "snapshots": [s["id"] for s in record["taken"]],
        "damaged": list(damaged),
    }
