"""No control of a name, a message, a command or a ref reaches a terminal, whichever command shows it."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from gitsnap.cli.render import formatting
from gitsnap.cli.render import json as documents
from gitsnap.cli.render.terminal import Terminal, visible
from gitsnap.config.environment import Options
from gitsnap.core.errors import UsageError
from tests.support.installation import REPOSITORY, build_app, run_gitsnap, sidecar_of
from tests.support.terminal import gitsnap_on_terminal

# A title, a blink, a bell, a C1 introducer, direction marks, what is not seen: none of them ever ours.
EVIL = "\x1b]0;PWNED\x07\x1b[5m\x9b5m\u202e\u2066\u200f\u061c\u200b"
_RAW = re.compile("\x1b\\]|\x1b\\[5m|[\x07\x80-\x9f\u202e\u2066\u200f\u061c\u200b]")
NAME = f"n {EVIL}.ini"


def show(app: Path, *commands: str) -> str:
    """What a terminal shows of these. `$EVIL` and `$NAME` stand for both."""
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "PAGER", "LESS")}
    env |= {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", "GITSNAP_PAGER": "cat"}
    shown = []
    for command in commands:
        words = [w.replace("$EVIL", EVIL).replace("$NAME", NAME) for w in shlex.split(command)]
        shown.append(gitsnap_on_terminal("-C", str(app), *words, cwd=app.parent, env=env)[1])
    return "".join(shown)


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / f"app {EVIL}")
    (app / NAME).write_text(f"a = {EVIL}\n")
    os.symlink(EVIL, app / "link")
    (app / f"d{EVIL}").mkdir()
    (app / f"d{EVIL}" / "x").write_text("x\n")
    (app / ".gitsnapignore").write_text("*.skip\n")
    (app / f"s{EVIL}.skip").write_text("x\n")
    run_gitsnap("-C", app, "snapshot", "-m", f"m {EVIL}\nsecond {EVIL}")
    script = f'true; : "{EVIL}"; echo b >"n"*.ini; mv "d"*/x moved'
    run_gitsnap("-C", app, "run", "-m", f"u {EVIL}", "--label", "up", "--", "sh", "-c", script, cwd=app)
    (app / NAME).write_text(f"c = {EVIL}\n")
    return app


def test_no_command_passes_them_on(app: Path) -> None:
    commands = (
        "list", "show latest", "show latest~1", "show up", "show x", "status", "history", "changelog", "doctor",
        "changelog --format md", "ls -R latest", "find '*.ini'", "log n*.ini", "log -p 'n*.ini'", "diff", "diff --stat",
        "diff --name-status", "diff --name-status -z", "diff --semantic", "diff up@pre up@post --word-diff",
        "search a", "verify --live", "rollback -n", "restore latest 'n nothing' -n",
        "prune -n --keep-last 1", "snapshot -m \"$EVIL\"", "list --json", "status --json", "changelog --json",
        "ls --json latest", "ls latest \"$NAME\"", "log \"$NAME\"", "log -p \"$NAME\"", "blame \"$NAME\"",
        "show \"$EVIL\"", "\"$EVIL\"", "list \"--$EVIL\"", "rollback --yes", "import \"$EVIL\"", "config components",
        "run -- \"$EVIL\"", "run -- sh -c ': \"$1\"; exit 3' sh \"$EVIL\"", "run --events - -- true \"$EVIL\"",
    )  # fmt: skip
    shown = show(app, *commands)
    # Nobody is there to be asked.
    shown += run_gitsnap("-C", app, "rollback", check=2).stderr
    found = _RAW.search(shown)
    assert found is None, shown[max(0, found.start() - 300) : found.end() + 100]
    assert shown.count("PWNED") > 40


def test_refs_and_damage(app: Path) -> None:
    store = sidecar_of(app)
    for ref in (
        "refs/gitsnap/snapshots/2026-01-01T00-00-00Z-\x9b5m\u202e",
        "refs/gitsnap/pins/\x1b[5m\x07",
        "refs/x\x9b5m",
    ):
        path = store / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("damaged\n")
    with open(store / "config", "a") as file:
        file.write(f'[evil "{EVIL}"]\n\turl = {EVIL}\n')
    shown = show(app, "list", "verify --all", "doctor", "status", "gc", "git version")
    found = _RAW.search(shown)
    assert found is None, shown[max(0, found.start() - 300) : found.end() + 100]


def test_the_one_door(capsys: pytest.CaptureFixture[str]) -> None:
    out = Terminal(Options(color=True))
    out._color = True
    out.line(f"\n{out.style('ok', 'green')} {EVIL}\x1b[31mred\x1b[0m\nforged: yes\tno\udc9b\r")
    out.remark(EVIL)
    out.lines([EVIL])
    shown = capsys.readouterr()
    assert shown.out.startswith("\n\x1b[32mok\x1b[0m \\x1b]0;PWNED")
    assert not _RAW.search(shown.out + shown.err)
    assert "\\x1b[31mred\\x1b[0m\\nforged: yes\tno\\x9b\\r" in shown.out
    assert shown.out.count("\x1b") == 2


def test_what_is_shown_already_stays() -> None:
    for text in ("plain", "a\tb", "a \\x1b b", "Ünïcode 日本 👩\u200d👩", "\n\nNext: x"):
        assert visible(text) == text


def test_json_says_the_same_to_every_reader() -> None:
    document = {"path": EVIL + "\U000e0041", "plain": "Ü 日本\n\t", "raw": "\udcff"}
    text = documents.encode(document).decode()
    assert not _RAW.search(text)
    assert json.loads(text) == document | {"raw": "\ufffd"}
    assert "Ü 日本" in text
    assert formatting.unambiguous('"\U000e0041"') == '"\\udb40\\udc41"'


def test_an_endless_word_does_not_fill_the_screen() -> None:
    word = "x" * 5000
    told = formatting.failure(UsageError(f"no such command '{word}'", hint=f"gitsnap -C {word} list"))
    assert len(told) < 250
    assert told.startswith("gitsnap: no such command 'xxx")
    assert told.endswith(" list\n")
    # A path may be as long as one can be.
    path = "/".join(["x" * 255] * 16)
    assert path in formatting.failure(UsageError(f"{path} is not there"))
