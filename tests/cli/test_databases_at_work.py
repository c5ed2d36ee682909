"""What the command line says where a database's server is at work, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap, sidecar_of
from tests.support.servers import holding

pytestmark = pytest.mark.usefixtures("gitsnap_home")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "db").mkdir(parents=True)
    (app / "VERSION").write_text("1\n")
    (app / "db/ibdata1").write_text("x" * 64)
    return app


@pytest.fixture
def pid(app: Path) -> Iterator[int]:
    run_gitsnap("-C", app, "init")
    with holding(app / "db/ibdata1") as found:
        yield found


def configure(app: Path, text: str) -> None:
    file = sidecar_of(app) / "gitsnap.toml"
    file.write_text(text)
    file.chmod(0o600)


def test_a_snapshot_is_taken_and_marked(app: Path, pid: int) -> None:
    done = run_gitsnap("-C", app, "snapshot", check=3)
    assert f"MariaDB or MySQL is running in db (process {pid})" in done.stderr
    assert 'before-snapshot = "mysqldump' in done.stderr
    known = json.loads(run_gitsnap("-C", app, "--json", "list").stdout)["snapshots"]
    assert known[0]["databases_running"] == [{"database": "MariaDB or MySQL", "path": "db"}]
    assert "[database running]" in run_gitsnap("-C", app, "list").stdout
    assert "MariaDB or MySQL: db" in run_gitsnap("-C", app, "show").stdout
    told = json.loads(run_gitsnap("-C", app, "--json", "snapshot", check=3).stdout)["databases_running"]
    assert [(t["database"], t["path"], t["process"], t["certain"]) for t in told] == [
        ("MariaDB or MySQL", "db", pid, True)
    ]


@pytest.mark.parametrize("how", ["configured", "told"])
def test_what_was_said_holds(app: Path, pid: int, how: str) -> None:
    option = [] if how == "configured" else ["--running-databases", "warn"]
    if how == "configured":
        configure(app, '[databases]\nrunning = "warn"\n')
    assert "is running in db" in run_gitsnap("-C", app, "snapshot", *option).stderr
    (app / "db/ibdata1").write_text("y" * 64)
    told = run_gitsnap("-C", app, "rollback", "-y", *option).stderr
    assert "is running in db" in told
    run_gitsnap("-C", app, "undo", "-y", *option)
    run_gitsnap("-C", app, "restore", "latest", "db/ibdata1", *option)
    run_gitsnap("-C", app, "run", *option, "--", "true")


def test_refused(app: Path, pid: int) -> None:
    first = run_gitsnap("-C", app, "snapshot", check=3).stdout.strip()
    done = run_gitsnap("-C", app, "run", "--", "touch", app / "ran", check=1)
    assert "nothing was started" in done.stderr and "mysqldump" in done.stderr and not (app / "ran").exists()
    assert run_gitsnap("-C", app, "snapshot", "--running-databases", "refuse", check=1).stdout == ""
    (app / "db/ibdata1").write_text("y" * 64)
    for words in (["rollback", "-y"], ["restore", "latest", "db"]):
        refused = run_gitsnap("-C", app, "--json", *words, check=1)
        assert json.loads(refused.stderr)["error"]["kind"] == "database-running"
    assert "note     db (MariaDB or MySQL is running in db" in run_gitsnap("-C", app, "rollback", "-n").stdout
    assert run_gitsnap("-C", app, "list").stdout.count("manual") == 1 and first


def test_a_hook_has_seen_to_it(app: Path, pid: int) -> None:
    configure(app, '[hooks]\nbefore-snapshot = "echo dump >dump.sql"\n')
    done = run_gitsnap("-C", app, "snapshot")
    assert "is running in db" in done.stderr and "the hook before-snapshot" in done.stderr
    run_gitsnap("-C", app, "run", "--", "true")


@pytest.mark.parametrize("text", ['running = "perhaps"', 'stopped = "warn"', "running = true"])
def test_what_is_no_setting(app: Path, text: str) -> None:
    run_gitsnap("-C", app, "init")
    configure(app, f"[databases]\n{text}\n")
    assert "[databases] knows only" in run_gitsnap("-C", app, "snapshot", check=2).stderr


def test_what_is_no_option(app: Path) -> None:
    said = run_gitsnap("-C", app, "snapshot", "--running-databases", "perhaps", check=2).stderr
    assert "neither refuse nor warn" in said


def test_nothing_is_said_of_files_at_rest(app: Path) -> None:
    assert "running" not in run_gitsnap("-C", app, "snapshot").stderr
