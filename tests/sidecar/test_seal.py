"""The seal over the refs, and locks on refs that die with their process."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import catalog, stale_files
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import seal
from tests.cli.helpers import refused
from tests.support.inprocess import Protected
from tests.support.installation import run_gitsnap, same_tree, sidecar_of, take_snapshot


@pytest.fixture
def protected(installation: Path, gitsnap_home: Path) -> Protected:
    return Protected(installation, gitsnap_home)


def test_a_lost_ref_is_noticed_named_and_brought_back(installation: Path, tmp_path: Path) -> None:
    lost = take_snapshot(installation, "--label", "lost")
    (installation / "bin/shop").write_text("changed")
    take_snapshot(installation, "--label", "kept")
    ref = sidecar_of(installation) / "refs/gitsnap/snapshots" / lost
    commit = ref.read_text().strip()
    ref.unlink()
    assert lost in run_gitsnap("-C", installation, "list", check=12).stderr
    report = json.loads(run_gitsnap("-C", installation, "verify", "--all", "--json", check=12).stdout)
    assert {r["snapshot"]: r["ok"] for r in report["results"]}[lost] is False
    assert commit in json.dumps(report)
    # A snapshot goes on, and says so; what it rewrites takes nothing from the lost one. A gc would.
    assert lost in run_gitsnap("-C", installation, "snapshot").stderr
    refused("-C", installation, "gc", code=12, kind="integrity")
    run_gitsnap("-C", installation, "git", "update-ref", f"refs/gitsnap/snapshots/{lost}", commit)
    # The timeline goes without it until the next snapshot.
    take_snapshot(installation)
    run_gitsnap("-C", installation, "verify", "--all")
    run_gitsnap("-C", installation, "doctor")


def test_a_lost_snapshot_can_be_given_up(installation: Path) -> None:
    lost = take_snapshot(installation, "--label", "lost")
    kept = take_snapshot(installation, "--label", "kept")
    (sidecar_of(installation) / "refs/gitsnap/snapshots" / lost).unlink()
    run_gitsnap("-C", installation, "delete", lost)
    assert [s["id"] for s in json.loads(run_gitsnap("-C", installation, "list", "--json").stdout)["snapshots"]] == [
        kept
    ]
    run_gitsnap("-C", installation, "verify", "--all")


def test_a_lost_pin_still_holds(installation: Path) -> None:
    pinned = take_snapshot(installation, "--pin")
    take_snapshot(installation, "--label", "later")
    (sidecar_of(installation) / "refs/gitsnap/pins" / pinned).unlink()
    run_gitsnap("-C", installation, "prune", "--keep-last", "1")
    assert pinned in run_gitsnap("-C", installation, "list").stdout
    assert "is lost" in run_gitsnap("-C", installation, "verify", "--all", check=12).stdout


@pytest.mark.parametrize("how", ["missing", "flipped", "cut"])
def test_the_seal_itself_may_go(installation: Path, how: str) -> None:
    take_snapshot(installation)
    file = sidecar_of(installation) / "gitsnap/seal"
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(data if how == "flipped" else data[:40])
    done = run_gitsnap("-C", installation, "verify", "--all", check=0 if how == "missing" else 12)
    assert ("ledger of refs is damaged" in done.stdout) is (how != "missing")
    run_gitsnap("-C", installation, "list")
    take_snapshot(installation, "--label", "anew")
    run_gitsnap("-C", installation, "verify", "--all")


def test_a_fetched_snapshot_is_taken_in(installation: Path) -> None:
    first = take_snapshot(installation)
    store = sidecar_of(installation)
    run_gitsnap("-C", installation, "git", "update-ref", "refs/elsewhere", f"refs/gitsnap/snapshots/{first}")
    sealed = (store / "gitsnap/seal").read_bytes()
    second = take_snapshot(installation, "--label", "second")
    (store / "gitsnap/seal").write_bytes(sealed)
    assert second in run_gitsnap("-C", installation, "list").stdout
    take_snapshot(installation, "--label", "third")
    assert f"refs/gitsnap/snapshots/{second}" in (store / "gitsnap/seal").read_text()


def test_a_removed_ref_is_gone_from_packed_refs(protected: Protected) -> None:
    first, second = protected.take().snapshot, protected.take().snapshot
    protected.git("pack-refs", "--all", "--prune")
    protected.delete(first.id)
    assert [s.id for s in protected.snapshots()] == [second.id]
    assert first.id not in (protected.store / "packed-refs").read_text()
    protected.assert_sound()


def test_the_lock_of_a_dead_gitsnap_is_removed_and_a_gits_is_waited_for(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    twin, lock = store / "gitsnap/tmp/ref-1-dead", store / "refs/heads/timeline.lock"
    twin.write_text("0" * 40 + "\n")
    os.link(twin, lock)
    take_snapshot(installation)
    assert not lock.exists()
    assert not twin.exists()
    lock.touch()
    told = run_gitsnap("--json", "-C", installation, "snapshot", "--lock-wait", "0", check=11).stderr
    assert json.loads(told)["error"]["kind"] == "locked"
    assert str(lock) in told
    threading.Timer(0.3, lock.unlink).start()
    take_snapshot(installation)


def test_a_reader_beside_pack_refs_misses_nothing(protected: Protected) -> None:
    ids = {protected.take().snapshot.id for _ in range(5)}
    over = threading.Event()

    def pack_and_unpack() -> None:
        while not over.is_set():
            protected.git("pack-refs", "--all", "--prune")
            with Sidecar(str(protected.store)) as sidecar:
                for name, value in sidecar.refs.below(refs.SNAPSHOTS).items():
                    path = protected.store / refs.SNAPSHOTS / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    fresh = protected.store / "gitsnap/tmp/fresh"
                    fresh.write_text(f"{value}\n")
                    fresh.rename(path)

    thread = threading.Thread(target=pack_and_unpack)
    thread.start()
    try:
        for _ in range(120):
            with Sidecar(str(protected.store)) as sidecar:
                found, damaged = catalog.survey(sidecar)
                assert ({s.id for s in found}, damaged) == (ids, [])
                assert seal.problems(sidecar) == []
    finally:
        over.set()
        thread.join()


def test_a_git_of_ours_that_died_leaves_no_lock(installation: Path, tmp_path: Path) -> None:
    before = take_snapshot(installation)
    store = sidecar_of(installation)
    (store / "gitsnap/git-at-work").touch()
    (store / "packed-refs.lock").touch()
    (store / "packed-refs.new").write_text("# pack-refs with: pee")
    run_gitsnap("-C", installation, "restore", before, "--to", tmp_path / "copy")
    same_tree(installation, tmp_path / "copy")
    take_snapshot(installation)
    assert not (store / "packed-refs.lock").exists()
    run_gitsnap("-C", installation, "gc")
    assert not (store / "packed-refs.new").exists()
    assert subprocess.run(["git", f"--git-dir={store}", "pack-refs", "--all"]).returncode == 0


def test_a_git_of_ours_that_ended_well_leaves_no_lock(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    lock = store / "refs/notes/gitsnap/manifest.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with stale_files.git_at_work(str(store)):
        lock.touch()
    assert not lock.exists()


class TestSteps:
    """Whatever a kill leaves in between, each ref has a value that the seal allows; and no other has."""

    NAME, OTHER = refs.UPGRADES + "one", refs.UPGRADES + "two"

    @staticmethod
    def load(place: Protected) -> seal.Seal:
        found = seal.load(place.sidecar)
        assert found is not None
        return found

    def values(self, place: Protected) -> tuple[str, str]:
        first = place.take().snapshot.commit
        (place.root / "f").write_text("two")
        return first, place.take().snapshot.commit

    def change(self, place: Protected, name: str, new: str | None) -> None:
        old = place.sidecar.refs.get(name)
        with seal.changing(place.sidecar, {name: new}):
            if new is None:
                assert old is not None
                place.sidecar.refs.remove(name, old)
            else:
                place.sidecar.refs.change(name, old, new)

    def test_from_nothing_to_a_value_to_another_to_nothing(self, protected: Protected) -> None:
        first, second = self.values(protected)
        steps = [None, first, second, None]
        for old, new in itertools.pairwise(steps):
            with seal.changing(protected.sidecar, {self.NAME: new}):
                during = self.load(protected)
                assert not during.settled
                assert [during.accepts(self.NAME, v) for v in (old, new)] == [True, True]
                third = ({first, second, None} - {old, new}).pop()
                assert not during.accepts(self.NAME, third)
                if new is None:
                    protected.sidecar.refs.remove(self.NAME, second)
                else:
                    protected.sidecar.refs.change(self.NAME, old, new)
            after = self.load(protected)
            assert after.settled
            assert after.allowed.get(self.NAME, {seal.ABSENT}) == {new or seal.ABSENT}
        assert self.NAME not in self.load(protected).allowed
        protected.assert_sound()

    def test_what_was_broken_off_stays_open_until_the_timeline_is_written(self, protected: Protected) -> None:
        first, second = self.values(protected)
        self.change(protected, self.NAME, first)
        with pytest.raises(RuntimeError), seal.changing(protected.sidecar, {self.NAME: second}):
            raise RuntimeError
        assert self.load(protected).allowed[self.NAME] == {first, second}
        self.change(protected, self.OTHER, first)
        sealed = self.load(protected)
        assert (sealed.allowed[self.NAME], sealed.settled) == ({first, second}, False)
        assert seal.problems(protected.sidecar) == []
        tip = protected.sidecar.refs.get(refs.TIMELINE)
        with seal.changing(protected.sidecar, {refs.TIMELINE: tip}):
            pass
        sealed = self.load(protected)
        assert (sealed.allowed[self.NAME], sealed.settled) == ({first}, True)

    def test_what_is_open_is_not_closed_with_a_value_that_nobody_wrote(self, protected: Protected) -> None:
        first, second = self.values(protected)
        self.change(protected, self.NAME, first)
        with pytest.raises(RuntimeError), seal.changing(protected.sidecar, {self.NAME: None}):
            raise RuntimeError
        protected.git("update-ref", self.NAME, second)
        protected.reopen()
        tip = protected.sidecar.refs.get(refs.TIMELINE)
        with seal.changing(protected.sidecar, {refs.TIMELINE: tip}):
            pass
        assert not self.load(protected).accepts(self.NAME, second)
        assert [name for name, *_ in seal.problems(protected.sidecar)] == [self.NAME]

    def test_two_seals_of_the_same_refs_are_not_the_same(self, protected: Protected) -> None:
        first, _ = self.values(protected)
        path = Path(protected.sidecar.own("seal"))
        self.change(protected, self.NAME, first)
        before = path.read_bytes()
        self.change(protected, self.NAME, first)
        assert path.read_bytes() != before

    def test_what_is_read_is_of_one_moment(self, protected: Protected) -> None:
        first, second = self.values(protected)
        self.change(protected, self.NAME, first)
        looks = []

        def read() -> str | None:
            found = protected.sidecar.refs.get(self.NAME)
            looks.append(found)
            if len(looks) == 1:
                # Another process, between the reading of the seal and the end of this one.
                self.change(protected, self.NAME, second)
            return found

        sealed, found, error = seal.consistent(protected.sidecar, read)
        assert (found, error) == (second, None)
        assert sealed is not None
        assert sealed.accepts(self.NAME, found)
        assert looks == [first, second]

    @pytest.mark.parametrize("at", [0, 20, 40, -1, -70])
    def test_a_bit_of_it(self, protected: Protected, at: int) -> None:
        self.values(protected)
        path = Path(protected.sidecar.own("seal"))
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="ledger of refs"):
            seal.load(protected.sidecar)
