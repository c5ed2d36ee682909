"""What a snapshot is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitsnap.core.model import Kind, Problem, Snapshot
from gitsnap.core.retention import Decision, Held

if TYPE_CHECKING:
    from gitsnap.ops.capture.hooks import HookResult


@dataclass(slots=True)
class Request:
    """What is to be taken. An empty label means the kind; an empty message means the label."""

    kind: Kind = Kind.MANUAL
    message: str = ""
    label: str = ""
    tags: tuple[str, ...] = ()
    pin: bool = False
    skip_unchanged: bool = False
    upgrade: str | None = None
    command: str | None = None
    exit_code: int | None = None


@dataclass(slots=True)
class Taken:
    """What came of it. `skipped` is true when nothing had changed and that was to be skipped; `snapshot` is then the
    one that holds this very state. `databases` were captured as consistent images. `held` is what
    retention does not remove before it is told to. `duration` is in seconds."""

    snapshot: Snapshot
    new_files: int = 0
    changed_files: int = 0
    removed_files: int = 0
    skipped: bool = False
    partial: list[Problem] = field(default_factory=list)
    sockets: list[bytes] = field(default_factory=list)
    mounts: list[bytes] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)
    excluded: int = 0
    pruned: list[Decision] = field(default_factory=list)
    held: Held | None = None
    hooks: list[HookResult] = field(default_factory=list)
    duration: float = 0.0
