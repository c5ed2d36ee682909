"""Which hooks are told of what, by the record alone."""

from __future__ import annotations

from typing import Any

import pytest

from gitsnap.core.notification import AFTER_ROLLBACK, AFTER_RUN, HOOKS, ON_DAMAGE, ON_FAILURE, due, event


def record(action: str, outcome: str, exit_code: int = 0, **more: Any) -> dict[str, Any]:
    fields = ("time", "host", "user", "version", "installation", "command", "upgrade", "cause", "target", "safety")
    empty = dict.fromkeys(fields) | {"details": {}, "counts": {}, "taken": [], "checks": [], "duration": 0.0}
    return {**empty, "action": action, "outcome": outcome, "exit_code": exit_code, **more}


PRE = {"details": {"pre": "2025-01-01T00-00-00Z-pre"}}


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (record("run", "kept", **PRE), [AFTER_RUN]),
        (record("guard", "kept", **PRE), [AFTER_RUN]),
        (record("run", "kept", 3, cause="the command exited with 3", **PRE), [ON_FAILURE, AFTER_RUN]),
        (record("run", "rolled-back", 20, **PRE), [AFTER_ROLLBACK, ON_FAILURE, AFTER_RUN]),
        (record("run", "rollback-failed", 21, **PRE), [AFTER_ROLLBACK, ON_FAILURE, AFTER_RUN]),
        # It waits for somebody to say keep, and nobody sees to it: nothing has ended.
        (record("run", "kept", details={"pre": "x", "left": True}), []),
        (record("recover", "kept", details={"pre": "x", "settled": "kept"}), [AFTER_RUN]),
        (record("keep", "done", details={"settled": "kept"}), [AFTER_RUN]),
        (record("keep", "done"), []),
        (record("run", "incomplete", 3), [ON_FAILURE]),
        (record("run", "refused", 2), []),
        (record("run", "refused", 11), [ON_FAILURE]),
        (record("snapshot", "incomplete", 3), []),
        (record("snapshot", "failed", 1), [ON_FAILURE]),
        (record("snapshot", "interrupted", 130), []),
        (record("snapshot", "refused", 14), [ON_FAILURE]),
        (record("rollback", "done", safety="s"), [AFTER_ROLLBACK]),
        (record("rollback", "done"), []),
        (record("rollback", "declined", 1), []),
        (record("rollback", "damaged", 12), [ON_FAILURE]),
        (record("recover", "done", safety="s", details={"direction": "give-up"}), []),
        (record("recover", "done", safety="s", details={"direction": "revert"}), [AFTER_ROLLBACK]),
        (record("verify", "damaged", 12), []),
        (record("verify", "differs", 1), []),
        (record("drill", "failed", 1), [ON_FAILURE]),
        (record("delete", "refused", 1), []),
    ],
)
def test_which_are_due(told: dict[str, Any], wanted: list[str]) -> None:
    assert due(told, []) == wanted
    assert due(told, [{"snapshot": "x"}]) == [ON_DAMAGE, *wanted]


def test_every_event_has_the_same_fields() -> None:
    found = [event(name, record("snapshot", "failed", 1), "/store", []) for name in HOOKS]
    assert len({tuple(e) for e in found}) == 1
    assert [e["event"] for e in found] == list(HOOKS)
    assert found[0]["failed"]
