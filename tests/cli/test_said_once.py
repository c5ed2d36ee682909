"""What is said where several parts have something to say: once, with the right count, and so that it can be typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


def test_a_moved_directorys_hint_can_be_typed(installation: Path, tmp_path: Path) -> None:
    """The sidecar goes by the new name: the `--store` that was typed leads nowhere any more."""
    take_snapshot(installation)
    store, moved = sidecar_of(installation), tmp_path / "moved here"
    installation.rename(moved)
    told = run_gitsnap("-C", moved, "--store", store, "init")
    assert not store.exists()
    assert "has its snapshots again" in told.stderr
    hint = told.stdout.partition("Next: gitsnap ")[2]
    assert "--store" not in hint
    run_gitsnap(*shlex.split(hint))
    assert len(document("-C", moved, "list")["snapshots"]) == 2


def test_a_sidecar_elsewhere_is_named_again(installation: Path, tmp_path: Path) -> None:
    store, moved = tmp_path / "elsewhere.git", tmp_path / "moved"
    run_gitsnap("-C", installation, "--store", store, "snapshot")
    installation.rename(moved)
    told = run_gitsnap("-C", moved, "--store", store, "init").stdout
    assert f"--store {store} snapshot" in told


def test_an_upgrade_that_stands_again(installation: Path) -> None:
    """It was kept although it failed, undone by hand, and that was undone: each is told."""
    change = 'rm "$GITSNAP_DIR"/release-1.9; exit 3'
    run_gitsnap("-C", installation, "run", "--label", "two", "--on-failure", "keep", "--", "sh", "-c", change, check=3)
    assert "was kept, although the command exited with 3" in run_gitsnap("-C", installation, "status").stdout

    def types() -> list[str]:
        return [e["type"] for e in document("-C", installation, "history")["history"]]

    run_gitsnap("-C", installation, "rollback", "-y", "two@pre")
    assert types() == ["upgrade"]
    assert "undone" in (told := run_gitsnap("-C", installation, "show", "two").stdout)
    assert "brought back since" not in told
    run_gitsnap("-C", installation, "undo", "-y")
    assert types() == ["upgrade", "rollback", "rollback"]
    assert "brought back since" in run_gitsnap("-C", installation, "show", "two").stdout


@pytest.mark.parametrize(
    ("options", "command", "why"),
    [
        ((), "exit 3", "exit code 3"),
        ((), "kill -TERM $$", "the command was ended by SIGTERM"),
        (("--timeout", "0.2"), "sleep 60", "the command took longer than 0.2 s"),
        (("--check", "exit 4"), "true", "the check 'exit 4' exited with 4"),
    ],
)
def test_why_an_upgrade_failed(installation: Path, options: tuple[str, ...], command: str, why: str) -> None:
    run_gitsnap("-C", installation, "run", *options, "--", "sh", "-c", command, check=20)
    history = run_gitsnap("-C", installation, "history").stdout
    assert history.endswith(f" ({why})\n")
    head = run_gitsnap("-C", installation, "changelog").stdout.splitlines()[1]
    assert head.endswith(why.replace("exit code 3", "rolled-back, the command exited with 3"))
    assert "exit code" not in head
