"""What every snapshot goes through: its name and message before it is published, a look at it afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError, exhausted
from gitsnap.core.message import normalize_message
from gitsnap.core.model import Kind, Snapshot, slug, snapshot_id
from gitsnap.core.order import following, in_order, newest
from gitsnap.core.statcache import StatCache
from gitsnap.installation.mounts import mount_point
from gitsnap.installation.scan.unchanged import seal
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Request, Taken
from gitsnap.ops.parallel.read_back import Rereading
from gitsnap.ops.store import retention
from gitsnap.sidecar import consolidate, contents, publish
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register

if TYPE_CHECKING:
    from gitsnap.installation.scan_result import Scan
from gitsnap.core.manifest import count_changes
from gitsnap.installation.scan_result import Scan


@dataclass(slots=True, frozen=True)
class Sure:
    """What has to be readable beside what is written: its objects (raw ids), and the reading of them under way."""

    sidecar: Sidecar
    relied: list[bytes]
    rereading: Rereading

    def require(self, trees: Iterable[bytes]) -> None:
        """Wait for the reading; IntegrityError when something that is relied on, or one of `trees`, is damaged."""
        found, objects = self.rereading.finish(), self.sidecar.objects
        # What is damaged and not needed is no reason to fail.
        damaged = [
            oid
            for oid in (*self.relied, *trees)
            if isinstance(found.get(oid), str) or (oid not in found and not objects.readable(oid))
        ]
        if damaged:
            # Workers remember it for themselves alone.
            objects.damaged.update(damaged)
            raise IntegrityError(f"object {damaged[0].hex()} is damaged")


def wanted(sidecar: Sidecar, request: Request, living: list[Snapshot], when: datetime) -> Snapshot:
    """The snapshot to be, without commit, tree, counts and digests. Its id was never another's, as far as is known."""
    label = slug(request.label, "") if request.label else request.kind.value
    if not label:
        raise UsageError(f"'{request.label}' cannot be a label", hint="use ASCII letters, digits, dots and dashes")
    known = register.load(sidecar)
    used = {s.id for s in living} | sidecar.damaged.keys() | known.taken.keys() | known.gone
    return Snapshot(
        id=snapshot_id(when, label, used),
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
        sequence=None if request.kind is Kind.IMPORTED else following(living, known.places().values()),
    )


def newest_manifest(sidecar: Sidecar, living: list[Snapshot]) -> bytes:
    """That of the newest snapshot whose manifest can be read; nothing where there is none."""
    last = newest(living)
    for snapshot in ([last] if last else []) + living[::-1]:
        with suppress(IntegrityError):
            return contents.manifest_text(sidecar, snapshot)
    return b""


def same(newest: Snapshot, other: Snapshot | publish.Texts) -> bool:
    """Whether the newest snapshot says exactly what a new one would: content, metadata and exclusions."""
    return (newest.manifest_sha256, newest.metadata_sha256) == (other.manifest_sha256, other.metadata_sha256)


def check(
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


def with_taken(living: Sequence[Snapshot], taken: Taken) -> Sequence[Snapshot]:
    """All snapshots, in order: those that there were, and what was taken since under the same lock."""
    return living if taken.skipped else in_order([*living, taken.snapshot])


def tidy(sidecar: Sidecar) -> None:
    """Gather small packs. The snapshot is taken; that there is no room to tidy up in, or no git, does not change it."""
    with suppress(OSError, GitsnapError):
        consolidate.gather(sidecar)


def storing_failed(error: OSError, sidecar: Sidecar, kind: Kind) -> GitsnapError:
    """What to say of an error of the sidecar's file system."""
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
    named = isinstance(error.filename, (str, bytes)) and not exhausted(error)
    where = os.fsdecode(error.filename) if named else None
    return GitsnapError(
        f"{what}: {error.strerror}" + (f" ({where})" if where else ""), kind="io", path=where, hint=safe
    )


def holder(sidecar: Sidecar, living: list[Snapshot], cache: StatCache, scan: Scan) -> Snapshot | None:
    """The living snapshot that holds all that was scanned, and nothing else, by the word of the stat cache."""
    prior = next((s for s in living if s.commit == cache.commit.hex()), None)
    if prior is None or sidecar.objects.damaged or scan.fresh or scan.images != cache.images:
        return None
    return prior if cache.whole and len(scan.rows) == len(cache.rows) and seal(scan) == cache.whole else None


def share(
    sidecar: Sidecar,
    draft: publish.Draft,
    request: Request,
    living: list[Snapshot],
    prior: Snapshot,
    cache: StatCache,
    taken: Taken,
    when: datetime,
    more: Callable[[], None] = lambda: None,
) -> None:
    """Publish a snapshot with the tree and notes of `prior`, to which the cache belongs; `more` checks it further.

    Raises IntegrityError where these are damaged; there is no snapshot then.
    """
    last = newest(living) or prior
    if last.manifest_sha256 != prior.manifest_sha256:
        from gitsnap.core.manifest import count_changes

        before, after = (contents.manifest_text(sidecar, s) for s in (last, prior))
        taken.new_files, taken.changed_files, taken.removed_files = count_changes(before, after)
    wanted = store.wanted(sidecar, request, living, when)
    taken.snapshot = draft.publish_again(wanted, prior, when).snapshot
    store.check(sidecar, living, taken.snapshot, cache.oids() | cache.trees, when, more)
    if request.pin:
        taken.snapshot = retention.pin_locked(sidecar, taken.snapshot)


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
    before = store.newest_manifest(sidecar, living)
    taken.new_files, taken.changed_files, taken.removed_files = count_changes(before, texts.manifest)
    last = newest(living)
    if request.skip_unchanged and last and not sidecar.objects.damaged and store.same(last, texts):
        taken.snapshot, taken.skipped = last, True
        return
    published = draft.publish(store.wanted(sidecar, request, living, when), scan.inventory, texts, when)
    below = published.trees if request.kind is not Kind.MANUAL else []
    # They may be a hundred megabytes, and are read back from the pack now.
    del texts, before
    oids = {e.oid for e in scan.inventory.entries if e.oid is not None}
    store.check(sidecar, living, published.snapshot, oids, when, lambda: sure.require(below))
    taken.snapshot = published.snapshot
    commit, trees = bytes.fromhex(published.snapshot.commit), frozenset(published.trees)
    sidecar.save_cache(StatCache(commit, scan.rows, scan.xattrs, trees, seal(scan), scan.images))
    if request.pin:
        taken.snapshot = retention.pin_locked(sidecar, taken.snapshot)
