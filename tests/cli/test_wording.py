"""What people are told: the real error first, names in full where there is room, and no contradictions."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gitsnap.cli.render import restore
from gitsnap.cli.render.terminal import Terminal
from gitsnap.config.environment import Options
from gitsnap.core.model import Problem
from gitsnap.core.plan import Action, RestorePlan, Step
from gitsnap.ops.restore.result import Restored
from tests.cli.helpers import document, refused
from tests.support.inprocess import Protected
from tests.support.installation import REPOSITORY, run_gitsnap, take_snapshot
from tests.support.processes import gitsnap_as_user
from tests.support.terminal import on_terminal


def test_rollback_without_a_terminal_names_the_real_error(installation: Path) -> None:
    refused("-C", installation, "rollback", code=10, kind="no-sidecar")
    take_snapshot(installation)
    told = refused("-C", installation, "rollback", "nope", code=1, kind="no-such-snapshot")
    assert "no snapshot 'nope'" in told
    assert "no terminal" in refused("-C", installation, "rollback", code=2, kind="usage")


def give(*paths: Path) -> None:
    for path in paths:
        os.chown(path, 65534, 65534, follow_symlinks=False)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """An installation with what an ordinary user cannot read, and a place for its sidecar."""
    if os.geteuid() != 0:
        pytest.skip("only root can become an ordinary user")
    top = Path(subprocess.check_output(["mktemp", "-d", "/tmp/gitsnap-test-XXXXXX"], text=True).strip())
    app, home = top / "app", top / "home"
    for name in ("open", "closed", "shut/f"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_bytes(b"x")
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(app / "sock"))
    give(top, home, app, *app.rglob("*"))
    return top


def test_init_names_what_a_snapshot_will_not_hold(where: Path) -> None:
    app, home = where / "app", where / "home"
    (app / "closed").chmod(0)
    (app / "shut").chmod(0)
    code, _, told = gitsnap_as_user("-C", app, "init", home=home)
    assert code == 0
    assert "2 paths cannot be captured: a snapshot would end with exit code 3:" in told
    assert "closed: Permission denied" in told
    assert "shut: Permission denied" in told
    assert "the socket sock will be skipped" in told
    assert gitsnap_as_user("-C", app, "snapshot", home=home)[0] == 3
    # The same paths are not to be read now; the rest is as it was.
    code, out, _ = gitsnap_as_user("-C", app, "status", home=home)
    assert code == 3
    assert "The directory is as in the latest snapshot, as far as it can be read." in out
    subprocess.run(["rm", "-rf", "--", where], check=True)


def test_what_was_not_verified_is_not_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app").mkdir()
    with Protected(tmp_path / "app", tmp_path / "home") as place:
        taken = place.take().snapshot
    plan = RestorePlan([Step(Action.METADATA, b"f", None, None)])
    result = Restored(taken, plan, applied=True, verified=True, incomplete=[Problem(b"f", "owner")])
    restore.restored(Terminal(Options()), result, [], None)
    assert "all else verified" in capsys.readouterr().out
    result.incomplete = []
    restore.restored(Terminal(Options()), result, [], None)
    out = capsys.readouterr().out
    assert ", verified\n" in out
    assert "else" not in out


def test_one_file_for_both_streams_keeps_the_order(installation: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as both:
        command = [sys.executable, "-m", "gitsnap", "-C", installation, "snapshot"]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        subprocess.run(command, stdout=both, stderr=both, env=environment, check=True)
    lines = log.read_text().splitlines()
    assert lines[0].startswith("created the sidecar")
    assert lines[1].endswith("Z-manual")
    assert "20 files" in lines[2]


def test_status_folds_a_directory_whose_sibling_sorts_in_between(installation: Path) -> None:
    for name in ("empty/a/b", "empty/c"):
        (installation / name).mkdir(parents=True)
    (installation / "empty.txt").write_text("x")
    take_snapshot(installation)
    subprocess.run(["rm", "-r", installation / "empty"], check=True)
    (installation / "empty.txt").write_text("y")
    lines = run_gitsnap("-C", installation, "status").stdout.splitlines()
    assert [line.strip() for line in lines if "empty" in line] == ["D empty/  (and 3 paths in it)", "M empty.txt"]


def test_long_paths_fit_the_terminal_and_are_whole_in_a_pipe(installation: Path, tmp_path: Path) -> None:
    take_snapshot(installation)
    name = "start-" + "long" * 40 + "-end"
    (installation / name).write_text("x")
    assert f"  A {name}\n" in run_gitsnap("-C", installation, "status").stdout
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "dumb"}
    command = [sys.executable, "-m", "gitsnap", "-C", "app", "status"]
    _, shown = on_terminal(command, cwd=tmp_path, env=environment)
    (line,) = [line for line in shown.splitlines() if line.startswith("  A ")]
    assert len(line) == 80
    assert line.startswith("  A start-long")
    assert line.endswith("-end")
    assert "…" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("list -C", "-C needs a directory"),
        ("-C", "-C needs a directory"),
        ("list --store", "--store needs a path"),
        ("list --lock-wait", "--lock-wait needs a number of seconds"),
        ("--bogus list", "no such option: --bogus\n"),
        ("--jsno list", "no such option: --jsno (Possible options: --json)\n"),
        ("diff --stat --name-status", "--stat does not go with --name-status"),
    ],
)
def test_usage(gitsnap_home: Path, words: str, told: str) -> None:
    assert told in refused(*words.split(), code=2, kind="usage")


def test_hints(installation: Path) -> None:
    (installation / ".gitsnapignore").write_text("*.key\n")
    done = run_gitsnap("-C", installation, "snapshot")
    assert f"(gitsnap -C {installation} show names them)" in done.stderr
    told = refused("-C", installation, "diff", "--", "nope", code=1, kind="no-such-path")
    assert f"`gitsnap -C {installation} find GLOB` looks for names" in told
    rows = run_gitsnap("-C", installation, "find", "*.sh").stdout.splitlines()
    assert len({row.index("2") for row in rows}) == 1


@pytest.mark.parametrize("noun", ["a symlink", "a directory"])
def test_an_ignore_file_that_is_none_is_remarked(installation: Path, noun: str) -> None:
    path = installation / ".gitsnapignore"
    path.symlink_to("bin/shop") if noun == "a symlink" else path.mkdir()
    for command in ("init", "snapshot"):
        told = run_gitsnap("-C", installation, command).stderr
        assert f".gitsnapignore is {noun}, not a file: nothing is excluded by it" in told
        assert document("-C", installation, command)


def test_a_question_without_a_message_names_the_snapshot_alone(installation: Path, tmp_path: Path) -> None:
    name = take_snapshot(installation)
    (installation / "new").write_text("x")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "dumb"}
    command = [sys.executable, "-m", "gitsnap", "-C", "app", "rollback"]
    code, shown = on_terminal(command, cwd=tmp_path, env=environment, answer="n")
    assert code == 1
    assert f"Back to {name}:\n" in shown
