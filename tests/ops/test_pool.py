"""Work shared by forked processes comes out as if one had done it, whatever becomes of them."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitsnap.ops.parallel.pool import Pool, Work, reap
from tests.support.processes import in_child


def left() -> list[int]:
    reap()
    return children()


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


def squaring(spoil: Callable[[int], None] = lambda _: None) -> Callable[[], Work]:
    def prepare() -> Work:
        def work(request: int) -> tuple[Any, bytes]:
            spoil(request)
            return request * request, b"%d" % request * 50_000

        return work

    return prepare


def all_of(pool: Pool, requests: range) -> tuple[dict[int, tuple[int, int]], list[int]]:
    found: dict[int, tuple[int, int]] = {}
    for request in requests:
        found |= {r: (a, len(d)) for r, a, d in pool.hand_over(request)}
    found |= {r: (a, len(d)) for r, a, d in pool.finish()}
    return found, sorted(pool.lost())


def test_every_request_is_answered_once_and_nobody_is_left() -> None:
    def work() -> tuple[bool, list[int], list[int], int]:
        with Pool(squaring(), 3) as pool:
            found, lost = all_of(pool, range(500))
            there = len(children())
        return found == {n: (n * n, len(str(n)) * 50_000) for n in range(500)}, lost, left(), there

    assert in_child(work, seconds=300) == (True, [], [], 3)


def test_a_closed_crew_holds_no_lock(tmp_path: Path) -> None:
    """Before its memory is given back, which may take long, what a worker got from its parent is let go of."""

    def work() -> bool:
        with open(tmp_path / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ballast = [bytearray(1 << 20) for _ in range(200)]
            pool = Pool(squaring(lambda _: ballast.clear()), 2)
            found, lost = all_of(pool, range(20))
        with open(tmp_path / "lock", "rb") as again:
            with pytest.raises(BlockingIOError):
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pool.close()
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return len(found) == 20 and not lost and left() == []

    assert in_child(work, seconds=300)


@pytest.mark.parametrize("end", ["killed", "fails"])
def test_what_a_worker_had_in_hand_when_it_died_is_lost_and_nothing_else(end: str) -> None:
    def spoil(request: int) -> None:
        if request == 100:
            if end == "fails":
                raise ValueError
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> tuple[int, bool, bool, list[int]]:
        with Pool(squaring(spoil), 2) as pool:
            found, lost = all_of(pool, range(200))
        return len(found) + len(lost), 100 in lost, len(lost) <= 2, left()

    assert in_child(work, seconds=300) == (200, True, True, [])


def test_when_all_are_dead_everything_is_lost_and_nothing_hangs() -> None:
    def work() -> tuple[int, int, list[int]]:
        with Pool(squaring(lambda _: os._exit(1)), 2) as pool:
            found, lost = all_of(pool, range(50))
        return len(found), len(lost), left()

    assert in_child(work, seconds=300) == (0, 50, [])


def test_workers_outlive_a_ctrl_c_but_not_their_parent() -> None:
    started, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        pool = Pool(squaring(), 2)
        for worker in children():
            os.kill(worker, signal.SIGINT)
        found, lost = all_of(pool, range(20))
        os.write(tell, b" ".join(b"%d" % pid for pid in [*children(), len(found), len(lost)]))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    *workers, found, lost = (int(word) for word in os.read(started, 100).split())
    assert (len(workers), found, lost) == (2, 20, 0)
    deadline = time.monotonic() + 300
    while any(os.path.exists(f"/proc/{pid}") and b"Z" not in state(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return b"Z"
