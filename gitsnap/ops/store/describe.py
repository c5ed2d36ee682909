"""Another message and other tags for a snapshot, which stays what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.errors import UsageError
from gitsnap.core.message import normalize_message
from gitsnap.core.model import Snapshot, as_tag, slug
from gitsnap.core.settings import Settings
from gitsnap.sidecar import catalog, descriptions
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose


@dataclass(slots=True, frozen=True)
class Wording:
    """What is to be said of a snapshot: another `message` (None: the one that it has), `tags` and `untags` as they are
    typed: those that it gets, and those that it loses."""

    message: str | None = None
    tags: Sequence[str] = ()
    untags: Sequence[str] = ()

    def tags_of(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The tags that the snapshot has with it, in their order."""
        gone = {*self.untags, *(slug(t, "") for t in self.untags)}
        kept = [t for t in snapshot.tags if t not in gone]
        return tuple(dict.fromkeys([*kept, *map(as_tag, self.tags)]))

    def message_of(self, snapshot: Snapshot) -> str:
        """The message that it has with it, as it is stored."""
        said = snapshot.message if self.message is None else self.message
        return normalize_message(said, kind=snapshot.kind, label=snapshot.label)


def describe(sidecar: Sidecar, selector: str, wanted: Wording, settings: Settings, *, now: datetime) -> Snapshot:
    """Describe a snapshot anew; to say what is said already is fine. UsageError for what no message can hold."""
    with sidecar.writing(settings.lock_wait):
        snapshot = choose(sidecar, selector)
        message, tags = wanted.message_of(snapshot), wanted.tags_of(snapshot)
        sidecar.noted.target = snapshot.id
        if (message, tags) == (snapshot.message, snapshot.tags):
            return snapshot
        try:
            descriptions.store(sidecar, snapshot, message, tags, now)
        except ValueError as error:
            raise UsageError(str(error)) from None
        sidecar.noted.details["described"] = {
            "message": message,
            "message_before": snapshot.message,
            "tags": list(tags),
            "tags_before": list(snapshot.tags),
        }
        return next(s for s in catalog.snapshots(sidecar) if s.id == snapshot.id)
