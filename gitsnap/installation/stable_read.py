"""Reading files of the installation: what was opened is what was looked at, and it did not change meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from gitsnap.core.content import CHUNK
from gitsnap.core.statcache import key_of
from gitsnap.installation.directories import Directories

Result = TypeVar("Result")

# In seconds: longer than most writers are kept from going on by others.
_PAUSE = 0.02
# A file changed later than this before it was read may change again without its times telling: kernel timestamps
# are as coarse as a tick (10 ms at most), and where they have no sub-second part at all, as coarse as two seconds.
_TICK_NS, COARSE_NS = 50_000_000, 2_000_000_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class UnstableError(Exception):
    """The entry changed between two looks: look again."""


class ReadFailedError(Exception):
    """The file could not be read on: `cause`. Carried through whatever takes the pieces."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def key(found: os.stat_result) -> bytes:
    """What tells one state of a name from the next."""
    return key_of(
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        found.st_mode,
        found.st_uid,
        found.st_gid,
    )


def settled(found: os.stat_result, started: int, within: int = 0) -> bool:
    """Whether the last change is so long ago that one at `started` or later would show in the times."""
    newest = max(found.st_mtime_ns, found.st_ctime_ns)
    coarse = found.st_ctime_ns % 1_000_000_000 == 0
    return newest + (within or (COARSE_NS if coarse else _TICK_NS)) < started


def let_settle(found: os.stat_result, started: int) -> int:
    """Wait until a change would show in the times of a file that changed a moment ago; since when it would.

    Where the clock is so coarse that this would take seconds, that is `started`, at once.
    """
    left = max(found.st_mtime_ns, found.st_ctime_ns) + _TICK_NS - started
    if not 0 <= left <= _TICK_NS:
        return started
    time.sleep((left + _TICK_NS // 50) / 1e9)
    return time.time_ns()


def open_file(folder: int, name: bytes | str) -> int:
    """A descriptor of a file, without following a symlink, waiting for a FIFO or moving the access time."""
    try:
        return os.open(name, _READ | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        # O_NOATIME is for the owner and root only (open(2)).
        return os.open(name, _READ, dir_fd=folder)


def pieces(file: int) -> Iterator[bytes]:
    """The file's content from where it stands; raises ReadFailedError."""
    try:
        while data := os.read(file, CHUNK):
            yield data
    except OSError as error:
        raise ReadFailedError(error) from error


def read_whole(
    folder: int,
    name: bytes,
    expected: bytes,
    size: int,
    use: Callable[[int, Iterable[bytes]], Result],
    *,
    twice: bool,
) -> Result:
    """What `use` makes of a small file, open, and its content: `size` bytes, and its `key` is `expected` throughout.

    Raises UnstableError, ReadFailedError, OSError, and what `use` raises. `twice` is for a file that changed so lately
    that another change now may not show in its times: it is read again and compared, unless `use` did not look.
    """
    file = open_file(folder, name)
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode) or key(before) != expected:
            raise UnstableError
        content: list[bytes] = []
        result = use(file, _once(file, size, content))
        if twice and content:
            await_writers(file)
            if _all(file, size) != content[0]:
                raise UnstableError
        if key(os.fstat(file)) != expected:
            raise UnstableError
        return result
    finally:
        os.close(file)


def await_writers(file: int) -> None:
    """Let whoever has the file open for writing get on with it, before it is read a second time.

    A writer that the scheduler has stopped in the middle of one write(2) shows neither in the file's times nor in two
    reads at once. A lease tells whether there is one: fcntl(2) refuses it for a file that is open for writing.
    """
    try:
        take_lease(file)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            time.sleep(_PAUSE)
    else:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def take_lease(file: int) -> None:
    """Take a read lease on an open file; OSError where it is not to be had."""
    # A lease that is broken sends SIGIO, which kills; this one is ignored unless somebody asks for it.
    fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)


class Lease:
    """A read lease on an open file (fcntl(2), F_SETLEASE), if it is to be had. Release it.

    It is refused while anyone has the file open or mapped for writing, and whoever wants to open it so waits until it
    is released. As long as it `holds`, nobody has written to the file since it was taken.
    """

    def __init__(self, file: int) -> None:
        self._file, self.taken = file, False
        try:
            take_lease(file)
        except OSError:
            return
        self.taken = True

    def holds(self) -> bool:
        """Whether nobody has asked for the file since. Whoever does is let in."""
        if self.taken and fcntl.fcntl(self._file, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            self.release()
        return self.taken

    def release(self) -> None:
        """Let others in. Explicitly: a process that was forked meanwhile holds the same open file, and with it the
        lease."""
        if self.taken:
            self.taken = False
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _once(file: int, size: int, content: list[bytes]) -> Iterator[bytes]:
    try:
        content.append(_all(file, size))
    except OSError as error:
        raise ReadFailedError(error) from error
    yield content[0]


def _all(file: int, size: int) -> bytes:
    """The file from its start, and a byte more than `size` when there is one."""
    data = os.pread(file, size + 1, 0)
    if len(data) >= size or not data:
        return data
    parts, at = [data], len(data)
    while at <= size and (data := os.pread(file, size + 1 - at, at)):
        parts.append(data)
        at += len(data)
    return b"".join(parts)


def read_file(root: str, path: bytes, size: int) -> bytes:
    """The first `size` bytes of a regular file below `root`. Raises OSError, also for what is no regular file."""
    with Directories(root) as dirs:
        parent, name = dirs.parent(path)
        with os.fdopen(open_file(parent, name), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(f"{path!r} is no file any more")
            return file.read(size)
