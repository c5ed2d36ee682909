"""What became of an upgrade is recorded when it is known, and by whom it was found out; nobody guesses."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, LockedError
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.upgrade import OnFailure, Stored, upgrades
from gitsnap.ops.live import in_progress
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.report import history
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import retention
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import Upgraded, UpgradeRequest
from gitsnap.ops.upgrade.run import Launch, run
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import upgrade_record
from tests.support.inprocess import Protected, workspace
from tests.support.installation import same_tree


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        (top / "app/file").write_text("one\n")
        with Protected(top / "app", top / "home") as found:
            yield found


def begin(place: Protected, wanted: UpgradeRequest) -> Upgrade:
    upgrade = Upgrade(place.sidecar, wanted, place.settings, clock=lambda: place.now)
    upgrade.begin()
    return upgrade


def carry_out(place: Protected, script: str, **wanted: object) -> Upgraded:
    upgrade = begin(place, UpgradeRequest("do it", **wanted))  # type: ignore[arg-type]
    return run(upgrade, Launch(["sh", "-c", f"cd '{place.root}'; {script}"], os.environ), Polling())


def stored(place: Protected) -> Stored:
    return upgrades(catalog.snapshots(place.sidecar))[-1]


def status(place: Protected) -> str:
    return [e for e in history.history(place.sidecar, place.settings).episodes if e.upgrade][-1].status


FAILURES = {
    "exit code": ("exit 3", {}, "the command exited with 3", ""),
    "check": ("true", {"checks": ("false",)}, "the check 'false' exited with 1", "false"),
    "kept": ("exit 3", {"on_failure": OnFailure.KEEP}, "the command exited with 3", ""),
    "changed": ("echo 2 >file; exit 4", {}, "the command exited with 4", ""),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_failure_is_recorded_with_its_cause(place: Protected, how: str) -> None:
    script, wanted, failure, check = FAILURES[how]
    result = carry_out(place, script, **wanted)
    ending = stored(place).ending
    assert ending is not None
    outcome = Outcome.KEPT if how == "kept" else Outcome.ROLLED_BACK
    assert (result.outcome, ending.outcome, ending.failure, ending.check) == (outcome, outcome, failure, check)
    assert ending.exit_code == result.exit_code
    assert status(place) == outcome.value
    assert in_progress.look(place.sidecar) is None
    clean(place)


def test_it_is_unknown_before_the_command_is_started(place: Protected) -> None:
    upgrade = begin(place, UpgradeRequest("do it"))
    assert stored(place).ending == Ending(upgrade.id, Outcome.UNKNOWN, command="do it")
    git = ["git", "--git-dir", place.sidecar.path, "log", "-1", "--format=%(trailers:key=Gitsnap-Outcome,valueonly)"]
    said = subprocess.run([*git, refs.UPGRADES + upgrade.id], capture_output=True, check=True).stdout
    assert said.strip() == b"unknown"
    upgrade.start()
    # Whoever would be killed now has changed something, for all that anybody knows.
    record = (Path(place.sidecar.path) / "gitsnap/upgrade.json").read_text()
    assert '"stage": "command"' in record
    upgrade.finish("", waiter=Polling())
    assert stored(place).outcome is Outcome.KEPT


def test_who_goes_back_later_and_who_thinks_better_of_it(place: Protected) -> None:
    first = place.take().snapshot.id
    carry_out(place, "echo 2 >file")
    assert status(place) == "kept"
    place.rollback(stored(place).pre.id)
    assert status(place) == "reverted"
    undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))
    assert status(place) == "kept"
    # By a snapshot that is older than the upgrade.
    place.rollback(first)
    assert status(place) == "reverted"
    clean(place)


def test_what_was_rolled_back_stays_so(place: Protected) -> None:
    carry_out(place, "exit 3")
    place.take()
    carry_out(place, "echo 2 >file")
    place.rollback(stored(place).pre.id)
    assert [u.outcome for u in upgrades(catalog.snapshots(place.sidecar))] == [Outcome.ROLLED_BACK, Outcome.REVERTED]


def test_some_paths_leave_it_what_it_was(place: Protected) -> None:
    carry_out(place, "echo 2 >file; echo >other")
    place.rollback(stored(place).pre.id, [b"file"])
    assert status(place) == "kept"


def test_it_goes_with_the_snapshot_before_it(place: Protected) -> None:
    carry_out(place, "exit 3")
    retention.delete(place.sidecar, [stored(place).pre.id], place.settings, now=place.now)
    place.collect()
    assert place.sidecar.refs.below(refs.UPGRADES) == {}
    clean(place)


def test_sidecars_of_before_are_read_as_ever(place: Protected) -> None:
    """Nothing was recorded in them: what their snapshots tell is all there is."""
    carry_out(place, "echo 2 >file")
    carry_out(place, "echo 3 >file; exit 3")
    shutil.rmtree(os.path.join(place.sidecar.path, refs.UPGRADES))
    os.unlink(place.sidecar.own("seal"))
    assert [u.ending for u in upgrades(catalog.snapshots(place.sidecar))] == [None, None]
    statuses = [e.status for e in history.history(place.sidecar, place.settings).episodes if e.upgrade]
    assert statuses == ["kept", "rolled-back"]
    place.rollback(upgrades(catalog.snapshots(place.sidecar))[0].pre.id)
    assert stored(place).ending is None


def test_a_record_that_is_lost_tells_nothing(place: Protected) -> None:
    carry_out(place, "true")
    shutil.rmtree(os.path.join(place.sidecar.path, refs.UPGRADES))
    assert status(place) == "unknown"


@contextmanager
def disk_that_fails(place: Protected) -> Iterator[Callable[[], None]]:
    """What a check calls for the sidecar's disk to fail; it works again afterwards."""
    objects = Path(place.sidecar.path) / "objects"

    def fail() -> None:
        objects.rename(objects.with_name("away"))
        objects.write_text("")

    yield fail
    objects.unlink()
    objects.with_name("away").rename(objects)
    place.sidecar.close()


def test_a_sidecar_that_went_away_is_a_failed_rollback(place: Protected, tmp_path: Path) -> None:
    shutil.copytree(place.root, tmp_path / "before")
    with disk_that_fails(place) as fail:

        def check() -> bool:
            fail()
            return False

        result = carry_out(place, "echo 2 >file", checks=(check,))
    assert result.outcome is Outcome.ROLLBACK_FAILED
    assert result.rollback_error
    assert "could not be recorded" in " ".join(result.doubts)
    found = in_progress.look(place.sidecar)
    assert found is not None
    assert found.stage.value == "rollback-failed"
    assert status(place) == "unknown"
    place.rollback(stored(place).pre.id)
    same_tree(tmp_path / "before", place.root)
    assert status(place) == "reverted"


def test_kept_and_not_recorded_is_no_success(place: Protected) -> None:
    with disk_that_fails(place) as fail:
        result = carry_out(place, "echo 2 >file", checks=(fail,))
    assert result.outcome is Outcome.KEPT
    assert "could not be recorded" in result.broke_off
    assert not result.verified
    # In a process that has ended, it would be told from now on.
    assert upgrade_record.load(place.sidecar) is not None
    assert status(place) in ("unknown", "running")


class _Broken(Polling):
    """A waiter that fails as no waiter should: a mistake of gitsnap's own, or no memory."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def until(self, *arguments: object, **more: object) -> object:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().until(*arguments, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [MemoryError(), KeyError("x"), OSError(24, "Too many open files")])
def test_whatever_fails_while_the_command_runs_the_directory_comes_back(place: Protected, error: Exception) -> None:
    upgrade = begin(place, UpgradeRequest("do it"))
    script = f"echo 2 >'{place.root}/file'; sleep 60"
    result = run(upgrade, Launch(["sh", "-c", script], os.environ, grace=1.0), _Broken(error))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failure.startswith("gitsnap failed while the command ran: ")
    assert (place.root / "file").read_text() == "one\n"
    assert stored(place).failure == result.failure


def test_who_cannot_be_told_changes_nothing(place: Protected) -> None:
    upgrade = begin(place, UpgradeRequest("do it"))

    def deaf(_: object) -> None:
        raise ValueError("not now")

    upgrade._tell = deaf
    result = run(upgrade, Launch(["sh", "-c", f"echo 2 >'{place.root}/file'"], os.environ), Polling())
    assert result.outcome is Outcome.KEPT
    assert len(result.doubts) == 1
    assert "not now" in result.doubts[0]


def test_nothing_is_started_where_that_cannot_be_written_down(place: Protected) -> None:
    upgrade = begin(place, UpgradeRequest("do it"))
    own = Path(place.sidecar.own(""))
    (own / "upgrade.json").unlink()
    with pytest.raises(GitsnapError, match="nothing was started"):
        run(upgrade, Launch(["sh", "-c", f"echo 2 >'{place.root}/file'"], os.environ), Polling())
    assert (place.root / "file").read_text() == "one\n"
    assert catalog.snapshots(place.sidecar) == []


def clean(place: Protected) -> None:
    """Stock git has nothing to say about it."""
    done = subprocess.run(
        ["git", "--git-dir", place.sidecar.path, "fsck", "--full", "--strict"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_an_upgrade_may_have_to_go_back_to_stays_while_it_is_under_way(place: Protected) -> None:
    """Others take snapshots meanwhile, prune and delete."""
    place.keep(keep_last=1)
    upgrade = begin(place, UpgradeRequest("do it"))
    assert upgrade.result
    pre = upgrade.result.pre.id
    for number in range(3):
        (place.root / "file").write_text(f"half way {number}\n")
        place.take()
    # The newest that is verified stays anyway, and that is another one now.
    assert place.verify()
    place.prune(1)
    assert pre in [s.id for s in place.snapshots()]
    with pytest.raises(LockedError, match="under way; nothing was deleted"):
        place.delete(place.snapshots()[-1].id, pre)
    assert pre in [s.id for s in place.snapshots()]
    assert upgrade.finish("it was no good", waiter=Polling()).outcome is Outcome.ROLLED_BACK
    assert (place.root / "file").read_text() == "one\n"
    place.delete(pre)


def test_a_damaged_one_is_not_given_up_either_while_its_upgrade_is_under_way(place: Protected) -> None:
    upgrade = begin(place, UpgradeRequest("do it"))
    assert upgrade.result
    pre = upgrade.result.pre.id
    ref = place.store / refs.SNAPSHOTS / pre
    whole = ref.read_text()
    ref.write_text("damaged")
    with pytest.raises(LockedError):
        place.delete(pre)
    ref.write_text(whole)
    (place.root / "file").write_text("two\n")
    assert upgrade.finish("it was no good", waiter=Polling()).outcome is Outcome.ROLLED_BACK
