"""git's own locks, `NAME.lock` beside what they guard: waited for, and told by name when they stay.

A git that was killed leaves its lock, and nobody but a person can tell that it was: gitsnap removes none but those of
its own (stale_files).
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from gitsnap.core.errors import LockedError
from gitsnap.sidecar import files

_POLL = 0.02
_GC = "gc.pid"
# A gc.pid of another machine that is older counts for nothing (lock_repo_for_gc in git's builtin/gc.c).
_GC_SECONDS = 12 * 3600
_REFUSALS = (
    re.compile(r"[Uu]nable to create '([^'\n]+\.lock)': File exists"),
    re.compile(r"could not lock config file ([^\n]+): File exists"),
    re.compile(r"gc is already running on machine .* (?:pid|PID) \d+"),
)


def wait_for(git_dir: str, names: Iterable[str], wait: float) -> None:
    """Wait until none of these files (relative to the repository) is locked; LockedError after `wait` seconds."""
    locks = [os.path.join(git_dir, name + ".lock") for name in names]
    _wait(lambda: next(filter(os.path.lexists, locks), None), git_dir, wait)


def wait_for_all(git_dir: str, wait: float) -> None:
    """Wait until no git holds any lock in the repository, that of its gc included; LockedError after `wait` seconds."""
    _wait(lambda: next(found(git_dir), None) or _collecting(git_dir), git_dir, wait)


def _wait(look: Callable[[], str | None], git_dir: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while (lock := look()) is not None:
        if time.monotonic() >= deadline:
            raise busy(lock, git_dir)
        time.sleep(_POLL)


def found(git_dir: str) -> Iterator[str]:
    """The paths of all git's lock files in a repository."""
    for folder, names, others in files.walk(git_dir):
        if folder == git_dir:
            # Our own locks are no files that someone has to remove.
            names[:] = [n for n in names if n != "gitsnap"]
        yield from (os.path.join(folder, n) for n in others if n.endswith(".lock"))


def _collecting(git_dir: str) -> str | None:
    """The path of gc.pid, where a git that collects is alive, or may be on another machine."""
    path = os.path.join(git_dir, _GC)
    try:
        with open(files.opened(path), encoding="utf-8", errors="replace") as file:
            number, _, host = file.read(300).strip().partition(" ")
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    if host and host != os.uname().nodename:
        return path if age < _GC_SECONDS else None
    return path if number.isdecimal() and _name(int(number)).startswith("git") else None


def busy(lock: str, git_dir: str) -> LockedError:
    """The error for a lock that stays: which, how old, who holds it as far as that can be known, what to type."""
    holder = holder_of(lock, git_dir)
    age = _age(lock)
    if holder is not None:
        number, name = holder
        return LockedError(
            f"git's lock {lock}{age} is held by process {number} ({name})",
            path=lock,
            hint="try again when it is done, or wait longer with --lock-wait SECONDS",
        )
    return LockedError(
        f"git's lock {lock}{age} is in the way, and no process that can be seen holds it: a git that was killed leaves "
        "one",
        path=lock,
        hint=f"rm {shlex.quote(lock)}   (where no git works on the sidecar, from another machine or container neither)",
    )


def _age(lock: str) -> str:
    with suppress(OSError):
        seconds = max(0, int(time.time() - os.lstat(lock).st_mtime))
        for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
            if seconds >= size or size == 1:
                return f", {seconds // size} {unit}{'s' * (seconds // size != 1)} old,"
    return ""


def holder_of(lock: str, git_dir: str) -> tuple[int, str] | None:
    """(number, name) of a process that has the lock open, or of a git that works on the repository; None where none
    is seen. Of other users' processes an ordinary user sees nothing."""
    real, repository = os.path.realpath(lock), os.path.realpath(git_dir)
    for text in os.listdir("/proc") if os.path.isdir("/proc") else ():
        number = int(text) if text.isdecimal() else 0
        # A process may end, or be somebody else's, at any look at it.
        with suppress(OSError):
            if number and number != os.getpid() and (_has_open(number, real) or _works_on(number, repository, git_dir)):
                return number, _name(number)
    return None


def _has_open(number: int, path: str) -> bool:
    folder = f"/proc/{number}/fd"
    for fd in os.listdir(folder):
        with suppress(OSError):
            if os.readlink(os.path.join(folder, fd)) == path:
                return True
    return False


def _works_on(number: int, repository: str, git_dir: str) -> bool:
    if not _name(number).startswith("git"):
        return False
    words = _read(number, "cmdline").split(b"\0") + _read(number, "environ").split(b"\0")
    ours = {os.fsencode(p) for p in (repository, git_dir)}
    named = any(word.rpartition(b"=")[2].rstrip(b"/") in ours for word in words)
    return named or os.readlink(f"/proc/{number}/cwd") == repository


def _name(number: int) -> str:
    with suppress(OSError):
        return _read(number, "comm").decode("utf-8", "replace").strip()
    return ""


def _read(number: int, what: str) -> bytes:
    with open(f"/proc/{number}/{what}", "rb") as file:
        return file.read(1 << 20)


def refused(words: str, git_dir: str) -> LockedError | None:
    """The error for a git that gave up over a lock, by what it said; None where that was not why."""
    for pattern in _REFUSALS:
        if match := pattern.search(words):
            name = match[1] if pattern.groups else _GC
            name += "" if name.endswith(".lock") or name == _GC else ".lock"
            return busy(os.path.join(git_dir, name), git_dir)
    return None
