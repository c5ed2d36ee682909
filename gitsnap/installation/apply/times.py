"""Setting the times of files whose content is known, so that it is known afterwards, and need not be read again.

A change of the time of modification changes ctime, too, and with it every proof that the file was not written to in
between. A read lease (fcntl(2), F_SETLEASE) is another proof: it is refused while anyone has the file open for writing,
or mapped, and it holds up whoever wants to open it so. Under the lease the file's stat fields are compared with what
was known, the time is set, and the lease is kept until the clock that the kernel takes file times from (the coarse
one, current_time() in fs/inode.c) has moved on: whatever changes the file then, shows in ctime.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gitsnap.core.entry_comparison import same_metadata
from gitsnap.core.model import Entry, Type, Xattrs
from gitsnap.core.statcache import FLAGS, Row, fits, row, same_but_for_times
from gitsnap.installation import attributes
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk
from gitsnap.installation.entries import entry_of
from gitsnap.installation.stable_read import key, open_file

_COARSE = 5  # CLOCK_REALTIME_COARSE of clock_gettime(2), which the time module does not name
_WHOLE_SECOND = 1_000_000_000
# Files held at a time: a tick goes by while half of them are taken. A quarter of what this process may have open.
_AT_ONCE = 400
# In seconds: less than a tick of any kernel, which is 1 to 10 ms.
_MOMENT = 0.0005
_PATIENCE_NS = 100_000_000


# A file's path and the time of modification that it is to get, in nanoseconds.
Retime = tuple[bytes, int]


class _Held(NamedTuple):
    path: bytes
    file: int
    mtime_ns: int
    known: Row
    xattrs: Xattrs
    since: int
    until: int


class Retiming:
    """`known` are the rows of a stat cache, `xattrs` the attributes that belong to them. Close it: it holds leases.

    After `finish`, `rows` are those of the files that were retimed and are proven to hold what they held.

    `alone` is for a process that ignores SIGIO, and forks no other, which would hold the leases, too.
    """

    def __init__(
        self, disk: Disk, known: Mapping[bytes, Row], xattrs: Mapping[bytes, Xattrs], *, alone: bool = False
    ) -> None:
        self._disk, self._known, self._xattrs, self._alone = disk, known, xattrs, alone
        self._held: deque[_Held] = deque()
        self._most = max(2, min(_AT_ONCE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self.rows: dict[bytes, Row] = {}

    def set_all(self, dirs: Directories, wanted: Sequence[Retime], heed: Callable[[], None]) -> set[bytes]:
        """Set the times of these files; the paths of those that have got them, while the rest is left to others.

        `heed` is called before each, and may raise. After this, nothing is held.
        """
        done = set()
        for path, mtime_ns in wanted:
            heed()
            try:
                parent, name = dirs.parent(path)
            except OSError:
                continue
            if self.set(path, parent, name, mtime_ns):
                done.add(path)
        self.finish()
        return done

    def set(self, path: bytes, parent: int, name: bytes, mtime_ns: int) -> bool:
        """Set the time of one file. False where that is left to others: its content or its lease is not to be had."""
        known = self._known.get(path)
        if known is None or not known.has_content:
            return False
        try:
            file = open_file(parent, name)
        except OSError:
            return False
        done = False
        try:
            done = self._retime(file, path, parent, name, mtime_ns, known)
        except OSError:
            # Whoever sets the time without a lease meets the same error, and tells it.
            return False
        finally:
            if not done:
                os.close(file)
        if len(self._held) >= self._most:
            self._release(self._most // 2)
        return done

    def _retime(self, file: int, path: bytes, parent: int, name: bytes, mtime_ns: int, known: Row) -> bool:
        if not self._alone:
            # A lease that is broken sends SIGIO, which kills; this one is ignored unless somebody asks for it.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or not known.startswith(key(found)):
            return False
        since = time.clock_gettime_ns(_COARSE)
        self._disk.set_time(parent, name, found.st_atime_ns, mtime_ns)
        xattrs = self._xattrs.get(path, ()) if known.has_xattrs else ()
        self._held.append(_Held(path, file, mtime_ns, known, xattrs, since, time.time_ns()))
        return True

    def finish(self) -> None:
        """Take the last looks, and let go of all files."""
        self._release(len(self._held))

    def close(self) -> None:
        """Let go of all files, without a look."""
        while self._held:
            self._let_go(self._held.popleft().file)

    def _release(self, count: int) -> None:
        for _ in range(count):
            held = self._held.popleft()
            try:
                row = _proven(held)
            except OSError:
                row = None
            finally:
                self._let_go(held.file)
            if row is not None:
                self.rows[held.path] = row

    def _let_go(self, file: int) -> None:
        try:
            if not self._alone:
                # A process that was forked meanwhile holds the same open file, and with it the lease.
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        finally:
            os.close(file)


def _proven(held: _Held) -> Row | None:
    """The row of a file that is as it was but for its time; None where that cannot be told."""
    if not _ticked(held.until) or attributes.read_at(held.file) != held.xattrs:
        return None
    # The last look: leases do not guard attributes, but a change of them since would show in ctime.
    found = os.fstat(held.file)
    ctime = found.st_ctime_ns
    # Times by the second, or by another machine's clock, prove nothing.
    if ctime % _WHOLE_SECOND == 0 or not held.since <= ctime <= held.until:
        return None
    after = key(found)
    if found.st_mtime_ns != held.mtime_ns or not fits(after) or not same_but_for_times(after, held.known):
        return None
    return Row(after + held.known[FLAGS:])


def settled(folder: int, entry: Entry) -> Row | None:
    """A row for an open directory that is as its entry says, so late that what happens to it now shows in its time of
    change; None where it is not, or that cannot be told."""
    if not _ticked(os.fstat(folder).st_ctime_ns):
        return None
    found = os.fstat(folder)
    now = entry_of(entry.path, found, Type.DIR)
    now.xattrs = attributes.read_at(folder)
    if not same_metadata(entry, now) or not fits(key(found)) or found.st_ctime_ns % _WHOLE_SECOND == 0:
        return None
    return row(key(found), content=None, sparse=False, xattrs=bool(now.xattrs))


def _ticked(moment: int) -> bool:
    """Wait until the time that changes get is later than `moment`."""
    patience = time.monotonic_ns() + _PATIENCE_NS
    while time.clock_gettime_ns(_COARSE) <= moment:
        if time.monotonic_ns() > patience:
            return False
        time.sleep(_MOMENT)
    return True
