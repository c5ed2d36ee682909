"""What is left out: said by show, never touched by a rollback, and no way for an upgrade to hide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import copy_tree, run_gitsnap, same_tree, sidecar_of, take_snapshot


@pytest.fixture
def app(installation: Path) -> Path:
    """An application whose logs and cache are left out, the one by its own file, the other by configuration."""
    (installation / ".gitsnapignore").write_text("# not worth keeping\n*.log\n/cache/\n!keep.log\n")
    for name in ("app.log", "data/deep.log", "keep.log", "cache/entry", "uploads/picture", "data/cache/kept"):
        (installation / name).parent.mkdir(exist_ok=True)
        (installation / name).write_text("before\n")
    run_gitsnap("-C", installation, "init")
    (sidecar_of(installation) / "gitsnap.toml").write_text('[capture]\nexclude = ["/uploads/"]\n')
    return installation


def test_what_is_left_out_is_said(app: Path) -> None:
    assert "4 paths excluded" in run_gitsnap("-C", app, "init").stdout
    assert document("-C", app, "init")["excluded"] == ["app.log", "cache/", "data/deep.log", "uploads/"]
    taken = run_gitsnap("-C", app, "snapshot")
    assert "4 paths excluded" in taken.stderr
    shown = document("-C", app, "show")
    assert shown["excluded"] == ["app.log", "cache/", "data/deep.log", "uploads/"]
    told = run_gitsnap("-C", app, "show").stdout
    assert told.endswith("\nexcluded:\n  app.log\n  cache/\n  data/deep.log\n  uploads/\n")
    held = {e["path"] for e in document("-C", app, "ls", "-R", "latest")["entries"]}
    assert {"keep.log", "data/cache/kept", ".gitsnapignore"} <= held
    assert not {"app.log", "cache", "cache/entry", "uploads", "data/deep.log"} & held


def test_a_rollback_leaves_it_alone(app: Path, tmp_path: Path) -> None:
    take_snapshot(app)
    (app / "bin/shop").write_text("changed\n")
    for name in ("app.log", "cache/entry", "uploads/picture"):
        (app / name).write_text("since then\n")
    (app / "cache/new").write_text("since then\n")
    (app / "new.log").write_text("since then\n")
    (app / "data/deep.log").unlink()
    wanted = copy_tree(app, tmp_path / "wanted")
    steps = [s["path"] for s in document("-C", app, "rollback", "-n")["steps"]]
    assert set(steps) == {"bin/shop", "bin", "data", ""}
    assert document("-C", app, "rollback", "-y")["verified"] is True
    assert (app / "bin/shop").read_text() != "changed\n"
    for path in ("cache", "uploads"):
        same_tree(wanted / path, app / path)
    for path in ("app.log", "new.log"):
        assert (app / path).read_text() == "since then\n"
    assert not (app / "data/deep.log").exists()
    run_gitsnap("-C", app, "verify", "--live")


def test_it_is_no_difference(app: Path) -> None:
    take_snapshot(app)
    (app / "app.log").write_text("more\n")
    (app / "cache/more").write_text("more\n")
    assert document("-C", app, "diff", "--exit-code")["changes"] == []
    assert "as in the latest snapshot" in run_gitsnap("-C", app, "status").stdout
    run_gitsnap("-C", app, "verify", "--live")


@pytest.mark.parametrize("rules", ["*\n", "*\n!.gitsnapignore\n", "/bin/\n/modules/\n", "**/*\n/.gitsnapignore\n"])
def test_an_upgrade_cannot_hide_behind_an_ignore_file(installation: Path, tmp_path: Path, rules: str) -> None:
    take_snapshot(installation)
    before = copy_tree(installation, tmp_path / "before")
    (installation / ".gitsnapignore").write_text(rules)
    (installation / "bin/shop").write_text("broken\n")
    (installation / "modules/greet.sh").unlink()
    (installation / "config").rename(installation / "settings")
    assert document("-C", installation, "diff", "--exit-code", check=1)["changes"]
    broken = {p: (installation / p).read_bytes() for p in ("bin/shop", ".gitsnapignore")}
    found = document("-C", installation, "rollback", "-y")
    assert found["verified"] is True
    assert not (installation / ".gitsnapignore").exists()
    for path in before.rglob("*"):
        if path.is_file():
            assert (installation / path.relative_to(before)).read_bytes() == path.read_bytes()
    # Undoing the rollback is possible, too: what it replaced was kept safe whatever the upgrade's rules say.
    run_gitsnap("-C", installation, "rollback", found["safety_snapshot"], "-y")
    assert {p: (installation / p).read_bytes() for p in broken} == broken


def test_an_ignore_file_that_changed_is_the_targets_again(app: Path) -> None:
    take_snapshot(app)
    rules = (app / ".gitsnapignore").read_text()
    (app / ".gitsnapignore").write_text("*\n")
    (app / "bin/shop").write_text("broken\n")
    run_gitsnap("-C", app, "rollback", "-y")
    assert (app / ".gitsnapignore").read_text() == rules
    assert (app / "bin/shop").read_text() != "broken\n"
    assert (app / "app.log").read_text() == "before\n"


def test_a_snapshot_of_nothing_says_why(installation: Path) -> None:
    (installation / ".gitsnapignore").write_text("*\n")
    done = run_gitsnap("-C", installation, "snapshot")
    assert "0 files" in done.stderr
    assert "paths excluded" in done.stderr
