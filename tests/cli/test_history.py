"""`history`, `show UPGRADE` and the selectors of an upgrade's snapshots."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import a, a_count, a_moment, an_id, document, fields, or_null, refused
from tests.support.installation import REPOSITORY, run_gitsnap, take_snapshot


@pytest.fixture
def lived(installation: Path) -> Path:
    """An upgrade that was kept, one that was rolled back, a snapshot, and a restored path."""
    script = "echo 2 >release-2.0; echo x >>config/shop.ini; rm modules/greet.sh"
    run_gitsnap("-C", installation, "run", "--label", "two", "--", "sh", "-c", script, cwd=installation)
    broken = "echo 3 >release-3.0; exit 3"
    run_gitsnap("-C", installation, "run", "--label", "three", "--", "sh", "-c", broken, cwd=installation, check=20)
    first = take_snapshot(installation, "-m", "a rest")
    (installation / "current").unlink()
    run_gitsnap("-C", installation, "restore", first, "current")
    return installation


def test_document(lived: Path) -> None:
    found = document("-C", lived, "history")
    two, three, rest, back = found["history"]
    assert found["totals"] | {"store_bytes": 0} == {"upgrades": 2, "rollbacks": 2, "snapshots": 1, "store_bytes": 0}
    assert found["retention_policy"] == "keep the last 10"
    for entry in found["history"]:
        fields(entry, {"type": a(str), "id": an_id, "timestamp": a_moment, "label": a(str), "description": a(str)})
    wanted = {
        "status": a(str),
        "previous": or_null(an_id),
        "command": a(str),
        "pre": an_id,
        "post": an_id,
        "duration": a(float),
    }
    fields(two, wanted)
    assert (two["status"], two["exit_code"], two["previous"], two["rolled_back"]) == ("kept", 0, None, [])
    # config/shop.ini has a second name.
    counts = {"added": 1, "removed": 1, "modified": 2, "renamed": 0, "metadata": 0, "type": 0}
    assert two["files_changed"] == counts
    assert two["directories_changed"] == dict.fromkeys(counts, 0)
    assert two["components_updated"] == [".", "config", "modules"]
    assert (three["status"], three["exit_code"], three["previous"]) == ("rolled-back", 3, two["id"])
    assert an_id(three["rolled_back"][0]["safety_snapshot"])
    assert (rest["type"], rest["description"]) == ("snapshot", "a rest")
    assert (back["type"], back["target"], back["paths"]) == ("rollback", rest["snapshot"], 1)
    shown = document("-C", lived, "show", "three")
    assert shown == {"schema": 1, "pre_verified": True, **three}
    assert document("-C", lived, "show", two["id"])["id"] == two["id"]
    # The beginning of a snapshot's id means the snapshot, also where an upgrade's begins so.
    assert document("-C", lived, "show", two["pre"])["kind"] == "pre"
    assert a_count(document("-C", lived, "show")["files"])


def test_words(lived: Path) -> None:
    told = run_gitsnap("-C", lived, "history").stdout.splitlines()
    assert [re.split(r"  +", line)[1] for line in told[1:]] == ["kept", "rolled-back", "snapshot", "rollback"]
    assert told[2].endswith("(exit code 3)")
    shown = run_gitsnap("-C", lived, "show", "two").stdout
    assert "1 added, 1 removed, 2 modified" in shown
    back = re.search(r"Go back: +gitsnap (.*)", shown)
    assert back
    run_gitsnap(*back[1].split(), "--yes")
    assert document("-C", lived, "show", "two")["status"] == "reverted"
    assert (lived / "modules/greet.sh").exists()


def test_selectors(lived: Path) -> None:
    assert run_gitsnap("-C", lived, "cat", "three@post", "release-3.0").stdout == "3\n"
    assert "release-3.0" not in run_gitsnap("-C", lived, "ls", "latest@pre").stdout
    names = run_gitsnap("-C", lived, "diff", "--name-status", "two@pre", "two@post").stdout
    assert "A release-2.0" in names
    for selector in ("four@pre", "@pre", "two@now", "two@"):
        refused("-C", lived, "show", selector, code=1)


def test_an_empty_history(installation: Path) -> None:
    run_gitsnap("-C", installation, "init")
    assert document("-C", installation, "history")["history"] == []
    assert "gitsnap" in run_gitsnap("-C", installation, "history").stdout


def run_upgrade(app: Path, label: str, script: str, code: int = 0) -> None:
    run_gitsnap("-C", app, "run", "-q", "--label", label, "--", "sh", "-c", script, cwd=app, check=code)


def test_latest_is_what_stands(installation: Path) -> None:
    """What an upgrade left that failed and was rolled back is evidence, and no state that anybody wants back."""
    (installation / "VERSION").write_text("1\n")
    run_upgrade(installation, "two", "echo 2 >VERSION")
    run_upgrade(installation, "bad", "echo broken >VERSION; exit 1", 20)
    status = document("-C", installation, "status")
    assert status["latest"]["kind"] == "pre"
    assert not any(status["changes"].values())
    assert run_gitsnap("-C", installation, "cat", "latest", "VERSION").stdout == "2\n"
    assert run_gitsnap("-C", installation, "cat", "bad@post", "VERSION").stdout == "broken\n"
    for words in (["rollback", "latest", "--yes"], ["rollback", "--yes"], ["restore", "latest", "VERSION"]):
        run_gitsnap("-C", installation, *words)
        assert (installation / "VERSION").read_text() == "2\n"


def test_an_undone_rollback_leaves_the_upgrade_in_force(installation: Path) -> None:
    (installation / "VERSION").write_text("1\n")
    run_upgrade(installation, "two", "echo 2 >VERSION")

    def stands() -> tuple[str, str]:
        latest = document("-C", installation, "status")["latest"]["kind"]
        return document("-C", installation, "show", "two")["status"], latest

    assert stands() == ("kept", "post")
    run_gitsnap("-C", installation, "rollback", "--yes")
    assert stands() == ("reverted", "pre")
    run_gitsnap("-C", installation, "undo", "--yes")
    assert stands() == ("kept", "post")
    run_gitsnap("-C", installation, "redo", "--yes")
    assert stands() == ("reverted", "pre")
    run_gitsnap("-C", installation, "rollback", "two@post", "--yes")
    assert stands() == ("kept", "post")
    run_gitsnap("-C", installation, "restore", "two@pre", "VERSION")
    assert stands() == ("kept", "post")


def test_an_upgrade_undone_by_a_merge_is_reverted(installation: Path) -> None:
    """And stands again, where that is undone; one of which a conflict leaves a part is still there."""
    shop = installation / "config/shop.ini"
    change = "sed -i s/8080/80/ config/shop.ini; echo new >new"
    run_gitsnap("-C", installation, "run", "--label", "two", "--", "sh", "-c", change)

    def stands() -> str:
        return str(document("-C", installation, "show", "two")["status"])

    (installation / "mine").write_text("mine\n")
    run_gitsnap("-C", installation, "rollback", "--keep-edits", "-y")
    assert not (installation / "new").exists()
    assert (installation / "mine").exists()
    assert stands() == "reverted"
    after = take_snapshot(installation)
    run_gitsnap("-C", installation, "undo", "-y")
    assert stands() == "kept"
    run_gitsnap("-C", installation, "rollback", "-y", after)
    assert stands() == "reverted"
    run_gitsnap("-C", installation, "rollback", "-y", "two@post")
    assert stands() == "kept"
    shop.write_text("port = 8081\n")
    run_gitsnap("-C", installation, "rollback", "--keep-edits", "-y", check=13)
    assert stands() == "kept"


def test_the_ways_back_after_an_upgrade_are_told_apart(installation: Path) -> None:
    run_upgrade(installation, "two", "echo 2 >VERSION")
    (installation / "config/shop.ini").write_text("edited")
    said = run_gitsnap("-C", installation, "status").stdout
    assert re.search(r"Back to the latest: +gitsnap .*rollback latest\n", said)
    assert re.search(r"Before the upgrade: +gitsnap .*rollback\n", said)


def test_an_upgrade_tells_what_retention_removed(installation: Path) -> None:
    taken = [take_snapshot(installation, "--label", f"n{n}") for n in range(10)]
    done = run_gitsnap("-C", installation, "run", "--", "true")
    there = {s["id"] for s in document("-C", installation, "list")["snapshots"]}
    gone = [name for name in taken if name not in there]
    assert gone
    assert [name for name in taken if f"retention removed {name}: " in done.stderr] == gone


def test_what_undo_says_it_brought_back(installation: Path) -> None:
    first = take_snapshot(installation)
    (installation / "current").unlink()
    run_gitsnap("-C", installation, "restore", first, "current")
    assert run_gitsnap("-C", installation, "undo", "--yes").stdout.startswith("restored current to ")


def test_an_upgrade_under_way_is_told(installation: Path) -> None:
    first = take_snapshot(installation)
    inside = f"{sys.executable} -m gitsnap -C {installation}"
    script = f"{inside} status --json >status.json; {inside} rollback {first} --yes 2>own"
    outside = f"unset GITSNAP_UPGRADE; {inside} rollback {first} --yes 2>>foreign"
    command = ["sh", "-c", f"cd {installation.parent}; {script}; {outside}"]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    run_gitsnap("-C", installation, "run", "-q", "--", *command, env=environment)
    found = json.loads((installation.parent / "status.json").read_text())
    assert found["upgrade_under_way"] == document("-C", installation, "history")["history"][-1]["id"]
    assert "is under way" not in (installation.parent / "own").read_text()
    assert "is under way" in (installation.parent / "foreign").read_text()
    assert document("-C", installation, "status")["upgrade_under_way"] is None
