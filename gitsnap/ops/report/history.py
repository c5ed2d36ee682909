"""Upgrades, rollbacks and single snapshots in the order in which they happened, by refs, trailers and the audit log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gitsnap.core.comparison import counted
from gitsnap.core.counts import Counts
from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import in_order
from gitsnap.core.outcome import Outcome
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import Stored, choose_upgrade, upgrades
from gitsnap.ops.compare import stored
from gitsnap.ops.compare.components import components_of
from gitsnap.ops.live import damage, in_progress
from gitsnap.ops.report import past
from gitsnap.ops.report.past import Removal, Told
from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import verifications
from gitsnap.sidecar.state.known_damage import Damage

_CAME_BACK = re.compile(r"before (?:(\d+) paths? of )?(\S+) came back")


@dataclass(slots=True, frozen=True)
class Changed:
    """How many files and directories differ between two snapshots, and in which components (None: not known)."""

    counts: Counts
    components: tuple[str, ...] | None


@dataclass(slots=True)
class Episode:
    """One thing that happened: an upgrade, a rollback, or a snapshot by itself.

    `snapshot` is the one that it began with (of a rollback the safety snapshot). `target` is what a rollback brought
    back, `paths` how many paths of it (None: everything). `previous` is the upgrade before this one. `damaged` is what
    is known to be damaged of its snapshots, by id; `gone` those of them that were removed. `told` is what the audit log
    tells of an upgrade.
    """

    snapshot: Snapshot
    upgrade: Stored | None = None
    changed: Changed | None = None
    target: str | None = None
    paths: int | None = None
    previous: str | None = None
    status: str = ""
    damaged: dict[str, Damage] = field(default_factory=dict)
    gone: dict[str, Removal] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    @property
    def failed_check(self) -> Mapping[str, Any] | None:
        """The check that failed, as in the JSON of `run`, where the audit log tells it."""
        return next((c for c in self.told.checks if c.get("ok") is False), None)

    @property
    def type(self) -> str:
        """What it is."""
        if self.upgrade:
            return "upgrade"
        return "rollback" if self.snapshot.kind is Kind.SAFETY else "snapshot"

    @property
    def when(self) -> datetime:
        """When it began."""
        return self.snapshot.created


@dataclass(slots=True)
class History:
    """All episodes, oldest first; `verified` are the ids of snapshots that passed a full verification."""

    installation: str
    episodes: list[Episode] = field(default_factory=list)
    verified: set[str] = field(default_factory=set)
    store_bytes: int = 0


def history(sidecar: Sidecar, settings: Settings) -> History:
    """What happened to this directory, as far as its snapshots and the audit log tell."""
    living = catalog.snapshots(sidecar)
    kept = past.load(sidecar)
    for snapshot in living:
        kept.removals.pop(snapshot.id, None)
    every = in_order([*living, *(s for name, s in kept.gone.items() if name in kept.removals)])
    known = {u.id: u for u in upgrades(every)}
    proved, hurt = verifications.load(sidecar), damage.known(sidecar, living)
    cut_short = in_progress.look(sidecar)
    running = in_progress.living(sidecar)
    out, previous = [], None
    for snapshot in every:
        episode = _episode(snapshot, known)
        if episode is None:
            continue
        if episode.upgrade:
            episode.previous, previous = previous, episode.upgrade.id
            episode.told = kept.upgrades.get(episode.upgrade.id, episode.told)
            episode.changed = _changed(sidecar, episode, kept.removals, settings.components)
            stands = cut_short is not None and cut_short.upgrade == episode.upgrade.id
            episode.status = "running" if episode.upgrade.id == running else _status(episode.upgrade, stands)
            if stands and cut_short and episode.upgrade.ending is None and cut_short.stage.value == "rollback-failed":
                episode.status = "rollback-failed"
        mine = [snapshot.id, *(s.id for s in _parts(episode.upgrade))]
        episode.damaged = {name: hurt[name] for name in mine if name in hurt}
        episode.gone = {name: kept.removals[name] for name in mine if name in kept.removals}
        out.append(episode)
    verified = {s.id for s in living if s.commit in proved}
    return History(sidecar.installation, out, verified, sidecar.disk_bytes())


def past_upgrade(found: History, selector: str) -> Episode:
    """The upgrade that is meant, whether its snapshots are there or gone; NoSuchSnapshotError."""
    every = {e.upgrade.id: e for e in found.episodes if e.upgrade}
    return every[choose_upgrade([e.upgrade for e in every.values() if e.upgrade], selector).id]


def _parts(upgrade: Stored | None) -> Iterable[Snapshot]:
    return () if upgrade is None else filter(None, (upgrade.pre, upgrade.post, *upgrade.safety))


def upgrade_of(sidecar: Sidecar, selector: str) -> Stored:
    """The upgrade that is meant; NoSuchSnapshotError."""
    return choose_upgrade(upgrades(catalog.snapshots(sidecar)), selector)


def sides(sidecar: Sidecar, named: Sequence[str], settings: Settings) -> tuple[Episode | None, tuple[str, str]]:
    """The two states that are to be compared: those of an upgrade (the latest when none is named), or two named ones.

    Of an upgrade that was cut short the second is the directory as it is.
    """
    if len(named) == 2:
        return None, (named[0], named[1])
    wanted = upgrade_of(sidecar, named[0] if named else "latest")
    episode = next(e for e in history(sidecar, settings).episodes if e.upgrade and e.upgrade.id == wanted.id)
    return episode, (wanted.pre.id, wanted.post.id if wanted.post else "now")


def means_upgrade(sidecar: Sidecar, selector: str) -> bool:
    """Whether a selector names an upgrade, and no snapshot that it could be the beginning of."""
    living, _ = catalog.survey(sidecar)
    known = upgrades(living)
    if any(u.id == selector for u in known):
        return True
    try:
        selectors.resolve(living, selector)
    except NoSuchSnapshotError:
        with suppress(NoSuchSnapshotError):
            return choose_upgrade(known, selector) is not None
    return False


def _episode(snapshot: Snapshot, known: Mapping[str, Stored]) -> Episode | None:
    upgrade = known.get(snapshot.upgrade or "")
    if upgrade is not None:
        # Post and safety snapshots are told with their pre; a rollback by hand, later, is an episode of its own. So is
        # the first, where it was undone since: the upgrade's line says that it stands.
        if snapshot is upgrade.pre:
            return Episode(snapshot, upgrade)
        if snapshot.kind is not Kind.SAFETY or (snapshot is upgrade.safety[0] and upgrade.outcome is not Outcome.KEPT):
            return None
    episode = Episode(snapshot)
    if snapshot.kind is Kind.SAFETY and (match := _CAME_BACK.fullmatch(snapshot.message_taken)):
        episode.paths, episode.target = int(match[1]) if match[1] else None, match[2]
    return episode


def _status(upgrade: Stored, stands: bool) -> str:
    if upgrade.outcome is not None:
        return upgrade.outcome.value
    return "cut-short" if stands else "incomplete"


def _changed(
    sidecar: Sidecar, episode: Episode, removals: Mapping[str, Removal], components: Mapping[str, tuple[str, ...]]
) -> Changed | None:
    """What an upgrade changed: the counts as they are recorded, or, of before there were records, as they are found
    now; where a snapshot is gone, as the audit log has them. None where it has no second snapshot, or where that cannot
    be told: what is damaged is told then."""
    of = episode.upgrade
    assert of is not None
    if of.post is None:
        return None
    recorded = of.ending.changes if of.ending else None
    if {of.pre.id, of.post.id} & removals.keys():
        known = recorded or episode.told.changed
        return None if known is None else Changed(known, None)
    try:
        found = stored.changes(sidecar, of.pre, of.post, similar=recorded is None)
    except IntegrityError:
        for snapshot in (of.pre, of.post):
            try:
                contents.inventory(sidecar, snapshot)
            except IntegrityError as error:
                sidecar.damaged[snapshot.id] = error
        return None if recorded is None else Changed(recorded, None)
    return Changed(counted(found) if recorded is None else recorded, tuple(components_of(found, components)))
