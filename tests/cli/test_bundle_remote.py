"""A folder of bundles as a remote: `remote add NAME bundles:DIR`, `push`, `clone`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import build_app, remove_tree, run_gitsnap, same_tree, take_snapshot


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    take_snapshot(app)
    (tmp_path / "disk").mkdir()
    return app


def names(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "disk").iterdir() if p.name != "SHA256SUMS")


def test_push_writes_what_is_new_and_list_tells(app: Path, tmp_path: Path) -> None:
    run_gitsnap("-C", app, "remote", "add", "usb", "bundles:disk", cwd=tmp_path)
    assert json.loads(run_gitsnap("-C", app, "--json", "push", "-n").stdout)["snapshots"]
    assert names(tmp_path) == []
    assert "sent 20" in run_gitsnap("-C", app, "push").stdout
    assert "sent" not in run_gitsnap("-C", app, "push").stdout
    (app / "VERSION").write_text("2")
    take_snapshot(app)
    [row] = json.loads(run_gitsnap("-C", app, "--json", "remote", "list").stdout)["remotes"]
    assert (row["snapshots_there"], len(row["lacks"])) == (1, 1)
    run_gitsnap("-C", app, "push", "usb")
    assert names(tmp_path) == ["000001-000001-full.bundle", "000001-000002-more.bundle"]
    [row] = json.loads(run_gitsnap("-C", app, "--json", "remote", "list").stdout)["remotes"]
    assert (row["snapshots_there"], row["lacks"], row["url"]) == (2, [], f"bundles:{tmp_path}/disk")


def test_a_disk_that_is_away_is_told_and_made_up_for(app: Path, tmp_path: Path) -> None:
    run_gitsnap("-C", app, "remote", "add", "usb", f"bundles:{tmp_path}/disk")
    run_gitsnap("-C", app, "push")
    (tmp_path / "disk").rename(tmp_path / "away")
    take_snapshot(app)
    assert "mounted" in run_gitsnap("-C", app, "push", check=15).stderr
    [row] = json.loads(run_gitsnap("-C", app, "--json", "remote", "list").stdout)["remotes"]
    assert "no directory" in row["problem"]
    (tmp_path / "away").rename(tmp_path / "disk")
    run_gitsnap("-C", app, "push")
    assert names(tmp_path) == ["000001-000001-full.bundle", "000001-000002-more.bundle"]


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_everything_comes_back_of_an_encrypted_folder(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    to = subprocess.run(["age-keygen", "-y", tmp_path / "key"], capture_output=True, text=True).stdout.strip()
    run_gitsnap("-C", app, "remote", "add", "usb", f"bundles:{tmp_path}/disk", "--to", to)
    run_gitsnap("-C", app, "push")
    (app / "VERSION").write_text("2")
    take_snapshot(app)
    run_gitsnap("-C", app, "push")
    assert names(tmp_path) == ["000001-000001-full.bundle.age", "000001-000002-more.bundle.age"]
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-a", app, kept], check=True)
    remove_tree(app)
    shutil.rmtree(gitsnap_home)
    run_gitsnap("clone", f"bundles:{tmp_path}/disk", tmp_path / "new", "--identity", tmp_path / "key")
    same_tree(kept, tmp_path / "new")
    assert len(json.loads(run_gitsnap("-C", tmp_path / "new", "--json", "list").stdout)["snapshots"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        "bundles:disk --secrets encrypt",
        "bundles:disk --to nobody",
        "/srv/app.git --secrets encrypt",
        "/srv/app.git --to age1qqqq",
        "bundles:app/inside",
    ],
)
def test_what_cannot_be_is_refused(app: Path, tmp_path: Path, words: str) -> None:
    run_gitsnap("-C", app, "remote", "add", "usb", *words.split(), cwd=tmp_path, check=2)
    assert not json.loads(run_gitsnap("-C", app, "--json", "remote", "list").stdout)["remotes"]


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_for_other_recipients_all_of_it_goes_at_once_and_what_is_plain_is_named(app: Path, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    to = subprocess.run(["age-keygen", "-y", tmp_path / "key"], capture_output=True, text=True).stdout.strip()
    run_gitsnap("-C", app, "remote", "add", "u", "bundles:disk", cwd=tmp_path)
    run_gitsnap("-C", app, "push")
    run_gitsnap("-C", app, "remote", "remove", "u")
    run_gitsnap("-C", app, "remote", "add", "u", "bundles:disk", "--to", to, cwd=tmp_path)
    done = run_gitsnap("-C", app, "push")
    assert names(tmp_path) == ["000001-000001-full.bundle", "000002-000001-full.bundle.age"]
    assert "1 snapshot at" in done.stderr
    assert "000001-000001-full.bundle there is not encrypted" in done.stderr
    assert "has everything: 1 snapshot" in run_gitsnap("-C", app, "push").stderr


def test_what_is_known_of_a_folder_goes_with_its_remote(app: Path, tmp_path: Path) -> None:
    for whole in (1, 2):
        run_gitsnap("-C", app, "remote", "add", "u", "bundles:disk", cwd=tmp_path)
        assert "1 snapshot at" in run_gitsnap("-C", app, "push").stderr
        assert len(names(tmp_path)) == whole
        run_gitsnap("-C", app, "remote", "remove", "u")
