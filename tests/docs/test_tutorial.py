"""The tutorial's commands, run one after the other in one shell: they show what it says.

Times, ids, sizes of the sidecar and digests vary. With GITSNAP_UPDATE_TRANSCRIPTS=1 the tutorial is written anew from
what happens: look at the difference, then keep it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY

TUTORIAL = REPOSITORY / "docs/tutorial.md"
_BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of "
# Ids have seconds, and the second snapshot of one would show in its id.
_TAKES = re.compile(r"gitsnap.* (snapshot|restore|rollback --yes|rollback|undo)\b")
_VARIES = (
    (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", "<TIME>"),
    (r"(?m)^(@\d+ +<TIME>\S* +)\d\d-\d\d \d\d:\d\d +\d+[smh]\b", r"\1<AGE>"),
    (r"(?m)^\d{4}-\d\d-\d\d(?= )", "<DAY>"),
    (r"just now|\d+ \w+ ago", "<AGO>"),
    (r"\b\d+\.\d s\b", "<DURATION>"),
    (r"(?<=shop-)[0-9a-f]{12}(?=\.git)", "<HASH>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<MOMENT>"),
    (r"(?m)^(sidecar +|growth +)[\d.]+ k?B", r"\1<SIZE>"),
    (r"[\d.]+ [kM]?B (freed; the sidecar takes) [\d.]+ [kM]?B", r"<SIZE> \1 <SIZE>"),
)


def commands(text: str) -> list[str]:
    """What is typed, block by block: a whole `sh` block, or each line after a prompt."""
    out = []
    for kind, block in _BLOCK.findall(text):
        out += [block] if kind == "sh" else [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return out


def happens(typed: list[str], top: Path) -> list[str]:
    """What each command shows, stdout and stderr as they come."""
    script = [f'umask 022; gitsnap() {{ "{sys.executable}" -m gitsnap "$@"; }}', "exec 2>&1"]
    for number, command in enumerate(typed):
        wait = "sleep 1.05; " if _TAKES.search(command) else ""
        script += [f"{wait}{command}", f"echo '{_END}{number}'"]
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "TMPDIR")}
    ours = {"PYTHONPATH": str(REPOSITORY), "GITSNAP_HOME": str(top / "sidecars"), "XDG_CONFIG_HOME": str(top / "none")}
    env = clean | ours | {"HOME": str(top / "home"), "PAGER": "cat", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-e"], input="\n".join(script), cwd=top, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout.replace(str(top / "sidecars"), "/var/lib/gitsnap").replace(str(top), "/srv")
    return re.split(rf"{_END}\d+\n", shown)[:-1]


def written(text: str, shown: list[str]) -> str:
    """The tutorial with what its commands show now."""
    left = iter(shown)

    def block(match: re.Match[str]) -> str:
        if match[1] == "sh":
            assert next(left) == "", match[2]
            return match[0]
        lines = [line for line in match[2].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"{line}\n{next(left)}" for line in lines) + "```"

    return _BLOCK.sub(block, text)


def steady(text: str) -> str:
    for pattern, placeholder in _VARIES:
        text = re.sub(pattern, placeholder, text)
    return text


def test_what_it_says_is_what_happens(tmp_path: Path) -> None:
    text = TUTORIAL.read_text()
    now = written(text, happens(commands(text), tmp_path))
    if os.environ.get("GITSNAP_UPDATE_TRANSCRIPTS"):
        TUTORIAL.write_text(now)
    elif steady(now) != steady(text):
        before, after = steady(text).splitlines(), steady(now).splitlines()
        wrong = [f"{a!r}, but it shows {b!r}" for a, b in zip(before, after, strict=False) if a != b]
        pytest.fail("GITSNAP_UPDATE_TRANSCRIPTS=1 writes the tutorial anew.\n" + "\n".join(wrong), pytrace=False)
