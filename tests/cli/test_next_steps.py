"""What is typed next: after a clone, before a first push, where something is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import build_app, remove_tree, run_gitsnap, take_snapshot


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    take_snapshot(app)
    return app


def test_the_repository_has_to_be_there_and_its_making_is_told(app: Path, tmp_path: Path) -> None:
    added = run_gitsnap("-C", app, "remote", "add", "b", tmp_path / "b.git").stderr
    pushed = run_gitsnap("-C", app, "push", check=15).stderr
    for said in (added, pushed):
        assert f"git init --bare {tmp_path}/b.git" in said
    [line] = [line for line in pushed.splitlines() if "git init" in line]
    subprocess.run(["sh", "-c", line.partition("repository: ")[2]], check=True, capture_output=True)
    assert (tmp_path / "b.git").stat().st_mode & 0o777 == 0o700
    run_gitsnap("-C", app, "push")
    again = run_gitsnap("-C", app, "remote", "add", "c", tmp_path / "b.git")
    assert "git init" not in again.stderr


def test_after_a_clone_the_way_to_the_next_copy_is_told(app: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "b.git"], check=True)
    run_gitsnap("-C", app, "remote", "add", "b", tmp_path / "b.git")
    run_gitsnap("-C", app, "push")
    said = run_gitsnap("clone", tmp_path / "b.git", tmp_path / "back").stderr
    assert f"gitsnap -C {tmp_path}/back remote add NAME {tmp_path}/b.git" in said
    assert "after line" not in said
    run_gitsnap("-C", tmp_path / "back", "remote", "add", "b", tmp_path / "b.git")
    run_gitsnap("-C", tmp_path / "back", "push")
    run_gitsnap("-C", app, "bundle", "create", tmp_path / "one")
    said = run_gitsnap("clone", tmp_path / "one", tmp_path / "other").stderr
    assert f"gitsnap -C {tmp_path}/other remote add NAME URL" in said


def test_where_directory_and_sidecar_are_gone_a_copy_is_thought_of(app: Path, gitsnap_home: Path) -> None:
    remove_tree(app)
    shutil.rmtree(gitsnap_home)
    for command in ("status", "rollback"):
        assert f"gitsnap clone URL {app}" in run_gitsnap("-C", app, command, check=1).stderr


def test_what_is_no_source_says_what_is_one(app: Path, tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    run_gitsnap("-C", app, "remote", "add", "u", "bundles:chain", cwd=tmp_path)
    run_gitsnap("-C", app, "push")
    (tmp_path / "file").write_text("no bundle")
    assert "bundles:chain" in run_gitsnap("clone", "chain", "z", cwd=tmp_path, check=2).stderr
    for name, code in (("app", 10), ("nosuch.git", 1), ("file", 10)):
        assert "bundles:DIR" in run_gitsnap("clone", name, "z", cwd=tmp_path, check=code).stderr


def test_remote_rm_is_remove(app: Path) -> None:
    assert " remote remove b" in run_gitsnap("-C", app, "remote", "rm", "b", check=2).stderr
    assert " remote remove" in run_gitsnap("-C", app, "remote", "remov", check=2).stderr


def test_after_an_upgrade_that_was_rolled_back_a_rollback_says_how_to_go_further(app: Path) -> None:
    take_snapshot(app)
    (app / "bin/shop").write_text("as it runs now")
    run_gitsnap("-C", app, "run", "--", "sh", "-c", "echo >>bin/shop; exit 1", check=20)
    upgrade = json.loads(run_gitsnap("-C", app, "--json", "status").stdout)["last_upgrade"]["upgrade"]
    listed = json.loads(run_gitsnap("-C", app, "--json", "list").stdout)["snapshots"]
    older = [s["id"] for s in listed if s["kind"] == "manual"][-1]
    for typed in (["-y"], ["-n"]):
        last = run_gitsnap("-C", app, "rollback", *typed).stdout.splitlines()[-1]
        assert last == f"{upgrade} was rolled back already. To go further back: gitsnap -C {app} rollback {older}"
    assert json.loads(run_gitsnap("-C", app, "--json", "rollback", "-y").stdout)["further_back"] == older
    run_gitsnap("-C", app, "rollback", "-y", older)
    assert "further back" not in run_gitsnap("-C", app, "rollback", "-y", older).stdout


@pytest.mark.parametrize(
    ("typed", "next_"),
    [
        ("metrics -o no/such/file", "mkdir -p {cwd}/no/such"),
        ("verify --all --live", "gitsnap verify --help"),
        ("--lock-wait soon list", "for example 30"),
        ("bundle verify nosuch", "gitsnap bundle --help"),
        ("blame bin", "gitsnap -C {app} ls "),
        ("import nosuch", "it takes directories"),
        ("sign latest --key nosuch", "name a private key"),
    ],
)
def test_an_error_says_what_to_type_next(typed: str, next_: str, app: Path, tmp_path: Path) -> None:
    done = run_gitsnap("-C", app, *typed.split(), cwd=tmp_path, check=False)
    assert done.returncode in (1, 2, 10)
    assert done.stderr.splitlines()[-1].startswith(f"  {next_.format(cwd=tmp_path, app=app)}")
    assert len(done.stderr.splitlines()) == 2


def test_a_wrong_setting_leads_to_the_page_of_all(app: Path, gitsnap_home: Path) -> None:
    (next(gitsnap_home.glob("*.git")) / "gitsnap.toml").write_text("[secrets]\nstrict = 1\n")
    assert "  man gitsnap.toml" in run_gitsnap("-C", app, "snapshot", check=2).stderr
