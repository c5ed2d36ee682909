"""Whatever git may do to its own storage, a sidecar still verifies, takes snapshots and rolls back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installation import (
    build_app,
    build_odd,
    copy_tree,
    git,
    remove_tree,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
    upgrade,
)

# Each ends with something that gitsnap did not write itself: other packs, deltas, indexes, refs files, loose objects.
MAINTENANCE: dict[str, list[list[str]]] = {
    "gc": [["gc", "-q", "--prune=now"]],
    "aggressive-gc": [["gc", "-q", "--aggressive", "--prune=now"]],
    "repack": [["repack", "-q", "-a", "-d"]],
    "deltas": [["-c", "pack.depth=250", "-c", "core.bigFileThreshold=1g", "repack", "-q", "-a", "-d", "-f"]],
    "geometric": [["repack", "-q", "-d", "--geometric=2", "--write-midx"]],
    "small-packs": [["-c", "pack.packSizeLimit=1m", "repack", "-q", "-a", "-d", "-f"]],
    "bitmap": [["repack", "-q", "-a", "-d", "--write-bitmap-index"]],
    "commit-graph": [["commit-graph", "write", "--reachable", "--changed-paths"]],
    "split-commit-graph": [["commit-graph", "write", "--reachable", "--split"]],
    "multi-pack-index": [["multi-pack-index", "write", "--bitmap"], ["multi-pack-index", "repack"]],
    "reverse-index": [["-c", "pack.writeReverseIndex=true", "repack", "-q", "-a", "-d", "-f"]],
    "packed-refs": [["pack-refs", "--all", "--prune"]],
    "maintenance": [["maintenance", "run", "--quiet", "--task=gc", "--task=commit-graph", "--task=pack-refs"]],
    "own-tag": [["tag", "mine", "timeline"], ["branch", "mine", "timeline~1"], ["gc", "-q", "--prune=now"]],
    "everything": [
        ["repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50"],
        ["pack-refs", "--all"],
        ["commit-graph", "write", "--reachable"],
        ["multi-pack-index", "write"],
        ["gc", "-q", "--prune=now"],
    ],
}


@dataclass
class Upgraded:
    """An installation with two snapshots: as `original` is, and as its upgrade left it."""

    app: Path
    original: Path
    home: Path
    first: str


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    base = tmp_path_factory.mktemp("template")
    app, home = build_app(base / "app"), base / "home"
    original = copy_tree(app, base / "original")
    first = take_snapshot(app, home=home)
    upgrade(app)
    take_snapshot(app, home=home)
    return Upgraded(app, original, home, first)


@pytest.fixture
def upgraded(template: Upgraded, tmp_path: Path) -> Upgraded:
    """A copy that a test may change. Sidecars know where their installation is, so that stays where it is."""
    home = copy_tree(template.home, tmp_path / "home")
    return Upgraded(template.app, template.original, home, template.first)


def check_sidecar(it: Upgraded, tmp_path: Path) -> None:
    """Everything reads the same, and the first snapshot comes back exactly; the directory itself is left alone."""
    verified = run_gitsnap("-C", it.app, "verify", "--all", home=it.home)
    assert verified.stdout.count("\nok") + verified.stdout.startswith("ok") == 2, verified.stdout
    run_gitsnap("-C", it.app, "restore", it.first, ".", "--to", tmp_path / "restored", home=it.home)
    same_tree(it.original, tmp_path / "restored")


@pytest.mark.parametrize("name", MAINTENANCE)
def test_after_git_maintained_it_everything_is_there_and_snapshots_go_on(
    name: str, upgraded: Upgraded, tmp_path: Path
) -> None:
    sidecar = sidecar_of(upgraded.app, upgraded.home)
    for command in MAINTENANCE[name]:
        git(sidecar, *command)
    assert git(sidecar, "fsck", "--full", "--strict").stderr == b""
    check_sidecar(upgraded, tmp_path)
    third = take_snapshot(upgraded.app, "--label", "third", home=upgraded.home)
    run_gitsnap("-C", upgraded.app, "verify", third, home=upgraded.home)
    fsck = git(sidecar, "fsck", "--full", "--strict")
    assert fsck.stdout + fsck.stderr == b""
    run_gitsnap("-C", upgraded.app, "gc", home=upgraded.home)
    run_gitsnap("-C", upgraded.app, "verify", "--all", home=upgraded.home)


def test_loose_objects_are_as_good_as_packed_ones(upgraded: Upgraded, tmp_path: Path) -> None:
    sidecar = sidecar_of(upgraded.app, upgraded.home)
    packs = sidecar / "objects/pack"
    moved = tmp_path / "packs"
    packs.rename(moved)
    packs.mkdir(mode=0o700)
    for pack in moved.glob("*.pack"):
        with open(pack, "rb") as file:
            subprocess.run(["git", "unpack-objects", "-q"], stdin=file, cwd=sidecar, check=True, capture_output=True)
    remove_tree(moved)
    assert not list(packs.iterdir())
    check_sidecar(upgraded, tmp_path)


def test_a_rollback_after_gc_and_repack_is_exact_and_so_is_the_way_forward(tmp_path: Path) -> None:
    app, home = build_odd(tmp_path / "odd"), tmp_path / "home"
    original = copy_tree(app, tmp_path / "original")
    first = take_snapshot(app, home=home)
    upgrade(app)
    upgraded = copy_tree(app, tmp_path / "upgraded")
    second = take_snapshot(app, home=home)
    sidecar = sidecar_of(app, home)
    git(sidecar, "gc", "-q", "--prune=now")
    run_gitsnap("-C", app, "rollback", first, "--yes", home=home)
    same_tree(original, app)
    git(sidecar, "repack", "-q", "-a", "-d")
    git(sidecar, "multi-pack-index", "write")
    run_gitsnap("-C", app, "rollback", second, "--yes", home=home)
    same_tree(upgraded, app)
    run_gitsnap("-C", app, "verify", "--all", home=home)


def test_all_that_is_not_git_s_may_be_lost_but_for_the_directory_itself(upgraded: Upgraded, tmp_path: Path) -> None:
    own = sidecar_of(upgraded.app, upgraded.home) / "gitsnap"
    shutil.rmtree(own)
    own.mkdir(mode=0o700)
    check_sidecar(upgraded, tmp_path)
    take_snapshot(upgraded.app, home=upgraded.home)


def test_snapshots_beside_a_git_that_never_stops_collecting_lose_nothing(installation: Path) -> None:
    """A snapshot's objects are unreachable until its ref is there, and `git gc` here removes such at once."""
    take_snapshot(installation)
    sidecar = sidecar_of(installation)
    script = "while :; do git gc -q --prune=now; git repack -q -a -d; git prune; done"
    with subprocess.Popen(["sh", "-c", script], cwd=sidecar, stderr=subprocess.DEVNULL, start_new_session=True) as git_:
        try:
            for number in range(5):
                (installation / f"new-{number}").write_bytes(os.urandom(100_000))
                take_snapshot(installation, "--label", f"number-{number}")
                assert git_.poll() is None
        finally:
            os.killpg(git_.pid, signal.SIGTERM)
    taken = [s["id"] for s in json.loads(run_gitsnap("-C", installation, "--json", "list").stdout)["snapshots"]]
    assert run_gitsnap("-C", installation, "verify", *taken).stdout.count("ok ") == 6
    # What was killed may have left locks and temporary files behind; neither may be in the way of the next snapshot.
    take_snapshot(installation)
    # It may have taken what the reflog has come to name meanwhile, which verify tells of, and that a gc empties it.
    run_gitsnap("-C", installation, "gc")
    assert run_gitsnap("-C", installation, "verify", "--all").stdout.count("ok ") == 7
