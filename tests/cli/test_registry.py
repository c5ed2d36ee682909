"""A command is its module: nothing else names it, and nothing else is loaded for it."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gitsnap
from gitsnap.cli import app, commands, registry

_SOURCE = Path(gitsnap.__file__).parent
_MODULES = [found.name for found in pkgutil.iter_modules(commands.__path__)]

_NEW = '''
from typing import Annotated
import typer
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import PathsAfterDashes
from gitsnap.core.errors import UsageError

@command(group=Group.KEEP, order=15)
def greet(
    context: typer.Context,
    name: Annotated[str, typer.Argument()],
    word: Annotated[str, typer.Option("--word")] = "hello",
    path: PathsAfterDashes = None,
) -> None:
    """Greet somebody."""
    if not path:
        raise UsageError("no path", hint="`gitsnap say-hello NAME -- PATH`; gitsnap say-hello --help")
    context.obj.out.document({"told": [name, word, path, context.obj.options.json, context.obj.command]})
'''


def _registered_by(module: str) -> list[str | None]:
    path = importlib.import_module(f"gitsnap.cli.commands.{module}").__name__
    return [c.name for c in app.app.registered_commands if c.callback and c.callback.__module__ == path]


@pytest.mark.parametrize("module", [m for m in _MODULES if m != "aliases"])
def test_a_module_is_one_command_of_its_name(module: str) -> None:
    assert _registered_by(module) == [registry.name_of(module)]
    assert not app.whole().commands[registry.name_of(module)].hidden


def test_the_old_names_are_not_shown() -> None:
    assert all(app.whole().commands[name].hidden for name in _registered_by("aliases"))


def test_what_a_function_asks_for_is_evaluated_once() -> None:
    """The parser evaluates what is text again and again, which takes longer than all that `list` does."""
    app.whole()
    functions = [app.options, *(c.callback for c in app.app.registered_commands if c.callback)]
    assert len(functions) > 40
    assert [f.__name__ for f in functions for asked in f.__annotations__.values() if isinstance(asked, str)] == []


def test_no_two_commands_have_one_place_in_the_help() -> None:
    app.whole()
    places = [place for place in app._places.values() if place[0] is not None]
    assert sorted(set(places), key=str) == sorted(places, key=str)


def test_no_list_elsewhere_names_commands() -> None:
    """Neither a collection in the code that all commands share, nor a choice in a pattern, nor the import contracts."""
    names = {*registry.names(), *_MODULES}
    shared = [_SOURCE / "__main__.py", *(_SOURCE / "cli").glob("*.py")]
    wrong = []
    for file in shared:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.Set, ast.List, ast.Tuple)):
                words = [e.value for e in node.elts if isinstance(e, ast.Constant)]
            elif isinstance(node, ast.Dict):
                words = [k.value for k in node.keys if isinstance(k, ast.Constant)]
            elif isinstance(node, ast.ImportFrom):
                words = [a.name for a in node.names] if node.module == "gitsnap.cli.commands" else []
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "|" in node.value:
                words = re.findall(r"[\w-]+", node.value)
            else:
                continue
            if len(names.intersection(words)) > 1:
                wrong.append(f"{file.name}:{node.lineno} {words}")
    assert wrong == []
    contracts = (_SOURCE.parent / "pyproject.toml").read_text()
    assert [m for m in _MODULES if f"gitsnap.cli.commands.{m}" in contracts] == ["aliases"]


def _run(words: list[str], package: Path | None = None) -> tuple[int, str, str, list[str]]:
    """Exit code, stdout, stderr, and the commands whose modules were loaded."""
    code = (
        "import sys, gitsnap.cli.commands as c\n"
        f"c.__path__.extend({[str(package)] if package else []!r})\n"
        "from gitsnap.__main__ import run\n"
        f"code = run({words!r})\n"
        "sys.stdout.flush()\n"
        "print('\\n' + ' '.join(m for m in sys.modules if m.startswith(c.__name__ + '.')))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    out, _, loaded = done.stdout.rstrip("\n").rpartition("\n")
    return done.returncode, out, done.stderr, [m.rpartition(".")[2] for m in loaded.split()]


def test_a_new_command_is_a_module_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "say_hello.py").write_text(_NEW)
    code, out, err, loaded = _run(["say-hello", "you", "--word", "-C", "--json", "--", "a", "--json"], tmp_path)
    assert (code, err, loaded) == (0, "", ["say_hello"])
    assert json.loads(out)["told"] == ["you", "-C", ["a", "--json"], True, "say-hello"]
    _, out, _, _ = _run(["--help"], tmp_path)
    assert re.search(r"To keep:\n  snapshot .*\n  say-hello +Greet somebody\.\n  init ", out)
    code, _, err, _ = _run(["say-hello", "-C", "there", "you"], tmp_path)
    assert code == 2
    assert err.splitlines()[1:] == ["  `gitsnap -C there say-hello NAME -- PATH`; gitsnap say-hello --help"]
    assert "'say-hello'" in _run(["say-helo"], tmp_path)[2]


@pytest.mark.parametrize("words", [["list"], ["-C", ".", "import"], ["git", "--help"], ["run", "--json"]])
def test_a_command_loads_no_other(words: list[str]) -> None:
    loaded = _run(words)[3]
    assert [registry.name_of(m) for m in loaded] == [w for w in words if w in registry.names()]


@pytest.mark.parametrize("name", ["__init__", "import_", "aliases", "create_backup", "../app", "config.py", "", "List"])
def test_what_is_no_command_is_none(name: str) -> None:
    code, _, err, _ = _run([name])
    assert code == 2
    assert err.startswith(f"gitsnap: no such command '{name}'")


def test_the_help_of_all_is_that_of_all() -> None:
    assert "rollback" in _run(["--help", "list"])[1]
