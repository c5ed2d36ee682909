"""What is read ahead of a plan's writing is what the plan asks for, whatever becomes of those who read."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.plan import Action, RestorePlan, everything, make_plan
from gitsnap.ops.parallel import prefetch
from gitsnap.ops.parallel.prefetch import Prefetching
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.repository import Sidecar
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


def plan_of_all(place: Protected) -> RestorePlan:
    """What brings the first snapshot into an empty directory."""
    wanted = place.inventory(place.snapshots()[0])
    return make_plan(
        wanted, Inventory(entries=[Entry(b"", Type.DIR, 0o755)]), scope=everything, protected=nothing_excluded
    )


def contents(place: Protected, spoil: Callable[[], None] = lambda: None) -> tuple[bool, int]:
    """Whether everything that is read ahead is as on disk, and how many contents that is."""
    plan = plan_of_all(place)
    entries = [s.entry for s in plan.steps if s.action is Action.WRITE and s.entry and s.entry.type is Type.FILE]
    good = 0
    with Sidecar(place.store.as_posix()) as sidecar, Prefetching(sidecar.objects, plan) as ahead:
        assert ahead._pool is not None
        for number, entry in enumerate(entries):
            if number == 50:
                spoil()
            good += b"".join(ahead.content(entry)) == (place.root / os.fsdecode(entry.path)).read_bytes()
    return good == len(entries), len(entries)


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


def kill_workers() -> None:
    for pid in children():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("spoil", [lambda: None, kill_workers])
def test_contents_come_as_they_were_captured(spoil: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "processors", lambda: 3)
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            place.take()
            assert in_child(lambda: contents(place, spoil), seconds=300) == (True, FILES + 1)


def test_a_rollback_whose_contents_are_read_ahead_is_exact() -> None:
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            first = place.take().snapshot
            place.copy_out(first.id, top / "before")
            for path in sorted((top / "app").rglob("f*")):
                path.write_bytes(path.read_bytes() + b"changed")
            assert in_child(lambda: place.rollback(first.id).verified, seconds=300)
            same_tree(top / "before", top / "app")


def test_damage_is_told_by_whoever_asks_for_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "processors", lambda: 2)
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


def test_a_slow_reader_does_not_let_the_others_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "processors", lambda: 4)
    read = ObjectStore.blob

    def slowly(store: ObjectStore, oid: bytes, size: int | None = None) -> Iterator[bytes]:
        if oid == slow:
            time.sleep(1)
        return read(store, oid, size)

    monkeypatch.setattr(ObjectStore, "blob", slowly)
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as place:
            place.take()
            plan = plan_of_all(place)
            entries = [s.entry for s in plan.steps if s.action is Action.WRITE and s.entry]
            entry = next(e for e in entries if e.type is Type.FILE and e.size > 5000)
            assert entry.oid is not None
            slow = entry.oid

            def held() -> tuple[int, int]:
                with Sidecar(place.store.as_posix()) as sidecar, Prefetching(sidecar.objects, plan) as ahead:
                    list(ahead.content(entry))
                    return sum(map(len, ahead._held.values())), sum(e.size for e in entries)

            most, whole = in_child(held, seconds=300)
            # Two batches for each of three workers.
            assert most <= 6 << 20 < whole


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
