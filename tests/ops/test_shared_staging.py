"""What several processes stage is what the plan asks for, whatever becomes of those who write."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import IntegrityError, StopRequestedError
from gitsnap.core.model import Entry
from gitsnap.ops.parallel import stage
from gitsnap.ops.parallel.stage import SharedStager
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.restore.rollback import rollback as bring_back
from tests.support.inprocess import Protected, workspace
from tests.support.installation import same_tree
from tests.support.processes import in_child

pytestmark = pytest.mark.long

FILES = 700


def fill(root: Path) -> None:
    """Files of all sizes, some with the same content, one too large to be read ahead."""
    chance = random.Random(7)
    for number in range(FILES):
        path = root / f"d{number % 13}" / f"f{number}"
        path.parent.mkdir(exist_ok=True, parents=True)
        content = b"the same\n" if number % 29 == 0 else chance.randbytes(chance.choice((0, 1, 100, 5000, 60_000)))
        path.write_bytes(content)
    (root / "large").write_bytes(chance.randbytes(5 << 20))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Three processors; and the slots that workers have staged, as they are taken in."""
    monkeypatch.setattr(stage, "processors", lambda: 3)
    taken: list[list[int]] = []
    take = SharedStager._take

    def noted(stager: SharedStager, steps: Any, answers: Any) -> int:
        before = set(stager._ready)
        count = take(stager, steps, answers)
        taken.append(sorted(set(stager._ready) - before))
        return count

    monkeypatch.setattr(SharedStager, "_take", noted)
    return taken


class SoonAsked:
    """Somebody asks to stop when some files are staged."""

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        asked: list[bool] = []
        yield lambda: len(asked.append(True) or asked) > 6  # type: ignore[func-returns-value]


def change(root: Path) -> None:
    for path in sorted(root.rglob("f*")):
        path.write_bytes(path.read_bytes() + b"changed")


def test_a_rollback_whose_files_several_stage_is_exact(shared: list[list[int]]) -> None:
    with workspace() as top:
        fill(top / "app")
        os.setxattr(top / "app/d3/f3", "user.note", b"x")
        os.link(top / "app/d4/f4", top / "app/d4/twin")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            place.copy_out(first.id, top / "before")
            change(top / "app")

            def roll() -> tuple[bool, bool]:
                return place.rollback(first.id).verified, any(shared)

            assert in_child(roll, seconds=300) == (True, True)
            same_tree(top / "before", top / "app")


def test_what_a_worker_leaves_half_done_is_written_anew(
    shared: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dies with a file begun, another one has no room for one: both slots are taken."""
    ours, write = os.getpid(), SharedStager._write_file

    def spoiled(stager: SharedStager, fd: int, slot: bytes, entry: Entry, present: bytes | None = None) -> int:
        inode = write(stager, fd, slot, entry, present)
        if os.getppid() != ours and entry.path.endswith(b"7"):
            if entry.path.endswith(b"77"):
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "no room")
        return inode

    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            place.copy_out(first.id, top / "before")
            change(top / "app")
            monkeypatch.setattr(SharedStager, "_write_file", spoiled)
            assert in_child(lambda: place.rollback(first.id).verified, seconds=300)
            same_tree(top / "before", top / "app")


def test_who_interrupts_it_finds_nothing_changed(shared: list[list[int]]) -> None:
    """The workers are gone before the stage goes, so nothing comes into it any more."""
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            change(top / "app")
            second = place.take().snapshot
            place.copy_out(second.id, top / "changed")

            def roll() -> tuple[str, bool]:
                try:
                    bring_back(
                        place.sidecar, first.id, place.settings, RollbackOptions(place.now, interrupts=SoonAsked())
                    )
                except StopRequestedError as error:
                    return error.message, any(shared)
                return "", False

            assert in_child(roll, seconds=300) == ("interrupted before anything was changed", True)
            same_tree(top / "changed", top / "app")


def test_damage_is_told_by_whoever_asks_for_the_content(shared: list[list[int]]) -> None:
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            pack = max((place.store / "objects/pack").glob("*.pack"), key=lambda found: found.stat().st_size)
            pack.chmod(0o600)
            with pack.open("r+b") as file:
                file.seek(pack.stat().st_size // 2)
                file.write(b"\xaa\x55\xaa")

            def attempt() -> str:
                try:
                    place.copy_out(first.id, top / "out")
                except IntegrityError as error:
                    return error.message
                return ""

            place.reopen()
            assert "damaged" in in_child(attempt, seconds=300)


def test_a_rollback_where_nobody_can_wait_for_children() -> None:
    """SIGCHLD may be ignored from birth on: then the system reaps, and waiting fails."""
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            place.copy_out(first.id, top / "before")
            for path in sorted((top / "app").rglob("f*")):
                path.unlink()

            def roll() -> bool:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                return place.rollback(first.id).verified

            assert in_child(roll, seconds=300)
            same_tree(top / "before", top / "app")
