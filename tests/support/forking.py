"""gitsnap as a process of its own, without a new interpreter: a fork of this one, which has loaded it already.

Starting an interpreter and loading the program takes longer than nearly everything that tests ask of it. The fork is
made to be what a fresh process would be: arguments, environment, streams, signals, working directory, no file of ours,
and its end by `main`.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import io
import os
import selectors
import signal
import sys
import tempfile
import termios
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn
from weakref import WeakSet

import pytest

from gitsnap.__main__ import main
from tests.support.processes import load_all

_FRAMES = 1000


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter and its libraries read when they start, and not again."""
    early = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")
    return {k: v for k, v in env.items() if k.startswith(early) and k != "PYTHONPATH"}


_OURS = _read_at_start(os.environ)


def possible(env: Mapping[str, str]) -> bool:
    """Whether a fork would be what a fresh process is.

    Not with an environment by which an interpreter starts in another way, and not while a test has replaced a part of
    the program: a fork would have that, too.
    """
    return _read_at_start(env) == _OURS and (not _patching or _as_loaded())


# Whatever has replaced something, and may not have put it back. To look at every name takes long after a fork.
_patching: WeakSet[pytest.MonkeyPatch] = WeakSet()


def prepare() -> None:
    """Load the program, before any test has replaced a part of it, and take note of whoever does."""
    _program()
    for method in ("setattr", "delattr"):
        setattr(pytest.MonkeyPatch, method, _noted(getattr(pytest.MonkeyPatch, method)))


def _noted(replace: Callable[..., None]) -> Callable[..., None]:
    @wraps(replace)
    def noting(patch: pytest.MonkeyPatch, *arguments: object, **more: object) -> None:
        _patching.add(patch)
        replace(patch, *arguments, **more)

    return noting


def _as_loaded() -> bool:
    return all(held.get(name) is value for held, name, value in _program())


@cache
def _program() -> list[tuple[Mapping[str, object], str, object]]:
    """Everything that the program's modules and classes hold by name, as it is loaded; and the modules they lean on."""
    load_all()
    modules = [m for name, m in sys.modules.items() if name.partition(".")[0] == "gitsnap"]
    held: list[Mapping[str, object]] = [vars(m) for m in (*modules, os, time)]
    for module in modules:
        classes = (v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__)
        held += map(vars, classes)
    return [(names, name, value) for names in held for name, value in names.items() if not name.startswith("__")]


def run(
    arguments: Sequence[str | bytes | Path], *, cwd: Path | None, env: Mapping[str, str], stdin: str
) -> CompletedProcess[str]:
    """Run gitsnap to its end; its output goes through pipes. Bytes that are not UTF-8 are surrogates."""
    words = [os.fsdecode(a) for a in arguments]
    with tempfile.TemporaryFile() as given:
        os.pwrite(given.fileno(), stdin.encode("utf-8", "surrogateescape"), 0)
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        pid = start(words, cwd, env, (given.fileno(), their_out, their_err))
    try:
        os.close(their_out)
        os.close(their_err)
        texts = [_text(data) for data in _read(out, err)]
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return CompletedProcess(words, code, *texts)


def start(
    words: Sequence[str], cwd: Path | None, env: Mapping[str, str], streams: Sequence[int], *, terminal: bool = False
) -> int:
    """Start gitsnap with these streams, which may be a terminal of its own; its process id."""

    def work() -> None:
        if terminal:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        _run(words, cwd, env)

    return _fork(work, streams)


def _read(*pipes: int) -> list[bytes]:
    """What comes through each to its end."""
    found = {fd: bytearray() for fd in pipes}
    with selectors.DefaultSelector() as waiting:
        for fd in pipes:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            for ready, _ in waiting.select():
                data = os.read(ready.fd, 1 << 16)
                found[ready.fd] += data
                if not data:
                    waiting.unregister(ready.fd)
                    os.close(ready.fd)
    return list(map(bytes, found.values()))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def _fork(work: Callable[[], None], streams: Sequence[int]) -> int:
    load_all()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        faulthandler.disable()
        # What is there already needs no looking through: whatever is looked at is copied.
        gc.freeze()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.closerange(3, 1 << 16)
        work()
    finally:
        os._exit(1)


def _run(words: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> NoReturn:
    for number in signal.valid_signals():
        # As exec does: what was ignored stays ignored.
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.setrecursionlimit(_FRAMES + len(traceback.extract_stack()))
    os.chdir(cwd or ".")
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["gitsnap", *words]
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
    code = 1
    try:
        main()
    except SystemExit as end:
        # What serves the shell's completion leaves so.
        code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - it goes no further
        traceback.print_exc()
    os._exit(code)
