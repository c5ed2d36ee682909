"""Existing copies become snapshots: plain trees, archives, and the backups of the system that came before."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gitsnap.core import legacy_layout
from gitsnap.core.coverage import unrecorded
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Inventory, Kind, Problem, Snapshot, slug
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation import unpack
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.capture import signing, store
from gitsnap.ops.capture.import_sources import Source, inner_root, is_backup
from gitsnap.ops.capture.request import Request
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, publish
from gitsnap.sidecar.repository import Sidecar

LAYOUTS = ("tree", "claudio")
PRISTINE = "pristine"


@dataclass(slots=True, frozen=True)
class ImportRequest:
    """How copies are to be taken in. Without `at` the time is read from the name, or is that of the newest file.

    `layout` None means: find out. `pristine` marks a copy as its maker shipped it, of the version `label`.
    """

    at: datetime | None = None
    label: str = ""
    layout: str | None = None
    pristine: bool = False


@dataclass(slots=True)
class Imported:
    """What came of one copy. `known` is true when the very same was imported before. `duration` is in seconds.

    `unrecorded` counts what it does not record (mode, owner, time, xattr), `unlisted` are the directories in which it
    may not cover everything. `foreign` are directories in a backup that are no part of the installation.
    """

    source: str
    snapshot: Snapshot
    known: bool = False
    partial: list[Problem] = field(default_factory=list)
    sockets: list[bytes] = field(default_factory=list)
    duration: float = 0.0
    unrecorded: dict[str, int] = field(default_factory=dict)
    unlisted: list[bytes] = field(default_factory=list)
    foreign: list[bytes] = field(default_factory=list)
    unsigned: str = ""


@dataclass(slots=True)
class _Copy:
    """One copy as it lies there: what is in it, and what is known about it."""

    inventory: Inventory
    when: datetime
    label: str
    message: str
    foreign: list[bytes]


def take_in(
    sidecar: Sidecar, named: Source, wanted: ImportRequest, settings: Settings, *, observer: Observer = SILENT
) -> Imported:
    """Import one copy (a directory, a tar or a zip file). Raises GitsnapError or OSError; there is no snapshot then.

    IntegrityError names the files of an old backup that its checksums do not vouch for.
    """
    started, source = time.monotonic(), named.path
    if source == sidecar.installation:
        raise UsageError(f"{source} is the installation itself", hint="gitsnap snapshot takes a snapshot of it")
    with _as_directory(sidecar, source) as unpacked, sidecar.writing(settings.lock_wait):
        retention.begin(sidecar, settings)
        living = catalog.snapshots(sidecar)
        draft = publish.Draft(
            sidecar, living, StatCache(), settings.author, signing.signer(sidecar, settings.signing, Kind.IMPORTED)
        )
        try:
            observer.started(f"reading {os.path.basename(source)}")
            copy = _read(unpacked, named, wanted, settings, draft, observer)
            observer.finished()
            notes = publish.notes_of(copy.inventory)
            twin = _twin(living, copy, notes)
            result = Imported(source, twin or _publish(sidecar, draft, copy, notes, wanted, settings), twin is not None)
        finally:
            draft.abandon()
        if wanted.pristine:
            result.snapshot = retention.pin_locked(sidecar, result.snapshot)
    result.partial, result.sockets = copy.inventory.partial, copy.inventory.skipped
    result.unrecorded, result.unlisted = unrecorded(copy.inventory), copy.inventory.unlisted
    result.foreign, result.unsigned = (
        copy.foreign,
        "" if result.known else signing.why_unsigned(sidecar, result.snapshot),
    )
    result.duration = time.monotonic() - started
    sidecar.noted.name(result.partial)
    return result


@dataclass(slots=True, frozen=True)
class _Unpacked:
    """A copy as a directory; of an archive also what it records, and where in it the directory is."""

    root: str
    facts: unpack.Facts | None = None
    prefix: bytes = b""


@contextmanager
def _as_directory(sidecar: Sidecar, source: str) -> Iterator[_Unpacked]:
    """The copy as a directory; an archive is unpacked into a private one meanwhile."""
    if os.path.isdir(source):
        yield _Unpacked(source)
        return
    if not os.path.isfile(source):
        raise GitsnapError(
            f"{source} is neither a directory nor an archive",
            kind="no-such-copy",
            path=source,
            hint="it takes directories that are whole copies, and tar or zip files of such",
        )
    folder = tempfile.mkdtemp(prefix="import-", dir=sidecar.scratch)
    try:
        facts = unpack.unpack(source, folder)
        root = inner_root(folder, sidecar.installation)
        yield _Unpacked(root, facts, b"" if root == folder else os.fsencode(os.path.basename(root)))
    finally:
        unpack.make_removable(folder)
        shutil.rmtree(folder)


def _read(
    unpacked: _Unpacked,
    named: Source,
    wanted: ImportRequest,
    settings: Settings,
    draft: publish.Draft,
    observer: Observer,
) -> _Copy:
    root = unpacked.root
    layout = wanted.layout or ("claudio" if is_backup(root) else "tree")
    excludes = nothing_excluded if layout == "tree" else lambda path, _: legacy_layout.home_of(path) is None
    inventory = (
        Scanner(root, draft.pack, ScanOptions(excludes=excludes, stored=draft.keeps, observer=observer)).run().inventory
    )
    if unpacked.facts is not None:
        inventory = legacy_layout.recorded(inventory, unpacked.facts, unpacked.prefix)
    told: dict[str, str] = {}
    foreign: list[bytes] = []
    if layout == "claudio":
        _prove(root, inventory)
        foreign = [p for p in inventory.excluded if p.endswith(b"/")]
        inventory, told = legacy_layout.refold(inventory), _told(root)
    in_names = (legacy_layout.time_in(name, settings.zone) for name in named.names)
    when = wanted.at or _parsed(told.get("timestamp")) or next((t for t in in_names if t is not None), None)
    label = wanted.label or told.get("version", "")
    message = told.get("description") or f"imported from {named.path}"
    return _Copy(inventory, when or legacy_layout.newest_file(inventory), label, message, foreign)


def _prove(root: str, inventory: Inventory) -> None:
    try:
        with open(os.path.join(root, "checksums.sha256"), "rb") as file:
            listed = legacy_layout.listed_digests(file.read())
    except FileNotFoundError:
        raise IntegrityError(
            f"{root} has no checksums.sha256: nothing vouches for it",
            path=root,
            hint="--layout tree imports it as it lies there",
        ) from None
    wrong = legacy_layout.unproved(inventory, listed)
    if wrong:
        path, why = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise IntegrityError(
            f"{os.path.basename(root)} does not verify: '{os.fsdecode(path)}' {why}{more}; it was not imported",
            path=path,
            hint="a copy that is damaged is no snapshot; --layout tree imports it as it lies there",
        )


def _told(root: str) -> dict[str, str]:
    """What the old system's version_history.json says about this backup; nothing where it says nothing."""
    for above in (os.path.dirname(os.path.dirname(root)), os.path.dirname(root)):
        try:
            with open(os.path.join(above, "version_history.json"), "rb") as file:
                listed = json.load(file)["version_history"]
            for entry in listed:
                if str(entry.get("backup_location", "")).rstrip("/").endswith(os.path.basename(root)):
                    return {k: v for k, v in entry.items() if isinstance(v, str)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return {}


def _parsed(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _twin(living: Sequence[Snapshot], copy: _Copy, notes: publish.Notes) -> Snapshot | None:
    """The snapshot that holds this very copy already."""
    for s in living:
        same = s.kind is Kind.IMPORTED and store.same(s, notes)
        if same and abs(s.created - copy.when) < timedelta(seconds=1):
            return s
    return None


def _publish(
    sidecar: Sidecar, draft: publish.Draft, copy: _Copy, notes: publish.Notes, wanted: ImportRequest, settings: Settings
) -> Snapshot:
    when = copy.when.astimezone(settings.zone)
    tags = (PRISTINE,) if wanted.pristine else ()
    request = Request(Kind.IMPORTED, copy.message, slug(copy.label, ""), tags)
    asked = store.wanted(sidecar, request, draft.living, when)
    return draft.publish(asked, copy.inventory, notes, when).snapshot
