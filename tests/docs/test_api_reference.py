"""The reference of the Python API is what the docstrings say, these say all, and the examples do what they say."""

from __future__ import annotations

import ast
import builtins
import inspect
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gitsnap
from gitsnap.cli.app import whole
from packages import api_reference

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/api.md"


def _documented() -> dict[str, Any]:
    found: dict[str, Any] = dict(api_reference.functions())
    for handle in (gitsnap.Installation, gitsnap.Guard):
        found |= {f"{handle.__name__}.{n}": m for n, m in api_reference.methods(handle).items()}
    return found


DOCUMENTED = _documented()


def test_the_page_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text() == api_reference.page(), "`make api` makes it anew"


@pytest.mark.parametrize("name", [n for n, f in DOCUMENTED.items() if inspect.isfunction(f)])
def test_a_docstring_says_all(name: str) -> None:
    told = api_reference.text_of(DOCUMENTED[name])
    signature = inspect.signature(DOCUMENTED[name])
    if "contextmanager" in inspect.getsource(DOCUMENTED[name]).partition("def ")[0]:
        return
    assert list(told.args) == [p for p in signature.parameters if p != "self"]
    assert told.returns
    for error in told.raises:
        known = getattr(gitsnap, error) if error in gitsnap.__all__ else getattr(builtins, error)
        assert issubclass(known, Exception)
    assert told.raises


def test_every_name_is_on_the_page() -> None:
    text = PAGE.read_text()
    lacking = [n for n in gitsnap.__all__ if f"### {n}\n" not in text and f"| `{n}`" not in text]
    lacking = [n for n in lacking if f"### gitsnap.{n}\n" not in text and f"## {n}\n" not in text]
    # The name of a type in annotations alone.
    assert lacking == ["Environment"]
    assert set(gitsnap.__all__) <= set(dir(gitsnap))
    assert (ROOT / "gitsnap/py.typed").exists()


def test_every_command_has_a_counterpart_or_a_reason() -> None:
    commands = {name for name, command in whole().commands.items() if not command.hidden}
    assert set(api_reference.COUNTERPARTS) == commands | {"git"}
    there = {*api_reference.functions(), *DOCUMENTED, "Guard"}
    for command, names in api_reference.COUNTERPARTS.items():
        assert names, command
        assert isinstance(names, str) or set(names) <= there, command
    named = {n for names in api_reference.COUNTERPARTS.values() if not isinstance(names, str) for n in names}
    # What is the handle's own.
    own = {"path", "store", "environ", "settings", "sidecar"}
    assert {n for n in DOCUMENTED if n.startswith("Installation.")} - named == {f"Installation.{n}" for n in own}


def test_the_api_neither_prints_nor_asks_nor_reads_the_environment() -> None:
    for file in (ROOT / "gitsnap/api").glob("*.py"):
        tree = ast.parse(file.read_text())
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        of_os = {
            n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) in ("os", "sys")
        }
        imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & {"print", "input"}, file
        assert not of_os & {"environ", "getenv", "environb", "stdin", "stdout", "stderr"}, file
        assert not any(m.startswith(("gitsnap.cli", "typer", "rich")) for m in imported), file


def test_errors_know_their_exit_codes() -> None:
    errors = [c for c in api_reference.classes().values() if issubclass(c, gitsnap.GitsnapError)]
    assert len(errors) > 15
    assert {e.exit_code for e in errors} >= {1, 2, 3, 10, 11, 12, 14, 15, 20, 21, 130}


@pytest.fixture
def example(installation: Path) -> Callable[..., Any]:
    """Calls the function of an example that has its name."""

    def call(name: str, *arguments: object) -> Any:
        return runpy.run_path(str(ROOT / f"docs/examples/{name}.py"))[name](installation, *arguments)

    return call


def test_examples(example: Callable[..., Any], installation: Path, tmp_path: Path) -> None:
    assert sorted(p.stem for p in (ROOT / "docs/examples").glob("*.py")) == [
        "copy_elsewhere",
        "look_back",
        "step_by_step",
        "upgrade",
    ]
    assert example("look_back") == {}
    assert example("step_by_step") == ["settings"]
    assert not (installation / "settings").exists()
    assert example("upgrade", "2.0") is gitsnap.Outcome.KEPT
    assert list(example("look_back").values()) == ["kept"]
    there = tmp_path / "copies.git"
    assert "copies.git" in example("copy_elsewhere", str(there), tmp_path / "old")
    subprocess.run(["git", "init", "-q", "--bare", there], check=True)
    assert example("copy_elsewhere", str(there), tmp_path / "old") == ""
    assert (tmp_path / "old/config").is_dir()
    assert not (tmp_path / "old/version").exists()


def test_an_upgrade_that_fails_its_check(example: Callable[..., Any], installation: Path) -> None:
    (installation / "version").write_text("1.0\n")
    # As a pattern it does not match itself.
    assert example("upgrade", "2.0$") is gitsnap.Outcome.ROLLED_BACK
    assert (installation / "version").read_text() == "1.0\n"
