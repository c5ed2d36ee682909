"""SQLite's own locks, held as a reader holds them, so that nobody changes a database while it is copied.

They are byte ranges (sqlite.org/lockingv3.html, walformat.html). Ours belong to the open file, not to the process:
another descriptor of the same file that is closed, here or in an embedding program, does not drop them, and SQLite
heeds them like any others. Read locks need no right to write, and nothing is written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

# In the database's own file.
_PENDING, _RESERVED, _SHARED, _SHARED_SIZE = 0x40000000, 0x40000001, 0x40000002, 510
# In the file that SQLite shares between processes: who holds the first moves the write-ahead log into the database,
# who holds all of the last five starts the log from its beginning.
_CHECKPOINT, _LAST_READER = 121, 127
# struct flock, as OFD locks want it: the process is 0.
_FLOCK = struct.Struct("hhqqi4x")


class LockedElsewhere(Exception):  # noqa: N818 - a signal to try again, not a failure
    """Somebody else holds a lock that is in the way."""


class ReadLocks:
    """The locks of one database that is open as `file`. Raises OSError where the file system knows no locks."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._shared = -1

    def take_database(self) -> None:
        """Keep others from committing (rollback journal) and from closing down (write-ahead log). Raises Held."""
        # A writer that waits for its readers to end holds this one: no new reader may get in its way for ever.
        _lock(self._file, fcntl.F_RDLCK, _PENDING, 1)
        try:
            _lock(self._file, fcntl.F_RDLCK, _SHARED, _SHARED_SIZE)
        finally:
            _lock(self._file, fcntl.F_UNLCK, _PENDING, 1)

    def take_log(self, shared: int) -> None:
        """Keep others from moving the log into the database, and from overwriting it; they may add to it.

        `shared` is the open file that SQLite shares between processes. It belongs to these locks from now on.
        """
        self._close_shared()
        self._shared = shared
        _lock(shared, fcntl.F_RDLCK, _CHECKPOINT, 1)
        _lock(shared, fcntl.F_RDLCK, _LAST_READER, 1)

    def writer_at_work(self) -> bool:
        """Whether somebody is in a transaction that is neither committed nor written to the database yet."""
        answer = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _RESERVED, 1, 0))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def release(self) -> None:
        """Let go. Unlocked first: a process that was forked meanwhile would hold what is only closed."""
        _lock(self._file, fcntl.F_UNLCK, 0, 0)
        self._close_shared()

    def _close_shared(self) -> None:
        if self._shared >= 0:
            _lock(self._shared, fcntl.F_UNLCK, 0, 0)
            os.close(self._shared)
            self._shared = -1


def _lock(file: int, kind: int, start: int, length: int) -> None:
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise LockedElsewhere from None
        raise
