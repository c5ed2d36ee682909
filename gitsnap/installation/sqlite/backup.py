"""Consistent images of SQLite databases that somebody is using.

A database is its own file and, while it is in use, a journal or a write-ahead log beside it. Both are copied into a
private directory under SQLite's read locks, and SQLite settles the copy: it takes back what was not committed, and
moves what is only in the log into the database. Those are the very bytes that the database's own file has once its
users have closed it. The installation is only read: SQLite never opens anything in it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from gitsnap.core.content import CHUNK
from gitsnap.core.errors import exhausted
from gitsnap.core.quantity import size as shown_size
from gitsnap.core.sqlite import BESIDE, HEADER, JOURNAL, SHARED, WAL
from gitsnap.installation.directories import names_in
from gitsnap.installation.sqlite.locks import LockedElsewhere, ReadLocks
from gitsnap.installation.stable_read import ReadFailedError, UnstableError, key, open_file

# A private copy's directory; sidecar.stale_files removes those that nobody holds locked.
PREFIX = "image-"
_DATABASE = "database"
_TRIES = 3
# Seconds to wait for one database's locks, and for those of all in one walk.
_PATIENCE, _PATIENCE_IN_ALL, _POLL = 5.0, 30.0, 0.002
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_WAL_HEADER = 32


class UnsettledError(Exception):
    """There is no consistent image to be had: the message says why, in a few words.

    `locked` tells that somebody is at work on the database, whatever lies beside it.
    """

    def __init__(self, message: str, *, locked: bool = False) -> None:
        super().__init__(message)
        self.locked = locked


class NoDatabaseError(Exception):
    """It is no database that SQLite can read, or nothing that needs an image: to be read as any file."""


class Copy(NamedTuple):
    """A settled private copy: `file` is open at its start. `found` and `beside` (by suffix) are the stat fields of what
    it was made from, as they were at that moment."""

    file: int
    size: int
    found: os.stat_result
    beside: dict[bytes, os.stat_result]


class Databases:
    """Makes images in private directories below what `scratch` returns (absolute).

    `raw` tells of a path whether it is to be read as any file. `known` are the databases that are images in what the
    directory is compared with: of these, the files beside them belong to them even where all journals are empty.
    """

    def __init__(
        self,
        scratch: Callable[[], str],
        raw: Callable[[bytes], bool] = lambda _: False,
        known: Collection[bytes] = (),
    ) -> None:
        self._scratch, self.raw, self.known = scratch, raw, known
        self._patience = _PATIENCE_IN_ALL

    def calm(self, folder: int, name: bytes) -> bool:
        """Whether nobody is at work on the database: nobody has locked it for writing, and no file of its is beside it.

        Where that is so before and after its file was read, and the file has not changed, it is the database as it was
        committed. Raises OSError where it is gone.
        """
        if any(_exists(folder, name + suffix) for suffix in BESIDE):
            return False
        file = open_file(folder, name)
        locks = ReadLocks(file)
        try:
            locks.take_database()
            calm = not locks.writer_at_work()
            locks.release()
        except (LockedElsewhere, OSError) as error:
            if exhausted(error):
                raise
            return False
        finally:
            # Its locks go with it.
            os.close(file)
        return calm

    @contextmanager
    def copy(self, folder: int, name: bytes) -> Iterator[Copy]:
        """A consistent image of the database `name` in an open directory.

        Raises NoDatabaseError, UnsettledError, OSError.
        """
        file = open_file(folder, name)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode) or os.pread(file, len(HEADER), 0) != HEADER:
                raise NoDatabaseError
            with _private_directory(self._scratch) as private:
                found, beside, size = self._copied(file, folder, name, private)
                if size > found.st_size:
                    _settle(os.path.join(private, _DATABASE), size)
                settled = os.open(os.path.join(private, _DATABASE), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    yield Copy(settled, os.fstat(settled).st_size, found, beside)
                finally:
                    os.close(settled)
        finally:
            os.close(file)

    def _copied(
        self, file: int, folder: int, name: bytes, private: str
    ) -> tuple[os.stat_result, dict[bytes, os.stat_result], int]:
        """Copy under locks; the size of all that was copied, a journal or log among it where one counts."""
        for _ in range(_TRIES):
            for left in os.listdir(private):
                os.unlink(os.path.join(private, left))
            locks = ReadLocks(file)
            self._take(locks, folder, name)
            try:
                with suppress(UnstableError):
                    return _copy(locks, file, folder, name, private)
            finally:
                locks.release()
        raise UnsettledError("it changed while it was read, although it was locked", locked=True)

    def _take(self, locks: ReadLocks, folder: int, name: bytes) -> None:
        """Wait for the locks, a while."""
        started = time.monotonic()
        deadline = started + min(_PATIENCE, self._patience)
        try:
            while True:
                try:
                    locks.take_database()
                    with suppress(FileNotFoundError):
                        locks.take_log(_regular(folder, name + SHARED))
                except LockedElsewhere:
                    locks.release()
                    if time.monotonic() >= deadline:
                        raise UnsettledError("somebody keeps it locked: no consistent image", locked=True) from None
                    time.sleep(_POLL)
                except OSError as error:
                    locks.release()
                    if exhausted(error):
                        raise
                    raise UnsettledError(f"it cannot be locked ({error.strerror}): no consistent image") from None
                except BaseException:
                    locks.release()
                    raise
                else:
                    return
        finally:
            self._patience -= time.monotonic() - started


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _regular(folder: int, name: bytes) -> int:
    """An open regular file; NoDatabaseError for anything else of that name. Raises UnsettledError, OSError."""
    try:
        file = open_file(folder, name)
    except FileNotFoundError:
        raise
    except PermissionError:
        # Without it, the database's own file is not the truth.
        raise UnsettledError("what is beside it cannot be read: no consistent image") from None
    except OSError as error:
        if exhausted(error):
            raise
        raise NoDatabaseError from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NoDatabaseError
    return file


def _copy(
    locks: ReadLocks, file: int, folder: int, name: bytes, private: str
) -> tuple[os.stat_result, dict[bytes, os.stat_result], int]:
    """Copy what is locked. UnstableError when it changed all the same: by a writer that heeds no locks."""
    opened: dict[bytes, int] = {}
    try:
        for suffix in BESIDE:
            with suppress(FileNotFoundError):
                opened[suffix] = _regular(folder, name + suffix)
        found, beside = os.fstat(file), {suffix: os.fstat(fd) for suffix, fd in opened.items()}
        wanted = {suffix: opened[suffix] for suffix in (WAL, JOURNAL) if suffix in opened and beside[suffix].st_size}
        if JOURNAL in wanted and (locks.writer_at_work() or not _is_journal(wanted[JOURNAL])):
            # It belongs to a transaction of which nothing is in the database yet, or to none.
            del wanted[JOURNAL]
        _require_room(private, found.st_size + 2 * sum(beside[s].st_size for s in wanted))
        begins = {suffix: os.pread(fd, _WAL_HEADER, 0) for suffix, fd in wanted.items()}
        target = os.path.join(private, _DATABASE)
        _write(file, target, found.st_size)
        for suffix, fd in wanted.items():
            _write(fd, target + os.fsdecode(suffix), beside[suffix].st_size)
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        same = all(os.pread(fd, _WAL_HEADER, 0) == begins[suffix] for suffix, fd in wanted.items())
        if key(os.fstat(file)) != key(found) or key(now) != key(found) or not same:
            raise UnstableError
        return found, beside, found.st_size + sum(beside[suffix].st_size for suffix in wanted)
    finally:
        for fd in opened.values():
            os.close(fd)


def _is_journal(file: int) -> bool:
    """Whether SQLite would roll this journal back, were its writer gone."""
    return os.pread(file, len(_JOURNAL_MAGIC), 0) == _JOURNAL_MAGIC


def _write(source: int, path: str, size: int) -> None:
    """Copy so many bytes to a private file."""
    target, at = -1, 0
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        while at < size:
            try:
                data = os.pread(source, min(CHUNK, size - at), at)
            except OSError as error:
                raise ReadFailedError(error) from error
            if not data:
                raise UnstableError
            at += len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    except OSError as error:
        if exhausted(error):
            raise
        raise UnsettledError(f"its private copy cannot be written ({error.strerror}): no consistent image") from None
    finally:
        if target >= 0:
            os.close(target)


def _require_room(private: str, size: int) -> None:
    found = os.statvfs(private)
    if size > found.f_frsize * (found.f_bavail if os.geteuid() else found.f_bfree):
        raise UnsettledError(f"there is no room for a private copy of {shown_size(size)} beside the sidecar")


def _settle(path: str, size: int) -> None:
    """Have SQLite bring a private copy to its last committed state, without a journal or log beside it.

    What was copied is `size` bytes long: no more than that can come of it, unless somebody has made it up.

    Nothing of what the database holds is looked at, its schema neither: a transaction that does nothing makes SQLite
    roll back or recover, and closing moves the log into the database.
    """
    _require_no_other_files(path + os.fsdecode(JOURNAL))
    try:
        import sqlite3
    except ImportError:
        raise UnsettledError("this Python has no sqlite3: no consistent image") from None
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, cached_statements=0)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error:
        raise NoDatabaseError from None
    if os.stat(path).st_size > size or any(os.path.lexists(path + os.fsdecode(suffix)) for suffix in BESIDE):
        raise NoDatabaseError


def _require_no_other_files(journal: str) -> None:
    """A journal can name a file anywhere on the machine, which SQLite would read, and remove: not one by a stranger."""
    with suppress(FileNotFoundError), open(journal, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - len(_JOURNAL_MAGIC), 0))
        if file.read() == _JOURNAL_MAGIC:
            raise UnsettledError("its last transaction spans several databases: no consistent image")


@contextmanager
def _private_directory(scratch: Callable[[], str]) -> Iterator[str]:
    """A new directory that is locked while it is in use, and removed afterwards."""
    try:
        path = os.path.join(scratch(), PREFIX + os.urandom(6).hex())
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if exhausted(error):
            raise
        raise UnsettledError(f"a private copy of it cannot be made ({error.strerror}): no consistent image") from None
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path
    finally:
        for name in names_in(fd):
            os.unlink(name, dir_fd=fd)
        os.close(fd)
        with suppress(OSError):
            os.rmdir(path)
