"""Walking the installation: every entry with its metadata, and each file's digests, read at most when it changed."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gitsnap.core.content import WHOLE, BlobSink, Digests, Look, Readers, SizeChanged
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Entry, Image, Inventory, Problem, Type, Xattrs
from gitsnap.core.sqlite import LIVE
from gitsnap.core.sqlite import beside as names_beside
from gitsnap.core.statcache import (
    CONTENT,
    FLAGS,
    OID,
    SHA256,
    SPARSE,
    XATTRS,
    Held,
    Row,
    StatCache,
    fits,
    pack_key,
    row,
)
from gitsnap.installation import attributes, mounts
from gitsnap.installation.databases import Databases, NoDatabaseError, UnsettledError
from gitsnap.installation.directories import Directories
from gitsnap.installation.entries import TYPES, entry_of
from gitsnap.installation.imaging import Imaged, Imager
from gitsnap.installation.owners import group_name, user_name
from gitsnap.installation.reading import (
    COARSE_NS,
    ReadFailedError,
    UnstableError,
    await_writers,
    key,
    open_file,
    pieces,
    read_whole,
)
from gitsnap.installation.reading import settled as _settled

_KIND = 0o170000
_QUICK = {stat.S_IFREG: Type.FILE, stat.S_IFDIR: Type.DIR}
_ENCODING, _ENCODING_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_TRIES = 3
# A page, the least that a SQLite database can be.
_SMALLEST = 512


@dataclass(slots=True)
class Scan:
    """What a walk found: the inventory, rows for the stat cache and how many of them it did not have, how many files
    were read, and mount points crossed.

    `images` is for the stat cache, too; `databases` tells whether images were taken at all.
    """

    inventory: Inventory = field(default_factory=Inventory)
    rows: dict[bytes, Row] = field(default_factory=dict)
    xattrs: dict[bytes, Xattrs] = field(default_factory=dict)
    fresh: int = 0
    read: int = 0
    mounts: list[bytes] = field(default_factory=list)
    images: dict[bytes, Held] = field(default_factory=dict)
    databases: bool = False


class _SinkFailed(Exception):  # noqa: N818 - carried past the code that forgives a file's own errors
    """The sink, not the file, raised OSError: `cause`."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


class _Pending(NamedTuple):
    """A file that a reader has in hand: everything but its digests and extended attributes."""

    entry: Entry
    key: bytes
    settled: bool


class Scanner:
    """One walk. `sink` takes the content of files that the cache does not vouch for.

    `stored` is asked whether a digest the cache remembers may be relied on (its blob is kept); without it, it may.
    `readers`, where there are any, take on small files beside the walk; they stand in for the sink. With `databases`,
    those that are in use are captured as one consistent image.
    """

    def __init__(
        self,
        root: str,
        sink: BlobSink,
        *,
        cache: StatCache | None = None,
        excludes: Excludes = nothing_excluded,
        stored: Callable[[bytes], bool] | None = None,
        readers: Readers | None = None,
        databases: Databases | None = None,
        observer: Observer = SILENT,
    ) -> None:
        self._dirs = Directories(root)
        self._sink = sink
        self._cache = cache or StatCache()
        self._excludes = excludes
        self._stored = stored
        self._readers = readers
        self._observer = observer
        self._seen = 0
        self._rows = self._cache.rows
        self._restricted = excludes is not nothing_excluded
        self._handed = 0
        self._pending: dict[int, _Pending] = {}
        self._turned: list[tuple[bytes, int]] = []
        self._imager = Imager(databases, self._cache, stored, self._store_image) if databases is not None else None
        # Files that changed under our hands, and databases of which there is no image.
        self._suspect: set[bytes] = set()
        self._plain: set[bytes] = set()
        self._links: dict[tuple[int, int], list[bytes]] = {}
        self._linked: dict[tuple[int, int], tuple[os.stat_result, Digests, bool, bool]] = {}
        self.scan = Scan(databases=databases is not None)

    def run(self) -> Scan:
        """Walk everything; raises OSError only when the root itself cannot be read, or from the sink."""
        try:
            return self._run()
        except _SinkFailed as failed:
            raise failed.cause from None

    def _run(self) -> Scan:
        scan = self.scan
        with self._dirs:
            self._mounts = mounts.below(self._dirs.root)
            started = time.time_ns()
            root = os.fstat(self._dirs.root)
            entry = entry_of(b"", root, Type.DIR)
            self._note_refusal(entry.path, self._set_xattrs(entry, self._dirs.root, b"."))
            scan.inventory.entries.append(entry)
            if _settled(root, started) and not scan.inventory.partial:
                self._remember(b"", entry, key(root), None, None)
            pending = [(b"", root.st_dev)]
            while pending:
                while pending:
                    path, device = pending.pop()
                    pending += self._directory(path, device)
                    self._collect()
                self._collect(everything=True)
                pending, self._turned = self._turned, []
        inventory = scan.inventory
        self._drop_what_images_hold()
        inventory.entries.sort(key=lambda e: e.path)
        inventory.hardlinks = sorted(tuple(sorted(paths)) for paths in self._links.values() if len(paths) > 1)
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
            with os.scandir(fd) as listing:
                names = list(listing)
        except OSError as error:
            self._partial(path, error)
            if not path:
                raise
            return []
        prefix = path + b"/" if path else b""
        deeper: list[tuple[bytes, int]] = []
        files = size = 0
        taken = self._take_images(fd, prefix, [item.name for item in names]) if self._imager is not None else ()
        for item in names:
            name = item.name.encode(_ENCODING, _ENCODING_ERRORS)
            if taken and name in taken:
                continue
            self._seen = 0
            found = self._entered(fd, item, path, name, prefix + name, started)
            if found is None:
                continue
            kind = found.st_mode & _KIND
            if kind == stat.S_IFREG:
                files += 1
                size += max(found.st_size - self._seen, 0)
            elif kind == stat.S_IFDIR:
                deeper.append((prefix + name, found.st_dev))
            # Overlays give files other device numbers than directories.
            if (kind == stat.S_IFDIR and found.st_dev != device) or (self._mounts and prefix + name in self._mounts):
                self.scan.mounts.append(prefix + name)
        self._observer.advanced(files, size)
        return deeper

    def _take_images(self, fd: int, prefix: bytes, names: list[str]) -> set[bytes]:
        """Capture the databases in a directory that are in use; the names that need no other look."""
        assert self._imager is not None
        taken: set[bytes] = set()
        for name in self._imager.in_use(fd, prefix, names):
            path = prefix + name
            # Left out, it is named in its turn.
            if self._restricted and self._excludes(path, False):
                continue
            self._seen = 0
            if self._take_image(fd, name, path):
                self._observer.advanced(1, max(self.scan.inventory.entries[-1].size - self._seen, 0))
                taken.update((name, *names_beside(name)))
        if self._mounts:
            self.scan.mounts += [prefix + name for name in taken if prefix + name in self._mounts]
        return taken

    def _take_image(self, fd: int, name: bytes, path: bytes) -> bool:
        """Capture one database as an image; false where it is to be read as any file."""
        assert self._imager is not None
        try:
            imaged = self._imager.take(fd, name, path)
        except (NoDatabaseError, ReadFailedError, OSError):
            # As it lies there, then; what cannot be read is named for that.
            self._plain.add(path)
            return False
        except UnsettledError as error:
            self._plain.add(path)
            there = [p for p in names_beside(name) if _exists(fd, p)]
            for part in (name, *there):
                self.scan.inventory.partial.append(Problem(path + part.removeprefix(name), str(error)))
            return False
        if imaged is None:
            return False
        self._record_image(fd, name, path, imaged)
        return True

    def _record_image(self, fd: int, name: bytes, path: bytes, imaged: Imaged) -> None:
        scan, started = self.scan, time.time_ns()
        entry = entry_of(path, imaged.found, Type.FILE)
        beside = [entry_of(path + suffix, found, Type.FILE) for suffix, found in imaged.beside.items()]
        # With nothing beside it, its own file has these very bytes.
        content = None if beside else imaged.digests
        for part, found in zip((entry, *beside), (imaged.found, *imaged.beside.values()), strict=True):
            try:
                refused = self._set_xattrs(part, fd, name + part.path.removeprefix(path))
            except FileNotFoundError:
                # A journal goes with its transaction.
                continue
            self._note_refusal(part.path, refused)
            if refused is None and imaged.settled and _settled(found, started):
                self._remember(part.path, part, key(found), content, None)
        if imaged.settled and beside:
            scan.images[path] = imaged.held
        entry.size, (entry.oid, entry.sha256) = imaged.held.size, imaged.digests
        scan.inventory.entries.append(entry)
        scan.inventory.images[path] = Image(tuple(beside), imaged.found.st_size)

    def _drop_what_images_hold(self) -> None:
        """A database that was seen to be in use only when it was read: its journals were read by themselves, before or
        after, and are of no use to it."""
        inventory = self.scan.inventory
        if not inventory.images:
            return
        names = {part for path in inventory.images for part in names_beside(path)}
        found = {p.path: Entry(p.path, Type.FILE, 0) for p in inventory.partial if p.path in names}
        found |= {e.path: e for e in inventory.entries if e.path in names}
        unread = {p.path for p in inventory.partial}
        for path, image in inventory.images.items():
            there = [part for part in names_beside(path) if part in found]
            says = (part for part in there if part.endswith(LIVE) and (found[part].size or part in unread))
            if image.beside or any(says):
                parts = {part: found[part] for part in there} | {e.path: e for e in image.beside}
                inventory.images[path] = Image(tuple(parts[part] for part in sorted(parts)), image.size)
        # With nothing beside it, its own file says it all.
        inventory.images = {path: image for path, image in inventory.images.items() if image.beside}
        held = inventory.beside()
        inventory.entries = [e for e in inventory.entries if e.path not in held]
        inventory.partial = [p for p in inventory.partial if p.path not in held]
        for group in self._links.values():
            group[:] = [p for p in group if p not in held]

    def _entered(
        self, fd: int, item: os.DirEntry[str], folder: bytes, name: bytes, path: bytes, started: int
    ) -> os.stat_result | None:
        """Record one name in a directory, the quick way or the slow one; what it is, when it was recorded."""
        try:
            found = item.stat(follow_symlinks=False)
        except OSError:
            return self._name(fd, name, path)
        if self._restricted and self._left_out(path, found):
            return None
        return found if self._quick(found, folder, name, path, started) else self._name(fd, name, path, found, started)

    def _left_out(self, path: bytes, found: os.stat_result) -> bool:
        is_dir = stat.S_ISDIR(found.st_mode)
        if not self._excludes(path, is_dir):
            return False
        self.scan.inventory.excluded.append(path + b"/" if is_dir else path)
        return True

    def _quick(self, found: os.stat_result, folder: bytes, name: bytes, path: bytes, started: int) -> bool:
        """Record a file or directory that the cache vouches for, or that a reader takes on; nothing else.

        Nearly all of a large installation goes through here, so it is written for speed.
        """
        mode = found.st_mode
        kind = _QUICK.get(mode & _KIND)
        is_file = kind is Type.FILE
        if kind is None or (is_file and found.st_nlink > 1):
            return False
        try:
            expected = pack_key(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, mode)
        except struct.error:
            return False
        uid, gid = found.st_uid, found.st_gid
        entry = Entry(path, kind, mode & 0o7777, uid, gid, user_name(uid), group_name(gid), found.st_mtime_ns)
        cached = self._rows.get(path)
        if cached is None or not cached.startswith(expected):
            return is_file and self._hand_over(entry, folder, name, found, expected, started)
        flags = cached[FLAGS]
        if is_file:
            oid = cached[OID:SHA256]
            if not flags & CONTENT or (self._stored is not None and not self._stored(oid)):
                return False
            entry.size, entry.oid, entry.sha256 = found.st_size, oid, cached[SHA256:]
            entry.sparse = bool(flags & SPARSE)
        if flags & XATTRS:
            entry.xattrs = self._cache.xattrs.get(path, ())
            self.scan.xattrs[path] = entry.xattrs
        self.scan.inventory.entries.append(entry)
        self.scan.rows[path] = cached
        return True

    def _hand_over(
        self, entry: Entry, folder: bytes, name: bytes, found: os.stat_result, expected: bytes, started: int
    ) -> bool:
        """Have a reader read the file, where there is one and it is small enough."""
        if self._readers is None or found.st_size > WHOLE:
            return False
        entry.size = found.st_size
        number = self._handed
        self._handed += 1
        entry.sparse = found.st_blocks * 512 < found.st_size
        twice = not _settled(found, started, COARSE_NS)
        self._pending[number] = _Pending(entry, expected, not twice or _settled(found, started))
        self._readers.read(Look(number, folder, name, found.st_size, expected, twice))
        return True

    def _collect(self, *, everything: bool = False) -> None:
        """Record what the readers are done with."""
        if self._readers is None:
            return
        for number, digests, xattrs in self._readers.done(everything=everything):
            entry, expected, settled = self._pending.pop(number)
            if digests is None:
                # It changed, vanished or refused: the slow way looks again, and names what it cannot have.
                self._again(entry.path)
                continue
            self.scan.read += 1
            entry.oid, entry.sha256 = digests
            entry.xattrs = xattrs
            self.scan.inventory.entries.append(entry)
            if settled:
                self._remember(entry.path, entry, expected, digests, None)

    def _again(self, path: bytes) -> None:
        self._suspect.add(path)
        folder, _, name = path.rpartition(b"/")
        try:
            fd = self._dirs.fd(folder)
        except OSError as error:
            self._partial(path, error)
            return
        found = self._name(fd, name, path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            # What was a file is a directory now.
            self._turned.append((path, os.fstat(fd).st_dev))

    def _observed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks; a large file shows that it is being read."""
        for chunk in chunks:
            self._seen += len(chunk)
            self._observer.advanced(0, len(chunk))
            yield chunk

    def _name(
        self, fd: int, name: bytes, path: bytes, found: os.stat_result | None = None, started: int = 0
    ) -> os.stat_result | None:
        """Record one name, trying again while it changes under our hands. The first look may have been taken already,
        at `started` or later, with the exclusions asked."""
        failure: Exception | None = None
        for _ in range(_TRIES):
            try:
                if found is None:
                    # Taken before the look: what changes after this moment, and a tick later, shows in the times.
                    started = time.time_ns()
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if self._left_out(path, found):
                        return None
            except FileNotFoundError:
                if failure is not None:
                    self.scan.inventory.partial.append(Problem(path, "vanished while it was read"))
                return None
            except OSError as error:
                failure = error
                continue
            try:
                return found if self._record(fd, name, path, found, started) else None
            except ReadFailedError as failed:
                failure = failed.cause
            except (UnstableError, SizeChanged, OSError) as error:
                failure = error
            found = None
            self._suspect.add(path)
        assert failure is not None
        self._partial(path, failure)
        return None

    def _record(self, fd: int, name: bytes, path: bytes, found: os.stat_result, started: int) -> bool:
        kind = TYPES.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            self.scan.inventory.skipped.append(path)
            return False
        is_dir = kind is Type.DIR
        if kind is Type.FILE and self._changed_lately(found, started, path) and self._take_image(fd, name, path):
            return True
        entry = entry_of(path, found, kind)
        cached, refused = self._cached(path, found), None
        if cached is not None:
            entry.xattrs = self._cache.xattrs.get(path, ()) if cached.has_xattrs else ()
        else:
            refused = self._set_xattrs(entry, fd, name)
        content, settled = None, _settled(found, started)
        if kind is Type.FILE:
            content, settled = self._file(fd, name, entry, found, cached, started)
        elif kind is Type.LINK:
            entry.target = os.readlink(name, dir_fd=fd)
            if key(os.stat(name, dir_fd=fd, follow_symlinks=False)) != key(found):
                raise UnstableError
            content = self._link_digest(entry, cached)
        elif kind in (Type.CHAR, Type.BLOCK):
            entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
        if found.st_nlink > 1 and not is_dir:
            self._links.setdefault((found.st_dev, found.st_ino), []).append(path)
        self.scan.inventory.entries.append(entry)
        self._note_refusal(path, refused)
        if cached is not None or (settled and refused is None):
            self._remember(path, entry, key(found), content, cached)
        return True

    def _changed_lately(self, found: os.stat_result, started: int, path: bytes) -> bool:
        """Whether a file that may be a database changed so lately that a transaction may be under way in it."""
        if self._imager is None or found.st_nlink > 1 or found.st_size < _SMALLEST:
            return False
        return (path in self._suspect or not _settled(found, started, COARSE_NS)) and path not in self._plain

    def _set_xattrs(self, entry: Entry, fd: int, name: bytes) -> OSError | None:
        """Read them; what kept us from it, when the entry counts without them."""
        try:
            entry.xattrs = attributes.read(fd, name)
        except FileNotFoundError:
            raise
        except OSError as error:
            return error
        return None

    def _note_refusal(self, path: bytes, failure: OSError | None) -> None:
        if failure is not None:
            self._partial(path, failure)

    def _cached(self, path: bytes, found: os.stat_result) -> Row | None:
        cached = self._cache.rows.get(path)
        return cached if cached is not None and cached.startswith(key(found)) else None

    def _file(
        self, fd: int, name: bytes, entry: Entry, found: os.stat_result, cached: Row | None, started: int
    ) -> tuple[Digests, bool]:
        """The file's digests, and whether it was settled when they were taken."""
        settled = _settled(found, started)
        if cached is not None and cached.has_content and (self._stored is None or self._stored(cached.oid)):
            digests, entry.sparse = Digests(cached.oid, cached.sha256), cached.sparse
        else:
            same = self._linked.get((found.st_dev, found.st_ino)) if found.st_nlink > 1 else None
            if same and key(same[0]) == key(found):
                # Read under another name, perhaps longer ago than this look.
                _, digests, entry.sparse, settled = same
            else:
                digests = self._read(fd, name, found, twice=not _settled(found, started, COARSE_NS))
                entry.sparse = found.st_blocks * 512 < found.st_size
        if found.st_nlink > 1:
            self._linked[found.st_dev, found.st_ino] = (found, digests, entry.sparse, settled)
        entry.oid, entry.sha256 = digests
        return digests, settled

    def _read(self, fd: int, name: bytes, found: os.stat_result, *, twice: bool) -> Digests:
        """Read a file. `twice` when it changed so lately that another change now may not show in its times."""
        if found.st_size <= WHOLE:

            def use(file: int, chunks: Iterable[bytes]) -> Digests:
                return self._store(found.st_size, chunks)

            digests = read_whole(fd, name, key(found), found.st_size, use, twice=twice)
        else:
            digests = self._stream(fd, name, found, twice=twice)
        self.scan.read += 1
        return digests

    def _stream(self, fd: int, name: bytes, found: os.stat_result, *, twice: bool) -> Digests:
        file = open_file(fd, name)
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode) or key(before) != key(found):
                raise UnstableError
            digests = self._store(before.st_size, self._observed(pieces(file)))
            # A sink that only counts has read nothing.
            if twice and os.lseek(file, 0, os.SEEK_CUR):
                await_writers(file)
                os.lseek(file, 0, os.SEEK_SET)
                if _sha256(file, before.st_size) != digests.sha256:
                    raise UnstableError
            if key(os.fstat(file)) != key(before):
                raise UnstableError
        finally:
            os.close(file)
        return digests

    def _link_digest(self, entry: Entry, cached: Row | None) -> Digests:
        if cached is not None and cached.has_content and (self._stored is None or self._stored(cached.oid)):
            digests = Digests(cached.oid, cached.sha256)
        else:
            digests = self._store(len(entry.target), [entry.target])
        entry.oid = digests.oid
        return digests

    def _store(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Hand over to the sink. When that fails, the disk is full, say, no file is to blame for it."""
        try:
            return self._sink.add_blob(size, chunks)
        except OSError as error:
            raise _SinkFailed(error) from error

    def _store_image(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """The same for a private copy, which may take long."""
        return self._store(size, self._observed(iter(chunks)))

    def _remember(
        self, path: bytes, entry: Entry, expected: bytes, content: Digests | None, cached: Row | None
    ) -> None:
        if cached is not None and (content is None or content == (cached.oid, cached.sha256)):
            self.scan.rows[path] = cached
        elif fits(expected):
            self.scan.fresh += 1
            self.scan.rows[path] = row(expected, content=content, sparse=entry.sparse, xattrs=bool(entry.xattrs))
        if entry.xattrs:
            self.scan.xattrs[path] = entry.xattrs

    def _partial(self, path: bytes, failure: Exception) -> None:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "changed while it was read"
        self.scan.inventory.partial.append(Problem(path, reason))


def _sha256(file: int, size: int) -> bytes:
    """The digest of an open file from where it stands; more than `size` bytes are not read."""
    digest, seen = hashlib.sha256(), 0
    for piece in pieces(file):
        digest.update(piece)
        seen += len(piece)
        if seen > size:
            break
    return digest.digest()


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
