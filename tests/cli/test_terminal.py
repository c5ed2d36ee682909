"""On a terminal: progress that leaves nothing behind, colours, questions, and Ctrl-C."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from gitsnap.cli.render import terminal
from tests.cli.helpers import an_id
from tests.support.installation import REPOSITORY, copy_tree, run_gitsnap, same_tree, sidecar_of, take_snapshot
from tests.support.terminal import cursor_is_visible, gitsnap_on_terminal, left_on_screen, on_terminal

_PROGRESS = re.compile(r"B/s")
# Longer to read than what `impatient` waits before progress is shown, also where nothing else is at work.
SIZE = 300_000_000


def show(app: Path, command: str, **more: object) -> tuple[int, str]:
    """Run a command line on a terminal, in which `gitsnap` is gitsnap on `app`."""
    script = f'gitsnap() {{ "{sys.executable}" -m gitsnap -C "{app}" "$@"; }}; {command}'
    return on_terminal(["bash", "-c", script], cwd=app.parent, env=environment(), **more)  # type: ignore[arg-type]


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "TERM")}
    return clean | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"} | more


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown after a hundredth of a second: for forks of this process."""
    monkeypatch.setattr(terminal, "_PATIENCE", 0.01)


def shown_of(app: Path, *words: str, **env: str) -> tuple[int, str]:
    """One command on a terminal, as a fork of this process."""
    return gitsnap_on_terminal("-C", str(app), *words, cwd=app.parent, env=environment(**env))


@pytest.fixture
def large(installation: Path) -> Path:
    """An application that is long to read; its large file has holes, so that it is quick to make."""
    with (installation / "large").open("wb") as file:
        file.truncate(SIZE)
    return installation


@pytest.mark.usefixtures("impatient")
def test_long_work_shows_progress_and_leaves_none(large: Path) -> None:
    code, shown = shown_of(large, "snapshot")
    assert code == 0
    assert _PROGRESS.search(shown)
    left = left_on_screen(shown)
    assert [an_id(line) for line in left] == [False, True, False]
    assert left[0].startswith("created the sidecar ")
    assert re.fullmatch(r"\d+ files, 300 MB \(all new\) in .*", left[2])
    assert cursor_is_visible(shown)
    code, shown = shown_of(large, "verify")
    assert (code, len(left_on_screen(shown)), cursor_is_visible(shown)) == (0, 1, True)
    (large / "large").unlink()
    for command, wanted in (
        ("rollback --yes", "restored the directory to "),
        ("restore latest --to copy", "restored "),
    ):
        code, shown = shown_of(large, *command.split())
        assert _PROGRESS.search(shown)
        assert left_on_screen(shown)[0].startswith(wanted)
        assert (code, cursor_is_visible(shown)) == (0, True)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["-q snapshot", "--json snapshot", "TERM=dumb snapshot"])
def test_no_progress_where_none_is_wanted(large: Path, command: str) -> None:
    words = command.removeprefix("TERM=dumb ").split()
    code, shown = shown_of(large, *words, **({"TERM": "dumb"} if words[0] == "snapshot" else {}))
    assert (code, "\x1b" in shown, _PROGRESS.search(shown)) == (0, False, None)


def test_ctrl_c_in_the_middle(large: Path) -> None:
    take_snapshot(large, "--label", "first")
    (large / "large").write_bytes(b"")
    with (large / "large").open("wb") as file:
        file.truncate(50_000_000_000)
    # Progress begins with hiding the cursor, whatever it says.
    code, shown = show(large, "gitsnap snapshot", press=b"\x03", when=b"\x1b[?25l")
    assert code == 130, shown
    left = [line.removeprefix("^C") for line in left_on_screen(shown)]
    assert [line for line in left if line] == [
        "gitsnap: interrupted",
        f"  gitsnap -C {large} status shows how things stand",
    ]
    assert cursor_is_visible(shown)
    assert os.listdir(sidecar_of(large) / "gitsnap/tmp") == []
    assert run_gitsnap("-C", large, "list").stdout.count("Z-") == 1


@pytest.fixture
def changed(installation: Path) -> Path:
    take_snapshot(installation)
    (installation / "config/shop.ini").write_text("changed\n")
    return installation


@pytest.mark.parametrize(
    ("pressed", "wanted"),
    [(b"y\n", 0), (b"YES\n", 0), (b"n\n", 1), (b"\n", 1), (b"yn\n", 1), (b"\x04", 1), (b"\x03", 130)],
)
def test_the_question(changed: Path, tmp_path: Path, pressed: bytes, wanted: int) -> None:
    before = copy_tree(changed, tmp_path / "before")
    code, shown = show(changed, "gitsnap rollback", press=pressed)
    assert code == wanted
    assert "config/shop.ini" in shown
    if wanted == 0:
        assert (changed / "config/shop.ini").read_text() != "changed\n"
    else:
        assert "Nothing was touched." in shown or "interrupted" in shown
        same_tree(before, changed)
        assert run_gitsnap("-C", changed, "list").stdout.count("Z-") == 1


def test_colours_are_for_terminals_that_want_them(changed: Path) -> None:
    assert "\x1b[33mM" in show(changed, "gitsnap status")[1]
    for command in ("gitsnap --no-color status", "NO_COLOR=1 gitsnap status", "TERM=dumb gitsnap status"):
        assert "\x1b" not in show(changed, command)[1]
    assert "\x1b" not in show(changed, "gitsnap status | cat")[1]


def test_a_script_on_a_terminal_gets_the_id_alone(changed: Path) -> None:
    code, shown = show(changed, 'id=$(gitsnap snapshot -q); echo "[$id]"; gitsnap show "$id" >/dev/null')
    assert code == 0
    assert an_id(shown.strip()[1:-1])


def test_names_cannot_take_over_the_terminal(changed: Path) -> None:
    for name in ("\x1b]0;title\x07", "\x1b[2Jcleared", "\x9b31m", "line\nbreak", "\u202eevil"):
        (changed / name).write_text("x")
    (changed / "config/shop.ini").write_text("\x1b]0;title\x07 \x1b[2J \x9b31m \u202e\n")
    for command in (
        "status",
        "diff",
        "diff --name-status",
        "rollback -n",
        "snapshot",
        "ls latest",
        "find *",
        "diff latest~1 latest",
    ):
        code, shown = shown_of(changed, "--no-color", *command.split(), GITSNAP_PAGER="cat")
        assert code == 0
        for forbidden in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
            assert forbidden not in shown, command


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_tables_fit_the_terminal(changed: Path, columns: int) -> None:
    take_snapshot(changed, "-m", "a message that is longer than any terminal is wide, " * 3, "--tag", "release")
    code, shown = show(changed, "gitsnap list; gitsnap log config/shop.ini", columns=columns)
    assert code == 0
    plain = re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= max(columns, 60)
