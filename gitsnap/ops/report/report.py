"""The facts of a report: what an upgrade changed, down to the lines, and what proves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from gitsnap.core.changelog import Changelog, FileChange, is_content
from gitsnap.core.comparison import Change, Status
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Problem, Snapshot, Type
from gitsnap.core.secrets.masker import NOTHING, Masker, Unmaskable
from gitsnap.core.settings import Settings
from gitsnap.core.signature import Checked, Policy
from gitsnap.core.textdiff import DiffRow, rows
from gitsnap.ops.compare import components, diff, masking, patch
from gitsnap.ops.report import changelog, known_secrets
from gitsnap.ops.report.evidence import evidence
from gitsnap.ops.report.history import Episode
from gitsnap.ops.store import signers
from gitsnap.sidecar import selectors
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import verifications

_LARGEST = 512 << 10
_AT_ONCE = 32


@dataclass(slots=True, frozen=True)
class Side:
    """One of the two states: a snapshot, or the directory as it is (None).

    `verified` is the time of the last full verification, `signatures` are those that it bears, `author` who
    took it, as git has it (name and e-mail).
    """

    snapshot: Snapshot | None
    verified: datetime | None = None
    signatures: Sequence[Checked] = ()
    author: str = ""


@dataclass(slots=True)
class TextDiff:
    """The lines of a changed text file as they may be shown, and the rows that show them.

    `old` and `new` are whole files, secrets hidden; line 1 is item 0. `unended` tells for each side whether its last
    line lacks a newline. `hidden`: the lines hold a secret that cannot be hidden in them, so there are none.
    """

    file: FileChange
    hunks: list[list[DiffRow]] = field(default_factory=list)
    old: Sequence[str] = ()
    new: Sequence[str] = ()
    unended: tuple[bool, bool] = (False, False)
    hidden: bool = False


@dataclass(slots=True)
class Report:
    """What there is to tell. `changes` are all changes, also those that `log` only counts with their packages."""

    installation: str
    store: str
    log: Changelog
    sides: tuple[Side, Side]
    changes: Sequence[Change]
    components: Mapping[str, tuple[str, ...]]
    texts: ChangedLines
    episode: Episode | None = None
    partial: Sequence[Problem] = ()


def report(
    sidecar: Sidecar,
    old: str,
    new: str,
    settings: Settings,
    *,
    episode: Episode | None = None,
    component: str | None = None,
    masker: Masker = NOTHING,
    observer: Observer = SILENT,
) -> Report:
    """Compare two states (selectors, or `now`), perhaps of one component, for a report.

    `episode` is the upgrade that they belong to. `masker` hides secrets. The texts of a report can be had as
    long as the sidecar is open.
    """
    found, contents = diff.diff(sidecar, old, new, settings, observer=observer)
    if component is not None:
        components.narrow(found, sidecar, component, settings)
    log = changelog.told(sidecar, found, contents.read, settings, evidence(sidecar, episode))
    known_secrets.learn(log, contents.read, masker)
    return Report(
        installation=sidecar.installation,
        store=sidecar.path,
        log=log,
        sides=(_side(sidecar, found.old, settings.signing), _side(sidecar, found.new, settings.signing)),
        changes=found.comparison.changes,
        components=settings.components,
        texts=ChangedLines(sidecar, contents.read, masker, observer),
        episode=episode,
        partial=found.partial,
    )


def _side(sidecar: Sidecar, name: str, signing: Policy) -> Side:
    if name == diff.NOW:
        return Side(None)
    snapshot = selectors.choose(sidecar, name)
    header = sidecar.objects.read(bytes.fromhex(snapshot.commit), b"commit")[1].partition(b"\n\n")[0]
    author = next((line[7:] for line in header.splitlines() if line.startswith(b"author ")), b"")
    who = author[: author.rfind(b">") + 1].decode("utf-8", "replace")
    signed = signers.told(sidecar, snapshot, signing)
    return Side(snapshot, verifications.load(sidecar).get(snapshot.commit), signed, who)


class ChangedLines:
    """The changed lines of files, some files at a time."""

    def __init__(self, sidecar: Sidecar, read: changelog.Read, masker: Masker, observer: Observer) -> None:
        self._sidecar, self._read, self._masker, self._observer = sidecar, read, masker, observer

    def shows(self, file: FileChange) -> bool:
        """Whether there are lines of a file to show: it is text of a bearable size, and no record of packages."""
        change = file.change
        if not (change.status in (Status.ADDED, Status.REMOVED) or is_content(change)) or file.what != "text":
            return False
        if file.generated is not None and file.likely is None:
            return False
        sides = [e for e in (change.old, change.new) if e is not None]
        return all(e.type is Type.FILE and e.size <= _LARGEST and e.sha256 is not None for e in sides)

    def differences(self, files: Iterable[FileChange]) -> Iterable[TextDiff]:
        """What changed in each of `files` that has lines to show, in order.

        It is found out as it is asked for.
        """
        waiting = iter(files)
        self._observer.started("comparing lines")
        while batch := list(islice(waiting, _AT_ONCE)):
            contents = self._contents(batch)

            def read(side: int, entry: Entry, of: dict[tuple[int, bytes], bytes] = contents) -> Iterator[bytes]:
                return iter([of[side, entry.path]])

            wanted = [f for f in batch if self.shows(f)]
            hunks = patch.hunks([f.change for f in wanted], read, self._sidecar)
            for number, file in enumerate(wanted):
                self._observer.advanced(1, len(hunks.get(number, b"")))
                if number in hunks:
                    yield self._text(file, contents, hunks[number])
        self._observer.finished()

    def _contents(self, files: Iterable[FileChange]) -> dict[tuple[int, bytes], bytes]:
        return {
            (side, entry.path): b"".join(self._read(side, entry))
            for file in files
            if self.shows(file)
            for side, entry in enumerate((file.change.old, file.change.new))
            if entry is not None
        }

    def _text(self, file: FileChange, contents: Mapping[tuple[int, bytes], bytes], hunks: bytes) -> TextDiff:
        change = file.change
        old, new = (
            contents.get((side, entry.path), b"") if entry else b""
            for side, entry in enumerate((change.old, change.new))
        )
        unended = tuple(bool(data) and not data.endswith(b"\n") for data in (old, new))
        found = TextDiff(file, rows(hunks), unended=(unended[0], unended[1]))
        try:
            found.old, found.new = masking.short(change.path, old, new, self._masker)
        except Unmaskable:
            found.hunks, found.hidden = [], True
        return found
