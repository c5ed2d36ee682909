"""Several processes look at a directory as one does, and see whatever one would see."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.parallel import walk
from tests.support.inprocess import Protected, workspace
from tests.support.processes import in_child


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Protected]:
    monkeypatch.setattr(walk, "processors", lambda: 3)
    monkeypatch.setattr(walk, "_WORTH_ENTRIES", 10)
    monkeypatch.setattr(walk, "_ENOUGH", 8)
    with workspace() as top:
        root = top / "app"
        for n in range(300):
            file = root / f"{n % 5}/{n % 7}/{n % 11}/f{n}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"%d" % n)
        (root / ".gitsnapignore").write_text("*.log\n")
        (root / "4/6/x.log").write_text("left out")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(root / "3/socket"))
        time.sleep(0.1)
        with Protected(root, top / "home") as protected:
            protected.take()
            yield protected


def again(place: Protected) -> Captured:
    """A snapshot where nothing has changed, or something has; in a process without other threads."""
    place.reopen()
    return in_child(lambda: place.take(Request(skip_unchanged=True)), seconds=300)


def test_what_has_not_changed(place: Protected) -> None:
    taken = again(place)
    assert (taken.skipped, taken.excluded, taken.sockets) == (True, 1, [b"3/socket"])


CHANGES: dict[str, Callable[[Path], object]] = {
    "a content": lambda root: _some(root).write_bytes(b"other"),
    "a mode": lambda root: _some(root).chmod(0o600),
    "a file more": lambda root: (_some(root).parent / "more").touch(),
    "a file less": lambda root: _some(root).unlink(),
    "a directory more": lambda root: (root / "2/more").mkdir(),
    "a directory less": lambda root: os.rename(root / "2/1", root.parent / "elsewhere"),
    "a socket more": lambda root: os.mknod(root / "1/socket", 0o140600),
    "an excluded file more": lambda root: (root / "1/y.log").touch(),
}


def _some(root: Path) -> Path:
    return sorted(root.rglob("f*"))[150]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed(place: Protected, change: str) -> None:
    CHANGES[change](place.root)
    assert not again(place).skipped


def test_workers_that_die(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    parent: list[int] = []
    genuine = walk.walk

    def dying(*arguments: object) -> int:
        if os.getpid() != parent[0]:
            (place.root.parent / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(walk, "walk", dying)

    def attempt() -> bool:
        parent.append(os.getpid())
        return place.take(Request(skip_unchanged=True)).skipped

    place.reopen()
    assert in_child(attempt, seconds=300)
    assert (place.root.parent / "died").exists()
    (place.root / "0/more").touch()
    place.reopen()
    assert not in_child(attempt, seconds=300)
