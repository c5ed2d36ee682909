"""Snapshots of a directory in which little has changed: only that is read, and only lines that differ are formed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from itertools import chain

from gitsnap.core.database_servers import ENDINGS
from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT
from gitsnap.core.model import Inventory, Kind, Snapshot
from gitsnap.core.order import newest
from gitsnap.core.spliced import Spliced
from gitsnap.core.statcache import StatCache, ids_in
from gitsnap.core.statcache_file import Edits
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan.unchanged import Seen, all_rows, owners_in, sealed
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.capture import space_needed, store
from gitsnap.ops.capture.request import Capture, Captured
from gitsnap.ops.live import databases
from gitsnap.ops.live.base import Base, beside
from gitsnap.ops.parallel.read import PackingReaders
from gitsnap.ops.parallel.read_back import ReadBacks, Rereading
from gitsnap.sidecar import publish
from gitsnap.sidecar.git import tree_edits


def take(capture: Capture, living: list[Snapshot], prior: Snapshot, cache: StatCache, seen: Seen) -> Captured | None:
    """A snapshot of a directory that was `seen` to hold what `prior` holds, but for a few paths; None where these alone
    do not tell it, and all of it has to be looked at."""
    sidecar = capture.sidecar
    if not space_needed.fits(sidecar, seen.size, len(cache.rows) + len(seen.changed)):
        # What it holds has to be looked at.
        return None
    try:
        with beside(sidecar, prior) as base:
            if not base.allows(cache, capture.rules, seen, databases=capture.settings.sqlite):
                return None
            draft = publish.Draft(sidecar, living, cache, capture.settings.author, capture.sign)
            try:
                taken = _Taking(capture, draft, base, cache, seen).take()
            finally:
                draft.abandon()
    except IntegrityError:
        return None
    except OSError as error:
        raise store.storing_failed(error, sidecar, capture.request.kind) from error
    if taken is not None:
        store.conclude(capture, living, taken)
    return taken


class _Taking:
    def __init__(self, capture: Capture, draft: publish.Draft, base: Base, cache: StatCache, seen: Seen) -> None:
        self._capture, self._draft, self._base, self._cache, self._seen = capture, draft, base, cache, seen
        # The ids of what the cache vouches for.
        self._held: list[bytes] = []

    def take(self) -> Captured | None:
        """Read what differs, and publish."""
        capture, seen = self._capture, self._seen
        scan = self._scan()
        made = self._base.with_changes(scan, seen) if scan is not None else None
        if scan is None or made is None:
            return None
        paths, self._held = self._cache.read_through(ENDINGS)
        capture.look_for_servers([*sorted({*paths} - {*seen.gone}), *seen.changed])
        taken = Captured(self._base.prior, sockets=seen.skipped, excluded=len(seen.excluded))
        taken.running = capture.request.running
        self._publish(scan, made, taken)
        return taken

    def _scan(self) -> Scan | None:
        capture, draft = self._capture, self._draft
        sidecar, settings = capture.sidecar, capture.settings
        options = ScanOptions(
            cache=self._cache,
            excludes=capture.excludes,
            stored=draft.stored,
            databases=databases.capturing(sidecar, settings, capture.images),
            observer=capture.observer,
        )
        root = sidecar.installation
        capture.observer.started("reading")
        try:
            with closing(PackingReaders(root, self._cache.rows, draft.pack, draft.keeps)) as readers:
                return Scanner(root, draft.pack, options, readers=readers).only(self._seen.changed, self._seen.folders)
        finally:
            capture.observer.finished()

    def _publish(self, scan: Scan, made: Spliced, taken: Captured) -> None:
        capture, draft, base = self._capture, self._draft, self._base
        last, notes = newest(draft.living), draft.spooled(made.manifest, made.metadata)
        edits = Edits(all_rows(scan), self._seen.gone)
        cache = replace(self._cache, xattrs=self._xattrs(scan), whole=self._seal(scan))
        if capture.request.skip_unchanged and last is not None and store.same(last, notes):
            taken.snapshot, taken.skipped = last, True
            return
        if store.same(base.prior, notes):
            # What differed were stat fields that no snapshot tells.
            store.share(capture, draft, base.prior, taken, held=ids_in(self._held))
            cache.commit = bytes.fromhex(taken.snapshot.commit)
            capture.sidecar.save_cache(cache, edits)
            return
        trees = tree_edits.edit(
            capture.sidecar.objects, bytes.fromhex(base.prior.tree), _leaves(scan.inventory, self._seen), draft.add_tree
        )
        cache.trees = _edited(cache.trees, trees)
        new = [e.oid for e in scan.inventory.entries if e.oid]
        content = publish.Content(trees.root, cache.trees, made.files, made.bytes, chain(ids_in(self._held), new))
        opened = base.opened
        draft.knows(opened.manifest_oid, opened.texts.manifest)
        draft.knows(opened.metadata_oid, opened.texts.metadata)
        # As in a whole scan: manual ones are the many that have to be quick.
        relied = [] if capture.request.kind is Kind.MANUAL else [*self._cache.trees]
        with Rereading(capture.sidecar.objects, relied, ReadBacks(), SILENT, kind=None) as rereading:
            relied_on = store.ReliedOn(capture.sidecar, [], rereading)
            commit = store.store_changed(capture, draft, content, notes, taken, relied_on)
        cache.commit = commit
        capture.sidecar.save_cache(cache, edits)
        store.count(capture, draft, taken, None, (base.prior, (made.old, made.new)))
        store.pin(capture, taken)

    def _xattrs(self, scan: Scan) -> dict[bytes, tuple[tuple[str, bytes], ...]]:
        away = {*self._seen.changed, *self._seen.gone}
        return {path: held for path, held in self._cache.xattrs.items() if path not in away} | scan.xattrs

    def _seal(self, scan: Scan) -> bytes:
        owners = {(e.uid, e.gid, e.uname, e.gname) for e in scan.inventory.entries} | set(owners_in(self._cache.whole))
        seen = self._seen
        aside = Inventory(rules=self._capture.rules, excluded=seen.excluded, skipped=seen.skipped)
        whole = len(all_rows(scan)) == len(scan.inventory.entries)
        return sealed(aside, owners, databases=self._capture.settings.sqlite) if whole else b""


def _leaves(inventory: Inventory, seen: Seen) -> dict[bytes, tuple[int, bytes] | None]:
    """What becomes of the files and symlinks of the trees."""
    out: dict[bytes, tuple[int, bytes] | None] = dict.fromkeys(seen.gone)
    for entry in inventory.entries:
        # Where a directory is, there is nothing else now.
        out[entry.path] = (entry.git_mode, entry.oid) if entry.oid else None
    out.pop(b"", None)
    return out


def _edited(trees: Iterable[bytes], edited: tree_edits.EditedTrees) -> list[bytes]:
    """The ids of all trees, one for each directory, as often as there are such directories."""
    left = Counter(trees)
    left.subtract(edited.gone)
    left.update(edited.new)
    return list(left.elements())
