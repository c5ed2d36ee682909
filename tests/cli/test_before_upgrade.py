"""`doctor --before-upgrade` and the start of `run`: what refuses, and what is only told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document
from tests.support.damage import flip_object
from tests.support.installation import IS_ROOT, build_app, run_gitsnap, sidecar_of, take_snapshot


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    take_snapshot(app)
    return app


def asked(app: Path, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The answers by question; it is ready where the exit code is 0."""
    found = json.loads(run_gitsnap("-C", app, "--json", "doctor", "--before-upgrade", check=code).stdout)
    assert found["ready"] is (code == 0)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for check in found["checks"]:
        assert not check["refuses"] or check["ok"] is False
        by_name.setdefault(check["name"], []).append(check)
    return by_name


@contextmanager
def opened(path: Path) -> Iterator[int]:
    code = "import sys; f = open(sys.argv[1], 'ab'); print('ready', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.stdin.close()  # type: ignore[union-attr]


def test_nothing_stands_in_the_way(app: Path) -> None:
    # Nothing was written so shortly before this one that it is read again: clocks of files have ticks of 10 ms at most.
    time.sleep(0.07)
    take_snapshot(app)
    run_gitsnap("-C", app, "verify")
    (app / "bin/shop").write_bytes(b"changed")
    found = asked(app)
    assert {name for name, (check, *_) in found.items() if check["ok"] is not True} <= {"open files", "stage"}
    assert "up to 7 B of 1 file to store" in found["snapshot"][0]["answer"]
    run_gitsnap("-C", app, "run", "--", "true")


def test_files_that_are_open_are_named_and_refuse_nothing(app: Path) -> None:
    with opened(app / "bin/shop") as pid:
        (check,) = asked(app)["open files"]
        assert (check["ok"], check["refuses"]) == (None, False)
        assert f"({pid}): bin/shop" in check["answer"]
        done = run_gitsnap("-C", app, "run", "--events", "-", "--", "true")
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        (event,) = [e for e in events if e["event"] == "files-open"]
        assert [(p["pid"], p["files"], p["path"]) for p in event["processes"]] == [(pid, 1, "bin/shop")]
        told = [line for line in done.stderr.splitlines() if "open here" in line]
        assert len(told) == 1
        assert f"({pid}): bin/shop" in told[0]


def test_without_open_files_run_says_nothing_of_them(app: Path) -> None:
    assert "open here" not in run_gitsnap("-C", app, "run", "--", "true").stderr


def test_a_rollback_that_waits_refuses(app: Path) -> None:
    (sidecar_of(app) / "gitsnap/journal.forward").write_bytes(b"damaged")
    (check,) = asked(app, 1)["recovery"]
    assert (check["refuses"], check["advice"]) == (True, "gitsnap recover")
    run_gitsnap("-C", app, "run", "--", "true", check=14)


@pytest.mark.skipif(IS_ROOT, reason="root can read everything")
def test_what_cannot_be_read_refuses_as_run_does(app: Path) -> None:
    (app / "bin/shop").chmod(0)
    (check,) = asked(app, 1)["readable"]
    assert (check["refuses"], "bin/shop" in check["answer"]) == (True, True)
    run_gitsnap("-C", app, "run", "--", "true", check=3)


@pytest.mark.skipif(not IS_ROOT, reason="mounts file systems and makes files immutable")
def test_what_could_not_come_back_is_named_and_a_closed_directory_refuses(app: Path) -> None:
    if subprocess.run(["mount", "--bind", app, app], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", app], check=True)
        (check,) = asked(app, 1)["writable"]
        assert check["refuses"]
        run_gitsnap("-C", app, "run", "--", "true", check=1)
    finally:
        subprocess.run(["umount", app], check=True)
    if (
        shutil.which("chattr")
        and subprocess.run(["chattr", "+i", app / "bin/shop"], capture_output=True).returncode == 0
    ):
        try:
            (check, *_) = asked(app)["way back"]
            assert (check["ok"], "bin/shop" in check["answer"]) == (None, True)
        finally:
            subprocess.run(["chattr", "-i", app / "bin/shop"], check=True)


def test_a_directory_that_is_gone_refuses(app: Path) -> None:
    app.rename(app.with_name("elsewhere"))
    (check,) = asked(app, 1)["directory"]
    assert check["refuses"]


def test_a_clock_that_went_back_damage_and_age_are_told(app: Path) -> None:
    store = sidecar_of(app)
    assert asked(app)["verified"][0]["answer"] == "no snapshot was verified yet"
    run_gitsnap("-C", app, "verify")
    (store / "gitsnap.toml").write_text('[verify]\nevery = "7d"\n')
    verified = store / "gitsnap/verified"
    commit = verified.read_text().split()[0]
    verified.write_text(f"{commit} {(datetime.now(UTC) - timedelta(days=8)).isoformat()}\n")
    (check,) = asked(app)["verified"]
    assert (check["ok"], check["answer"]) == (None, "last 8 days ago, which is longer than [verify] every wants")
    flip_object(store, (app / "bin/shop").read_bytes())
    run_gitsnap("-C", app, "verify", check=12)
    assert "damaged" in asked(app)["damage"][0]["answer"]


def test_a_newest_snapshot_from_the_future_tells_of_the_clock(app: Path) -> None:
    faketime = "/usr/bin/faketime"
    if not os.path.exists(faketime):
        pytest.skip("needs faketime")
    words = [faketime, "+3 hours", sys.executable, "-m", "gitsnap", "-C", str(app), "snapshot"]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("faketime does not work here")
    (check,) = asked(app)["clock"]
    assert (check["ok"], "behind the newest snapshot" in check["answer"]) == (None, True)


def test_a_database_that_runs_refuses_as_run_does(tmp_path: Path, gitsnap_home: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "CURRENT").write_bytes(b"MANIFEST-000001\n")
    lock = app / "LOCK"
    lock.write_bytes(b"")
    run_gitsnap("-C", app, "snapshot")
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); "
    code += "sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=pipe, stdout=pipe, text=True) as process:
        process.stdout.readline()  # type: ignore[union-attr]
        (check,) = asked(app, 1)["database"]
        assert check["refuses"]
        (sidecar_of(app) / "gitsnap.toml").write_text('[databases]\nrunning = "warn"\n')
        (check,) = asked(app)["database"]
        assert (check["ok"], check["refuses"]) == (None, False)
        process.stdin.close()  # type: ignore[union-attr]


def test_it_writes_nothing(app: Path) -> None:
    store = sidecar_of(app)

    def state(top: Path) -> list[tuple[Path, int, int]]:
        return [(p, p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(top.rglob("*"))]

    before = state(store), state(app)
    run_gitsnap("-C", app, "doctor", "--before-upgrade")
    assert (state(store), state(app)) == before
    assert "refuses" in document("-C", app, "doctor")["checks"][0]
