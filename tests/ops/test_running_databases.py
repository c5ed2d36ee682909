"""A directory in which a database's server is at work: named, refused or marked, and never moved away under it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gitsnap.core.database_servers import Database, Policy
from gitsnap.core.settings import Hooks
from gitsnap.core.upgrade import OnFailure, Outcome
from gitsnap.ops.capture.request import Request
from gitsnap.ops.live.database_servers import DatabaseRunningError
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import Upgraded, UpgradeRequest
from gitsnap.ops.upgrade.run import Launch, run
from tests.support.inprocess import Protected, workspace
from tests.support.installation import run_gitsnap
from tests.support.servers import NEEDED, Server, holding, needs, server, stop


@pytest.fixture
def place() -> Iterator[Protected]:
    """A directory with files of MongoDB's names in it."""
    with workspace() as top:
        (top / "app/db").mkdir(parents=True)
        (top / "app/VERSION").write_text("1\n")
        (top / "app/db/mongod.lock").write_text("7\n")
        (top / "app/db/collection").write_text("one\n")
        with Protected(top / "app", top / "home") as found:
            yield found


@pytest.fixture
def at_work(place: Protected) -> Iterator[int]:
    with holding(place.root / "db/mongod.lock") as pid:
        yield pid


def upgrade(place: Protected, script: str, *checks: str) -> Upgraded:
    wanted = UpgradeRequest("up", checks=checks, on_failure=OnFailure.ROLLBACK)
    act = Upgrade(place.sidecar, wanted, place.settings, clock=lambda: place.now)
    act.begin()
    return run(act, Launch(["sh", "-c", f"cd '{place.root}'; {script}"], os.environ), Polling())


def test_a_snapshot_is_marked(place: Protected, at_work: int) -> None:
    for _ in range(2):
        # The second shares all with the first, and nothing is read.
        taken = place.take()
        assert [(r.database, r.path, r.pid) for r in taken.running] == [(Database.MONGODB, b"db", at_work)]
        assert [s.running for s in place.snapshots()][-1] == ("MongoDB: db",)
    place.assert_sound()
    said = place.git("log", "-1", "--format=%(trailers:key=Gitsnap-Running,valueonly)", "timeline")
    assert said.strip() == b"MongoDB: db"


def test_a_stopped_one_is_not(place: Protected) -> None:
    with holding(place.root / "db/mongod.lock"):
        place.take()
    assert place.take().running == []
    assert [bool(s.running) for s in place.snapshots()] == [True, False]


def test_any_name_comes_through(place: Protected) -> None:
    folder = place.root / os.fsdecode(b"odd: \n\xff name")
    (place.root / "db").rename(folder)
    with holding(folder / "mongod.lock"):
        place.take()
    (held,) = place.snapshots()
    assert held.running == ("MongoDB: " + os.fsdecode(b"odd: \n\xff name"),)
    place.assert_sound()


def test_an_upgrade_is_refused_before_anything_is_started(place: Protected, at_work: int) -> None:
    said = rf"MongoDB is running in db \(process {at_work}\).*nothing was started"
    with pytest.raises(DatabaseRunningError, match=said):
        upgrade(place, "touch ran")
    assert place.snapshots() == [] and not (place.root / "ran").exists()
    with pytest.raises(DatabaseRunningError, match="nothing was started"):
        upgrade(place, "touch ran")


def test_a_snapshot_is_refused_where_that_is_said(place: Protected, at_work: int) -> None:
    place.settings = replace(place.settings, databases=Policy.REFUSE)
    with pytest.raises(DatabaseRunningError, match="no snapshot was taken") as told:
        place.take()
    assert place.snapshots() == []
    assert "systemctl stop" in str(told.value.hint)


def test_a_hook_has_seen_to_it(place: Protected, at_work: int) -> None:
    place.settings = replace(place.settings, hooks=Hooks(before="echo dump >dump", environ=dict(os.environ)))
    assert upgrade(place, "true").outcome is Outcome.KEPT
    assert (place.root / "dump").read_text() == "dump\n"
    assert all(s.running for s in place.snapshots()), "it is no less so that its files were written to meanwhile"


def test_a_hook_that_stops_it_leaves_nothing_to_mark(place: Protected) -> None:
    with holding(place.root / "db/mongod.lock") as pid:
        hook = f"kill -9 {pid}; while grep -q ' {pid} ' /proc/locks; do :; done"
        place.settings = replace(place.settings, hooks=Hooks(before=hook, environ=dict(os.environ)))
        assert place.take().running == []


def test_a_rollback_under_it_is_refused(place: Protected) -> None:
    first = place.take().snapshot.id
    (place.root / "db/collection").write_text("two\n")
    (place.root / "VERSION").write_text("2\n")
    with holding(place.root / "db/mongod.lock"):
        assert [p.path for p in place.rollback(first, dry_run=True).plan.foreseen] == [b"db"]
        with pytest.raises(DatabaseRunningError, match="nothing was touched"):
            place.rollback(first)
        assert [s.id for s in place.snapshots()] == [first], "no safety snapshot either"
        assert (place.root / "VERSION").read_text() == "2\n"
        # What it does not have open comes back all the same.
        assert place.rollback(first, [b"VERSION"]).verified
        with pytest.raises(DatabaseRunningError):
            place.rollback(first, [b"db/collection"])
    assert place.rollback(first).verified
    (place.root / "db/collection").write_text("three\n")
    with holding(place.root / "db/mongod.lock"), pytest.raises(DatabaseRunningError):
        undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))


def test_it_is_done_where_that_is_said(place: Protected) -> None:
    first = place.take().snapshot.id
    (place.root / "db/collection").write_text("two\n")
    place.settings = replace(place.settings, databases=Policy.WARN)
    with holding(place.root / "db/mongod.lock"):
        done = place.rollback(first)
    assert done.verified and [r.path for r in done.running] == [b"db"]
    assert (place.root / "db/collection").read_text() == "one\n"


def test_what_was_captured_at_work_is_told_when_it_comes_back(place: Protected) -> None:
    with holding(place.root / "db/mongod.lock"):
        first = place.take().snapshot.id
    (place.root / "VERSION").write_text("2\n")
    assert place.rollback(first, dry_run=True).plan.foreseen == []
    (place.root / "db/collection").write_text("two\n")
    (told,) = place.rollback(first, dry_run=True).plan.foreseen
    assert told.path == b"db" and "may not start" in told.reason


@pytest.mark.parametrize("said", [None, Policy.WARN])
def test_a_failed_upgrade_leaves_it_alone(place: Protected, said: Policy | None) -> None:
    place.settings = replace(place.settings, databases=said)
    if said is None:
        place.settings = replace(place.settings, hooks=Hooks(before="true", environ=dict(os.environ)))
    wanted = UpgradeRequest("up", on_failure=OnFailure.ROLLBACK)
    act = Upgrade(place.sidecar, wanted, place.settings, clock=lambda: place.now)
    with holding(place.root / "db/mongod.lock"):
        before = (place.root / "db/collection").stat().st_ino
        act.begin()
        act.start()
        (place.root / "VERSION").write_text("2\n")
        (place.root / "db/collection").write_text("one\ntwo\n")
        (place.root / "db/new").write_text("new\n")
        done = act.finish("it failed", waiter=Polling())
    assert (done.outcome, done.verified) == (Outcome.ROLLED_BACK, True)
    assert done.restored is not None
    assert {p.path for p in done.restored.incomplete} == {b"db", b"db/collection", b"db/new"}
    assert (place.root / "VERSION").read_text() == "1\n"
    assert (place.root / "db/collection").read_text() == "one\ntwo\n"
    assert (place.root / "db/collection").stat().st_ino == before


def test_many_names_cost_next_to_nothing() -> None:
    from gitsnap.core.database_servers import candidates

    names = [b"lib/python3.11/site-packages/package%d/module%d.py" % (n % 100, n) for n in range(20_000)]
    best = min(_seconds(lambda: candidates(names)) for _ in range(5))
    assert best < 0.05


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


@pytest.fixture(scope="module", params=[pytest.param(name, marks=needs[name]) for name in NEEDED])
def real(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as found:
        yield found


def test_a_real_one(real: Server) -> None:
    """All of it once, since a server takes its time: named, refused, marked, left alone, and silent when stopped."""
    with Protected(real.app, real.app.parent / "home") as place:
        (one,) = place.take(Request(label="first")).running
        assert (one.database, one.path, one.pid, one.certain) == (real.name, b"data", real.process.pid, True)
        assert place.snapshots()[0].running == (f"{real.name}: data",)
        with pytest.raises(DatabaseRunningError, match="nothing was started"):
            upgrade(place, "touch ran")
        options = ["-C", real.app, "run", "--running-databases", "warn", "--", "sh", "-c"]
        done = run_gitsnap(*options, f"echo 2 >{real.app}/VERSION; exit 3", home=place.root.parent / "home", check=20)
        assert real.name in done.stderr
        assert (real.app / "VERSION").read_text() == "1\n"
        assert real.process.poll() is None, "it goes on"
        (real.data / "added").write_text("by hand\n")
        with pytest.raises(DatabaseRunningError, match="nothing was touched"):
            place.rollback("first")
        # What a crash leaves behind is no server.
        stop(real.process, signal.SIGKILL)
        assert place.take().running == []
        assert place.rollback("first").verified
