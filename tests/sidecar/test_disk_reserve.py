"""Room held back for an upgrade: it stays while its process lives, and the next writer removes it after that."""

from __future__ import annotations

import os
import signal

import pytest

from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import disk_reserve
from tests.support.inprocess import Protected


@pytest.fixture
def sidecar(protected: Protected) -> Sidecar:
    return protected.sidecar


def reserves(sidecar: Sidecar) -> list[str]:
    return [name for name in os.listdir(sidecar.scratch) if name.startswith("reserve-")]


def test_what_is_held_stays_while_others_write(sidecar: Sidecar) -> None:
    held = disk_reserve.hold(sidecar)
    assert held is not None
    with sidecar.writing(0):
        assert len(reserves(sidecar)) == 1
    held.release()
    held.release()
    assert reserves(sidecar) == []


def test_the_next_writer_removes_what_a_dead_one_held(sidecar: Sidecar) -> None:
    child = os.fork()
    if child == 0:
        try:
            disk_reserve.hold(sidecar)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(reserves(sidecar)) == 1
    with sidecar.writing(0):
        assert reserves(sidecar) == []
