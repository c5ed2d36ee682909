"""The fault injector itself: it hits what it is told to hit, and says so."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.crash.faults import FaultNeverFiredError, Mode, calls, run_with_fault, sample

pytestmark = pytest.mark.faults

# Six mutating calls in two processes.
_SCRIPT = """
import os, subprocess, sys
fd = os.open("a", os.O_CREAT | os.O_WRONLY)
os.write(fd, b"0123456789")
os.fsync(fd)
os.rename("a", "b")
if len(sys.argv) < 2:
    subprocess.run([sys.executable, "-S", "-c", "import os; os.mkdir('c'); os.mkdir('d')"], check=True)
"""


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return [sys.executable, "-S", "-c", _SCRIPT]


def test_calls_of_all_processes_are_counted(argv: list[str]) -> None:
    found = calls(argv)
    assert [c.name for c in found] == ["openat", "write", "fsync", "rename", "mkdir", "mkdir"]
    assert [c.number for c in found] == [1, 2, 3, 4, 5, 6]
    assert found[1].path.endswith("/a")


@pytest.mark.parametrize(
    ("mode", "n", "there"),
    [
        (Mode.KILL, 1, {}),
        (Mode.KILL_AFTER, 1, {"a": b""}),
        (Mode.KILL, 2, {"a": b""}),
        (Mode.TORN, 2, {"a": b"01234"}),
        (Mode.KILL_AFTER, 2, {"a": b"0123456789"}),
        (Mode.KILL, 4, {"a": b"0123456789"}),
        (Mode.KILL_AFTER, 4, {"b": b"0123456789"}),
        (Mode.KILL, 6, {"b": b"0123456789", "c": None}),
    ],
)
def test_a_kill_comes_exactly_where_it_is_wanted(
    argv: list[str], tmp_path: Path, mode: Mode, n: int, there: dict[str, bytes | None]
) -> None:
    outcome = run_with_fault(argv, mode, n)
    assert outcome.fired
    assert outcome.returncode == -9
    assert outcome.hit
    assert outcome.hit.number == n
    assert {p.name: p.read_bytes() if p.is_file() else None for p in tmp_path.iterdir()} == there


def test_an_error_is_seen_once_or_from_there_on(argv: list[str], tmp_path: Path) -> None:
    once = run_with_fault(argv, Mode.ERROR, 5, errno.ENOSPC)
    assert "No space left" in once.stderr
    assert once.returncode == 1
    ever = run_with_fault(argv, Mode.ERROR_FROM, 5, errno.EROFS)
    assert "Read-only" in ever.stderr


def test_a_command_runs_at_the_fault(argv: list[str], tmp_path: Path) -> None:
    run_with_fault(argv, Mode.KILL, 4, at_fault="cp a seen")
    assert (tmp_path / "seen").read_bytes() == b"0123456789"


def test_a_fault_that_never_fired_fails(argv: list[str]) -> None:
    with pytest.raises(FaultNeverFiredError, match="call 7 of 6"):
        run_with_fault(argv, Mode.KILL, 7)
    assert not run_with_fault([*argv, "short"], Mode.KILL, 5, must_fire=False).fired


def test_a_sample_holds_both_ends(argv: list[str]) -> None:
    found = calls(argv)
    assert sample(found, 3) == [found[0], found[2], found[5]]
    assert sample(found, 99) == found
