"""What verification says of a snapshot, and what is written down of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gitsnap.core.audit import MOST, path_text
from gitsnap.core.model import Problem
from gitsnap.core.signature import Checked
from gitsnap.sidecar.repository import Sidecar

# Inside Verdict, `bytes` is a field.
_Path = bytes


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that is wrong. `path` is relative to the installation, empty for the snapshot itself. `kind` is a word
    for programs, where a signature is what is wrong."""

    path: bytes
    problem: str
    expected: str | None = None
    actual: str | None = None
    kind: str = ""


@dataclass(slots=True)
class Verdict:
    """The result for one snapshot; `files` and `bytes` are what was read and found right.

    Where a directory was compared with it, `unread` names what could not be read when the snapshot was taken,
    and `beyond` what a foreign copy does not cover. `signatures` is None where nobody asked for them.
    """

    snapshot: str
    files: int = 0
    bytes: int = 0
    problems: list[Finding] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    beyond: list[_Path] = field(default_factory=list)
    signatures: list[Checked] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def note(sidecar: Sidecar, verdicts: Sequence[Verdict]) -> None:
    """For the audit log: what was read, and what is wrong."""
    noted = sidecar.noted
    noted.counts |= {
        "snapshots": sum(v.snapshot not in ("timeline", "sidecar") for v in verdicts),
        "damaged": sum(not v.ok for v in verdicts),
        "read_files": sum(v.files for v in verdicts),
        "read_bytes": sum(v.bytes for v in verdicts),
    }
    noted.details["read"] = [v.snapshot for v in verdicts[:MOST]]
    found = [(v.snapshot, problem) for v in verdicts for problem in v.problems]
    if found:
        named = [{"snapshot": s, "path": path_text(f.path), "problem": f.problem} for s, f in found[:MOST]]
        noted.details["problems"], noted.counts["problems"] = named, len(found)
        noted.outcome = "differs" if noted.details.get("live") else "damaged"
        noted.cause = f"{named[0]['snapshot']}: {named[0]['path']} {named[0]['problem']}".replace("  ", " ")
