"""The audit log as text: one JSON object a line, each with the SHA-256 of the line before, and what proves it whole.

A line begins `{"previous":"<64 hex>","sequence":<n>,`, so that sh and sha256sum alone can follow the chain
(docs/internals/audit.md). The digest is that of a whole line, its newline included.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from gitsnap.core.model import Problem, Snapshot

# How many paths, problems and names a line holds; the rest is counted.
MOST = 20
# What the first line has for the line before it.
BEGINNING = "0" * 64
_HEAD = re.compile(rb'\{"previous":"([0-9a-f]{64})","sequence":([1-9][0-9]{0,17}),')

Record = Mapping[str, Any]


class Link(NamedTuple):
    """A place in the chain: the number of a line, and its digest (hex). Number 0 is before the first."""

    sequence: int = 0
    digest: str = BEGINNING


# Before the first line.
NOTHING = Link()


@dataclass(slots=True)
class Noted:
    """What an operation does, noted while it does it, for whoever writes it down.

    `taken` and `removed` are snapshots, `reasons` why retention removed one, by its id. `target` is the one that was
    brought back or pinned. `changes` tells that the operation was about to change the sidecar, `looks` that it only
    said what it would do, `declined` that somebody was asked and said no. `outcome` and `cause` are what the exit code
    alone does not tell. `counts` are figures by name, `checks` and `details` JSON. `damaged` is what was found damaged
    for the first time. `begin` is called when the directory is about to be changed.
    """

    taken: list[Snapshot] = field(default_factory=list)
    removed: list[Snapshot] = field(default_factory=list)
    reasons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    target: str | None = None
    safety: str | None = None
    upgrade: str | None = None
    changes: bool = False
    looks: bool = False
    declined: bool = False
    outcome: str = ""
    cause: str = ""
    checks: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    damaged: list[dict[str, Any]] = field(default_factory=list)
    begin: Callable[[], None] = lambda: None

    def took(self, snapshot: Snapshot) -> None:
        """A snapshot is there now."""
        self.taken.append(snapshot)

    def name(self, problems: Sequence[Problem]) -> None:
        """These paths are not as they should be, and why."""
        if problems:
            named = [{"path": path_text(p.path), "reason": p.reason} for p in problems[:MOST]]
            self.details["paths"] = named
            self.counts["paths"] = len(problems)

    def let_go(self, snapshots: Iterable[Snapshot]) -> None:
        """Snapshots are gone. One that this operation took itself, and took back, never was."""
        for snapshot in snapshots:
            if any(s.id == snapshot.id for s in self.taken):
                self.taken = [s for s in self.taken if s.id != snapshot.id]
            else:
                self.removed.append(snapshot)


_OUTCOMES = {
    0: "done",
    2: "refused",
    3: "incomplete",
    10: "refused",
    11: "refused",
    12: "damaged",
    13: "conflicts",
    14: "refused",
    20: "rolled-back",
    21: "rollback-failed",
    130: "interrupted",
}


# What ends with 1 like a failure, and is none: nothing was done on purpose.
_REFUSALS = frozenset({"rules-changed", "pinned", "other-installation", "no-such-directory"})


def outcome_of(exit_code: int, kind: str | None = None) -> str:
    """What an exit code, and the kind of the error that led to it, mean in a word."""
    return "refused" if exit_code == 1 and kind in _REFUSALS else _OUTCOMES.get(exit_code, "failed")


def moment(when: datetime, precision: str = "seconds") -> str:
    """A moment as lines have it (RFC 3339, UTC)."""
    return when.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def path_text(path: bytes) -> str:
    """A path as it is written down: bytes that are not UTF-8 as `\\xff`."""
    return path.decode("utf-8", "backslashreplace")


def encode(after: Link, record: Record) -> bytes:
    """The line that follows `after`. ASCII alone: what is no Unicode is escaped as well."""
    document = {"previous": after.digest, "sequence": after.sequence + 1, **record}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None for what is no line of ours."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and type(found.get("sequence")) is int else None


def digest(line: bytes) -> str:
    """The digest that the next line carries."""
    return hashlib.sha256(line).hexdigest()


def link_of(line: bytes) -> Link | None:
    """The place of a line in the chain; None for what is no line of ours."""
    head = _HEAD.match(line)
    return Link(int(head[2]), digest(line)) if head and line.endswith(b"\n") else None


class Chain:
    """Follows a log line by line, and keeps what is wrong in `problems`. `last` is the line that was seen last."""

    def __init__(self, watched: Iterable[int] = ()) -> None:
        self.last = NOTHING
        self.problems: list[str] = []
        # The digests of lines that somebody else vouches for, by number.
        self.digests: dict[int, str] = {}
        self._watched = frozenset(watched)

    def take(self, line: bytes) -> None:
        """The next line, its newline included."""
        head = _HEAD.match(line)
        if head is None or not line.endswith(b"\n"):
            self.problems.append(f"what stands after line {self.last.sequence} cannot be read")
            return
        before, found = self.last, Link(int(head[2]), digest(line))
        self.last = found
        if found.sequence in self._watched:
            self.digests.setdefault(found.sequence, found.digest)
        if found.sequence <= before.sequence:
            self.problems.append(f"line {found.sequence} stands after line {before.sequence}: added, or out of order")
        elif found.sequence > before.sequence + 1:
            self.problems.append(f"{_lines(before.sequence + 1, found.sequence - 1)} missing")
        elif head[1].decode() != before.digest:
            self.problems.append(
                f"line {before.sequence} was changed, or line {found.sequence} put in the place of another"
                if before.sequence
                else "the first line does not begin the log"
            )

    def conclude(self, ends: Iterable[Link], vouched: Mapping[str, Link] = MappingProxyType({})) -> list[str]:
        """All problems, of a log that ends at one of `ends` and holds the lines that are `vouched` for, by whom."""
        ends, problems = list(ends), list(self.problems)
        if self.last not in ends:
            problems.append(self._wrong_end(ends[0]))
        for who, link in vouched.items():
            if link.sequence and self.digests.get(link.sequence, "") != link.digest and not problems:
                problems.append(f"line {link.sequence} is not the one that {who} names")
        return problems

    def _wrong_end(self, end: Link) -> str:
        if self.last.sequence < end.sequence:
            return f"{_lines(self.last.sequence + 1, end.sequence)} missing at the end"
        if self.last.sequence > end.sequence:
            return f"{_lines(end.sequence + 1, self.last.sequence)} not gitsnap's: added at the end"
        return f"line {end.sequence}, the last one, was changed"


def _lines(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"
