"""gitsnap's command line called in this process: for commands that look, or only make something to look at.

A fork takes four times as long as they do, nearly all of it for the memory that it copies. What the command is given
and what it leaves is as if it had been one: arguments, environment, streams, working directory, umask, signals. What
a process is by itself (its end, its locks, what it starts) is for forks to show.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

from gitsnap.__main__ import run as program
from gitsnap.cli import process
from gitsnap.cli.arguments import command_name
from gitsnap.cli.render import terminal
from gitsnap.ops.parallel import pool
from tests.support import forking

_LOOK = frozenset("blame cat changelog diff doctor find history list log ls search show status verify".split(" "))  # noqa: SIM905
_MAKE = frozenset("config delete gc init pin prune restore rollback snapshot undelete unpin".split(" "))  # noqa: SIM905
# Not recover: what it leaves to a gitsnap that is at work is told by whether that process lives.
_BACK = frozenset({"redo", "undo"})
_HERE = "."


def possible(arguments: Sequence[str | bytes | Path], env: Mapping[str, str]) -> bool:
    """Whether a call would show what a process shows: all of the program is as it was loaded, and nobody else runs."""
    return (
        command_name(list(map(os.fsdecode, arguments))) in _LOOK | _MAKE | _BACK
        and forking.serving()
        and forking.possible(env)
        and forking.unpatched()
        and threading.current_thread() is threading.main_thread()
        and threading.active_count() <= forking.threads()
    )


def run(
    arguments: Sequence[str | bytes | Path], *, cwd: Path | None, env: Mapping[str, str], stdin: str
) -> CompletedProcess[str]:
    """Run a command to its end, as `forking.run` does."""
    words = list(map(os.fsdecode, arguments))
    files = [os.memfd_create(name) for name in ("in", "out", "err")]
    try:
        os.pwrite(files[0], stdin.encode("utf-8", "surrogateescape"), 0)
        with _as_process(files, cwd or Path(_HERE), env):
            code = _ended(words)
        out, err = (os.pread(fd, os.fstat(fd).st_size, 0) for fd in files[1:])
    finally:
        for fd in files:
            os.close(fd)
    return CompletedProcess(words, code, forking.text(out), forking.text(err))


def _ended(words: list[str]) -> int:
    try:
        code = program(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whoever called looks for tracebacks
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pool.reap()
    return code


@contextmanager
def _as_process(files: Sequence[int], cwd: Path, env: Mapping[str, str]) -> Iterator[None]:
    kept = [os.dup(number) for number in range(3)]
    here, environ, umask = os.open(_HERE, os.O_PATH | os.O_DIRECTORY), dict(os.environ), os.umask(0o077)
    os.umask(umask)
    streams, stopping = (sys.stdin, sys.stdout, sys.stderr), signal.getsignal(signal.SIGTERM)
    limit = sys.getrecursionlimit()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        for number, fd in enumerate(files):
            os.dup2(fd, number)
        os.chdir(cwd)
        _environ(env)
        sys.setrecursionlimit(limit + forking.depth())
        sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), "utf-8")
        sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")
        sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
        process._callers_umask.clear()
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.setrecursionlimit(limit)
        signal.signal(signal.SIGTERM, stopping)
        terminal._done = False
        os.umask(umask)
        _environ(environ)
        os.fchdir(here)
        os.close(here)
        for number, fd in enumerate(kept):
            os.dup2(fd, number)
            os.close(fd)


def _environ(wanted: Mapping[str, str]) -> None:
    zone = os.environ.get("TZ")
    os.environ.clear()
    os.environ.update(wanted)
    if wanted.get("TZ") != zone:
        time.tzset()
