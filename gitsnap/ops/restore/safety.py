"""What a safety snapshot says of the rollback that it was taken before, and which the last one is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from gitsnap.core.component import Part
from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.reversal import chains
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import LEAVING
from gitsnap.ops.compare import components
from gitsnap.sidecar import catalog
from gitsnap.sidecar.catalog import Living
from gitsnap.sidecar.repository import Sidecar


def command_line(
    target: str, paths: Sequence[bytes] = (), part: Part | None = None, leaving: Sequence[bytes] | None = None
) -> str:
    """What to type for the same rollback or restore; undo reads it back from the safety snapshot.

    Nobody types the one that puts a merge in place: it names what others wrote to and was left alone.
    """
    if leaving is not None:
        return shlex.join(["gitsnap", "rollback", target, LEAVING, *map(os.fsdecode, leaving)])
    if part is not None:
        return shlex.join(["gitsnap", "rollback", target, "--component", part.name])
    if not paths:
        return f"gitsnap rollback {target}"
    return shlex.join(["gitsnap", "restore", target, "--", *map(os.fsdecode, paths)])


@dataclass(slots=True, frozen=True)
class Reach:
    """What a command line written by `command_line` is about: paths, a component, or a merge that left paths alone."""

    paths: tuple[bytes, ...] = ()
    component: str | None = None
    leaving: tuple[bytes, ...] | None = None


def reach_of(command: str | None) -> Reach:
    """Read a command line back."""
    words = shlex.split(command or "")
    named = tuple(map(os.fsencode, words[4:]))
    if words[3:4] == ["--component"]:
        return Reach(component=words[4])
    if words[3:4] == [LEAVING]:
        return Reach(leaving=named)
    return Reach(named) if words[3:4] == ["--"] else Reach()


def component_of_snapshot(
    sidecar: Sidecar, snapshot: Snapshot, component: str | None, settings: Settings
) -> Part | None:
    """The component of this name as the configuration and a snapshot have it; None for none."""
    return components.part(sidecar, snapshot.id, component, settings) if component is not None else None


def last_safety(living: Living) -> Snapshot:
    """The safety snapshot of the last rollback or restore; NoSuchSnapshotError when there is none.

    Raises IntegrityError where the very one that is meant may be damaged.
    """
    for snapshot in reversed(living):
        if snapshot.kind is Kind.SAFETY:
            return catalog.require_certain(living, snapshot)
    raise _nothing_to_undo()


def last_to_undo(living: Living) -> Snapshot:
    """The safety snapshot of the last rollback or restore that was not undone; raises as `last_safety` does."""
    found = chains(living)
    if found.undo:
        # With undos after it, these are what has to be known for certain.
        catalog.require_certain(living, found.last if found.last and found.last.undoes else found.undo[-1])
        return found.undo[-1]
    if found.redo:
        raise NoSuchSnapshotError(
            "there is nothing to undo: every rollback and restore of which the safety snapshot is left was undone",
            hint="`gitsnap redo` takes the last undo back",
        )
    raise _nothing_to_undo()


def last_to_redo(living: Living) -> Snapshot:
    """The safety snapshot of the last undo that is to be taken back; NoSuchSnapshotError where there is none, or
    something was done since of which nothing is left."""
    found = chains(living)
    if not found.redo or found.last is None:
        raise NoSuchSnapshotError(
            "there is nothing to redo: the last thing that was done here was no undo", hint="`gitsnap list` shows all"
        )
    catalog.require_certain(living, found.last)
    since = found.last.sequence or 0
    if any(living.places.get(name, 0) > since for name in living.gone):
        raise NoSuchSnapshotError(
            "there is nothing to redo: a snapshot that was taken after the undo is gone, and with it what it tells",
            hint=f"gitsnap rollback {found.redo[-1].id} brings back what was there before the undo",
        )
    return found.redo[-1]


def _nothing_to_undo() -> NoSuchSnapshotError:
    return NoSuchSnapshotError(
        "there is nothing to undo: no rollback or restore has left a safety snapshot", hint="`gitsnap list` shows all"
    )
