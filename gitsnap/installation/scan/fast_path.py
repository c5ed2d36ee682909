"""The quick half of a scan, in the walk itself and in processes that share one: rows of what needs no closer look.

What does, is left to the walk: what is hard-linked, large, neither file nor directory, or changes under our hands.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gitsnap.core.content import WHOLE, Digests, Look, ReadResult
from gitsnap.core.exclusion import Excludes
from gitsnap.core.model import Xattrs
from gitsnap.core.sqlite import LIVE
from gitsnap.core.statcache import CONTENT, FLAGS, OID, SHA256, XATTRS, Row, pack_key, row
from gitsnap.installation import attributes
from gitsnap.installation.directories import Directories, present
from gitsnap.installation.stable_read import COARSE_NS, settled

_KIND = 0o170000
# When so many bytes have been read for one answer, no other directory is begun; and no more than _ROOM are read.
_ENOUGH, _ROOM = 1 << 20, 1 << 22
_ENCODING, _ENCODING_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_LIVE = tuple(map(bytes.decode, LIVE))

# Reads, and stores where that is needed, one small file, looked at after the moment that is named; no digests where
# something was wrong with it, None where somebody else takes care of it.
Read = Callable[[Look, os.stat_result, int], tuple[Digests | None, Xattrs] | None]


class Readers(Protocol):
    """Reads small files beside the walk, stores them where they are to be stored, and may walk directories."""

    def read(self, look: Look) -> None:
        """Take on one file; may wait for room."""

    def done(self, *, everything: bool = False) -> Iterable[ReadResult]:
        """What became of the looks since; with `everything`, waits for all that were taken on."""

    def prepare_walk(self, make: Callable[[Directories, Read], FastPath]) -> None:
        """How directories are looked at, should any be walked here."""

    def walk(self, folder: bytes, device: int) -> bool:
        """Take on one directory; may wait for room. False where that is not worth while."""

    def found(self, *, wait: bool = False) -> Iterable[DirectoryScan]:
        """What became of the directories since; with `wait`, of one at least, while any is under way."""


@dataclass(slots=True)
class DirectoryScan:
    """What was found in some directories. `rows` belong to `paths`; those numbered in `unsettled` are not to be kept.
    `fresh` counts the others that the stat cache did not have.

    `deeper` are the directories in them, with their devices; `walked` those that somebody else has to walk. `left` are
    paths that need a closer look, and whether they were tried. `size` is in bytes.
    """

    paths: list[bytes] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    unsettled: list[int] = field(default_factory=list)
    xattrs: dict[bytes, Xattrs] = field(default_factory=dict)
    deeper: list[tuple[bytes, int]] = field(default_factory=list)
    walked: list[tuple[bytes, int]] = field(default_factory=list)
    left: list[tuple[bytes, bool]] = field(default_factory=list)
    excluded: list[bytes] = field(default_factory=list)
    mounts: list[bytes] = field(default_factory=list)
    files: int = 0
    size: int = 0
    read: int = 0
    fresh: int = 0


class WalkRules(NamedTuple):
    """What a walk goes by. `known` are the rows of the stat cache, and `xattrs` what belongs to them.

    `stored` is asked whether a digest in there may be relied on; without it, it may. `excludes`, unless it is None, is
    asked about each name. With `databases`, directories in which there may be some in use are left to the walk.
    """

    known: Mapping[bytes, Row]
    xattrs: Mapping[bytes, Xattrs]
    stored: Callable[[bytes], bool] | None
    excludes: Excludes | None
    mounts: Collection[bytes]
    databases: bool


class FastPath:
    """Looks at directories, one by one.

    Nearly all of a large installation goes through here, so it is written for speed.
    """

    def __init__(self, dirs: Directories, rules: WalkRules, read: Read) -> None:
        self._dirs, self._read = dirs, read
        self._known, self._xattrs, self._stored = rules.known, rules.xattrs, rules.stored
        self._excludes, self._mounts, self._databases = rules.excludes, rules.mounts, rules.databases
        # Bytes that were read for this answer.
        self._taken = 0

    def look(self, folders: list[tuple[bytes, int]]) -> DirectoryScan:
        """What is in these directories, given with their devices."""
        out = DirectoryScan()
        self._taken = 0
        for path, device in folders:
            if self._taken > _ENOUGH:
                # Next time.
                out.deeper.append((path, device))
                continue
            # Taken before any look: what changes after this moment, and a tick later, shows in the times.
            started = time.time_ns()
            try:
                fd = self._dirs.fd(path)
                with os.scandir(present(fd)) as listing:
                    names = list(listing)
            except OSError:
                out.walked.append((path, device))
                continue
            if self._databases and any(item.name.endswith(_LIVE) for item in names):
                out.walked.append((path, device))
                continue
            for item in names:
                self.name(out, fd, item, path, device, started)
        return out

    def name(
        self, out: DirectoryScan, fd: int, item: os.DirEntry[str], folder: bytes, device: int, started: int
    ) -> None:
        """What one name in a directory is. `started` is a moment before the directory was listed, in ns."""
        name = item.name.encode(_ENCODING, _ENCODING_ERRORS)
        path = folder + b"/" + name if folder else name
        try:
            found = item.stat(follow_symlinks=False)
        except OSError:
            out.left.append((path, False))
            return
        mode = found.st_mode
        kind = mode & _KIND
        is_dir = kind == stat.S_IFDIR
        if self._excludes is not None and self._excludes(path, is_dir):
            out.excluded.append(path + b"/" if is_dir else path)
            return
        # Overlays give files other device numbers than directories.
        if (is_dir and found.st_dev != device) or (self._mounts and path in self._mounts):
            out.mounts.append(path)
        if not (is_dir or (kind == stat.S_IFREG and found.st_nlink == 1)):
            out.left.append((path, False))
            return
        try:
            expected = pack_key(
                found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, mode, found.st_uid, found.st_gid
            )
        except struct.error:
            out.left.append((path, False))
            return
        cached = self._known.get(path)
        if cached is not None and cached.startswith(expected) and self._vouches(path, cached, is_dir):
            out.paths.append(path)
            out.rows.append(cached)
            if cached[FLAGS] & XATTRS:
                out.xattrs[path] = self._xattrs[path]
            if is_dir:
                out.deeper.append((path, found.st_dev))
            else:
                out.files += 1
                out.size += found.st_size
            return
        look = Look(0, folder, name, found.st_size, expected, False)
        if is_dir:
            self._directory(out, fd, look, found, started)
        else:
            self._file(out, look, path, found, started)

    def _vouches(self, path: bytes, cached: Row, is_dir: bool) -> bool:
        if cached[FLAGS] & XATTRS and path not in self._xattrs:
            return False
        return is_dir or (bool(cached[FLAGS] & CONTENT) and (self._stored is None or self._stored(cached[OID:SHA256])))

    def _directory(self, out: DirectoryScan, fd: int, look: Look, found: os.stat_result, started: int) -> None:
        path = look.folder + b"/" + look.name if look.folder else look.name
        try:
            xattrs = attributes.read(fd, look.name)
        except OSError:
            out.left.append((path, False))
            return
        new = row(look.key, content=None, sparse=False, xattrs=bool(xattrs))
        self._record(out, path, new, xattrs, calm=settled(found, started))
        out.deeper.append((path, found.st_dev))

    def _file(self, out: DirectoryScan, look: Look, path: bytes, found: os.stat_result, started: int) -> None:
        if look.size > WHOLE or (out.read and self._taken + look.size > _ROOM):
            out.left.append((path, False))
            return
        twice = not settled(found, started, COARSE_NS)
        self._taken += look.size
        answer = self._read(look._replace(twice=twice), found, started)
        if answer is None:
            return
        digests, xattrs = answer
        if digests is None:
            out.left.append((path, True))
            return
        sparse = found.st_blocks * 512 < found.st_size
        new = row(look.key, content=digests, sparse=sparse, xattrs=bool(xattrs))
        self._record(out, path, new, xattrs, calm=not twice or settled(found, started))
        out.files += 1
        out.read += 1
        out.size += look.size

    def _record(self, out: DirectoryScan, path: bytes, new: Row, xattrs: Xattrs, *, calm: bool) -> None:
        if calm:
            out.fresh += self._known.get(path) != new
        else:
            out.unsettled.append(len(out.paths))
        out.paths.append(path)
        out.rows.append(new)
        if xattrs:
            out.xattrs[path] = xattrs
