"""What is typed by mistake, and the command that is meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gitsnap.cli import meant
from gitsnap.cli.app import parse
from tests.support.installation import run_gitsnap, take_snapshot


def _instead(typed: str) -> str | None:
    words = shlex.split(typed)
    group, line = parse(words)
    return meant.instead(line, group.commands.get(line.name))


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("snapshot hello", "snapshot -m hello"),
        ("snapshot before 2.0", "snapshot -m 'before 2.0'"),
        ("snapshot --tag x -m hello world", "snapshot --tag x -m 'hello world'"),
        ("snapshot --pin -- -x", "snapshot --pin -m -x"),
        ("cat latest:conf/a", "cat latest conf/a"),
        ("cat :conf/a", "cat latest conf/a"),
        ("cat conf/a", "cat latest conf/a"),
        ("ls @3:conf -R", "ls -R @3 conf"),
        ("ls conf/", "ls latest conf/"),
        ("ls app.ini", "ls latest app.ini"),
        ("restore --salvage @3:a", "restore --salvage @3 a"),
        ("restore @2:a/b c", "restore @2 a/b c"),
        ("rollback conf/a", "restore latest conf/a"),
        ("run -- 'make && make install'", "run -- sh -c 'make && make install'"),
        ("run --check 'test -f a' 'make | tee log'", "run --check 'test -f a' -- sh -c 'make | tee log'"),
        ("run -- 'make install'", "run -- make install"),
        ("run -- 'A=1 make'", "run -- sh -c 'A=1 make'"),
        ("run A=1 make -j2", "run -- env A=1 make -j2"),
        ("run -- 'cd src'", "run -- sh -c 'cd src'"),
        ("run cd src", "run -- sh -c 'cd src'"),
        ("""run -- "it's" """, None),
        ("""run -- "it's here" """, """run -- sh -c 'it'"'"'s here'"""),
        ("run nosuch -x", None),
        ("ls nosuch", None),
        ("show nosuch", None),
        ("rollback latest~1..", None),
        ("nosuch x", None),
        ("list", None),
    ],
)
def test_a_command_that_comes_close(typed: str, instead: str | None) -> None:
    assert _instead(typed) == (instead and f"gitsnap {instead}")


@pytest.mark.parametrize("command", ["snapshot", "list", "status"])
def test_a_directory_where_none_is_taken(command: str, tmp_path: Path) -> None:
    assert _instead(f"{command} {tmp_path}") == f"gitsnap -C {tmp_path} {command}"


def test_what_is_told(installation: Path) -> None:
    """The sentence stays; what is typed next is in the place that was named."""
    take_snapshot(installation)
    (installation / "modules").mkdir(exist_ok=True)
    told = {}
    for typed in (["ls", "modules"], ["restore", "modules"], ["snapshot", "hello"], ["run", "--", "a && b"]):
        done = run_gitsnap("-C", installation, *typed, check=False)
        assert done.returncode in (1, 2)
        told[typed[0]] = done.stderr.splitlines()
    at = f"  gitsnap -C {installation}"
    assert told["ls"] == ["gitsnap: there is no snapshot 'modules'", f"{at} ls latest modules"]
    assert told["restore"][1] == f"{at} restore latest modules"
    assert told["snapshot"][1] == f"{at} snapshot -m hello"
    assert told["run"][1] == f"{at} run -- sh -c 'a && b'"


@pytest.mark.parametrize("typed", ["drill --check", "snapshot -m", "run --label", "list --last x"])
def test_a_mistake_in_an_option_leads_to_the_help_of_its_command(typed: str, gitsnap_home: Path) -> None:
    done = run_gitsnap(*shlex.split(typed), check=2)
    assert done.stderr.splitlines()[1] == f"  gitsnap {typed.split()[0]} --help"
