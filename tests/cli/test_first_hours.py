"""What stopped people who saw gitsnap for the first time: said, asked or hidden where they were."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from gitsnap.cli.render.terminal import Terminal
from gitsnap.config.environment import Options
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot
from tests.support.terminal import on_terminal


@pytest.mark.parametrize("name", ["latest", "manual"])
def test_what_is_no_id_is_asked_about_on_a_terminal(installation: Path, name: str) -> None:
    there = take_snapshot(installation)
    command = [sys.executable, "-m", "gitsnap", "delete"]
    code, shown = on_terminal([*command, name], cwd=installation, env=os.environ, answer="n")
    assert (code, there in shown, "delete 1 snapshot?" in shown) == (130, True, True)
    assert there in run_gitsnap("-C", installation, "list").stdout
    # Its id says what is meant, and where nobody is there to ask, the words do.
    code, shown = on_terminal([*command, there], cwd=installation, env=os.environ)
    assert (code, "?" in shown) == (0, False)
    again = take_snapshot(installation)
    assert run_gitsnap("-C", installation, "delete", name).stdout == f"deleted {again}\n"


@pytest.mark.parametrize("option", ["--strict", "--semantic", "--word-diff"])
def test_what_is_no_patch_hides_secrets_in_a_pipe(installation: Path, option: str) -> None:
    secret, other = "password = hunter2-of-before\n", "password = hunter2-of-after\n"
    (installation / "notes.conf").write_text(secret)
    take_snapshot(installation)
    (installation / "notes.conf").write_text(other)
    assert "hunter2-of-after" in run_gitsnap("-C", installation, "diff").stdout
    told = run_gitsnap("-C", installation, "diff", option).stdout
    assert "notes.conf" in told
    assert "hunter2" not in told
    if option != "--strict":
        assert "hunter2-of-after" in run_gitsnap("-C", installation, "diff", option, "--show-secrets").stdout


def test_the_help_says_what_a_patch_holds(gitsnap_home: Path) -> None:
    assert "A patch in a pipe has them anyway" in " ".join(run_gitsnap("diff", "--help").stdout.split())


def test_what_retention_removed_can_come_back(installation: Path) -> None:
    (installation / ".gitsnap.toml").write_text("")
    home = run_gitsnap("-C", installation, "snapshot")
    for _ in range(10):
        (installation / "counter").write_text(os.urandom(4).hex())
        home = run_gitsnap("-C", installation, "snapshot")
    removed, back = [line for line in home.stderr.splitlines() if "retention removed" in line or "until a gc" in line]
    gone = removed.split()[2].rstrip(":")
    assert back == (
        f"  back, until a gc: gitsnap -C {installation} undelete {gone}; "
        f"what is to stay for good: gitsnap -C {installation} pin SNAPSHOT"
    )
    assert gone in run_gitsnap("-C", installation, "undelete", gone).stdout


def test_a_set_says_where_it_is_written(tmp_path: Path, gitsnap_home: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    done = run_gitsnap("set", "create", "shop", tmp_path / "a", tmp_path / "b")
    (written,) = [line for line in done.stderr.splitlines() if line.startswith("wrote ")]
    assert "shop" in Path(written.removeprefix("wrote ")).read_text()


def test_a_directory_around_a_protected_one(tmp_path: Path, gitsnap_home: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "srv" / name).mkdir(parents=True)
    take_snapshot(tmp_path / "srv/one")
    first = run_gitsnap("-C", tmp_path / "srv", "snapshot").stderr
    assert (
        f"{tmp_path}/srv/one inside has snapshots of its own, which go on; this one holds all of {tmp_path}/srv"
        in first
    )
    assert "snapshots of its own" not in run_gitsnap("-C", tmp_path / "srv", "snapshot").stderr
    # Beside it is not below it.
    (tmp_path / "srv/on").mkdir()
    assert "inside" not in run_gitsnap("-C", tmp_path / "srv/on", "snapshot").stderr


@pytest.mark.parametrize(("locale", "drawn"), [("C", False), ("POSIX", False), ("C.UTF-8", True), ("", True)])
def test_what_is_drawn_where_the_locale_is_none(locale: str, drawn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LC_ALL", locale), ("LC_CTYPE", ""), ("LANG", "")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert Terminal(Options()).draws("\u2587") == drawn
    assert Terminal(Options()).draws("#")


def test_what_waits_for_prune_after_a_clone(installation: Path, tmp_path: Path) -> None:
    run_gitsnap("-C", installation, "init")
    store = sidecar_of(installation)
    (store / "gitsnap.toml").write_text("[retention]\nkeep-last = 20\n")
    for n in range(13):
        (installation / "counter").write_text(str(n))
        take_snapshot(installation)
    new = tmp_path / "new"
    told = run_gitsnap("clone", store, new, home=tmp_path / "home-of-another").stderr
    (line,) = [line for line in told.splitlines() if "wait for `prune`" in line]
    assert line.startswith("4 snapshots wait for `prune`, as it is not known here by which rules they were kept:")
    assert f"gitsnap -C {new} prune -n shows them" in line
    assert "3 snapshots" in run_gitsnap("-C", new, "prune", check=1, home=tmp_path / "home-of-another").stderr


def test_the_name_of_an_upgrade_is_no_path(installation: Path) -> None:
    """However much a version in it looks like a file: what is told are its two snapshots."""
    take_snapshot(installation)
    run_gitsnap("-C", installation, "run", "--label", "to-2.0", "--", "true")
    for words in (["ls"], ["rollback", "-n"], ["diff"]):
        told = run_gitsnap("-C", installation, *words, "to-2.0", check=1).stderr
        assert "to-2.0@pre is the snapshot before it, to-2.0@post the one after it" in told, words


def test_two_snapshots_with_dots_between_them_lead_to_both(installation: Path) -> None:
    take_snapshot(installation)
    for typed, sides in (("@1..latest", "@1 latest"), ("HEAD...@1", "HEAD @1"), ("@1..", "@1")):
        told = run_gitsnap("-C", installation, "diff", typed, check=1).stderr
        assert told.splitlines()[1] == f"  gitsnap -C {installation} diff {sides}"


def test_an_undo_names_the_upgrades_that_it_reaches_back_over(installation: Path) -> None:
    """The rollback of an upgrade that failed is one as any; and the work since goes with it."""
    at = ["-C", installation]
    (installation / "one").write_text("1")
    take_snapshot(installation)
    run_gitsnap(*at, "run", "--label", "bad", "--check", "false", "--", "touch", installation / "bad", check=20)
    assert "from before" not in run_gitsnap(*at, "undo", "-n").stderr
    run_gitsnap(*at, "run", "--label", "good", "--", "touch", installation / "good")
    told = run_gitsnap(*at, "undo", "-n").stderr
    assert "is from before an upgrade that stands, and what it did goes, too: " in told
    assert told.rstrip().endswith("-good")
    code, shown = on_terminal([sys.executable, "-m", "gitsnap", "undo"], cwd=installation, env=os.environ, answer="n")
    assert (code, shown.index("goes, too: ") < shown.index("Go ahead?")) == (1, True)
    # What was taken away already does not go once more, not even where that rollback is forgotten.
    run_gitsnap(*at, "rollback", "good@pre", "--yes")
    run_gitsnap(*at, "delete", "@7")
    told = run_gitsnap(*at, "undo", "-n")
    assert ("good" in told.stdout, "bad" in told.stdout, "from before" in told.stderr) == (False, True, False)
    # Nor does anything with single paths.
    (installation / "one").write_text("changed")
    run_gitsnap(*at, "restore", "@1", installation / "one")
    run_gitsnap(*at, "run", "--label", "more", "--", "touch", installation / "more")
    assert "from before" not in run_gitsnap(*at, "undo", "-n").stderr
