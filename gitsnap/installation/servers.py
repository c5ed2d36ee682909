"""Which databases in the installation are open at this moment, by locks and processes. Nothing is executed or written.

Locks are asked for, never taken: the kernel tells of those of every process, in containers too, whoever asks. Of
servers that take none (PostgreSQL, Redis) /proc tells, for what of it may be seen.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property

from gitsnap.core.database_servers import Candidate, Database, Running
from gitsnap.installation.directories import Directories

# struct flock; the process is 0 in what is asked.
_FLOCK = struct.Struct("hhqqi4x")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COMMANDS = {
    Database.POSTGRESQL: ("postgres", "postmaster", "edb-postgres"),
    Database.REDIS: ("redis-server", "valkey-server", "keydb-server"),
}
# Within so many seconds of what a server wrote down of its start, a process of its number is that server.
_SAME_START = 3


def running(root: str, found: Iterable[Candidate]) -> list[Running]:
    """Those of the candidates below `root` that somebody has open, each directory once, in order."""
    open_now: dict[bytes, Running] = {}
    asked = sorted(found)
    if not asked:
        return []
    processes = Processes()
    with Directories(root) as directories:
        for each in asked:
            if each.path in open_now:
                continue
            # What has vanished, or cannot be entered, is open to nobody that we could tell of.
            with suppress(OSError):
                one = _look(each, directories.fd(each.path), processes)
                if one is not None:
                    open_now[each.path] = one
    return [open_now[path] for path in sorted(open_now)]


def _look(candidate: Candidate, folder: int, processes: Processes) -> Running | None:
    if candidate.database is Database.POSTGRESQL:
        return _postgresql(candidate, folder, processes)
    if candidate.database is Database.REDIS:
        return processes.at_work_in(candidate, os.fstat(folder))
    if candidate.database is Database.LEVELDB:
        # Many a program calls a file so.
        os.stat(b"CURRENT", dir_fd=folder, follow_symlinks=False)
    pid = _locked(candidate.evidence, folder)
    return None if pid is None else Running(candidate.database, candidate.path, pid)


def _locked(name: bytes, folder: int) -> int | None:
    """The process that holds a lock on a file, 0 where it cannot be seen; None where nobody does."""
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except PermissionError:
        return _locked_by_number(os.stat(name, dir_fd=folder, follow_symlinks=False))
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        # As an open file of its own, to be told of locks of this very process, too.
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(fd)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else max(pid, 0)


def _locked_by_number(found: os.stat_result) -> int | None:
    """The same of a file that may not be opened, from the kernel's list (proc_locks(5))."""
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError), open("/proc/locks") as lines:
        for line in lines:
            words = line.split()
            if wanted in words and "->" not in words:
                pid = words[words.index(wanted) - 1]
                return int(pid) if pid.isdecimal() else 0
    return None


def _postgresql(candidate: Candidate, folder: int, processes: Processes) -> Running | None:
    """By the file that the server leaves beside its data as long as it runs: a crash leaves it, too, and the number in
    it may be that of another process by now."""
    fd = os.open(candidate.evidence, _READ, dir_fd=folder)
    try:
        lines = os.read(fd, 4096).decode("ascii", "replace").splitlines()
    finally:
        os.close(fd)
    pid = abs(int(lines[0])) if lines and lines[0].strip().lstrip("-").isdecimal() else 0
    here = os.fstat(folder)
    if pid and (one := processes.is_server(candidate, pid, here, _seconds(lines))):
        return one
    # In a container the number is another one than here.
    return processes.at_work_in(candidate, here, suspicious=False)


def _seconds(lines: list[str]) -> int | None:
    """When the server started, by the third line of its file."""
    return int(lines[2]) if len(lines) > 2 and lines[2].strip().isdecimal() else None


class Processes:
    """What /proc tells of them, looked at once and only with need."""

    @cached_property
    def _names(self) -> dict[int, str]:
        found = {}
        with suppress(OSError):
            for name in os.listdir("/proc"):
                if name.isdecimal() and (command := _command(int(name))):
                    found[int(name)] = command
        return found

    def is_server(self, candidate: Candidate, pid: int, folder: os.stat_result, started: int | None) -> Running | None:
        """Whether that process is the server of this directory."""
        if _command(pid) not in _COMMANDS[candidate.database]:
            return None
        works_in = _works_in(pid, folder)
        if works_in is None:
            since = _started(pid)
            sure = started is not None and since is not None and abs(since - started) <= _SAME_START
            return Running(candidate.database, candidate.path, pid, sure)
        return Running(candidate.database, candidate.path, pid) if works_in else None

    def at_work_in(self, candidate: Candidate, folder: os.stat_result, *, suspicious: bool = True) -> Running | None:
        """The server whose working directory this is. With `suspicious`, one of whom that cannot be seen may be."""
        unsure = None
        for pid, command in self._names.items():
            if command in _COMMANDS[candidate.database]:
                works_in = _works_in(pid, folder)
                if works_in:
                    return Running(candidate.database, candidate.path, pid)
                if works_in is None and suspicious and _belongs(pid, folder):
                    unsure = Running(candidate.database, candidate.path, pid, certain=False)
        return unsure


def _command(pid: int) -> str:
    """What a process calls itself; by its executable where it has given itself another name; empty where it is gone."""
    name = ""
    with suppress(OSError), open(f"/proc/{pid}/comm", errors="replace") as file:
        name = file.read().rstrip("\n")
    known = {word for words in _COMMANDS.values() for word in words}
    if name not in known:
        with suppress(OSError):
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
            name = program if program in known else name
    return name


def _works_in(pid: int, folder: os.stat_result) -> bool | None:
    """Whether a process has this working directory; None where that may not be seen."""
    try:
        found = os.stat(f"/proc/{pid}/cwd")
    except PermissionError:
        return None
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (folder.st_dev, folder.st_ino)


def _belongs(pid: int, folder: os.stat_result) -> bool:
    """Whether a process runs as the owner of the directory."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid == folder.st_uid
    return False


def _started(pid: int) -> float | None:
    """When a process was started, in seconds since the epoch."""
    with suppress(OSError, ValueError, IndexError, StopIteration):
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime "))
        return boot + ticks / os.sysconf("SC_CLK_TCK")
    return None
