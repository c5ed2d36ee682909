"""What every snapshot goes through: its name and message before it is published, a look at it afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.counts import Counts
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError, exhausted
from gitsnap.core.message import normalize_message
from gitsnap.core.model import Kind, Snapshot, as_tag, slug, snapshot_id
from gitsnap.core.order import following, in_order, newest
from gitsnap.core.statcache import StatCache
from gitsnap.installation.mounts import mount_point
from gitsnap.installation.scan.unchanged import all_rows, seal
from gitsnap.ops.capture import signing
from gitsnap.ops.capture.request import Capture, Captured, Request
from gitsnap.ops.store import retention
from gitsnap.sidecar import publish, rollbacks, small_packs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register

if TYPE_CHECKING:
    from gitsnap.core.model import Inventory
    from gitsnap.installation.scan_result import Scan
    from gitsnap.ops.parallel.read_back import Rereading


@dataclass(slots=True, frozen=True)
class ReliedOn:
    """What has to be readable beside what is written: its objects (raw ids), and the reading of them under way."""

    sidecar: Sidecar
    oids: list[bytes]
    rereading: Rereading

    def require(self, trees: Iterable[bytes]) -> None:
        """Wait for the reading; IntegrityError when something that is relied on, or one of `trees`, is damaged."""
        found, objects = self.rereading.finish(), self.sidecar.objects
        # What is damaged and not needed is no reason to fail.
        damaged = [
            oid
            for oid in (*self.oids, *trees)
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
    used = {s.id for s in living} | sidecar.damaged.keys() | known.taken.keys() | known.gone.keys()
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
        tags=tuple(dict.fromkeys(map(as_tag, request.tags))),
        upgrade=request.upgrade,
        command=request.command,
        exit_code=request.exit_code,
        running=tuple(r.told for r in request.running),
        undoes=request.undoes,
        redoes=request.redoes,
        directories=request.directories,
        sequence=None if request.kind is Kind.IMPORTED else following(living, known.places().values()),
    )


def same(newest: Snapshot, other: Snapshot | publish.Notes) -> bool:
    """Whether the newest snapshot says exactly what a new one would: content, metadata and exclusions."""
    return (newest.manifest_sha256, newest.metadata_sha256) == (other.manifest_sha256, other.metadata_sha256)


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


def holder(sidecar: Sidecar, draft: publish.Draft, scan: Scan) -> Snapshot | None:
    """The living snapshot that holds all that was scanned, and nothing else, by the word of the stat cache."""
    cache = draft.cache
    prior = next((s for s in draft.living if s.commit == cache.commit.hex()), None)
    if prior is None or sidecar.objects.damaged or scan.fresh or scan.images != cache.images:
        return None
    return prior if cache.whole and scan.counted_rows() == len(cache.rows) and seal(scan) == cache.whole else None


def share(
    capture: Capture,
    draft: publish.Draft,
    prior: Snapshot,
    taken: Captured,
    also: publish.Check = lambda _: None,
    held: Iterable[bytes] | None = None,
) -> None:
    """Publish a snapshot with the tree and notes of `prior`, to which the cache belongs; `also` checks it further, and
    `held` are the ids that the cache vouches for, where they are known.

    Raises IntegrityError where these are damaged; there is no snapshot then.
    """
    taken.snapshot = draft.share(_wanted(capture, draft), prior, capture.when, also, held).snapshot
    count(capture, draft, taken, None)
    pin(capture, taken)


def store(capture: Capture, draft: publish.Draft, scan: Scan, taken: Captured, relied: ReliedOn) -> None:
    """Publish what was scanned, unless the newest snapshot says just the same and that is to be skipped.

    Raises GitsnapError; there is no snapshot then.
    """
    sidecar, request = capture.sidecar, capture.request
    written = draft.write(scan.entries(), scan.inventory, scan.files(), scan.oids)
    content, notes, others, directories = written
    last = newest(draft.living)
    if request.skip_unchanged and last and not sidecar.objects.damaged and same(last, notes):
        taken.snapshot, taken.skipped = last, True
        return

    def also(published: publish.Published) -> None:
        relied.require(published.trees if request.kind is not Kind.MANUAL else ())

    published = draft.publish_content(_wanted(capture, draft), content, notes, capture.when, also)
    taken.snapshot = published.snapshot
    commit, trees = bytes.fromhex(published.snapshot.commit), published.trees
    scan = replace(scan, rows=all_rows(scan))
    more = scan.packed.by_folder() if scan.packed is not None else ()
    cache = StatCache(commit, scan.rows, scan.xattrs, trees, seal(scan), scan.images)
    sidecar.save_cache(cache, more=more)
    # The root is nothing that came.
    count(capture, draft, taken, Counts.of_new(others, directories - 1))
    pin(capture, taken)


def store_changed(
    capture: Capture,
    draft: publish.Draft,
    content: publish.Content,
    notes: publish.Notes,
    taken: Captured,
    relied: ReliedOn,
) -> bytes:
    """Publish a state of which the trees are written; its commit (raw id).

    Raises GitsnapError; there is no snapshot then.
    """

    def also(_: publish.Published) -> None:
        relied.require(content.trees if capture.request.kind is not Kind.MANUAL else ())

    published = draft.publish_content(_wanted(capture, draft), content, notes, capture.when, also)
    taken.snapshot = published.snapshot
    return bytes.fromhex(published.snapshot.commit)


def count(
    capture: Capture,
    draft: publish.Draft,
    taken: Captured,
    new: Counts | None,
    since: tuple[Snapshot, tuple[Inventory, Inventory]] | None = None,
) -> None:
    """Count what changed since the newest snapshot that can be read, or what was brought back after it; `new` are
    the counts where there was nothing before, and `since` what differs from an earlier snapshot, where that is known.

    The snapshot is there whatever comes of this.
    """
    if capture.request.kind is Kind.SAFETY:
        # Nobody asks, and a rollback waits.
        return
    last = _came_from(capture.sidecar, draft.living)
    if last is not None and same(last, taken.snapshot):
        taken.before = last.id
        return
    # What compares is loaded where something is to be compared.
    from gitsnap.ops.compare import stored

    for earlier in ([last] if last else []) + draft.living[::-1]:
        with suppress(GitsnapError, OSError):
            most = capture.request.count_up_to
            sides = since[1] if since is not None and same(since[0], earlier) else None
            found = stored.counts(
                capture.sidecar, earlier, taken.snapshot, at_most=most, sides=sides, observer=capture.observer
            )
            taken.counts, taken.counted, taken.before = found or taken.counts, found is not None, earlier.id
            return
    taken.counts = new or taken.counts


def _came_from(sidecar: Sidecar, living: Sequence[Snapshot]) -> Snapshot | None:
    """What the directory was before: the newest snapshot, or the one that was brought back after that."""
    back = rollbacks.places(rollbacks.load(sidecar.refs, sidecar.objects), living).get(len(living))
    return next((s for s in living if back is not None and s.id == back.target), newest(living))


def _wanted(capture: Capture, draft: publish.Draft) -> Snapshot:
    return wanted(capture.sidecar, capture.request, draft.living, capture.when)


def pin(capture: Capture, taken: Captured) -> None:
    """Pin it, where that is asked for."""
    if capture.request.pin:
        taken.snapshot = retention.pin_locked(capture.sidecar, taken.snapshot)


def conclude(capture: Capture, living: Sequence[Snapshot], taken: Captured) -> None:
    """Let retention run over the `living` and what was taken beside them, and tidy up."""
    pruned = retention.prune_locked(
        capture.sidecar,
        capture.settings,
        now=capture.now,
        protected={taken.snapshot.id, *capture.protect},
        living=living if taken.skipped else in_order([*living, taken.snapshot]),
    )
    taken.pruned, taken.held = pruned.gone, pruned.held
    taken.unsigned = signing.why_unsigned(capture.sidecar, taken.snapshot)
    # The snapshot is taken; that there is no room to tidy up in, or no git, does not change it.
    with suppress(OSError, GitsnapError):
        small_packs.gather(capture.sidecar)
