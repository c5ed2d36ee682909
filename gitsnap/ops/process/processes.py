"""Child processes: waited for with a deadline and with an ear for signals, and their descendants found and stopped.

Whoever waits here for a command shares its terminal and process group, as a shell's `time` does: what the terminal
sends reaches the command by itself, and only what was sent to this process alone is passed on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol, TypeVar

from gitsnap.core.upgrade import Process

_Result = TypeVar("_Result")
# Number of the signal, and whether it was sent to this process alone.
React = Callable[[int, bool], None]

_HEARD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SI_USER, _SI_TKILL = 0, -6
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_IDLE_CLASS = 3 << 13


class Waiter(Protocol):
    """Waits until something is ready."""

    def until(
        self, ready: Callable[[], _Result | None], deadline: float | None, react: React, *, every: float | None = None
    ) -> _Result | None:
        """What `ready` returns once that is not None; None after `deadline` (of the monotonic clock).

        `react` is called for signals. `ready` is asked whenever a child ends, and every so many seconds.
        """


class Polling:
    """A waiter that hears no signals: for any thread, and for programs whose signals are their own."""

    def until(
        self, ready: Callable[[], _Result | None], deadline: float | None, react: React, *, every: float | None = None
    ) -> _Result | None:
        """Ask again every few milliseconds."""
        while (found := ready()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        return found


class SignalWaiter:
    """A waiter for the main thread. While it is entered, signals interrupt nothing: they wait for the next `until`.

    Signals that were ignored when the program started (nohup) stay ignored.
    """

    def __init__(self) -> None:
        self._noted: list[tuple[int, bool]] = []
        self._before: dict[int, Any] = {}
        self._waited: set[int] = set()

    def __enter__(self) -> SignalWaiter:
        for number in _HEARD:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        # Linux keeps even a signal that is ignored for whoever blocks it and waits for it.
        self._waited = {signal.SIGCHLD, *self._before}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Who sent it is not known here. Passed on twice is better than not at all, but for the terminal's Ctrl-C.
        self._noted.append((number, number in (signal.SIGTERM, signal.SIGHUP)))

    def until(
        self, ready: Callable[[], _Result | None], deadline: float | None, react: React, *, every: float | None = None
    ) -> _Result | None:
        """Sleep until a child ends, a signal comes, or the time is over."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._waited)
        try:
            while True:
                while self._noted:
                    react(*self._noted.pop(0))
                found = ready()
                if found is not None:
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._sleep(min((t for t in (left, every) if t is not None), default=3600.0), react)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _sleep(self, seconds: float, react: React) -> None:
        info = signal.sigtimedwait(self._waited, seconds)
        if info is not None and info.si_signo != signal.SIGCHLD:
            react(info.si_signo, info.si_code in (_SI_USER, _SI_TKILL))


@contextmanager
def signals_held() -> Iterator[None]:
    """What arrives meanwhile raises at the end: what was begun here is known to whoever has to end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Alarms are what a program that calls us may raise by.
    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    numbers = [int(n) for n in heard if callable(signal.getsignal(n))]
    arrived: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in numbers:
            before[number] = signal.signal(number, lambda n, _: arrived.append(n))
        yield
    finally:
        # One that arrives while handlers are put back waits until all are.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in arrived:
            before[number](number, None)


def identify(pid: int) -> Process | None:
    """The process of this number that is running now; None when there is none, or it has ended."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return Process(pid, file.read().strip(), int(fields[19]))


def alive(process: Process) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


def is_below(pid: int) -> bool:
    """Whether this process is that one, or descends from it."""
    return pid in _lineage()


def adopt_orphans() -> None:
    """From now on, descendants whose parents end become children of this process, so that none gets out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(known: Collection[int] = ()) -> list[int]:
    """The child processes that have not ended, but for those in `known`. Those that have are reaped."""
    me = b"%d" % os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in known:
            fields = _stat(int(name))
            if fields is not None and fields[1] == me:
                if fields[0] == b"Z":
                    with suppress(ChildProcessError):
                        os.waitpid(int(name), os.WNOHANG)
                else:
                    found.append(int(name))
    return found


def title(pid: int) -> str:
    """The command line of a process, or its name; empty when it is gone."""
    for name in ("cmdline", "comm"):
        with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            words = file.read(4096).replace(b"\0", b" ").strip()
            if words:
                return words.decode("utf-8", "replace")
    return ""


def stop(waiter: Waiter, known: Collection[int] = (), *, grace: float = 5.0, politely: bool = True) -> list[int]:
    """End all children but `known`, and in turn the orphans that they leave. Those that cannot be ended."""
    deadline = time.monotonic() + grace
    for number in (signal.SIGTERM, signal.SIGKILL) if politely else (signal.SIGKILL,):
        hit: set[int] = set()

        def gone(number: int = number, hit: set[int] = hit) -> bool | None:
            left = children(known)
            for pid in left:
                # Not twice: a program may take a second SIGTERM as a wish to be quicker about it.
                if pid not in hit:
                    hit.add(pid)
                    send(pid, number)
            return None if left else True

        if waiter.until(gone, deadline, lambda *_: None, every=0.1):
            return []
        deadline = time.monotonic() + grace
    return children(known)


def end_session(session: int, waiter: Waiter, grace: float) -> list[int]:
    """Kill the processes of a session, and wait until they are gone, `grace` seconds at most. Those that are left.

    Its number cannot have become another's as long as one of them lives.
    """

    def gone() -> bool | None:
        left = _of_session(session)
        for pid in left:
            # One that has changed its user is someone else's by now.
            with suppress(PermissionError):
                send(pid, signal.SIGKILL)
        return None if left else True

    # A child that was taken over by somebody else tells nobody here of its end.
    if waiter.until(gone, time.monotonic() + grace, lambda *_: None, every=0.02):
        return []
    return _of_session(session)


def _of_session(session: int) -> list[int]:
    """The processes of a session (a leader's number) that have not ended, in whatever process group they are."""
    found = []
    for name in os.listdir("/proc"):
        fields = _stat(int(name)) if name.isdecimal() else None
        if fields is not None and fields[3] == b"%d" % session and fields[0] not in (b"Z", b"X"):
            found.append(int(name))
    return found


def with_variables(**values: str) -> list[int]:
    """The processes that were started with all of these in their environment, as far as that may be seen; not this one,
    nor those that it descends from."""
    wanted, found = {os.fsencode(f"{name}={value}") for name, value in values.items()}, []
    mine = _lineage()
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) not in mine:
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if wanted <= set(file.read().split(b"\0")):
                    found.append(int(entry))
    return found


def _lineage() -> set[int]:
    """This process, and those that it descends from."""
    mine, above = set(), os.getpid()
    while above and above not in mine and (fields := _stat(above)) is not None:
        mine.add(above)
        above = int(fields[1])
    return mine


def send(pid: int, number: int) -> None:
    """Send a signal to a child, or to a group (negative), that may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def start_politely(command: list[str]) -> subprocess.Popen[bytes]:
    """Start something that must not be in the way: lowest priority, idle I/O class, out of reach of the terminal's
    signals, and gone when this process goes. Its output is discarded."""
    libc, number = ctypes.CDLL(None, use_errno=True), _IOPRIO_SET.get(os.uname().machine)

    def before() -> None:
        os.nice(19)
        if number is not None:
            libc.syscall(number, 1, 0, _IDLE_CLASS)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    null = subprocess.DEVNULL
    return subprocess.Popen(
        command, stdin=null, stdout=null, stderr=null, start_new_session=True, preexec_fn=before, cwd="/"
    )


def signal_name(exit_code: int) -> str:
    """The name of the signal that a negative exit code stands for."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _stat(pid: int) -> list[bytes] | None:
    """The fields of proc(5)'s stat after the name, which may hold anything; state and parent are the first two."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def names(pids: Iterable[int]) -> list[dict[str, Any]]:
    """Processes as JSON objects."""
    return [{"pid": pid, "command": title(pid)} for pid in pids]
