"""The reference names what the code has: kinds of errors, exit codes, commands."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from gitsnap.__main__ import main  # noqa: F401 - loads what registers the commands
from gitsnap.cli import aliases, change, look, recovery  # noqa: F401
from gitsnap.cli.app import app
from gitsnap.core import errors

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"


def test_every_kind_of_error_is_in_the_table() -> None:
    source = "\n".join(p.read_text() for p in (ROOT / "gitsnap").rglob("*.py"))
    kinds = set(re.findall(r'\bkind ?= ?"([a-z-]+)"', source))
    assert {"integrity", "no-space", "half-applied"} <= kinds
    table = set(re.findall(r"`([a-z-]+)`", (REFERENCE / "json.md").read_text()))
    assert kinds - table == set()


def test_every_exit_code_has_a_row() -> None:
    codes = {v.exit_code for v in vars(errors).values() if isinstance(v, type) and hasattr(v, "exit_code")}
    rows = set(map(int, re.findall(r"(?m)^\| (\d+) \|", (REFERENCE / "exit-codes.md").read_text())))
    assert codes - rows == set()


def test_every_command_has_a_section_and_stands_in_the_overview() -> None:
    group = typer.main.get_command(app)
    names = {name for name, command in group.commands.items() if not command.hidden}  # type: ignore[attr-defined]
    text = (REFERENCE / "commands.md").read_text()
    overview = text[: text.index("## Global options")]
    sections = {word for heading in re.findall(r"(?m)^## (.+)$", text) for word in heading.split()}
    assert {"undo", "recover"} <= names
    assert names - sections == set()
    assert {n for n in names if f"(#{n})" not in overview and n not in overview} == set()
