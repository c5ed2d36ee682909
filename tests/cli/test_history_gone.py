"""`history` and `show` of what retention or somebody removed, and of checks: both by the audit log."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import gitsnap
from tests.cli.helpers import document, refused
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


@pytest.fixture
def lived(installation: Path) -> Path:
    """An upgrade whose check failed, one that was kept, and three snapshots; then all but the last one are removed."""
    script = "echo 2 >release-2.0; echo x >>config/shop.ini"
    check = ("--check", "true", "--check", "echo why; exit 9")
    run_gitsnap(
        "-C", installation, "run", "--label", "two", *check, "--", "sh", "-c", script, cwd=installation, check=20
    )
    run_gitsnap("-C", installation, "run", "--label", "three", "--", "sh", "-c", script, cwd=installation)
    for number in range(3):
        take_snapshot(installation, "-m", f"number {number}")
    return installation


def prune(installation: Path) -> None:
    # The newest that was verified stays otherwise.
    run_gitsnap("-C", installation, "verify")
    run_gitsnap("-C", installation, "prune", "--keep-last", "1", "--yes")


def rows(installation: Path) -> list[tuple[str, ...]]:
    """What history says that a removal must not change."""
    return [
        (e["type"], e["id"], e["label"], e["timestamp"], e.get("status", ""), str(e.get("failure")), e["description"])
        for e in document("-C", installation, "history")["history"]
    ]


def test_what_is_gone_stays_in_its_place(lived: Path) -> None:
    before, changed = rows(lived), document("-C", lived, "history")["history"][1]["files_changed"]
    assert len(before) == 5
    prune(lived)
    run_gitsnap("-C", lived, "gc")
    assert len(document("-C", lived, "list")["snapshots"]) == 4
    found = document("-C", lived, "history")
    assert rows(lived) == before
    two, three, first, *_, last = found["history"]
    assert (two["status"], three["status"]) == ("rolled-back", "kept")
    assert three["files_changed"] == changed
    assert changed["added"] == 1
    for episode in (three, first):
        removals = episode["gone"].values()
        assert removals
        assert all(r["action"] == "prune" and r["user"] for r in removals)
    assert three["pre"] in three["gone"]
    assert three["way_back"] is three["changelog"] is None
    assert last["gone"] == {}
    assert found["totals"]["upgrades"] == 2
    shown = run_gitsnap("-C", lived, "history").stdout
    assert len(re.findall(r"\[gone since \d{4}-", shown)) >= 2
    assert "[gone" not in shown.splitlines()[-1]


def test_an_upgrade_that_is_gone_is_shown(lived: Path) -> None:
    prune(lived)
    shown = run_gitsnap("-C", lived, "show", "three").stdout
    assert re.search(r"before +\S+-three-pre.* \(gone since .*, prune by ", shown), shown
    assert "audit --upgrade" in shown
    assert "Go back" not in shown
    refused("-C", lived, "show", "four", code=1)
    # Nobody can go there, and nothing pretends so.
    refused("-C", lived, "rollback", "three@pre", "--yes", code=1)
    refused("-C", lived, "changelog", "three", code=1)


def test_a_damaged_or_a_missing_log_costs_no_history(lived: Path) -> None:
    prune(lived)
    left = [s["id"] for s in document("-C", lived, "list")["snapshots"]]
    log = next((sidecar_of(lived) / "gitsnap/audit").iterdir())
    text = log.read_bytes()
    for wrong in (text.replace(b'"kind"', b'"kinD"'), text[:-200], b"\xff\n" + text, text.replace(b"[{", b'[7,{"')):
        log.write_bytes(wrong)
        assert document("-C", lived, "history")["history"][-1]["id"] in left
    shutil.rmtree(log.parent)
    assert document("-C", lived, "history")["history"][-1]["id"] in left


def test_checks_are_told_with_the_end_of_what_they_printed(lived: Path) -> None:
    two = document("-C", lived, "history")["history"][0]
    assert [(c["check"], c["ok"], c["output"]) for c in two["checks"]] == [
        ("true", True, ""),
        ("echo why; exit 9", False, "why\n"),
    ]
    assert two["failed_check"] == "echo why; exit 9"
    shown = run_gitsnap("-C", lived, "show", "two").stdout
    assert re.search(
        r"check +true passed\n +check +echo why; exit 9 FAILED: it exited with 9|check +true passed", shown
    )
    assert "FAILED: it exited with 9" in shown
    assert "| why" in shown
    assert document("-C", lived, "show", "two")["checks"] == two["checks"]


def test_the_document_has_what_the_old_one_had(lived: Path) -> None:
    """Numeric retention, a changelog, the way back, and the version of what managed it."""
    (sidecar_of(lived) / "gitsnap.toml").write_text('[retention]\nkeep-last = 7\nkeep-within = "2d"\n')
    found = document("-C", lived, "history")
    assert found["retention"] == {
        "keep_last": 7,
        "keep_hourly": None,
        "keep_daily": None,
        "keep_weekly": None,
        "keep_monthly": None,
        "keep_yearly": None,
        "keep_within": 172800.0,
    }
    assert found["manager_version"] == gitsnap.__version__
    three = found["history"][1]
    assert three["manager_version"] == gitsnap.__version__
    assert three["way_back"] == f"gitsnap -C {lived} rollback {three['id']}@pre"
    run_gitsnap(*three["changelog"].split()[1:])
    run_gitsnap(*three["way_back"].split()[1:], "--yes")
    assert not (lived / "release-2.0").exists()


def test_one_that_somebody_deleted_by_itself(lived: Path) -> None:
    post = document("-C", lived, "history")["history"][1]["post"]
    run_gitsnap("-C", lived, "delete", post)
    three = document("-C", lived, "history")["history"][1]
    assert list(three["gone"]) == [post]
    assert three["gone"][post]["action"] == "delete"
    assert three["way_back"]
    assert three["changelog"] is None
    assert f"only {three['pre']} is left" in run_gitsnap("-C", lived, "history").stdout
