"""The seal over the refs, and locks on refs that die with their process."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from gitsnap.sidecar import catalog
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
    told = refused("-C", installation, "snapshot", code=11, kind="locked")
    assert str(lock) in told
    threading.Timer(1.0, lock.unlink).start()
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
    run_gitsnap("-C", installation, "restore", before, "--to", tmp_path / "copy")
    same_tree(installation, tmp_path / "copy")
    take_snapshot(installation)
    assert not (store / "packed-refs.lock").exists()
    assert subprocess.run(["git", f"--git-dir={store}", "pack-refs", "--all"]).returncode == 0
