"""`status`: one screen, and what it says is so."""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.helpers import document, spoken
from tests.support.installation import REPOSITORY, run_gitsnap, sidecar_of, take_snapshot
from tests.support.terminal import on_terminal


def packed(app: Path) -> int:
    return sum(f.stat().st_size for f in (sidecar_of(app) / "objects/pack").iterdir() if f.suffix in (".pack", ".idx"))


def said(app: Path, line: str, **more: object) -> str:
    lines = run_gitsnap("-C", app, "status", **more).stdout.splitlines()  # type: ignore[arg-type]
    (found,) = [row[14:] for row in lines if row.startswith(f"{line:14}")]
    return found


def test_what_each_snapshot_added_is_what_the_packs_grew_by(installation: Path) -> None:
    grown, before = {}, 0
    for size in (1, 300_000, 20):
        (installation / "noise").write_bytes(os.urandom(size))
        name = take_snapshot(installation)
        grown[name] = packed(installation) - before
        before = packed(installation)
    assert document("-C", installation, "status")["added_bytes"] == grown
    assert said(installation, "growth").endswith("█▁ up to 303 kB a snapshot")
    assert said(installation, "growth", env={"PYTHONIOENCODING": "ascii"}).endswith("#_ up to 303 kB a snapshot")
    run_gitsnap("-C", installation, "delete", next(iter(grown)))
    run_gitsnap("-C", installation, "gc")
    grown.pop(next(iter(grown)))
    assert document("-C", installation, "status")["added_bytes"] == grown
    assert said(installation, "growth") == "█▁ up to 303 kB for each of the last 2 snapshots"


@pytest.mark.parametrize("damage", [b"", b"\xff\n", b"x y\n" + b"0" * 40 + b" 99999999999999999999999\n"])
def test_growth_that_is_not_known_is_said(installation: Path, damage: bytes) -> None:
    first = take_snapshot(installation)
    (sidecar_of(installation) / "gitsnap/growth").write_bytes(damage)
    assert document("-C", installation, "status")["added_bytes"] == {first: None}
    assert said(installation, "growth") == "not known"
    take_snapshot(installation)
    told = said(installation, "growth")
    assert (told.startswith("█ up to "), told.endswith(" (1 not known)"), "?" in told) == (True, True, False)


def test_what_will_go_is_what_goes(installation: Path) -> None:
    run_gitsnap("-C", installation, "init")
    (sidecar_of(installation) / "gitsnap.toml").write_text("[retention]\nkeep-last = 3\n")
    for n in range(5):
        (installation / "n").write_text(str(n))
        found = document("-C", installation, "status")
        foreseen = [d["snapshot"] for d in found["next_removed"]]
        before = {s["id"] for s in document("-C", installation, "list")["snapshots"]}
        take_snapshot(installation)
        gone = before - {s["id"] for s in document("-C", installation, "list")["snapshots"]}
        assert set(foreseen) == gone, n
    assert re.search(r"-manual(-\d+)?, with the next snapshot$", said(installation, "next to go"))


def test_verifications(installation: Path) -> None:
    first, second = take_snapshot(installation), take_snapshot(installation)
    assert said(installation, "verified") == "none of them yet"
    run_gitsnap("-C", installation, "verify", first)
    assert said(installation, "verified") == "1 of 2, last just now; never the latest"
    found = document("-C", installation, "status")
    assert found["verified"][first].startswith("20")
    assert (found["verified"][second], found["latest_verified"]) == (None, None)
    run_gitsnap("-C", installation, "verify", "--all")
    assert said(installation, "verified").startswith("all of them, last ")
    assert document("-C", installation, "show", second)["verified"].startswith("20")
    assert "verified  20" in run_gitsnap("-C", installation, "show", first).stdout


def test_how_old_the_oldest_proof_is(installation: Path) -> None:
    first, second = take_snapshot(installation), take_snapshot(installation)
    assert document("-C", installation, "show", second)["verified"] is None
    assert "verified  never" in run_gitsnap("-C", installation, "show", second).stdout
    run_gitsnap("-C", installation, "verify", first, second)
    proofs = sidecar_of(installation) / "gitsnap/verified"
    lines = proofs.read_text().splitlines()
    stamp = lines[0].split()[1]
    before = (datetime.fromisoformat(stamp) - timedelta(days=21)).isoformat()
    proofs.write_text("\n".join([lines[0].replace(stamp, before), *lines[1:]]) + "\n")
    assert said(installation, "verified").endswith(", the longest ago 21 days ago")


def test_changes_by_component(installation: Path) -> None:
    take_snapshot(installation)
    for n in range(30):
        (installation / f"config/more-{n}.ini").write_text("x")
    (installation / "modules/greet.sh").unlink()
    components = document("-C", installation, "status")["components"]
    assert {name: of["added"] + of["removed"] for name, of in components.items()} == {"config": 30, "modules": 1}
    assert components["config"]["grown_bytes"] == 30
    shown = run_gitsnap("-C", installation, "status").stdout
    assert [row.split()[:2] for row in shown.splitlines() if "config" in row or "modules" in row] == [
        ["config", "30"],
        ["modules", "·"],
    ]


def test_one_screen_at_worst(installation: Path, tmp_path: Path) -> None:
    for n in range(12):
        (installation / "n").write_text(str(n))
        take_snapshot(installation)
    for n in range(40):
        (installation / f"folder-{n}").mkdir()
        (installation / f"folder-{n}/\x1b[31mfile").write_text("x")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "gitsnap", "-C", installation.name, "status"]
    code, shown = on_terminal(command, cwd=tmp_path, env=environment)
    lines = shown.splitlines()
    assert code == 0
    assert len(lines) < 24
    # Paths are for copying, and never cut.
    assert max(len(row) for row in lines if not row.startswith(("installation", "sidecar"))) <= 80
    assert "\x1b" not in shown
    assert lines[-1].split()[-1] == "snapshot"


def test_an_interrupted_rollback_comes_first(installation: Path) -> None:
    take_snapshot(installation)
    (sidecar_of(installation) / "gitsnap/journal.forward").write_bytes(b"damaged")
    done = run_gitsnap("-C", installation, "status")
    assert "a rollback was interrupted" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "recovery      PENDING: a rollback was interrupted"
    assert [row.split(":")[1].split()[3:] for row in lines[-2:]] == [["recover"], ["recover", "--revert"]]
    spoken(run_gitsnap("-C", installation, "snapshot", check=False), 14)
