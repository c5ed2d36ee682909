"""One exchange with the other side: its refs are looked at, what it lacks is decided and sent, its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitsnap.core.events import SILENT, Observer
from gitsnap.sidecar.git import pack_exchange, pack_stream, stock_git
from gitsnap.sidecar.git.new_objects import NewObjects
from gitsnap.sidecar.git.transport import Target
from gitsnap.sidecar.outgoing import NotesThere, Outgoing
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Answer:
    """What the other side had (`theirs`), what was sent for it, and what it said: why it refused each ref that it did.

    `objects` and `bytes` are what went, or would have gone.
    """

    theirs: dict[str, str] = field(default_factory=dict)
    sent: Outgoing | None = None
    refused: dict[str, str] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0

    @property
    def now(self) -> dict[str, str]:
        """What is there after it."""
        after = dict(self.theirs)
        for name, value in (self.sent.updates if self.sent else {}).items():
            if name not in self.refused:
                after.pop(name, None)
                if value.strip("0"):
                    after[name] = value
        return after


class _Count:
    """Passes progress on, and counts bytes."""

    def __init__(self, inner: Observer) -> None:
        self.inner, self.bytes = inner, 0

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        self.inner.started(phase, files, size)

    def advanced(self, files: int = 0, size: int = 0) -> None:
        self.bytes += size
        self.inner.advanced(files, size)

    def finished(self) -> None:
        self.inner.finished()

    def noticed(self, message: str) -> None:
        self.inner.noticed(message)


@dataclass(slots=True)
class _Parcel:
    """What was decided, as pack_exchange wants it."""

    sidecar: Sidecar
    answer: Answer
    count: _Count

    def wanted(self) -> NewObjects:
        assert self.answer.sent is not None
        return self.answer.sent.objects

    def records(self) -> tuple[int, Iterator[Any]]:
        self.count.started("Sending", files=self.answer.objects)
        return self.answer.objects, pack_stream.records(self.sidecar.objects, self.wanted(), self.count)


def send(
    sidecar: Sidecar,
    target: Target,
    decide: Callable[[Mapping[str, str]], Outgoing],
    *,
    observer: Observer = SILENT,
    atomic: bool = True,
    dry_run: bool = False,
) -> Answer:
    """Send what `decide` makes of the refs over there; all of it or nothing, where it is `atomic`.

    Raises NotAtomicError where the other side cannot do that (nothing was decided or sent), RemoteError, and
    IntegrityError for what is damaged here (nothing has changed over there).
    """
    answer, count = Answer(), _Count(observer)
    parcel = _Parcel(sidecar, answer, count)

    def update(theirs: dict[str, str]) -> Mapping[str, str]:
        answer.theirs, answer.sent = theirs, decide(theirs)
        answer.objects = len(answer.sent.objects)
        return {} if dry_run else answer.sent.updates

    try:
        answer.refused = pack_exchange.send(target, update, parcel, atomic=atomic)
    finally:
        if answer.objects and not dry_run:
            count.finished()
        answer.bytes = count.bytes
    return answer


def fetch_notes(sidecar: Sidecar, target: Target, value: str) -> NotesThere:
    """The notes that the commit `value` over there holds. For where nothing here tells.

    Raises RemoteError.
    """
    with stock_git.locked_folder(sidecar.scratch) as folder:
        found, tree = pack_exchange.notes_at(target, value, folder)
    return NotesThere({commit: blob.hex() for commit, blob in found.items()}, tree)
