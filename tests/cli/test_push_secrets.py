"""The secret guard on the command line: by path and key, never by value, whoever asks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap, take_snapshot

SECRET = "hunter2-and-more"


@pytest.fixture
def app(installation: Path, tmp_path: Path) -> Path:
    (installation / "config/db.env").write_text(f"DB_PASSWORD={SECRET}\n")
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "there.git"], check=True)
    take_snapshot(installation)
    run_gitsnap("-C", installation, "remote", "add", "backup", tmp_path / "there.git")
    return installation


def test_it_says_where_and_what_to_do_and_never_what(app: Path, tmp_path: Path) -> None:
    done = run_gitsnap("-C", app, "push", check=15)
    assert done.stdout == ""
    assert done.stderr.splitlines()[:2] == [
        "gitsnap: a secret would go to backup, and nothing was sent",
        "    config/db.env: DB_PASSWORD",
    ]
    assert "--allow-secret PATH[:KEY]" in done.stderr
    assert "••" not in done.stderr
    error = json.loads(run_gitsnap("-C", app, "--json", "push", check=15).stderr)["error"]
    assert (error["kind"], error["secrets"]) == ("secrets-found", [{"path": "config/db.env", "key": "DB_PASSWORD"}])
    told = [run_gitsnap("-C", app, "push", "--allow-secret", "config/db.env:DB_PASSWORD")]
    told += [run_gitsnap("-C", app, *words) for words in (["remote"], ["status"], ["audit"], ["--json", "audit"])]
    assert "a secret may go from now on: config/db.env: DB_PASSWORD" in told[0].stdout
    assert "a secret may go: config/db.env: DB_PASSWORD" in told[1].stdout
    assert "config/db.env: DB_PASSWORD" in told[4].stdout
    assert SECRET not in "".join(d.stdout + d.stderr for d in (done, *told))
    listed = json.loads(run_gitsnap("-C", app, "--json", "remote").stdout)["remotes"][0]
    assert listed["allowed_secrets"] == [{"path": "config/db.env", "key": "DB_PASSWORD"}]
    run_gitsnap("-C", app, "remote", "remove", "backup")
    run_gitsnap("-C", app, "remote", "add", "backup", tmp_path / "there.git")
    assert json.loads(run_gitsnap("-C", app, "--json", "remote").stdout)["remotes"][0]["allowed_secrets"] == []


def test_a_snapshot_stands_though_its_copy_is_stopped(app: Path, tmp_path: Path) -> None:
    run_gitsnap("-C", app, "remote", "remove", "backup")
    run_gitsnap("-C", app, "remote", "add", "backup", tmp_path / "there.git", "--push", "after-snapshot")
    done = run_gitsnap("-C", app, "snapshot")
    assert "no copy went to backup: a secret would go to backup" in done.stderr
    assert "config/db.env: DB_PASSWORD" in done.stderr


def test_a_bundle_names_its_ways_on(app: Path, tmp_path: Path) -> None:
    told = run_gitsnap("-C", app, "bundle", "create", tmp_path / "b", check=15).stderr
    assert "--to RECIPIENT" in told
    assert not (tmp_path / "b").exists()
    done = json.loads(
        run_gitsnap("-C", app, "--json", "bundle", "create", tmp_path / "b", "--allow-secret", ".").stdout
    )
    assert [each["key"] for each in done["bundle"]["secrets"]["allowed"]] == ["DB_PASSWORD"]
    run_gitsnap("bundle", "verify", tmp_path / "b", "--allow-secret", ".", check=2)
