"""`clone` of bundles: encrypted ones, and folders of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import build_app, copy_tree, remove_tree, run_gitsnap, same_tree, take_snapshot

with_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    take_snapshot(app)
    return app


def change(app: Path, text: str) -> None:
    (app / "VERSION").write_text(text)
    take_snapshot(app)


def lost(app: Path, home: Path) -> Path:
    """What the directory was; it and its sidecar are gone."""
    kept = copy_tree(app, app.with_name("kept"))
    remove_tree(app)
    shutil.rmtree(home)
    return kept


def whole(new: Path, count: int, home: Path) -> None:
    assert len(json.loads(run_gitsnap("-C", new, "--json", "list").stdout)["snapshots"]) == count
    run_gitsnap("-C", new, "verify", "--all")
    [store] = [p for p in home.iterdir() if p.is_dir()]
    done = subprocess.run(["git", "--git-dir", store, "fsck", "--full", "--strict"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@with_age
def test_an_encrypted_bundle_brings_all_back(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    change(app, "2")
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    to = subprocess.run(["age-keygen", "-y", tmp_path / "key"], capture_output=True, text=True).stdout.strip()
    run_gitsnap("-C", app, "bundle", "create", tmp_path / "b.age", "--to", to)
    kept = lost(app, gitsnap_home)
    assert "--identity" in run_gitsnap("clone", tmp_path / "b.age", tmp_path / "new", check=2).stderr
    subprocess.run(["age-keygen", "-o", tmp_path / "other"], check=True, capture_output=True)
    run_gitsnap("clone", tmp_path / "b.age", tmp_path / "new", "--identity", tmp_path / "other", check=1)
    data = (tmp_path / "b.age").read_bytes()
    (tmp_path / "cut.age").write_bytes(data[:-5])
    run_gitsnap("clone", tmp_path / "cut.age", tmp_path / "new", "--identity", tmp_path / "key", check=12)
    assert not (tmp_path / "new").exists() and not any(gitsnap_home.glob("*.git"))
    run_gitsnap("clone", "b.age", "new", "--identity", "key", cwd=tmp_path)
    same_tree(kept, tmp_path / "new")
    whole(tmp_path / "new", 2, gitsnap_home)


def _folder(app: Path, disk: Path, count: int) -> None:
    from gitsnap import api
    from gitsnap.ops.remote import bundle_folder
    from gitsnap.ops.remote.bundle_folder import FolderOptions

    for number in range(count):
        if number:
            change(app, f"{number}")
        place = api.open(app, environ=os.environ, create=True)
        with place.sidecar() as sidecar:
            bundle_folder.push(sidecar, str(disk), place.settings, FolderOptions(_now()))


def _now() -> object:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_a_folder_of_bundles_brings_all_back(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    _folder(app, disk, 4)
    assert len(list(disk.glob("*.bundle"))) == 4
    kept = lost(app, gitsnap_home)
    moved = disk / "000001-000003-more.bundle"
    os.rename(moved, tmp_path / "aside")
    assert (
        "000001-000003-more.bundle is missing"
        in run_gitsnap("clone", f"bundles:{disk}", tmp_path / "new", check=1).stderr
    )
    shutil.copy(tmp_path / "aside", moved)
    data = bytearray(moved.read_bytes())
    data[-40] ^= 1
    moved.write_bytes(data)
    run_gitsnap("clone", f"bundles:{disk}", tmp_path / "new", check=12)
    assert not (tmp_path / "new").exists()
    shutil.copy(tmp_path / "aside", moved)
    run_gitsnap("clone", f"bundles:{disk}", tmp_path / "new")
    same_tree(kept, tmp_path / "new")
    whole(tmp_path / "new", 4, gitsnap_home)


def test_links_that_were_swapped_are_told(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    _folder(app, disk, 3)
    two, three = disk / "000001-000002-more.bundle", disk / "000001-000003-more.bundle"
    os.rename(two, tmp_path / "aside")
    os.rename(three, two)
    os.rename(tmp_path / "aside", three)
    told = run_gitsnap("clone", f"bundles:{disk}", tmp_path / "new", check=1).stderr
    assert "builds on 20" in told and two.name in told
    assert not (tmp_path / "new").exists()


def test_a_plain_bundle_of_a_chain_is_not_enough(app: Path, tmp_path: Path) -> None:
    change(app, "2")
    run_gitsnap("-C", app, "bundle", "create", tmp_path / "b", "--since", "latest~1")
    run_gitsnap("clone", tmp_path / "b", tmp_path / "new", check=1)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_signatures_come_along(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    run_gitsnap("-C", app, "sign", "latest", "--key", tmp_path / "id")
    change(app, "2")
    run_gitsnap("-C", app, "bundle", "create", tmp_path / "b")
    run_gitsnap("bundle", "verify", "b", cwd=tmp_path)
    listed = subprocess.run(["git", "bundle", "list-heads", tmp_path / "b"], capture_output=True, text=True).stdout
    assert "refs/tags/signed/" in listed
    lost(app, gitsnap_home)
    run_gitsnap("clone", tmp_path / "b", tmp_path / "new")
    assert run_gitsnap("-C", tmp_path / "new", "git", "tag", "--list").stdout.count("signed/") == 1
    whole(tmp_path / "new", 2, gitsnap_home)
