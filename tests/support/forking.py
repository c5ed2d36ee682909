"""gitsnap as a process of its own, without a new interpreter: a fork of one that has loaded it already.

That is the fork server, or this process itself: where a test has replaced a part of the program, or is a fork of ours.

Starting an interpreter and loading the program takes longer than nearly everything that tests ask of it. The fork is
made to be what a fresh process would be: arguments, environment, streams, signals, working directory, no file of ours,
and its end by `main`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import gc
import io
import os
import selectors
import signal
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn
from weakref import WeakSet

import pytest

from gitsnap.__main__ import main
from gitsnap.cli import app
from tests.support.forkserver import ForkServer, around_fork
from tests.support.installation import set_limits
from tests.support.processes import load_all, own_mounts

_FRAMES = 1000


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter and its libraries read when they start, and not again."""
    early = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")
    return {k: v for k, v in env.items() if k.startswith(early) and k != "PYTHONPATH"}


_OURS = _read_at_start(os.environ)


@dataclass(frozen=True)
class Start:
    """What gitsnap is started with.

    terminal: its streams are one, which is to be its own.
    limits: of what the system gives it, by their numbers in `resource`.
    faults: the library of the fault injector, and its options.
    patch: what is executed first, which replaces something of gitsnap.
    """

    words: tuple[str, ...]
    cwd: Path | None
    env: dict[str, str]
    terminal: bool = False
    limits: Mapping[int, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    patch: str = ""


def possible(env: Mapping[str, str]) -> bool:
    """Whether a fork would be what a fresh process is.

    Not with an environment by which an interpreter starts in another way, and not where we have to fork ourselves while
    a test has replaced a part of the program: the fork would have that, too.
    """
    return _read_at_start(env) == _OURS and (serving() or unpatched())


def unpatched() -> bool:
    """Whether all of the program is in this process what it is in others."""
    return not _patching or _as_loaded()


def serving() -> bool:
    """Whether there is a server that forks for this process."""
    return _server is not None and _server.ours


# Whatever has replaced something, and may not have put it back. To look at every name takes long after a fork.
_patching: WeakSet[pytest.MonkeyPatch] = WeakSet()
# Forks what we would have to fork, and has loaded nothing else.
_server: ForkServer | None = None
_threads = 0


def threads() -> int:
    """How many threads this process has beside those that a test starts."""
    return _threads


def prepare() -> Callable[[], None]:
    """Load the program, before any test has replaced a part of it, and take note of whoever does; how to end it.

    From here on this process and the server have mounts of their own, where that may be.
    """
    global _server, _threads
    own_mounts()
    _program()
    _parsers()
    _threads = threading.active_count()
    for method in ("setattr", "delattr"):
        setattr(pytest.MonkeyPatch, method, _noted(getattr(pytest.MonkeyPatch, method)))
    with suppress(OSError):
        _server = ForkServer(_run)
    return _server.close if _server else lambda: None


def _parsers() -> None:
    """Make the parser of every command, which takes a fork a quarter of its time, and is the same in all of them."""
    for name in app.whole().commands:
        app.only(name)


def _noted(replace: Callable[..., None]) -> Callable[..., None]:
    @wraps(replace)
    def noting(patch: pytest.MonkeyPatch, *arguments: object, **more: object) -> None:
        # pytest's own is not about the program.
        if not type(arguments[0]).__module__.startswith("_pytest"):
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
    arguments: Sequence[str | bytes | Path],
    *,
    cwd: Path | None,
    env: Mapping[str, str],
    stdin: str,
    limits: Mapping[int, int],
) -> CompletedProcess[str]:
    """Run gitsnap to its end; its output goes through pipes. Bytes that are not UTF-8 are surrogates."""
    begun = Start(tuple(map(os.fsdecode, arguments)), cwd, dict(env), limits=limits)
    # No file on a disk: to make one takes a file system of many files longer than the command.
    with open(os.memfd_create("in"), "wb", buffering=0) as given:
        os.pwrite(given.fileno(), stdin.encode("utf-8", "surrogateescape"), 0)
        code, out, err = _ran(begun, given.fileno())
    return CompletedProcess(begun.words, code, text(out), text(err))


def faulty(begun: Start, seconds: float) -> tuple[int, str, str] | None:
    """Run gitsnap under the fault injector; its exit code and what was written. None where that takes an exec.

    Raises TimeoutError, after the end of both.
    """
    # What makes an interpreter do the same at every start: forks have one order of hashes, and load nothing.
    same = {"PYTHONHASHSEED": "", "PYTHONDONTWRITEBYTECODE": ""}
    if not serving() or _read_at_start(begun.env) | same != _OURS | same:
        return None
    code, out, err = raw(begun, seconds)
    return code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


def raw(begun: Start, seconds: float) -> tuple[int, bytes, bytes]:
    """Run gitsnap with nothing to read; its exit code and what was written. Raises TimeoutError, after its end."""
    with open(os.devnull, "rb") as nothing:
        return _ran(begun, nothing.fileno(), seconds)


def _ran(begun: Start, stdin: int, seconds: float | None = None) -> tuple[int, bytes, bytes]:
    (out, their_out), (err, their_err) = os.pipe(), os.pipe()
    pid = start(begun, (stdin, their_out, their_err))
    try:
        os.close(their_out)
        os.close(their_err)
        said, complained = _read((out, err), seconds)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, said, complained


def start(begun: Start, streams: Sequence[int]) -> int:
    """Start gitsnap with these streams; its process id."""
    # On a terminal it has what a test has replaced in this process, which the server has not.
    if _server is not None and _server.ours and (not begun.terminal or unpatched()):
        return _server.fork(begun, streams)
    return _fork(lambda: _run(begun), streams)


def _read(pipes: Sequence[int], seconds: float | None) -> list[bytes]:
    """What comes through each to its end."""
    found = {fd: bytearray() for fd in pipes}
    end = None if seconds is None else time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        for fd in pipes:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            some = waiting.select(None if end is None else max(0.0, end - time.monotonic()))
            if not some:
                raise TimeoutError(f"still running after {seconds} s")
            for ready, _ in some:
                data = os.read(ready.fd, 1 << 16)
                found[ready.fd] += data
                if not data:
                    waiting.unregister(ready.fd)
                    os.close(ready.fd)
    return list(map(bytes, found.values()))


def text(data: bytes) -> str:
    """What was written, with the ends of lines that Python's are."""
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


def _run(begun: Start) -> NoReturn:
    if begun.terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    set_limits(begun.limits)
    if begun.faults:
        _trace(*begun.faults)
    for number in signal.valid_signals():
        # As exec does: what was ignored stays ignored.
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.setrecursionlimit(_FRAMES + depth())
    os.chdir(begun.cwd or ".")
    os.environ.clear()
    os.environ.update(begun.env)
    time.tzset()
    sys.argv = ["gitsnap", *begun.words]
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
    code = 1
    try:
        if begun.patch:
            exec(begun.patch, {})
        main()
    except SystemExit as end:
        # What serves the shell's completion leaves so.
        code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - it goes no further
        traceback.print_exc()
    os._exit(code)


def depth() -> int:
    """How many frames there are below. What `traceback` knows of them it would read from their source files."""
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _trace(library: str, *options: str) -> None:
    """Go on as the child of the fault injector, which this process is from now on."""
    words = (ctypes.c_char_p * (len(options) + 3))(b"faultn", *map(os.fsencode, options), b"gitsnap", None)
    around_fork(lambda: int(ctypes.PyDLL(library).faultn(len(words) - 1, words)))
