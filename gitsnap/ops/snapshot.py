"""Taking a snapshot: scan, store, publish, check, then let retention run."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import Exclusions
from gitsnap.core.manifest import count_changes
from gitsnap.core.message import normalize_message
from gitsnap.core.model import Kind, Problem, Snapshot, slug, snapshot_id
from gitsnap.core.retention import Decision
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation.databases import Databases
from gitsnap.installation.mounts import mount_point
from gitsnap.installation.scan import Excludes, Scan, Scanner
from gitsnap.installation.still import seal, unchanged
from gitsnap.ops import databases, exclusions, retain
from gitsnap.ops.readers import PackingReaders
from gitsnap.ops.rereading import Rereading
from gitsnap.sidecar import catalog, contents, gathering, publish
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.ops.hooks import HookResult, Report


@dataclass(slots=True, frozen=True)
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
    one that holds this very state. `databases` were captured as consistent images. `duration` is in seconds."""

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
    hooks: list[HookResult] = field(default_factory=list)
    duration: float = 0.0


@dataclass(slots=True, frozen=True)
class Sure:
    """What has to be readable beside what is written: its objects (raw ids), and the reading of them under way."""

    relied: list[bytes]
    rereading: Rereading


def take(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    *,
    now: datetime,
    observer: Observer = SILENT,
    report: Report = lambda _: None,
) -> Taken:
    """Take one snapshot of the sidecar's installation, between the hooks of the settings; `report` is told of each.

    Raises GitsnapError or OSError; no snapshot is visible then.
    """
    if settings.hooks is None:
        return _take(sidecar, request, settings, now, observer)
    # Most installations have none, and whoever runs a hook needs much that nobody else does.
    from gitsnap.ops.hooks import Around

    variables = {
        "GITSNAP_DIR": sidecar.installation,
        "GITSNAP_STORE": sidecar.path,
        "GITSNAP_KIND": request.kind.value,
        "GITSNAP_LABEL": request.label,
        "GITSNAP_UPGRADE": request.upgrade or "",
    }
    with Around(settings.hooks, sidecar.installation, variables, report) as hooks:
        # It is taken when the first hook is done, and what that one has taken itself comes before it.
        taken = _take(sidecar, request, settings, now + hooks.elapsed, observer)
        hooks.done("unchanged" if taken.skipped else "taken", taken.snapshot.id)
    taken.hooks = hooks.results
    return taken


def _take(sidecar: Sidecar, request: Request, settings: Settings, now: datetime, observer: Observer) -> Taken:
    """Take one under the writer's lock."""
    with sidecar.writing(settings.lock_wait):
        rules = exclusions.current(sidecar.installation, settings)
        again = _take_again(sidecar, request, settings, rules, now=now, observer=observer)
        if again is not None:
            return again
        taken, _ = take_locked(
            sidecar,
            request,
            settings,
            now=now,
            observer=observer,
            rules=list(rules.rules),
            excludes=exclusions.as_predicate(rules),
        )
    return taken


def take_locked(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    *,
    now: datetime,
    observer: Observer,
    rules: list[bytes],
    excludes: Excludes,
    protect: Collection[str] = (),
    needed: Callable[[Scan], bool] = lambda _: True,
    relied_on: Callable[[Scan], Iterable[bytes]] = lambda _: (),
    images: Collection[bytes] = (),
) -> tuple[Taken, Scan]:
    """The same for a caller who holds the lock, with its own exclusions. `protect` are ids that retention must keep.

    `relied_on` names the objects (raw ids) that must surely be readable: they are read, where they are not written now.

    `needed` sees what was scanned, and may decline a snapshot of it or raise. `images` are databases that are images in
    what the caller compares it with.

    Stored objects are taken for whole until one shows that it is not; then the snapshot is taken once more, and what
    is damaged is written afresh.
    """
    started = time.monotonic()
    while True:
        known = len(sidecar.objects.damaged)
        try:
            kept = databases.capturing(sidecar, settings, images)
            taken, scan = _attempt(sidecar, request, settings, now, observer, rules, excludes, needed, relied_on, kept)
        except IntegrityError:
            if len(sidecar.objects.damaged) == known:
                raise
        else:
            break
    taken.pruned = retain.prune_locked(
        sidecar, settings.retention, now=now, zone=settings.zone, protected={taken.snapshot.id, *protect}
    )
    _tidy(sidecar)
    taken.duration = time.monotonic() - started
    return taken, scan


def _attempt(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    now: datetime,
    observer: Observer,
    rules: list[bytes],
    excludes: Excludes,
    needed: Callable[[Scan], bool],
    relied_on: Callable[[Scan], Iterable[bytes]],
    kept: Databases | None,
) -> tuple[Taken, Scan]:
    living = catalog.snapshots(sidecar)
    cache = sidecar.load_cache()
    draft = publish.Draft(sidecar, living, cache)
    try:
        observer.started("reading")
        scan = _scan(sidecar, draft, cache, excludes, kept, observer)
        observer.finished()
        scan.inventory.rules = rules
        taken = _found(living, scan)
        if not needed(scan):
            taken.skipped = True
        else:
            # Manual ones are the many that have to be quick, and nothing is about to be changed.
            trees = cache.trees if request.kind is not Kind.MANUAL else ()
            relied = [oid for oid in relied_on(scan) if oid not in draft.pack]
            with Rereading(sidecar.objects, [*trees, *relied], {}, SILENT, kind=None) as rereading:
                sure = Sure(relied, rereading)
                _store(sidecar, draft, request, living, scan, taken, now.astimezone(settings.zone), sure)
    except OSError as error:
        raise _storing_failed(error, sidecar, request.kind) from error
    finally:
        draft.abandon()
    return taken, scan


def _store(
    sidecar: Sidecar,
    draft: publish.Draft,
    request: Request,
    living: list[Snapshot],
    scan: Scan,
    taken: Taken,
    when: datetime,
    sure: Sure,
) -> None:
    texts = publish.texts_of(scan.inventory)
    before = _newest_manifest(sidecar, living)
    taken.new_files, taken.changed_files, taken.removed_files = count_changes(before, texts.manifest)
    if request.skip_unchanged and living and not sidecar.objects.damaged and _same(living[-1], texts):
        taken.snapshot, taken.skipped = living[-1], True
        return
    published = draft.publish(_wanted(request, set(sidecar.damaged), living, when), scan.inventory, texts, when)
    below = published.trees if request.kind is not Kind.MANUAL else []
    # They may be a hundred megabytes, and are read back from the pack now.
    del texts, before
    oids = {e.oid for e in scan.inventory.entries if e.oid is not None}
    _check(sidecar, living, published.snapshot, oids, when, lambda: _require_readable(sidecar, sure, below))
    taken.snapshot = published.snapshot
    commit, trees = bytes.fromhex(published.snapshot.commit), frozenset(published.trees)
    sidecar.save_cache(StatCache(commit, scan.rows, scan.xattrs, trees, seal(scan), scan.images))
    if request.pin:
        taken.snapshot = retain.pin_locked(sidecar, taken.snapshot)


def _take_again(
    sidecar: Sidecar, request: Request, settings: Settings, rules: Exclusions, *, now: datetime, observer: Observer
) -> Taken | None:
    """A snapshot of a directory in which nothing has changed since the stat cache was written; None where that is not
    certain. Nothing is read but names and times, and nothing is written but commits and notes trees."""
    started = time.monotonic()
    cache = sidecar.load_cache()
    living = catalog.snapshots(sidecar)
    prior = next((s for s in living if s.commit == cache.commit.hex()), None)
    observer.started("looking")
    predicate = exclusions.as_predicate(rules)
    left_out = None
    if prior is not None and not sidecar.objects.damaged:
        held = list(rules.rules)
        left_out = unchanged(
            sidecar.installation, cache, held, predicate, restricted=bool(rules), databases=settings.sqlite
        )
    observer.finished()
    if prior is None or left_out is None:
        return None
    newest = living[-1]
    before, after = (contents.manifest_text(sidecar, s) if newest is not prior else b"" for s in (newest, prior))
    changes = count_changes(before, after)
    taken = Taken(prior, *changes, sockets=left_out.skipped, excluded=len(left_out.excluded))
    taken.databases = sorted(cache.images)
    if request.skip_unchanged and _same(newest, prior):
        taken.snapshot, taken.skipped = newest, True
    else:
        _publish_again(sidecar, request, living, prior, cache, taken, now.astimezone(settings.zone))
    taken.pruned = retain.prune_locked(
        sidecar, settings.retention, now=now, zone=settings.zone, protected={taken.snapshot.id}
    )
    _tidy(sidecar)
    if prior.id in {d.snapshot.id for d in taken.pruned}:
        # The rows hold for the new snapshot just as well, and that one is still there next time.
        cache.commit = bytes.fromhex(taken.snapshot.commit)
        sidecar.save_cache(cache)
    taken.duration = time.monotonic() - started
    return taken


def _tidy(sidecar: Sidecar) -> None:
    # The snapshot is taken; that there is no room to tidy up in, or no git, does not change that.
    with suppress(OSError, GitsnapError):
        gathering.gather(sidecar)


def _publish_again(
    sidecar: Sidecar,
    request: Request,
    living: list[Snapshot],
    prior: Snapshot,
    cache: StatCache,
    taken: Taken,
    when: datetime,
) -> None:
    draft = publish.Draft(sidecar, living, cache)
    try:
        taken.snapshot = draft.publish_again(_wanted(request, set(sidecar.damaged), living, when), prior, when).snapshot
        _check(sidecar, living, taken.snapshot, cache.oids() | cache.trees, when)
        if request.pin:
            taken.snapshot = retain.pin_locked(sidecar, taken.snapshot)
    except OSError as error:
        raise _storing_failed(error, sidecar, request.kind) from error
    finally:
        draft.abandon()


def _scan(
    sidecar: Sidecar,
    draft: publish.Draft,
    cache: StatCache,
    excludes: Excludes,
    kept: Databases | None,
    observer: Observer,
) -> Scan:
    readers = PackingReaders(sidecar.installation, draft.pack, draft.keeps)
    with closing(readers):
        return Scanner(
            sidecar.installation,
            draft.pack,
            cache=cache,
            excludes=excludes,
            stored=draft.stored,
            readers=readers,
            databases=kept,
            observer=observer,
        ).run()


def _require_readable(sidecar: Sidecar, sure: Sure, trees: Iterable[bytes]) -> None:
    found = sure.rereading.finish()
    # What is damaged and not needed is no reason to fail.
    damaged = [
        oid
        for oid in (*sure.relied, *trees)
        if isinstance(found.get(oid), str) or (oid not in found and not sidecar.objects.readable(oid))
    ]
    if damaged:
        # Workers remember it for themselves alone.
        sidecar.objects.damaged.update(damaged)
        raise IntegrityError(f"object {damaged[0].hex()} is damaged")


def _check(
    sidecar: Sidecar,
    living: list[Snapshot],
    fresh: Snapshot,
    oids: set[bytes],
    now: datetime,
    more: Callable[[], None] = lambda: None,
) -> None:
    """Read back what was published, and do what `more` there is to check; it raises IntegrityError.

    What does not pass goes again, and with it the cache that may be to blame.
    """
    try:
        publish.check(sidecar, fresh, oids)
        more()
    except IntegrityError:
        sidecar.save_cache(StatCache())
        publish.withdraw(sidecar, [*living, fresh], [fresh], now)
        raise


def _wanted(request: Request, taken: set[str], living: list[Snapshot], when: datetime) -> Snapshot:
    label = slug(request.label, "") if request.label else request.kind.value
    if not label:
        raise UsageError(f"'{request.label}' cannot be a label", hint="use ASCII letters, digits, dots and dashes")
    return Snapshot(
        id=snapshot_id(when, label, {s.id for s in living} | taken),
        commit="",
        tree="",
        created=when.replace(microsecond=0),
        kind=request.kind,
        label=label,
        message=normalize_message(request.message, kind=request.kind, label=label),
        files=0,
        bytes=0,
        manifest_sha256="",
        metadata_sha256="",
        tags=tuple(dict.fromkeys(slug(t, "tag") for t in request.tags)),
        upgrade=request.upgrade,
        command=request.command,
        exit_code=request.exit_code,
    )


def _found(living: list[Snapshot], scan: Scan) -> Taken:
    return Taken(
        snapshot=living[-1] if living else _NOTHING,
        partial=scan.inventory.partial,
        sockets=scan.inventory.skipped,
        mounts=scan.mounts,
        excluded=len(scan.inventory.excluded),
        databases=sorted(scan.inventory.images),
    )


def _newest_manifest(sidecar: Sidecar, living: list[Snapshot]) -> bytes:
    """That of the newest snapshot whose manifest can be read; nothing where there is none."""
    for snapshot in reversed(living):
        with suppress(IntegrityError):
            return contents.manifest_text(sidecar, snapshot)
    return b""


_NOTHING = Snapshot("", "", "", datetime.min, Kind.MANUAL, "", "", 0, 0, "", "")


def _same(newest: Snapshot, other: Snapshot | publish.Texts) -> bool:
    """Whether the newest snapshot says exactly what a new one would: content, metadata and exclusions."""
    return (newest.manifest_sha256, newest.metadata_sha256) == (other.manifest_sha256, other.metadata_sha256)


def _storing_failed(error: OSError, sidecar: Sidecar, kind: Kind) -> GitsnapError:
    safety = kind is Kind.SAFETY
    what = "the safety snapshot could not be written, so the directory is untouched" if safety else (
        "the snapshot could not be written"
    )  # fmt: skip
    safe = "no snapshot was made, earlier ones are untouched"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = mount_point(sidecar.path)
        return GitsnapError(
            f"{what}: the file system of the sidecar, mounted at {full}, is full ({error.strerror})",
            kind="no-space",
            path=sidecar.path,
            hint=f"{safe}; make room and try again",
        )
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    return GitsnapError(
        f"{what}: {error.strerror}" + (f" ({where})" if where else ""), kind="io", path=where, hint=safe
    )
