"""Shell commands: what they print, how long they may take, and that none outlives an interruption unknown."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitsnap.ops.process import shell
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.process.shell import Surroundings
from tests.support.processes import in_child


def where(directory: Path, timeout: float = 30) -> Surroundings:
    return Surroundings(str(directory), {"PATH": os.environ["PATH"], "WORD": "said"}, timeout)


def test_what_it_prints_is_kept_from_its_end(tmp_path: Path) -> None:
    ended = shell.run("pwd; seq 10000; echo $WORD >&2; exit 3", where(tmp_path))
    assert (ended.problem, ended.exit_code) == ("exited with 3", 3)
    assert ended.output.endswith("10000\nsaid\n")
    assert len(ended.output) == 4096


def test_what_cannot_be_started(tmp_path: Path) -> None:
    ended = shell.run("true", where(tmp_path / "gone"))
    assert (ended.problem, ended.exit_code) == ("could not be started: No such file or directory", None)


def test_one_that_takes_too_long_ends_with_all_it_started(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("")
    command = f"trap '' TERM; sleep 600 & echo $! > {ready}; wait; sleep 600"
    ended = shell.run(command, where(tmp_path, 0.3), Until(lambda: ready.read_text().endswith("\n")))
    assert ended.problem == "took longer than 0.3 s"
    assert ended.exit_code == -9
    assert not _alive(int(ready.read_text()))


def test_its_time_is_limited(tmp_path: Path) -> None:
    ended = shell.run("exec sleep 600", where(tmp_path, 0.1))
    assert (ended.problem, ended.exit_code) == ("took longer than 0.1 s", -15)


class Until(Polling):
    """Has a command's time end when something has happened, and not sooner or later."""

    def __init__(self, happened: Callable[[], object]) -> None:
        self._happened: Callable[[], object] | None = happened

    def until(self, ready: Callable[[], Any], deadline: float | None, react: Any, *, every: float | None = None) -> Any:
        if self._happened is None:
            return super().until(ready, deadline, react, every=every)
        happened, self._happened = self._happened, None
        return super().until(lambda: True if happened() else None, None, react) and None


DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "apart":
    os.setpgid(0, 0)
memory = bytearray(400 << 20)
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("group", ["together", "apart"])
def test_whatever_it_left_running_is_gone_when_it_is_told_to_have_ended(tmp_path: Path, group: str) -> None:
    """Also what is deaf to SIGTERM, has a process group of its own, and takes its time to die, as much memory does."""
    (tmp_path / "deaf.py").write_text(DEAF)
    ready = tmp_path / "ready"
    for _ in range(3):
        ready.write_text("")
        command = f"(exec {sys.executable} {tmp_path}/deaf.py {group} > {ready}) & exec sleep 600"
        ended = shell.run(command, where(tmp_path, 1), Until(lambda: ready.read_text().endswith("\n")))
        assert ended.problem == "took longer than 1 s"
        assert not _alive(int(ready.read_text()))


def test_an_interruption_at_any_moment_leaves_none_behind(tmp_path: Path) -> None:
    """The command interrupts us as early as it can, which is about when we learn that it has started."""

    def attempt() -> bool:
        pids = tmp_path / "pids"
        pids.write_text("")
        for _ in range(30):
            try:
                shell.run(f"echo $$ >> {pids}; kill -INT $PPID; exec sleep 600", where(tmp_path))
            except KeyboardInterrupt:
                continue
            return False
        started = [int(line) for line in pids.read_text().split()]
        return len(started) == 30 and not any(map(_alive, started))

    assert in_child(attempt, seconds=300)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_error_of_the_caller_ends_it_like_any_other(tmp_path: Path) -> None:
    """TimeoutError is what alarms raise, and is an OSError."""

    def attempt() -> tuple[str, bool]:
        def alarm(*_: object) -> None:
            raise TimeoutError("enough")

        signal.signal(signal.SIGALRM, alarm)
        try:
            shell.run(f"echo $$ > {tmp_path}/pid; kill -ALRM $PPID; exec sleep 600", where(tmp_path, 300))
        except TimeoutError as error:
            return str(error), _alive(int((tmp_path / "pid").read_text()))
        return "", True

    assert in_child(attempt, seconds=300) == ("enough", False)


def test_an_interruption_while_it_cannot_be_started_is_not_lost(tmp_path: Path) -> None:
    def attempt() -> tuple[str, bool]:
        sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGINT) if event == "subprocess.Popen" else None)
        before = signal.getsignal(signal.SIGTERM)
        try:
            shell.run("true", where(tmp_path / "gone"))
        except KeyboardInterrupt:
            return "interrupted", signal.getsignal(signal.SIGTERM) == before
        return "", False

    assert in_child(attempt, seconds=300) == ("interrupted", True)


def test_what_prints_elsewhere_needs_no_room_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with (tmp_path / "out").open("wb") as out:
        assert shell.run("echo here", where(tmp_path), output=out.fileno()).problem == ""
    assert (tmp_path / "out").read_bytes() == b"here\n"
    assert shell.run("true", where(tmp_path)).problem.startswith("could not be started")
