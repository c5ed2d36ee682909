"""What gitsnap has to be: ratios to git and to the better of restic and borg, and memory, by corpus and operation."""

from __future__ import annotations

from typing import NamedTuple

OPERATIONS = ("first", "nochange", "upgrade", "verify", "rollback", "one line", "rollback few", "gc", "gc --full")
SIZES = ("size upgrade", "size one line", "size 30 lines", "size gc", "size gc --full")


class Target(NamedTuple):
    """Upper bounds: times git's, times the better of the others' (of restic's for sizes), megabytes."""

    git: float | None = None
    others: float | None = None
    memory: float | None = None


TARGETS: dict[str, dict[str, Target]] = {
    "nodered": {
        "first": Target(0.4, 0.65),
        "nochange": Target(2.5, 0.3),
        "upgrade": Target(0.6, 0.6),
        "verify": Target(0.6, 0.65),
        "rollback": Target(2.0, 0.8),
        "size upgrade": Target(0.75, 1.25),
        "size one line": Target(None, 1.2),
        "size 30 lines": Target(None, 1.1),
        "size gc --full": Target(1.1, 0.8),
    },
    "linux": {
        "first": Target(0.25, 0.6, 150),
        "nochange": Target(1.5, 0.15, 120),
        "upgrade": Target(0.5, 0.5),
        "verify": Target(0.6, 0.65),
        "rollback": Target(2.0, 0.4),
        "size upgrade": Target(0.75, 1.25),
        "size one line": Target(None, 1.2),
        "size 30 lines": Target(None, 1.1),
        "size gc --full": Target(1.1, 0.8),
    },
    # The same, but few times change: git reads few files then, so the upgrade and the way back are held to the others.
    "patched": {
        "first": Target(0.25, 0.6, 150),
        "nochange": Target(1.5, 0.15, 120),
        "upgrade": Target(None, 0.5),
        "verify": Target(0.6, 0.65),
        "rollback": Target(None, 0.4),
        "size upgrade": Target(0.75, 1.25),
        "size one line": Target(None, 1.2),
        "size 30 lines": Target(None, 1.1),
        "size gc --full": Target(1.1, 0.8),
    },
    "bigfile": {
        "first": Target(0.2, 1.0, 200),
        "upgrade": Target(0.2, 1.0, 200),
        "verify": Target(0.2, 1.0, 200),
        "rollback": Target(1.0, 1.0, 200),
    },
    "mini": {operation: Target(None, 1.0) for operation in OPERATIONS},
}

# Seconds and megabytes with a million files of 1 KB.
MILLION = {"first": (25.0, 350.0), "nochange": (4.0, 150.0)}
# Times `python3 -c pass`.
HELP, LIST_50, COMPLETE_1000 = 8.0, 12.0, 14.0
# How much slower with a thousand snapshots than with ten.
MANY_SNAPSHOTS = 1.5
