"""`drill`: what it finds, what it leaves, and who tells of it later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document
from tests.support.damage import flip_object
from tests.support.installation import IS_ROOT, REPOSITORY, build_app, copy_tree, run_gitsnap, same_tree, sidecar_of


@pytest.fixture
def installation(tmp_path: Path, gitsnap_home: Path) -> Path:
    """One that has a snapshot."""
    app = build_app(tmp_path / "app")
    run_gitsnap("-C", app, "snapshot")
    return app


def left(app: Path) -> list[str]:
    """What lies beside the sidecar, and in its scratch directory."""
    store = sidecar_of(app)
    beside = [p.name for p in store.parent.iterdir() if p.name.startswith("gitsnap-drill-")]
    return beside + [p.name for p in (store / "gitsnap/tmp").iterdir()]


def doctors(app: Path, name: str, code: int = 0) -> list[dict[str, Any]]:
    found = json.loads(run_gitsnap("-C", app, "--json", "doctor", check=code).stdout)["checks"]
    return [check for check in found if check["name"] == name]


def test_what_a_snapshot_holds_comes_back_is_tried_out_and_goes(installation: Path, tmp_path: Path) -> None:
    before, copy = copy_tree(installation, tmp_path / "before"), tmp_path / "copy"
    (installation / "bin/shop").write_bytes(b"changed since")
    check = f"cp -a . {copy}; printf %s $GITSNAP_DRILL >{tmp_path}/told; test $GITSNAP_DIR = $PWD; touch written"
    done = document("-C", installation, "drill", "--check", check, "--check", "test -e written")
    assert (done["outcome"], done["failure"], done["differing"]) == ("passed", None, [])
    assert [c["ok"] for c in done["checks"]] == [True, True]
    assert (tmp_path / "told").read_text() == done["snapshot"]
    same_tree(before, copy)
    assert left(installation) == []
    assert (installation / "bin/shop").read_bytes() == b"changed since"


def test_it_counts_as_a_verification_and_is_told_by_status_show_doctor_and_audit(installation: Path) -> None:
    done = document("-C", installation, "drill", "--check", "true")
    state = document("-C", installation, "status")
    assert state["latest_verified"] is not None
    assert (state["last_drill"]["snapshot"], state["last_drill"]["outcome"]) == (done["snapshot"], "passed")
    assert document("-C", installation, "show")["last_drill"]["checks"] == 1
    assert f"last drill    {done['snapshot']} passed, just now" in run_gitsnap("-C", installation, "status").stdout
    assert [c["ok"] for c in doctors(installation, "drill")] == [True]
    line = document("-C", installation, "audit")["audit"][-1]
    assert (line["action"], line["outcome"], line["target"]) == ("drill", "done", done["snapshot"])
    assert [c["check"] for c in line["checks"]] == ["true"]


def test_a_check_that_fails_is_named_and_those_after_it_are_not_run(installation: Path) -> None:
    words = ("--check", "echo why; exit 4", "--check", "touch /nowhere/at/all")
    done = run_gitsnap("-C", installation, "drill", *words, check=1)
    assert "check echo why; exit 4: exited with 4" in done.stdout
    assert "    | why" in done.stdout
    assert "nowhere" not in done.stdout
    assert "FAILED" in run_gitsnap("-C", installation, "status").stdout
    (found,) = doctors(installation, "drill", 1)
    assert (found["ok"], "exited with 4" in found["answer"]) == (False, True)
    # The contents are whole all the same.
    assert document("-C", installation, "status")["latest_verified"] is not None


def test_a_damaged_snapshot_fails_and_is_no_verification(installation: Path, tmp_path: Path) -> None:
    flip_object(sidecar_of(installation), (installation / "bin/shop").read_bytes())
    done = run_gitsnap("-C", installation, "drill", check=12)
    assert "--salvage" in done.stderr
    assert "gitsnap-drill-" not in done.stderr
    state = document("-C", installation, "status")
    assert (state["latest_verified"], state["last_drill"]["outcome"]) == (None, "failed")
    assert left(installation) == []
    assert document("-C", installation, "audit")["audit"][-1]["outcome"] == "damaged"


def test_without_room_there_is_no_drill(installation: Path, tmp_path: Path) -> None:
    where = tmp_path / "none"
    where.write_bytes(b"")
    done = run_gitsnap("-C", installation, "drill", "--to", where, check=1)
    assert "there can be no scratch directory" in done.stderr
    run_gitsnap("-C", installation, "drill", "--to", installation / "bin", check=2)
    assert document("-C", installation, "status")["last_drill"] is None


@pytest.mark.skipif(not IS_ROOT, reason="mounts a file system")
def test_a_full_file_system_is_told_before_anything_is_written(installation: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", small], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        done = run_gitsnap("-C", installation, "drill", "--to", small, check=1)
        assert "are free on the file system" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
    assert document("-C", installation, "status")["last_drill"] is None


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_a_kill_leaves_the_next_command_removes(installation: Path, tmp_path: Path, number: int) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "gitsnap", "-C", str(installation), "drill", "--check", f"touch {ready}; sleep 60"]
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        _until(ready.exists)
        # One that is at work is nobody's to remove.
        run_gitsnap("-C", installation, "snapshot")
        assert len(left(installation)) == 2
        process.send_signal(number)
    if number == signal.SIGKILL:
        assert len(left(installation)) == 2
        assert [c["ok"] for c in doctors(installation, "scratch")] == [None]
        run_gitsnap("-C", installation, "snapshot")
    assert left(installation) == []


def test_a_verification_that_is_overdue_is_told(installation: Path) -> None:
    store = sidecar_of(installation)
    (store / "gitsnap.toml").write_text('[verify]\nevery = "7d"\n')
    assert document("-C", installation, "status")["verify_overdue"] is None
    run_gitsnap("-C", installation, "verify")
    verified = store / "gitsnap/verified"
    commit = verified.read_text().split()[0]
    verified.write_text(f"{commit} {(datetime.now(UTC) - timedelta(days=9)).isoformat()}\n")
    late = document("-C", installation, "status")["verify_overdue"]
    assert 2 * 86400 <= late < 2 * 86400 + 600
    assert "OVERDUE: every 7 days" in run_gitsnap("-C", installation, "status").stdout
    assert [c["answer"] for c in doctors(installation, "overdue", 1)] == ["no snapshot was verified for 9 days"]
    run_gitsnap("-C", installation, "drill")
    assert document("-C", installation, "status")["verify_overdue"] is None
    assert doctors(installation, "overdue") == []


@pytest.mark.parametrize("text", ["every = 7", 'every = "soon"', 'each = "7d"'])
def test_a_wrong_table_is_refused(installation: Path, text: str) -> None:
    (sidecar_of(installation) / "gitsnap.toml").write_text(f"[verify]\n{text}\n")
    assert "[verify]" in run_gitsnap("-C", installation, "status", check=2).stderr
    assert [c["ok"] for c in doctors(installation, "configuration", 1)] == [False]
