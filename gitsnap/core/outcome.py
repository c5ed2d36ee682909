"""What became of an upgrade, as it is recorded when it is known."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gitsnap.core.counts import Counts


class Outcome(StrEnum):
    """How an upgrade ended. `REVERTED`: it was kept, and somebody went back later. `UNKNOWN` is recorded before the
    command is started, and so stands where nobody lived to know better."""

    KEPT = "kept"
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


class Ending(NamedTuple):
    """The record of one upgrade. `failure` says why it failed, empty where it did not; `check` is the check that did.
    `command` is what was run; empty in records of before it was noted.

    `exit_code` is the command's, negative for a signal, None where it is not known.

    `duration` is in seconds, from the moment at which the first snapshot was begun to the one at which the directory
    was kept, or was back: the command, both snapshots and their hooks, the checks and the rollback are in it. `changes`
    are what differs between the two snapshots. Both are None while the upgrade runs and in a record of before they were
    in there, and `changes` also where there is no second snapshot.
    """

    upgrade: str
    outcome: Outcome = Outcome.UNKNOWN
    exit_code: int | None = None
    failure: str = ""
    check: str = ""
    rollback_error: str = ""
    command: str = ""
    duration: float | None = None
    changes: Counts | None = None
