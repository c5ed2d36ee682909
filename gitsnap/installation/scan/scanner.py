"""Walking the installation: every entry with its metadata, and each file's digests, read at most when it changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import NamedTuple

from gitsnap.core.content import WHOLE, BlobSink, Digests, Look
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Entry, Type, Xattrs
from gitsnap.core.paths import STAGE_PREFIX
from gitsnap.core.sqlite import beside as names_beside
from gitsnap.core.statcache import StatCache, fits, row
from gitsnap.installation import mounts
from gitsnap.installation.apply import orphan_stages
from gitsnap.installation.directories import Directories, present
from gitsnap.installation.entries import entry_of
from gitsnap.installation.scan.fast_path import DirectoryScan, FastPath, Read, Readers, WalkRules
from gitsnap.installation.scan.read_content import ContentReader, SinkFailed
from gitsnap.installation.scan.slow_path import SlowPath
from gitsnap.installation.scan_result import Recording, Scan, hardlinks, set_xattrs
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.installation.sqlite.detect import Imager
from gitsnap.installation.sqlite.record import Images, drop_what_images_hold
from gitsnap.installation.stable_read import COARSE_NS, key
from gitsnap.installation.stable_read import settled as _settled


class _Pending(NamedTuple):
    """A file that a reader has in hand: everything but its digests and extended attributes. `entry` is there where no
    row can hold it."""

    folder: bytes
    name: bytes
    key: bytes
    sparse: bool
    settled: bool
    entry: Entry | None

    @property
    def path(self) -> bytes:
        return self.folder + b"/" + self.name if self.folder else self.name


class ScanOptions(NamedTuple):
    """How a walk is to be done. `stored` is asked whether a digest the cache remembers may be relied on (its blob is
    kept); without it, it may. With `databases`, those that are in use are captured as one consistent image.

    With `packed`, what is found is packed where that is possible (Scan.packed); for run() alone.

    With `leases`, whoever wants to write to a large file that changed lately may have to wait for a moment.
    """

    cache: StatCache | None = None
    excludes: Excludes = nothing_excluded
    stored: Callable[[bytes], bool] | None = None
    databases: Databases | None = None
    observer: Observer = SILENT
    leases: bool = False
    packed: bool = False


_DEFAULTS = ScanOptions()


class Scanner:
    """One walk. `sink` takes the content of files that the cache does not vouch for.

    `readers`, where there are any, take on small files beside the walk; they stand in for the sink. `links` are the
    names, by device and inode, of what has several.
    """

    def __init__(
        self,
        root: str,
        sink: BlobSink,
        options: ScanOptions = _DEFAULTS,
        *,
        readers: Readers | None = None,
    ) -> None:
        self._dirs = Directories(root)
        self._cache = options.cache or StatCache()
        self._excludes, self._observer = options.excludes, options.observer
        self._stored = options.stored
        self._readers = readers
        self._rows = self._cache.rows
        self._restricted = self._excludes is not nothing_excluded
        self._handed = 0
        self._pending: dict[int, _Pending] = {}
        # Files that were read or handed over from one directory, and their bytes.
        self._taken_on = [0, 0]
        self._turned: list[tuple[bytes, int]] = []
        self._recording = Recording(self._rows, databases=options.databases is not None, packed=options.packed)
        self.scan = self._recording.scan
        self._intake = ContentReader(sink, self._stored, self.scan, self._observer, leases=options.leases)
        self._images: Images | None = None
        if options.databases is not None:
            imager = Imager(options.databases, self._cache, self._stored, self._intake.store_image)
            self._images = Images(imager, self._recording)
        self._slow_path = SlowPath(self._recording, self._intake, self._images, self._cache, self._excludes)
        self.links = self._slow_path.links

    def run(self) -> Scan:
        """Walk everything; raises OSError only when the root itself cannot be read, or from the sink."""
        try:
            with self._dirs:
                self._begin()
                self._walk([self._root()])
        except SinkFailed as failed:
            raise failed.cause from None
        if self.scan.inventory.images or self._holds_likely_stage():
            # What is to be taken out again is looked for by its path.
            self.scan.unpack()
        orphan_stages.set_aside(self.scan, self.links.values())
        return self._finished()

    def _holds_likely_stage(self) -> bool:
        packed = self.scan.packed
        here = packed is not None and packed.mentions(STAGE_PREFIX)
        return here or any(STAGE_PREFIX in entry.path for entry in self.scan.inventory.entries)

    def only(self, paths: Iterable[bytes], folders: Iterable[bytes]) -> Scan | None:
        """Record these paths alone, of which these are directories; what is in them is not looked at.

        None where that is not all: where one is not there any more or is something else, was left out, could not be
        read, belongs to a database that is in use, or has several names. Raises OSError as run() does.
        """
        wanted = list(paths)
        try:
            with self._dirs:
                self._begin()
                for path in wanted:
                    if path:
                        self._left(path, tried=False)
                    else:
                        self._root()
                # What is a directory now was one when it was found to differ, or is none of these.
                self._collect(everything=True)
        except SinkFailed as failed:
            raise failed.cause from None
        scan = self._finished()
        inventory = scan.inventory
        odd = self.links or inventory.partial or inventory.images or inventory.excluded or inventory.skipped
        found = {e.path for e in inventory.entries if e.type is Type.DIR}
        told = [e.path for e in inventory.entries] == sorted(wanted) and found == set(folders)
        return scan if told and not odd and not self._mounts else None

    def directly_in(self, folders: Iterable[bytes]) -> Scan:
        """Record what is directly in these directories, with the root itself where it is one of them.

        Raises OSError when one cannot be opened, or from the sink.
        """
        try:
            with self._dirs:
                self._begin()
                for folder in folders:
                    self._directory(*(self._root() if not folder else (folder, os.fstat(self._dirs.fd(folder)).st_dev)))
                self._collect(everything=True)
        except SinkFailed as failed:
            raise failed.cause from None
        return self._finished()

    def _begin(self) -> None:
        self._mounts = mounts.below(self._dirs.root)
        self._fast_path = self._make_fast_path(self._dirs, self._take_on)

    def _root(self) -> tuple[bytes, int]:
        """Record the root itself; its path and device."""
        started = time.time_ns()
        root = os.fstat(self._dirs.root)
        entry = entry_of(b"", root, Type.DIR)
        self._recording.refused(entry.path, set_xattrs(entry, self._dirs.root, b"."))
        self.scan.inventory.entries.append(entry)
        if _settled(root, started) and not self.scan.inventory.partial:
            self._recording.remember(b"", entry, key(root), None, None)
        return b"", root.st_dev

    def _walk(self, pending: list[tuple[bytes, int]]) -> None:
        if self._readers is not None:
            self._readers.prepare_walk(self._make_fast_path)
        while pending:
            while pending:
                folder = pending.pop()
                if self._readers is None or not self._readers.walk(*folder):
                    pending += self._directory(*folder)
                pending += self._collect()
            pending += self._collect(everything=True)

    def _make_fast_path(self, dirs: Directories, read: Read) -> FastPath:
        rules = WalkRules(
            self._rows,
            self._cache.xattrs,
            self._stored,
            self._excludes if self._restricted else None,
            self._mounts,
            self._images is not None,
        )
        return FastPath(dirs, rules, read)

    def _finished(self) -> Scan:
        scan = self.scan
        # It leads back here: what was found goes when nobody needs it, and not when somebody looks for cycles.
        del self._fast_path
        inventory = scan.inventory
        drop_what_images_hold(inventory, self.links.values())
        if scan.packed is not None:
            # Who knows nothing of it finds none at all.
            scan.packed.others, inventory.entries = inventory.entries, []
        inventory.entries.sort(key=lambda e: e.path)
        inventory.hardlinks = hardlinks(self.links.values())
        for listing in (inventory.excluded, inventory.skipped, scan.mounts):
            listing.sort()
        # Content and attributes of one file can fail for the same reason: it counts once.
        inventory.partial = sorted(set(inventory.partial), key=lambda p: (p.path, p.reason))
        return scan

    def _directory(self, path: bytes, device: int) -> list[tuple[bytes, int]]:
        """Record everything directly in one directory; the directories to walk next."""
        # Taken before any look: what changes after this moment, and a tick later, shows in the times.
        started = time.time_ns()
        try:
            fd = self._dirs.fd(path)
            with os.scandir(present(fd)) as listing:
                names = list(listing)
        except OSError as error:
            self._recording.partial(path, error)
            if not path:
                raise
            return []
        prefix = path + b"/" if path else b""
        taken: Collection[str] = ()
        if self._images is not None:
            taken = set(map(os.fsdecode, self._take_images(fd, prefix, [item.name for item in names])))
        out, self._taken_on = DirectoryScan(), [0, 0]
        for item in names:
            if item.name not in taken:
                self._fast_path.name(out, fd, item, path, device, started)
        out.files, out.size = out.files + self._taken_on[0], out.size + self._taken_on[1]
        return self._take_in(out)

    def _take_images(self, fd: int, prefix: bytes, names: list[str]) -> set[bytes]:
        """Capture the databases in a directory that are in use; the names that need no other look."""
        assert self._images is not None
        taken: set[bytes] = set()
        for name in self._images.in_use(fd, prefix, names):
            path = prefix + name
            # Left out, it is named in its turn.
            if self._restricted and self._excludes(path, False):
                continue
            self._intake.seen = 0
            if self._images.take(fd, name, path):
                self._observer.advanced(1, max(self.scan.inventory.entries[-1].size - self._intake.seen, 0))
                taken.update((name, *names_beside(name)))
        if self._mounts:
            self.scan.mounts += [prefix + name for name in taken if prefix + name in self._mounts]
        return taken

    def _take_on(self, look: Look, found: os.stat_result, started: int) -> None:
        """Have a small file read beside the walk, where there is a reader, else read it now."""
        path = look.folder + b"/" + look.name if look.folder else look.name
        self._intake.seen = 0
        if self._hand_over(look, path, found, started):
            recorded: os.stat_result | None = found
        else:
            recorded = self._slow_path.name(self._dirs.fd(look.folder), look.name, path, found, started)
            self._turn(path, recorded)
        if recorded is not None and stat.S_ISREG(recorded.st_mode):
            self._taken_on[0] += 1
            self._taken_on[1] += max(recorded.st_size - self._intake.seen, 0)

    def _hand_over(self, look: Look, path: bytes, found: os.stat_result, started: int) -> bool:
        """Have a reader read the file, where there is one."""
        if self._readers is None:
            return False
        number, sparse, entry = self._handed, found.st_blocks * 512 < found.st_size, None
        if not fits(look.key):
            entry = entry_of(path, found, Type.FILE)
            entry.sparse = sparse
        self._handed += 1
        settled = not look.twice or _settled(found, started)
        self._pending[number] = _Pending(look.folder, look.name, look.key, sparse, settled, entry)
        self._readers.read(look._replace(number=number))
        return True

    def _turn(self, path: bytes, recorded: os.stat_result | None) -> None:
        """Walk what was a file and is a directory now, or whose attributes somebody could not read."""
        if recorded is not None and stat.S_ISDIR(recorded.st_mode):
            self._turned.append((path, recorded.st_dev))

    def _collect(self, *, everything: bool = False) -> list[tuple[bytes, int]]:
        """Record what the readers are done with; the directories to walk next."""
        if self._readers is None:
            return []
        deeper: list[tuple[bytes, int]] = []
        while not deeper and (found := list(self._readers.found(wait=everything))):
            for finding in found:
                deeper += self._take_in(finding)
        if deeper:
            return deeper
        for number, digests, xattrs, tried in self._readers.done(everything=everything):
            pending = self._pending.pop(number)
            if digests is None:
                # Where it changed, vanished or refused, the slow way names what it cannot have.
                if tried:
                    self._slow_path.suspect.add(pending.path)
                self._again(pending.path)
                continue
            self.scan.read += 1
            self._was_read(pending, digests, xattrs)
        turned, self._turned = self._turned, []
        return turned

    def _was_read(self, pending: _Pending, digests: Digests, xattrs: Xattrs) -> None:
        folder, name, key, sparse, settled, entry = pending
        if entry is not None:
            entry.oid, entry.sha256 = digests
            entry.xattrs = xattrs
            self.scan.inventory.entries.append(entry)
            return
        path = pending.path
        new = row(key, content=digests, sparse=sparse, xattrs=bool(xattrs))
        if settled:
            self.scan.fresh += self._rows.get(path) != new
            self._recording.take(folder, name, new, xattrs)
        else:
            self._recording.take_apart(path, new, xattrs)

    def _take_in(self, finding: DirectoryScan) -> list[tuple[bytes, int]]:
        """Record what the fast path has found, and look more closely where it asks for that; the directories to walk
        next."""
        scan = self.scan
        unsettled = set(finding.unsettled)
        for number, (path, found) in enumerate(zip(finding.paths, finding.rows, strict=True)):
            xattrs = finding.xattrs.get(path, ())
            if number in unsettled:
                self._recording.take_apart(path, found, xattrs)
            else:
                parent, _, name = path.rpartition(b"/")
                self._recording.take(parent, name, found, xattrs)
        scan.fresh += finding.fresh
        scan.read += finding.read
        scan.inventory.excluded += finding.excluded
        scan.mounts += finding.mounts
        self._observer.advanced(finding.files, finding.size)
        for path, tried in finding.left:
            if tried:
                self._slow_path.suspect.add(path)
            self._left(path, tried=tried)
        turned, self._turned = self._turned, []
        deeper = [*finding.deeper, *turned]
        for folder in finding.walked:
            deeper += self._directory(*folder)
        return deeper

    def _left(self, path: bytes, *, tried: bool) -> None:
        """Record what the fast path has left to us: perhaps it only had no room for it."""
        self._intake.seen = 0
        found = self._again(path, quick=not tried)
        if found is not None and stat.S_ISREG(found.st_mode):
            self._observer.advanced(1, max(found.st_size - self._intake.seen, 0))

    def _again(self, path: bytes, *, quick: bool = False) -> os.stat_result | None:
        folder, _, name = path.rpartition(b"/")
        try:
            fd = self._dirs.fd(folder)
        except OSError as error:
            self._recording.partial(path, error)
            return None
        found, started = None, time.time_ns()
        if quick:
            with suppress(OSError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= WHOLE:
                    twice = not _settled(found, started, COARSE_NS)
                    look = Look(0, folder, name, found.st_size, key(found), twice)
                    if self._hand_over(look, path, found, started):
                        return found
        # Of what is a directory now, the exclusions were asked as of something else.
        known = None if found is None or stat.S_ISDIR(found.st_mode) else found
        recorded = self._slow_path.name(fd, name, path, known, started)
        self._turn(path, recorded)
        return recorded
