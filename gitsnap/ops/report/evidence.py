"""What is known of each file before an upgrade: by a pristine copy, by the upgrade before, and by times of writing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gitsnap.core.comparison import Change, Status
from gitsnap.core.component import component_of
from gitsnap.core.errors import IntegrityError
from gitsnap.core.likely_yours import (
    Known,
    Likely,
    changed_alone,
    likely,
    newest_batch,
    outliers,
    package_place,
    written_later,
)
from gitsnap.core.model import Entry, Type
from gitsnap.core.upgrade import choose_upgrade, upgrades
from gitsnap.ops.capture import pristine
from gitsnap.ops.compare.packages import Packages
from gitsnap.ops.report.history import Episode
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True, frozen=True)
class Evidence:
    """Digests by path: of the files as their maker shipped them, and of those at the end of the upgrade before.

    None: there is no such copy, or no upgrade before.
    """

    shipped: Mapping[bytes, bytes] | None = None
    since: Mapping[bytes, bytes] | None = None


# Their packages' records have digests.
_RECORDED = frozenset((b"site-packages", b"dist-packages"))


def evidence(sidecar: Sidecar, episode: Episode | None) -> Evidence:
    """What there is to judge the changes of an upgrade by; nothing for two states that belong to none."""
    if episode is None:
        return Evidence()
    return Evidence(pristine.digests(sidecar, episode.snapshot), _before(sidecar, episode))


def _before(sidecar: Sidecar, episode: Episode) -> Mapping[bytes, bytes] | None:
    """The digests at the end of the upgrade before; None where there was none, or its snapshot is gone or damaged."""
    if episode.previous is None:
        return None
    of = choose_upgrade(upgrades(catalog.snapshots(sidecar)), episode.previous)
    end = of.pre if of.rolled_back else of.post
    if end is None:
        return None
    try:
        return contents.manifest(sidecar, end).digests
    except IntegrityError:
        return None


class Judge:
    """Tells which of some changes are likely the user's. `held` is all that was there before them."""

    def __init__(
        self,
        changes: Iterable[Change],
        held: Iterable[Entry],
        known: Evidence,
        of_packages: Packages,
        table: Mapping[str, tuple[str, ...]],
    ) -> None:
        files = [c for c in changes if _is_file(c)]
        self._recorded = of_packages.recorded
        self._few = outliers({c.path: component_of(c.path, table) for c in files})
        later, alone, unrecorded = _around(files, held, of_packages.within, table)
        self._known = Known(
            shipped=known.shipped,
            since=known.since if _tells(files, known.since) else None,
            edited={e.path for e in of_packages.edited if e.before},
            patched={e.path for e in of_packages.edited if not e.before},
            unrecorded=unrecorded,
            later=later,
            alone=alone,
        )

    def likely(self, change: Change) -> Likely | None:
        """How likely it is the user's; None for what is not."""
        if not _is_file(change):
            return None
        old, shipped = change.old, self._known.shipped
        digest = old.sha256 if old is not None and old.type is Type.FILE else None
        path = change.path if change.path in self._known.edited else change.old_path or change.path
        reason = self._known.reason(path, digest)
        untouched = shipped is not None and digest is not None and shipped.get(path) == digest
        return likely(path, reason, few=change.path in self._few, untouched=untouched, came=old is None)

    def is_evident(self, change: Change) -> bool:
        """Whether more than its name says that the user wrote to it: then it is told although its package is.

        Where packages record digests, their records are the better evidence, and have been asked.
        """
        if change.path in self._recorded or _RECORDED & set(change.path.split(b"/")):
            return False
        found = self.likely(change)
        return found is not None and found.reason.is_evidence


def _is_file(change: Change) -> bool:
    entry = change.old or change.new
    return entry is not None and entry.type is not Type.DIR


def _tells(files: Collection[Change], since: Mapping[bytes, bytes] | None) -> bool:
    """Whether the end of the upgrade before tells anything: not where most was changed since, by whatever hand."""
    if since is None:
        return False
    old = [c.old for c in files if c.old is not None and c.old.sha256 is not None]
    return sum(since.get(e.path) != e.sha256 for e in old) <= max(len(old) // 2, 3)


def _around(
    files: Collection[Change], held: Iterable[Entry], within: Collection[bytes], table: Mapping[str, tuple[str, ...]]
) -> tuple[set[bytes], set[bytes], set[bytes]]:
    """Of the changed files: those written later than what lies around them, those whose package did not change, and
    those in no record of the package that they lie in."""
    groups: dict[bytes | str, dict[bytes, int]] = {}
    for entry in held:
        if entry.type is Type.FILE:
            group = package_place(entry.path) or component_of(entry.path, table)
            groups.setdefault(group, {})[entry.path] = entry.mtime_ns
    told = {place for path in within if (place := package_place(path)) is not None}
    changed: dict[bytes, list[bytes]] = {}
    for change in files:
        old = change.old
        if old is not None and old.type is Type.FILE and change.status in (Status.MODIFIED, Status.REMOVED):
            place = package_place(old.path)
            if place is not None and change.path not in within:
                changed.setdefault(place, []).append(old.path)
    counts = {place: len(paths) for place, paths in changed.items() if place not in told}
    alone = changed_alone(counts, {place: len(groups.get(place, ())) for place in counts})
    written = {c.old.path for c in files if c.old is not None and c.status in (Status.MODIFIED, Status.REMOVED)}
    batch = newest_batch(when for group in groups.values() for when in group.values())
    return (
        written & set().union(*(written_later(group, batch) for group in groups.values())),
        {path for place in alone for path in changed[place]},
        {path for place in told & changed.keys() for path in changed[place]},
    )
