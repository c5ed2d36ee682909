"""While a rollback is at work, nobody reads what both the state before and the one after keep from them.

Real users look after every change of the directory, whichever way it goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.installation.apply.executor import Executor
from gitsnap.ops.restore import recover as recovery
from gitsnap.ops.restore import rollback as restore
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.result import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.inprocess import SETTINGS, Protected
from tests.support.installation import differences
from tests.support.readers import Readers
from tests.torture import private
from tests.torture.private import ALL, FEW, ROOTS, USERS, Case, Counting, Watched

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
Upgraded = tuple[Case, Protected]


@pytest.fixture
def upgraded(request: pytest.FixtureRequest) -> Iterator[Upgraded]:
    root = getattr(request, "param", "")
    # All of them in one root: in the others it is what happens to the root that is looked at.
    with private.upgraded(root, FEW if root else ALL) as made:
        yield made


@cache
def calls() -> int:
    """How many times a rollback of the case changes something."""
    counting = Counting()
    with private.upgraded() as (_, protected):
        target = protected.snapshots()[0].id
        restore.rollback(protected.sidecar, target, SETTINGS, RollbackOptions(protected.now, disk=counting))
    return counting.calls


def rollback(case: Case, protected: Protected, stop_at: int = -1) -> None:
    """With everybody looking, all the time or from a failure on: what comes before it is the same without one."""
    readers = Readers(USERS, case.app, case.states)
    try:
        target = protected.snapshots()[0].id
        disk = Watched(readers, stop_at)
        restore.rollback(protected.sidecar, target, SETTINGS, RollbackOptions(protected.now, disk=disk))
    finally:
        assert readers.stop() == []


@pytest.mark.parametrize("upgraded", ROOTS, indirect=True)
def test_there_and_back(upgraded: Upgraded) -> None:
    case, protected = upgraded
    rollback(case, protected)
    assert differences(case.top / "then", case.app) == ""
    readers = Readers(USERS, case.app, case.states)
    undo.undo(protected.sidecar, SETTINGS, RollbackOptions(protected.now, disk=Watched(readers)))
    assert readers.stop() == []
    assert differences(case.top / "now", case.app) == ""


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_taken_back_after_an_error(upgraded: Upgraded, share: float) -> None:
    case, protected = upgraded
    with pytest.raises(GitsnapError, match="everything was put back as it was before, and verified"):
        rollback(case, protected, int(calls() * share))
    assert differences(case.top / "now", case.app) == ""


@pytest.mark.parametrize("way", [Direction.FINISH, Direction.REVERT])
def test_recovered(upgraded: Upgraded, way: Direction) -> None:
    case, protected = upgraded
    target = protected.snapshots()[0].id
    for share in (0.55, 0.8):
        with pytest.raises(KeyboardInterrupt):
            restore.rollback(
                protected.sidecar,
                target,
                SETTINGS,
                RollbackOptions(protected.now, disk=Counting(int(calls() * share))),
            )
        readers = Readers(USERS, case.app, case.states)
        recovery.recover(protected.sidecar, way, SETTINGS, RollbackOptions(protected.now, disk=Watched(readers)))
        told = readers.stop()
        assert told == [], told[:5]
        wanted = "then" if way is Direction.FINISH else "now"
        assert differences(case.top / wanted, case.app) == ""
        if way is Direction.FINISH:
            undo.undo(protected.sidecar, SETTINGS, RollbackOptions(protected.now))


@pytest.mark.parametrize("share", [0.55, 0.8])
def test_given_up(upgraded: Upgraded, share: float) -> None:
    """What the stage held is closed where it is kept, and what the rollback had closed stays so; until the next one."""
    case, protected = upgraded
    target = protected.snapshots()[0].id
    with pytest.raises(KeyboardInterrupt):
        restore.rollback(
            protected.sidecar,
            target,
            SETTINGS,
            RollbackOptions(protected.now, disk=Counting(int(calls() * share))),
        )
    readers = Readers(USERS, case.app, case.states)
    given_up = recovery.recover(
        protected.sidecar, Direction.GIVE_UP, SETTINGS, RollbackOptions(protected.now, disk=Watched(readers))
    )
    assert readers.stop() == []
    assert given_up.kept
    assert os.stat(given_up.kept).st_mode & 0o777 == 0o700
    rollback(case, protected)
    assert differences(case.top / "then", case.app) == ""


def test_the_readers_see_what_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "_close", lambda _: None)
    with private.upgraded("", FEW) as (case, protected), pytest.raises(AssertionError, match="ann read"):
        rollback(case, protected)
