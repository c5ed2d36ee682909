"""The reference names what the code has: kinds of errors, exit codes, commands and their options."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import gitsnap.cli
from gitsnap.cli.app import whole
from gitsnap.core import errors

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
TEXT = (REFERENCE / "commands.md").read_text()
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


@cache
def group() -> Any:
    """The application with every command that any module registers, whoever loads it."""
    for module in pkgutil.walk_packages(gitsnap.cli.__path__, "gitsnap.cli."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            # What only an extra brings; no command is registered there.
            assert module.name == "gitsnap.cli.agents", module.name
            assert (error.name or "").startswith(("anyio", "mcp")), error.name
    return whole()


def commands(*, hidden: bool = False) -> dict[str, Any]:
    return {name: command for name, command in group().commands.items() if command.hidden is hidden}


def options(command: Any) -> list[str]:
    """Every spelling of every option that is shown."""
    shown = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    return [spelling for p in shown for spelling in (*p.opts, *p.secondary_opts)]


def sections() -> dict[str, str]:
    """What stands under each heading, by each word of the heading."""
    heading, *parts = re.split(r"(?m)^## (.+)\n", TEXT)
    found: dict[str, str] = {"": heading}
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        for word in (title, *title.split()):
            found[word] = found.get(word, "") + body
    return found


def named(text: str) -> set[str]:
    """The options that a text speaks of."""
    return set(OPTION.findall(text))


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


def test_the_program_has_every_command_that_a_module_registers() -> None:
    """In a process that has loaded no more than the program itself does."""
    ask = "run(['--help']); print(json.dumps(sorted(c.name for c in app.registered_commands)))"
    code = f"import json; from gitsnap.__main__ import run; from gitsnap.cli.app import app; {ask}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == sorted(group().commands)
    assert len(commands()) > 30


def test_every_command_has_a_section_and_stands_in_the_overview() -> None:
    overview = sections()[""]
    assert [name for name in commands() if name not in sections()] == []
    assert [name for name in commands() if not re.search(rf"\[[^]]*\b{name}\b[^]]*\]\(#", overview)] == []
    assert [name for name in commands(hidden=True) if f"`{name}" not in sections()["Aliases"]] == []


def test_the_overview_and_the_help_have_one_order() -> None:
    heads, _, cells = (re.split(r" *\| *", line.strip("| ")) for line in sections()[""].splitlines() if line[:1] == "|")
    shown = subprocess.run([sys.executable, "-m", "gitsnap", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    found = {}
    for head, body in re.findall(r"(?m)^(To .+):\n((?:  .+\n)+)", shown):
        found[head] = re.findall(r"(?m)^  (\S+)", body)
    told = [re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", cell).replace(" and ", ", ").split(", ") for cell in cells]
    assert found == dict(zip(heads, told, strict=True))
    assert list(found) == heads


def test_every_option_is_in_the_section_of_its_command() -> None:
    known = {name: named(sections().get(name, "")) for name in commands()}
    assert [f"{name} {o}" for name, c in commands().items() for o in options(c) if o not in known[name]] == []
    general = named(sections()["Global options"])
    assert [o for o in options(group()) if o not in general] == []


def test_every_option_that_a_synopsis_shows_exists() -> None:
    """The indented lines under a heading are what people type."""
    anywhere = {*options(group()), "-h", "--help"}
    wrong = []
    for name, command in commands().items():
        synopsis, more = [], False
        for line in sections()[name].splitlines():
            more = line.startswith(f"    gitsnap {name}") or (more and line.startswith("     "))
            synopsis += [line.partition(" -- ")[0]] if more else []
        assert synopsis, f"{name} has no synopsis"
        if name != "git":
            wrong += [f"{name} {o}" for o in named("\n".join(synopsis)) - {*options(command), *anywhere}]
    assert wrong == []
