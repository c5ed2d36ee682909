"""What `--help` says, and where it has it from: the reference and the parser, each of which knows the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gitsnap.cli import app, reference
from gitsnap.core import errors
from tests.cli.helpers import parsed, refused, run_gitsnap
from tests.support.installation import REPOSITORY

_SHOWN = [name for name, command in app.whole().commands.items() if not command.hidden]
_EXIT_CODES = set(map(int, re.findall(r"(?m)^\| (\d+) \|", reference.page("exit-codes.md"))))


def _commands(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("#")]


_EXAMPLES = [line for section in reference.sections() for line in _commands(section.examples)]


@pytest.mark.parametrize("line", _EXAMPLES)
def test_an_example_is_what_the_parser_takes(line: str) -> None:
    assert parsed(line).info_name in _SHOWN


def test_a_wrong_example_would_be_seen() -> None:
    for line in ("gitsnap list --no-such", "gitsnap no-such", "gitsnap rollback a b", "gitsnap verify -C"):
        with pytest.raises(Exception, match=r"(?i)no such|unexpected|assert|needs|requires"):
            parsed(line)


@pytest.mark.parametrize("name", _SHOWN)
def test_a_command_has_examples_of_itself_and_exit_codes(name: str) -> None:
    found = reference.section(name)
    assert found is not None
    assert 1 <= len([line for line in _commands(found.examples) if re.search(rf"\bgitsnap\b.* ?{name}\b", line)]) <= 4
    assert found.examples[0].startswith("# ")
    assert len(found.prose.strip().splitlines()) >= 1
    codes = found.exits.codes
    assert set(codes) <= _EXIT_CODES
    assert 0 in codes or found.exits.besides == "git's own"
    # A sentence between two codes would be taken for what the first of them means.
    assert [said for said in codes.values() if not said or re.search(r"\. [A-Z]", said)] == []


@pytest.mark.parametrize("name", _SHOWN)
def test_the_help_has_what_the_reference_has(name: str) -> None:
    section, command = reference.section(name), app.whole().commands[name]
    assert section is not None
    shown = command.get_help(type(_TOP)(command, info_name=name, parent=_TOP))
    assert max(map(len, shown.splitlines())) <= 80
    ways = section.synopsis(name)
    assert ways
    usage = " ".join(shown.partition("\n\n")[0].split())
    assert usage == "Usage: " + " ".join(part for way in ways for part in way)
    assert "Examples:\n" + "\n".join(f"  {line}" for line in section.examples) in shown
    codes = shown.partition("\nExit codes:\n")[2].partition("\n\n")[0]
    assert [int(c) for c in re.findall(r"(?m)^ {2} *(\d+)  ", codes)] == list(section.exits.codes)
    said = " ".join(codes.split())
    assert [m for m in section.exits.codes.values() if " ".join(reference.plain(m).split()) not in said] == []


_TOP = app.whole().make_context("gitsnap", ["list"])


def test_the_help_of_all_says_how_to_begin_and_all_exit_codes() -> None:
    shown = app.whole().get_help(_TOP)
    listed = shown.partition("Exit codes: ")[2].partition(".\n")[0]
    assert set(map(int, re.findall(r"\b(\d+)\s", listed))) == _EXIT_CODES
    assert {v.exit_code for v in vars(errors).values() if hasattr(v, "exit_code")} <= _EXIT_CODES
    examples = shown.partition("\nExamples:\n")[2]
    assert {"run", "snapshot", "diff", "rollback", "restore"} <= set(examples.split())
    assert 3 <= len(re.findall("(?m)^  gitsnap ", examples)) <= 5


def test_help_is_another_name(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return run_gitsnap(*words, home=tmp_path).stdout

    assert said("help") == said("--help") == said("-C", "nowhere", "help")
    assert said("help", "run") == said("run", "--help") == said("help", "run", "--json")
    # Whose own --help is git's.
    assert said("help", "git").startswith("Usage: gitsnap git")
    assert said("help", "remote", "add") == said("remote", "-h")
    assert said("-V") == said("--version") != ""


def test_help_for_what_there_is_not(tmp_path: Path) -> None:
    said = refused("help", "rolback", home=tmp_path, code=2)
    assert said.splitlines()[0] == "gitsnap: no such command 'rolback'. Did you mean 'rollback'?"


def test_the_text_is_read_for_help_alone(tmp_path: Path) -> None:
    """Starting must not become slower for it."""
    script = "import sys; from gitsnap.__main__ import run; run({!r}); print('gitsnap.cli.reference' in sys.modules)"
    for words, read in ((["list"], "False"), (["list", "--help"], "True")):
        done = subprocess.run(
            [sys.executable, "-c", script.format(words)], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == read
