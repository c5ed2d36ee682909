"""A command as an upgrade: started, listened to, ended when it must be, and watched over meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from gitsnap.core.upgrade import Moment, failure_of
from gitsnap.ops.parallel import pool
from gitsnap.ops.process import processes
from gitsnap.ops.process.processes import Waiter, send, signal_name
from gitsnap.ops.upgrade.bring_back import Ask
from gitsnap.ops.upgrade.problems import describe

# What a shell makes of a command that cannot be started: not found, and not executable.
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_WATCH_PAUSE = 5.0
# How many processes the audit log names.
_NOTED = 20


class Watched(NamedTuple):
    """A first snapshot, the command that verifies it once (exit code 0), and of which directory of several it is."""

    pre: str
    words: tuple[str, ...]
    root: str = ""


@dataclass(slots=True, frozen=True)
class Launch:
    """How the command is started and ended. `words` is its argument vector; it runs in `directory`, in the working
    directory where that is None.

    `timeout` is in seconds. A command that was told to stop gets `grace` seconds to do so. `umask` is the caller's.
    With `quiet_stdout` its output goes to stderr. `watch` are the first snapshots that are verified while it runs.
    """

    words: Sequence[str]
    environ: Mapping[str, str]
    directory: str | None = None
    timeout: float | None = None
    grace: float = 5.0
    umask: int = -1
    quiet_stdout: bool = False
    watch: Sequence[Watched] = ()


@dataclass(slots=True)
class _Ended:
    exit_code: int | None
    failure: str


Result = TypeVar("Result", covariant=True)


class Begun(Protocol[Result]):
    """An upgrade whose first snapshots stand, of one directory or of several."""

    @property
    def doubts(self) -> list[str]:
        """Why going back may not be exact."""

    @property
    def variables(self) -> dict[str, str]:
        """What the command finds in its environment."""

    def tell(self, moment: Moment, **facts: Any) -> None:
        """Tell of something that happened."""

    def start(self) -> None:
        """From now on there may be changes."""

    def runs_as(self, pid: int) -> None:
        """This process is the command."""

    def note_left(self, processes: list[dict[str, Any]]) -> None:
        """For the audit log: what the command has left running."""

    def finish(
        self,
        failure: str,
        *,
        waiter: Waiter,
        exit_code: int | None,
        environ: Mapping[str, str] | None,
        umask: int,
        ask: Ask,
        quiesce: Callable[[], None],
    ) -> Result:
        """Keep, or go back."""


def run(upgrade: Begun[Result], launch: Launch, waiter: Waiter, *, ask: Ask = lambda _: True) -> Result:
    """Run the command between `begin`, which has been called, and `finish`, which is called here.

    Raises GitsnapError where nothing was started. After that it raises nothing.
    """
    processes.adopt_orphans()
    command = _Command(upgrade, launch, waiter, upgrade.doubts)
    upgrade.start()
    try:
        ended = command.run()
    except Exception as error:  # noqa: BLE001 - the command may be at work: whatever this is, the directory comes first
        ended = command.give_up(error)
    return upgrade.finish(
        ended.failure,
        waiter=waiter,
        exit_code=ended.exit_code,
        environ=launch.environ,
        umask=launch.umask,
        ask=ask,
        quiesce=command.quiesce,
    )


@dataclass(slots=True)
class _Command:
    upgrade: Begun[object]
    launch: Launch
    waiter: Waiter
    doubts: list[str]
    _told_to_stop: int = 0
    _stop_by: float | None = None
    _process: subprocess.Popen[bytes] | None = None
    # Children of this process that are not the command's: it may have been a shell's before.
    _others: frozenset[int] = frozenset()

    def run(self) -> _Ended:
        """Start it, wait for it, and say how it ended."""
        started = time.monotonic()
        try:
            self._process = process = self._start()
        except OSError as error:
            if error.filename is not None and error.filename == self.launch.directory:
                error.strerror = f"{error.strerror}: {self.launch.directory}"
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            self.upgrade.tell(Moment.COMMAND_EXITED, exit_code=code, signal=None, timed_out=False, duration=0.0)
            return _Ended(code, f"the command could not be started: {error.strerror}")
        self.upgrade.runs_as(process.pid)
        self.upgrade.tell(Moment.COMMAND_STARTED, pid=process.pid, command=list(self.launch.words))
        watch = _Watch(self)
        code, timed_out = self._wait(process, watch, started)
        watch.close()
        self.upgrade.tell(
            Moment.COMMAND_EXITED,
            exit_code=code,
            signal=signal_name(code) if code < 0 else None,
            timed_out=timed_out,
            duration=round(time.monotonic() - started, 3),
        )
        self._name_those_left()
        return _Ended(code, self._failure(code, timed_out))

    def give_up(self, error: Exception) -> _Ended:
        """gitsnap itself has failed: the command ends, so that the directory can be brought back."""
        process = self._process
        with suppress(Exception):
            if process is not None and process.poll() is None:
                self._end(process)
        code = process.returncode if process is not None else None
        return _Ended(code, f"gitsnap failed while the command ran: {describe(error)}")

    def _start(self) -> subprocess.Popen[bytes]:
        """The command has our terminal, our streams, our process group and our caller's umask."""
        # Whoever becomes a child of ours from here on is one of the command's.
        pool.reap()
        self._others = frozenset(processes.children())
        return subprocess.Popen(
            list(self.launch.words),
            cwd=self.launch.directory,
            env=dict(self.launch.environ) | self.upgrade.variables | self._place(),
            stdout=2 if self.launch.quiet_stdout else None,
            umask=self.launch.umask,
        )

    def _place(self) -> dict[str, str]:
        """As a shell would have it after `cd`: programs that believe PWD are right, too."""
        return {"PWD": self.launch.directory} if self.launch.directory is not None else {}

    def _wait(self, process: subprocess.Popen[bytes], watch: _Watch, started: float) -> tuple[int, bool]:
        limit = None if self.launch.timeout is None else started + self.launch.timeout

        def ready() -> int | None:
            watch.tick()
            if self._stop_by is not None and time.monotonic() > self._stop_by:
                send(process.pid, signal.SIGKILL)
            return process.poll()

        code = self.waiter.until(ready, limit, self._react, every=1.0)
        return (self._end(process), True) if code is None else (code, False)

    def _react(self, number: int, alone: bool) -> None:
        """The terminal's signals reach the command as they reach us; what was sent to us alone is passed on."""
        process = self._process
        if process is None:
            return
        # When a terminal is closed, the kernel tells the session's leader alone, which may be us.
        if alone or number == signal.SIGHUP:
            send(process.pid, number)
        if number in (signal.SIGTERM, signal.SIGHUP):
            self._told_to_stop = number
            self._stop_by = self._stop_by or time.monotonic() + self.launch.grace

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Its time is over: end it and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in {process.pid, *processes.children(self._others)}:
                send(pid, number)
            code = self.waiter.until(process.poll, time.monotonic() + self.launch.grace, lambda *_: None)
            if code is not None:
                # Those it has started have been told as well.
                processes.stop(self.waiter, self._others, politely=number == signal.SIGTERM)
                return code
        return -signal.SIGKILL

    def _failure(self, code: int, timed_out: bool) -> str:
        if timed_out:
            return f"the command took longer than {self.launch.timeout:g} s"
        if self._told_to_stop:
            return f"interrupted by {signal.Signals(self._told_to_stop).name}"
        words = failure_of(code, signal_name(code))
        return f"the command {words}" if words else ""

    def _name_those_left(self) -> None:
        # For people; that it cannot be told is no failure of the command.
        with suppress(OSError):
            left = processes.children(self._others)
            if not left:
                return
            named = processes.names(left)
            self.upgrade.note_left(named[:_NOTED])
            self.upgrade.tell(Moment.PROCESSES_LEFT, processes=named)

    def quiesce(self) -> None:
        """End what the command has left running: it would go on writing into what is brought back."""
        left = processes.stop(self.waiter, self._others)
        if left:
            self.doubts.append(f"{len(left)} processes of the command could not be ended and may still write")


class _Watch:
    """Verifies the first snapshots over and over, one after the other, in a process of the lowest priority, as long as
    the command runs."""

    def __init__(self, command: _Command) -> None:
        self._command, self._queue = command, list(command.launch.watch)
        self._passed: dict[Watched, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._next = time.monotonic()

    def tick(self) -> None:
        """Start a pass when its time has come, and take note of one that has ended."""
        if not self._queue:
            return
        if self._process is None:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + _WATCH_PAUSE
                # Without room for one more process, the next time.
                with suppress(OSError, subprocess.SubprocessError):
                    self._process = processes.start_politely([*self._queue[0].words])
            return
        code = self._process.poll()
        if code is None:
            return
        self._process, self._next = None, time.monotonic() + _WATCH_PAUSE
        upgrade, watched = self._command.upgrade, self._queue.pop(0)
        facts = {"snapshot": watched.pre} | ({"installation": watched.root} if watched.root else {})
        if code == 0:
            self._passed[watched] = passes = self._passed.get(watched, 0) + 1
            upgrade.tell(Moment.VERIFIED, during="command", passes=passes, **facts)
        # Locked: a gc is at work, and the next pass tells.
        elif code != 11:
            problem = f"the snapshot before the upgrade no longer passes verification (exit code {code})"
            self._command.doubts.append(f"{problem}: rolling back is in doubt")
            upgrade.tell(Moment.VERIFY_FAILED, problem=problem, **facts)
            return
        self._queue.append(watched)

    def close(self) -> None:
        """The command has ended: an unfinished pass goes."""
        if self._process is not None:
            self._process.kill()
            with suppress(ChildProcessError):
                self._process.wait()


def findable(word: str, environ: Mapping[str, str], cwd: str) -> bool:
    """Whether a command's name leads to something that can be executed."""
    # A directory may be entered, which is the same bit.
    folders = [""] if "/" in word else environ.get("PATH", os.defpath).split(os.pathsep)
    found = (os.path.join(cwd, folder, word) for folder in folders)
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in found)
