"""Remotes and pushing, as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitsnap import api
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    found = tmp_path / "app"
    found.mkdir()
    (found / "f").write_text("one")
    return found


@pytest.fixture
def there(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "there.git")], check=True)
    return tmp_path / "there.git"


def document(app: Path, *words: str, code: int = 0) -> Any:
    done = run_gitsnap("-C", str(app), "--json", *words, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout if code in (0, 3) else done.stderr)


def test_from_adding_to_removing(app: Path, there: Path, tmp_path: Path) -> None:
    first = take_snapshot(app)
    done = run_gitsnap("remote", "add", "backup", "../there.git", "--keep", "5", cwd=app)
    assert done.returncode == 0, done.stderr
    assert document(app, "remote")["remotes"][0] | {"lacks": None, "recipients": None} == {
        "name": "backup",
        "url": str(there),
        "push": "manual",
        "keep": 5,
        "refspec": "plain",
        "secrets": "refuse",
        "installation": None,
        "recipients": None,
        "pushed_at": None,
        "snapshots_there": 0,
        "lacks": None,
        "problem": None,
        "allowed_secrets": [],
    }
    assert document(app, "push", "-n")["snapshots"] == [first]
    assert document(app, "remote")["remotes"][0]["lacks"] == [first]
    sent = document(app, "push", "backup")
    assert (sent["snapshots"], sent["snapshots_there"], sent["timeline"]) == ([first], 1, "pushed")
    assert run_gitsnap("-C", str(app), "push").stdout == ""
    assert document(app, "status")["remotes"][0]["lacks"] == []
    lines = [json.loads(line) for line in _audit(app)]
    assert [line["action"] for line in lines].count("push") == 2
    assert lines[-1]["details"]["remote"]["name"] == "backup"
    assert document(app, "remote", "remove", "backup")["remote"]["name"] == "backup"
    assert document(app, "remote") == {"schema": 1, "remotes": []}
    assert document(app, "push", code=2)["error"]["kind"] == "usage"
    assert (there / "refs/gitsnap").exists()
    assert run_gitsnap("-C", str(app), "verify", "--all").returncode == 0


def _audit(app: Path) -> list[str]:
    found = sorted((sidecar_of(app) / "gitsnap/audit").glob("*.jsonl"))
    return [line for path in found for line in path.read_text().splitlines() if '"phase":"ended"' in line]


def test_a_server_that_is_away_fails_no_snapshot_and_is_made_up_for(app: Path, there: Path) -> None:
    take_snapshot(app)
    away = there.with_name("away.git")
    there.rename(away)
    document(app, "remote", "add", "backup", str(there), "--push", "after-snapshot")
    (app / "f").write_text("two")
    done = run_gitsnap("-C", str(app), "snapshot")
    assert done.returncode == 0
    assert "no copy went to backup" in done.stderr
    (app / "f").write_text("three")
    taken = document(app, "snapshot")
    assert taken["copies"][0]["problem"]
    assert document(app, "status")["remotes"][0]["problem"]
    doctor = json.loads(run_gitsnap("-C", str(app), "--json", "doctor", check=False).stdout)
    assert [c["ok"] for c in doctor["checks"] if c["name"] == "remote"] == [False]
    assert document(app, "push", code=15)["error"]["kind"] == "remote-unreachable"
    away.rename(there)
    (app / "f").write_text("four")
    taken = document(app, "snapshot")
    assert (taken["copies"][0]["problem"], len(taken["copies"][0]["snapshots"])) == (None, 4)
    assert document(app, "status")["remotes"][0]["problem"] is None
    run = run_gitsnap("-C", str(app), "run", "--", "sh", "-c", "echo five > f")
    assert run.returncode == 0, run.stderr
    assert document(app, "status")["remotes"][0]["lacks"] == []


@pytest.mark.parametrize(
    "words",
    [
        "add",
        "add name",
        "add na.me /x",
        "add name ext::x",
        "add name --installation x /x",
        "add name /x --keep 0",
        "add name .",
        "add name ./below",
        "add name https://me:geheim@host/x",
        "list more",
        "remove",
        "remove nobody",
        "rename a b",
        "list --keep 3",
    ],
)
def test_what_makes_no_sense(app: Path, words: str) -> None:
    take_snapshot(app)
    done = run_gitsnap("remote", *words.split(), cwd=app, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "geheim" not in done.stderr
    assert not (sidecar_of(app) / "gitsnap.toml").exists()


def test_the_sidecar_itself_is_no_remote(app: Path) -> None:
    take_snapshot(app)
    assert document(app, "remote", "add", "x", str(sidecar_of(app)), code=2)["error"]["kind"] == "usage"


def test_no_password_is_shown_however_it_came_there(app: Path) -> None:
    take_snapshot(app)
    store = sidecar_of(app)
    file = store / "gitsnap.toml"
    for url in ("https://me:geheim@127.0.0.1:1/x", "https://geheim@127.0.0.1:1/x"):
        file.write_text(f'[remote.x]\nurl = "{url}"\n')
        file.chmod(0o600)
        for words in (["remote"], ["push"], ["status"], ["--json", "push"], ["--json", "remote"], ["doctor"]):
            done = run_gitsnap("-C", str(app), *words, check=False)
            assert "geheim" not in done.stdout + done.stderr, words
        assert "geheim" not in "".join(p.read_text() for p in (store / "gitsnap/audit").glob("*.jsonl"))
    file.chmod(0o666)
    assert run_gitsnap("-C", str(app), "remote", check=False).returncode == 2


def test_an_installation_among_others(app: Path, there: Path) -> None:
    take_snapshot(app)
    added = document(app, "remote", "add", "all", str(there), "--installation", "auto")
    assert added["remote"]["installation"].endswith("/app")
    document(app, "push")
    names = subprocess.run(
        ["git", "--git-dir", str(there), "for-each-ref", "--format=%(refname)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "refs/gitsnap/fleet/" in names
    assert "refs/gitsnap/snapshots/" not in names


def test_from_python(app: Path, there: Path, gitsnap_home: Path) -> None:
    found = api.open(app, environ=os.environ, create=True)
    taken = found.snapshot("one")
    found.add_remote("backup", there)
    assert found.push().snapshots == [taken.id]
    assert found.push("backup").snapshots == []
    assert [r.name for r in found.remotes] == ["backup"]
