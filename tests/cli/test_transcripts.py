"""Golden transcripts: what a person types and sees, replayed on a terminal of 80 columns.

A transcript (transcripts/*.txt) is a list of commands, each with what it shows:

    $ COMMAND       runs in a shell, in a directory that holds `app`, a small application
    y$ COMMAND      the same, answering the question that it asks with y
    [exit N]        how the command before ended, where that is not with 0
    % TEXT          a comment

What varies from run to run stands as <TIME>, <AGE>, <AGO>, <DURATION>, <SIZE>, <GROWTH>, <COMMIT>, <SHA256>, <DIR>,
<OWNER>, <VERSION>.
With GITSNAP_UPDATE_TRANSCRIPTS=1 the files are written anew from what happens: look at the difference, then keep it.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY
from tests.support.terminal import gitsnap_on_terminal, on_terminal

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
UPDATE = bool(os.environ.get("GITSNAP_UPDATE_TRANSCRIPTS"))
_PROMPT = re.compile(r"(?P<answer>[a-z]*)\$ (?P<command>.*)")

# In this order: what one replaces, no other sees.
_VARIES = (
    # What is cut off within an id.
    (r"\d{4}-\d\d-\d\dT[\d-]*…", "<TIME>…"),
    (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-[a-z]+)", r"<TIME>\1"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<TIME>"),
    (r"(?m)^(@\d+ +<TIME>\S* +)(?:\d\d-\d\d \d\d:\d\d +)?\d+[smhd]\b", r"\1<AGE>"),
    (r"(?<=daily )\d{4}-\d\d-\d\d|(?<=newest of )\d{4}-\d\d-\d\d", "<DAY>"),
    (r"just now|\d+ \w+ ago", "<AGO>"),
    (r"\b\d+\.\d s\b", "<DURATION>"),
    (r"(?<=app-)[0-9a-f]{12}(?=\.git)", "<HASH>"),
    (r"\b[0-9a-f]{64}\b", "<SHA256>"),
    (r"\b[0-9a-f]{40}\b", "<COMMIT>"),
    (r"(?m)^[0-9a-f]{7,10}(?= )", "<COMMIT>"),
    (r"(?m)^([-dlpcb][-rwxsStT]{9}) \S+ \S+", r"\1 <OWNER>"),
    (r"(?m)^(sidecar +)[\d.]+ k?B", r"\1<SIZE>"),
    # The metadata of the same tree is not of the same length, and so neither is what a snapshot adds.
    (r"(?m)^(growth +).*", r"\1<GROWTH>"),
    (r"[\d.]+ [kM]?B (freed; the sidecar takes) [\d.]+ [kM]?B", r"<SIZE> \1 <SIZE>"),
    (r"[\d,.]+ GB free", "<SIZE> free"),
    (r"[\d,.]+ [kMGT]?B are free", "<SIZE> are free"),
    # What was written just before it was read is read again: how much that is depends on how quick the machine is.
    (r"up to [\d,.]+ [kMGT]?B of \d+ files? to store", "up to <SIZE> to store"),
    (r"(?m)^(ok  (?:python|git) +)\d\S*$", r"\1<VERSION>"),
    (r"\(process \d+\)", "(process <NUMBER>)"),
)


@dataclass
class Step:
    """One command and what it showed."""

    comments: list[str]
    answer: str
    command: str
    shown: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join([*self.comments, f"{self.answer}$ {self.command}", *self.shown])


def parse(text: str) -> Iterator[Step]:
    """The steps of a transcript."""
    comments: list[str] = []
    step: Step | None = None
    for line in text.splitlines():
        match = _PROMPT.fullmatch(line)
        if line.startswith("% "):
            comments.append(line)
        elif match:
            if step:
                yield step
            step, comments = Step(comments, match["answer"], match["command"]), []
        elif step:
            step.shown.append(line)
    if step:
        yield step


def build(app: Path) -> None:
    """The application of the transcripts; everything about it is the same on every machine."""
    contents = {
        "bin/shop": "#!/bin/sh\n. modules/greet.sh\ngreet\n",
        "config/shop.ini": "currency = EUR\nport = 8080\n",
        "modules/cart.sh": "total() { echo $(($1 + $2)); }\n" * 40,
        "modules/greet.sh": 'greet() { echo "open"; }\n',
    }
    for name, text in contents.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)
        (app / name).chmod(0o755 if name.startswith("bin/") else 0o644)
    (app / "release-1.9").write_text("1.9\n")
    (app / "release-1.9").chmod(0o644)
    (app / "current").symlink_to("release-1.9")
    for path in [*app.rglob("*"), app]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (1_750_000_000, 1_750_000_000), follow_symlinks=False)


def environment(top: Path) -> dict[str, str]:
    """A plain environment: nobody's configuration, no colours, no progress, no pager."""
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR")}
    ours = {"PYTHONPATH": str(REPOSITORY), "GITSNAP_HOME": str(top / "sidecars"), "XDG_CONFIG_HOME": str(top / "none")}
    return clean | ours | {"TERM": "dumb", "PAGER": "cat", "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def snapshots(top: Path) -> list[str]:
    """The ids that there are."""
    found = [f.name for f in top.glob("sidecars/*/refs/gitsnap/snapshots/*")]
    for packed in top.glob("sidecars/*/packed-refs"):
        found += re.findall(r"refs/gitsnap/snapshots/(\S+)", packed.read_text())
    return found


# What a shell would make something of, beside words and quotes.
_SHELL = re.compile(r"[|&;<>$`*?~(){}\[\]#\\]")


def on_a_terminal(step: Step, top: Path) -> tuple[int, str]:
    """A command as bash runs it; a plain one of gitsnap, which need not be asked anything, without bash."""
    if step.command.startswith("gitsnap ") and not step.answer and not _SHELL.search(step.command):
        _, *words = shlex.split(step.command)
        return gitsnap_on_terminal(*words, cwd=top, env=environment(top))
    script = f'umask 022; gitsnap() {{ "{sys.executable}" -m gitsnap "$@"; }}; {step.command}'
    return on_terminal(["bash", "-c", script], cwd=top, env=environment(top), answer=step.answer or None)


def replay(step: Step, top: Path) -> list[str]:
    """Run one command; what it shows, with placeholders."""
    # Ids have seconds: a tie would show in them.
    newest = max(snapshots(top), default="")
    while newest[:20] >= time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime()):
        time.sleep(0.02)
    code, shown = on_a_terminal(step, top)
    assert "\x1b" not in shown
    too_long = [line for line in shown.splitlines() if len(line) > 80 and str(top) not in line and line[0] != "{"]
    assert not too_long, f"{step.command}: more than 80 columns: {too_long}"
    text = shown.replace(str(top), "<DIR>")
    for pattern, placeholder in _VARIES:
        text = re.sub(pattern, placeholder, text)
    return [line.rstrip() for line in text.splitlines()] + ([f"[exit {code}]"] if code else [])


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: p.stem)
def test_transcript(path: Path, tmp_path: Path) -> None:
    expected = path.read_text(errors="surrogateescape")
    build(tmp_path / "app")
    steps = [Step(s.comments, s.answer, s.command, replay(s, tmp_path)) for s in parse(expected)]
    happened = "\n\n".join(step.text().rstrip("\n") for step in steps) + "\n"
    if UPDATE:
        path.write_text(happened, errors="surrogateescape")
        return
    lines = difflib.unified_diff(
        expected.splitlines(), happened.splitlines(), f"{path.name}, as it should be", "as it is", lineterm=""
    )
    difference = "\n".join(lines)
    if difference:
        pytest.fail(f"GITSNAP_UPDATE_TRANSCRIPTS=1 writes the file anew.\n{difference}", pytrace=False)
