"""Comparing two states: snapshots, or a snapshot and the live directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitsnap.core.comparison import Change, Comparison, Status
from gitsnap.core.content import CHUNK, Digesting
from gitsnap.core.coverage import beyond, unread
from gitsnap.core.errors import IntegrityError, NoSuchPathError, UsageError, exhausted
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot, Type
from gitsnap.core.settings import Settings
from gitsnap.installation.directories import Directories
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.compare import changes, live_changes
from gitsnap.ops.compare import stored as stored_changes
from gitsnap.ops.live import databases, exclusions
from gitsnap.ops.live.pending import hidden_stages, without
from gitsnap.sidecar import contents, selectors
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.core.keys import KeyChange
    from gitsnap.ops.compare.patch import Piece, Style

NOW = "now"


@dataclass(slots=True)
class Difference:
    """The changes between two states, named by snapshot ids or `now`. `retimed` are files whose time alone differs.

    `partial` names what could not be read: of the live directory now, and of a snapshot when it was taken.
    `beyond` is what one side holds and the other, a foreign copy, does not cover. `entries` are all of either state.
    `narrowed` tells that only some of the changes are here.
    """

    old: str
    new: str
    comparison: Comparison
    retimed: list[Change] = field(default_factory=list)
    partial: list[Problem] = field(default_factory=list)
    beyond: list[bytes] = field(default_factory=list)
    entries: tuple[list[Entry], list[Entry]] = ([], [])
    narrowed: bool = False

    def narrow(self, about: Callable[[Change], bool]) -> None:
        """Leave only some of the changes."""
        self.comparison = Comparison([c for c in self.comparison.changes if about(c)])
        self.retimed = [c for c in self.retimed if about(c)]
        self.narrowed = True


def diff(
    sidecar: Sidecar,
    old: str | Snapshot,
    new: str | Snapshot,
    settings: Settings,
    *,
    paths: Sequence[bytes] = (),
    similar: bool = True,
    entries: bool = True,
    observer: Observer = SILENT,
) -> tuple[Difference, Contents]:
    """The changes from one state to another, and where their contents are to be had (for patch()).

    Without `entries` the difference need not have those that are the same on both sides.

    With `paths`, those of these and of what is in them, under the name before or after. Without `similar`, files that
    were renamed and changed are told as gone and new.
    """
    if old == new == NOW:
        raise UsageError("`now` cannot be compared with itself", hint="gitsnap diff latest now")
    names = [s if s == NOW or isinstance(s, Snapshot) else selectors.choose(sidecar, s) for s in (old, new)]
    chosen = [s for s in names if isinstance(s, Snapshot)]
    little = None
    if not paths and not entries:
        little = (
            live_changes.since(sidecar, chosen[0], settings, observer) if NOW in names else _differing(sidecar, *chosen)
        )
    stored = (
        dict(zip([s.id for s in chosen], little, strict=False))
        if little
        else {s.id: _stored(sidecar, s) for s in chosen}
    )
    reference = next(iter(stored.values()))
    live = Inventory() if NOW not in names else little[1] if little else _live(sidecar, settings, reference, observer)
    sides = [live if isinstance(s, str) else stored[s.id] for s in names]
    if paths:
        _require_known(paths, *sides)
    ids = [s if isinstance(s, str) else s.id for s in names]
    reader = Contents(sidecar, ids[0] == NOW, ids[1] == NOW)
    rules = exclusions.for_comparison(sidecar.installation, settings, reference) if NOW in names else None
    found = changes.find(
        sides[0],
        sides[1],
        reader.read,
        sidecar,
        protected=rules.protected if rules else nothing_excluded,
        similar=similar,
        about=lambda change: not paths or _selected(change, paths),
        observer=observer,
    )
    partial = {p.path: p for side in (*stored.values(), live) for p in _unread(side, live) if _asked(p.path, paths)}
    untold = {p for a, b in (sides, reversed(sides)) for p in beyond(a, b) if _asked(p, paths)}
    unread_paths = sorted(partial.values(), key=lambda p: p.path)
    both = sides[0].entries, sides[1].entries
    comparison = Comparison(found.changes)
    return Difference(ids[0], ids[1], comparison, found.retimed, unread_paths, sorted(untold), both), reader


def _differing(sidecar: Sidecar, old: Snapshot, new: Snapshot) -> tuple[Inventory, Inventory] | None:
    """Two snapshots, with no more than the entries that differ and the directories above them; None where only all of
    either tells, or one is damaged: whoever reads all of it says how."""
    with suppress(IntegrityError):
        found = stored_changes.differing_parts(sidecar, old, new, times=True)
        for snapshot, inventory in zip((old, new), found or (), strict=False):
            stored_changes.find_contents(sidecar, snapshot, inventory)
            localise(inventory)
        return found
    return None


def _stored(sidecar: Sidecar, snapshot: Snapshot) -> Inventory:
    inventory = contents.inventory(sidecar, snapshot)
    localise(inventory)
    return inventory


def _live(sidecar: Sidecar, settings: Settings, reference: Inventory, observer: Observer) -> Inventory:
    rules = exclusions.for_comparison(sidecar.installation, settings, reference)
    observer.started("comparing")
    scan = Scanner(
        sidecar.installation,
        Digesting(),
        ScanOptions(
            cache=sidecar.load_cache(),
            excludes=without(hidden_stages(sidecar), rules.excluded_from_safety),
            databases=databases.comparing(sidecar, reference, sqlite=settings.sqlite),
            observer=observer,
        ),
    ).run()
    observer.finished()
    return scan.inventory


def _unread(side: Inventory, live: Inventory) -> list[Problem]:
    return side.partial if side is live else unread(side)


def _asked(path: bytes, paths: Sequence[bytes]) -> bool:
    return not paths or any(not p or _below(path, {p}) or _below(p, {path}) for p in paths)


def _below(path: bytes, tops: set[bytes]) -> bool:
    while path and tops:
        if path in tops:
            return True
        path = path.rpartition(b"/")[0]
    return False


def _selected(change: Change, paths: Sequence[bytes]) -> bool:
    names = [change.path, change.old_path or change.path]
    return any(not p or n == p or n.startswith(p + b"/") for p in paths for n in names)


def _require_known(paths: Sequence[bytes], old: Inventory, new: Inventory) -> None:
    known = {e.path for side in (old, new) for e in side.entries}
    for path in paths:
        if path not in known:
            raise NoSuchPathError(
                f"neither side holds '{os.fsdecode(path)}'", path=path, hint="`gitsnap find GLOB` looks for names"
            )


def read(sidecar: Sidecar, side: str, entry: Entry) -> Iterator[bytes]:
    """The content of a file or symlink of one state (a snapshot's entry, or for `now` one of the directory's)."""
    return Contents(sidecar, side == NOW, False).read(0, entry)


class Contents:
    """Reads the contents of either side's files."""

    def __init__(self, sidecar: Sidecar, old_is_live: bool, new_is_live: bool) -> None:
        self._sidecar, self._live = sidecar, (old_is_live, new_is_live)

    def read(self, side: int, entry: Entry) -> Iterator[bytes]:
        """One side's content of a file or symlink, in pieces."""
        if entry.type is Type.LINK:
            yield entry.target
        elif not self._live[side]:
            assert entry.oid is not None
            yield from self._sidecar.objects.blob(entry.oid, entry.size)
        else:
            with Directories(self._sidecar.installation) as dirs:
                parent, name = dirs.parent(entry.path)
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
                with os.fdopen(fd, "rb", buffering=0) as file:
                    while data := file.read(CHUNK):
                        yield data

    def patch(self, changes: Sequence[Change], style: Style | None = None) -> Iterator[Piece]:
        """The changes as a unified diff, as git prints one, in pieces."""
        from gitsnap.ops.compare.patch import Style, patch

        return patch(changes, self.read, self._sidecar, style or Style())

    def keys(self, change: Change) -> list[KeyChange] | None:
        """The keys that differ, of a file whose form is read key by key; None of all others."""
        old, new = change.old, change.new
        if change.status not in (Status.MODIFIED, Status.RENAMED) or old is None or new is None:
            return None
        from gitsnap.ops.compare import structured

        if old.type is not Type.FILE or old.sha256 == new.sha256 or max(old.size, new.size) > structured.LARGEST:
            return None
        try:
            return structured.key_changes(change.path, *(b"".join(self.read(n, e)) for n, e in enumerate((old, new))))
        except OSError as error:
            if exhausted(error):
                raise
            return None


__all__ = ["NOW", "Contents", "Difference", "diff", "read"]
