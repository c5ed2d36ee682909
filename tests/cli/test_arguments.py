"""Which words are global options and which are a command's own: its signature and its settings say so."""

from __future__ import annotations

import pytest

from gitsnap.cli.app import parse
from gitsnap.cli.arguments import in_place, take_apart
from gitsnap.core.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "arranged"),
    [
        ("list --json -C app", "--json -C app list"),
        ("-q list --store=s -Capp -vq", "-q --store=s -Capp -vq list"),
        ("snapshot -m --json --label -C -q", "-q snapshot -m --json --label -C"),
        ("search x -- a --json", "search x --path=a --path=--json"),
        ("diff --stat -C app -- b", "-C app diff --stat --path=b"),
        ("ls latest -- -C", "ls latest -- -C"),
        ("run --label -q -v ls --json", "-v run --label -q -- ls --json"),
        ("run --check -C -- ls -C x", "run --check -C -- ls -C x"),
        ("run -C app --watch -- --json", "-C app run --watch -- --json"),
        ("git log --json -C app -- x", "git log --json -C app -- x"),
        ("-C app git -C other", "-C app git -C other"),
        ("no-such --json", "--json no-such"),
        ("--json", "--json"),
        ("", ""),
    ],
)
def test_what_is_arranged(typed: str, arranged: str) -> None:
    assert parse(typed.split())[1].arranged() == arranged.split()


@pytest.mark.parametrize(
    ("typed", "json"),
    [
        ("list --json", True),
        ("--json run ls", True),
        ("run --check true --json ls", True),
        ("run --events - ls --json", False),
        ("run --check --json ls", False),
        ("snapshot -m --json", False),
        ("git log --json", False),
        ("diff -- --json", False),
        ("no-such --json", True),
    ],
)
def test_whether_errors_are_for_a_program(typed: str, json: bool) -> None:
    assert parse(typed.split())[1].json is json


@pytest.mark.parametrize("typed", ["-C", "list -C", "run --store", "--json list --lock-wait"])
def test_a_value_that_is_not_there(typed: str) -> None:
    with pytest.raises(UsageError, match=f"{typed.split()[-1]} needs"):
        parse(typed.split())[1].arranged()


def test_what_cannot_be_loaded_is_taken_apart_all_the_same() -> None:
    line = take_apart(["-C", "a", "list", "--store", "s", "--json"])
    assert (line.name, line.json, line.placing) == ("list", True, ["-C", "a", "--store", "s"])


@pytest.mark.parametrize(
    ("hint", "placed"),
    [
        ("gitsnap list", "gitsnap -C 'a b' list"),
        ("`gitsnap prune -n` shows, `gitsnap prune --yes` removes", None),
        ("gitsnap restore S --salvage --to DIR (into an empty one)", None),
        ("gitsnap import --pristine --label VERSION DIR", None),
        ("gitsnap config components", None),
        ("gitsnap run -- COMMAND", None),
        ("gitsnap run --help", "gitsnap run --help"),
        ("gitsnap --store s list", "gitsnap --store s list"),
        ("gitsnap reads none of it", "gitsnap reads none of it"),
    ],
)
def test_a_hint_that_can_be_pasted(hint: str, placed: str | None) -> None:
    assert in_place(hint, ["-C", "a b"]) == (placed or hint.replace("gitsnap ", "gitsnap -C 'a b' "))
    assert in_place(hint, []) == hint


def test_clone_names_its_directory_itself() -> None:
    hint = "`gitsnap clone URL /srv/app` brings it back, `gitsnap list` shows it"
    assert in_place(hint, ["-C", "a"]) == hint.replace("gitsnap list", "gitsnap -C a list")
