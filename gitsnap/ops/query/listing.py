"""Which snapshots are looked at: all, or those of some kind, tag, message, time or upgrade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.upgrade import choose_upgrade, upgrades


@dataclass(frozen=True)
class Filter:
    """What a snapshot has to be: of one of these `kinds`, with one of these `tags`, taken at `since` or later, one of
    `upgrade`'s (as it is named: its id, the beginning of it, its label), with this `text` in its message, or in the one
    that it was taken with, capitals or not. Of those the `last` so many. What is not given holds for all."""

    kinds: tuple[Kind, ...] = ()
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    last: int | None = None
    upgrade: str | None = None
    text: str = ""

    def of(self, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
        """Those of the snapshots, in their order. NoSuchSnapshotError where there is no such upgrade, or several."""
        named = None if self.upgrade is None else choose_upgrade(upgrades(list(snapshots)), self.upgrade).id
        found = [
            s
            for s in snapshots
            if (not self.kinds or s.kind in self.kinds)
            and (not self.tags or not set(self.tags).isdisjoint(s.tags))
            and (self.since is None or s.created >= self.since)
            and (named is None or s.upgrade == named)
            and (not self.text or self._says(s))
        ]
        return found if self.last is None else found[max(len(found) - self.last, 0) :]

    def _says(self, snapshot: Snapshot) -> bool:
        sought = self.text.casefold()
        return any(sought in said.casefold() for said in (snapshot.message, snapshot.message_taken))


EVERY = Filter()
