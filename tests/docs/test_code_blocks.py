"""Every block of code in the docs is of its language, and every gitsnap command in them one that gitsnap takes."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer._click.exceptions import ClickException

from gitsnap.cli.app import parse
from gitsnap.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if p.parent.name != "adr")])

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```\s*$", re.M | re.S)
_READERS = {"json": json.loads, "toml": tomllib.loads, "python": ast.parse}
_SHOWN = frozenset({"", "console", "ini", "make", "markdown", "text", "yaml", "sh"})
_ENDS = frozenset("|;&()<>") | {"&&", "||", "<<", ">>"}


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    for found in _BLOCK.finditer(text):
        yield found["language"], re.sub(f"^{found['indent']}", "", found["body"], flags=re.M)


def commands(language: str, body: str) -> Iterator[list[str]]:
    """The words of each gitsnap command at the beginning of a line of a block, up to where sh goes on."""
    start = r"\$ " if language == "console" else ""
    for line in re.sub(r"\\\n\s*", " ", body).splitlines():
        found = re.match(rf"{start}(?:sudo )?gitsnap (.*)", line)
        if not found:
            continue
        lexer = shlex.shlex(found[1], posix=True, punctuation_chars=True)
        lexer.wordchars += "@^,:%[]…"
        words = []
        for word in lexer:
            if word in _ENDS:
                break
            words.append(word)
        yield words


def wrong(words: list[str]) -> str | None:
    """What gitsnap's parser says against these words."""
    try:
        group, line = parse(words)
        arranged = line.arranged()
        with group.make_context("gitsnap", arranged) as above:
            rest = [*above._protected_args, *above.args]
            if rest:
                name, command, rest = group.resolve_command(above, rest)
                for parameter in command.params:
                    # What an option does to the session: here is none.
                    parameter.callback = None if parameter.name == "dry_run" else parameter.callback
                command.make_context(name, rest, parent=above).close()
    except ClickException as error:
        return error.format_message()
    except UsageError as error:
        return error.message
    except typer.Exit:
        # What --help and --version do.
        return None
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_blocks(document: Path) -> None:
    scripts = []
    for language, body in blocks(document.read_text(encoding="utf-8")):
        assert language in _SHOWN or language in _READERS, f"what is {language}?"
        if language in _READERS:
            _READERS[language](body)
        if language == "sh":
            scripts.append(body)
        if language in ("sh", "console"):
            complaints = [(" ".join(w), wrong(w)) for w in commands(language, body)]
            assert [c for c in complaints if c[1]] == []
    if scripts and (sh := shutil.which("bash")):
        # Each in a function of its own, so that one shell reads all of them.
        text = "\n".join(f"f{n}() {{\n:\n{body}\n}}" for n, body in enumerate(scripts))
        read = subprocess.run([sh, "-n"], input=text, text=True, capture_output=True, check=False)
        assert read.stderr == ""


def test_the_checker_finds_what_is_wrong() -> None:
    assert list(commands("console", "$ gitsnap -C app list | head\nno command\n$ ls\n")) == [["-C", "app", "list"]]
    assert list(commands("sh", "gitsnap run -m 'a b' \\\n    -- make && x")) == [["run", "-m", "a b", "--", "make"]]
    assert wrong(["-C", "app", "run", "-m", "a b", "--", "make", "--jobs"]) is None
    assert wrong(["--version"]) is None
    assert "No such option" in (wrong(["list", "--newest"]) or "")
    assert "no such command" in (wrong(["lst"]) or "")
    assert "requires" in (wrong(["snapshot", "-m"]) or "")
