"""Without descriptors, memory or processes: a failure of the command, told as one, and no property of any path."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, exhausted
from gitsnap.installation.scan_result import Recording
from gitsnap.ops.parallel.pool import Pool
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import Protected, workspace
from tests.support.processes import in_child


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        for n in range(30):
            (top / f"app/d{n}/e").mkdir(parents=True)
            (top / f"app/d{n}/e/f").write_text(f"{n}\n")
        with Protected(top / "app", top / "home") as found:
            yield found


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_no_path_is_to_blame(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert exhausted(error)
    with pytest.raises(OSError, match=os.strerror(number)):
        Recording({}, databases=False).partial(b"file", error)
    with pytest.raises(MemoryError):
        Recording({}, databases=False).partial(b"file", MemoryError())
    assert not exhausted(OSError(errno.EACCES, "Permission denied"))


def test_few_descriptors(place: Protected) -> None:
    """At no limit is a snapshot taken without some of the files."""
    first = place.take().snapshot.id
    store = place.sidecar.path

    def attempt(free: int) -> str:
        (place.root / "d1/e/f").write_text(f"{free}\n")
        used = {int(name) for name in os.listdir("/proc/self/fd")}
        limit = next(n for n in range(1000) if n - len([u for u in used if u < n]) == free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        try:
            taken = place.take()
        except (GitsnapError, OSError) as error:
            return str(error)
        return "partial" if taken.partial else "taken"

    came = {free: in_child(partial(attempt, free)) for free in range(1, 60, 4)}
    assert "partial" not in came.values()
    assert any("Too many open files" in told for told in came.values())
    assert all(told == "taken" or "Too many open files" in told for told in came.values()), came
    with Sidecar(store) as sidecar:
        taken = [s for s in catalog.snapshots(sidecar) if s.id != first]
    assert all((s.files, s.partial) == (30, 0) for s in taken)


def test_a_worker_that_was_killed_for_want_of_memory(tmp_path: Path) -> None:
    """What it had in hand comes back as unanswered, whenever the kernel takes it."""

    def prepare():  # type: ignore[no-untyped-def]
        def work(number: int) -> tuple[int, bytes]:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return number, b""

        return work

    with Pool(prepare, 2) as pool:
        answered = [request for n in range(8) for request, _, _ in pool.hand_over(n)]
        answered += [request for request, _, _ in pool.finish()]
        lost = list(pool.lost())
    assert 3 in lost
    assert sorted({*answered, *lost}) == list(range(8))
