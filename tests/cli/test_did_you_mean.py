"""What is typed by mistake, and the command that is meant."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gitsnap.cli import app, did_you_mean, reference
from gitsnap.cli.app import parse
from gitsnap.core.errors import UsageError
from tests.cli.helpers import parsed
from tests.support.installation import run_gitsnap, take_snapshot


def _instead(typed: str) -> str | None:
    words = shlex.split(typed)
    group, line = parse(words)
    return did_you_mean.instead(line, group.commands.get(line.name))


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("snapshot hello", "snapshot -m hello"),
        ("snapshot before 2.0", "snapshot -m 'before 2.0'"),
        ("snapshot --tag x -m hello world", "snapshot --tag x -m 'hello world'"),
        ("snapshot --pin -- -x", "snapshot --pin -m -x"),
        ("snapshot create", "snapshot"),
        ("snapshot ls", "list"),
        ("snapshot delete old", "snapshot -m 'delete old'"),
        ("cat latest:conf/a", "cat latest conf/a"),
        ("cat :conf/a", "cat latest conf/a"),
        ("cat conf/a", "cat latest conf/a"),
        ("ls @3:conf -R", "ls -R @3 conf"),
        ("ls conf/", "ls latest conf/"),
        ("ls app.ini", "ls latest app.ini"),
        ("restore --salvage @3:a", "restore --salvage @3 a"),
        ("restore @2:a/b c", "restore @2 a/b c"),
        ("cat @7d:conf/a", "cat @7d conf/a"),
        ("cat @2026-11-23T04:26", None),
        ("cat @2026-11-23T04:26:20.5", None),
        ("restore '2026-11-23 04:26:20' a", None),
        ("ls 2026-11-23T04:26Z", None),
        ("ls 04:26", None),
        ("ls @4:26:20 conf", None),
        ("ls @3:12.log", "ls @3 12.log"),
        ("rollback to-2.0", None),
        ("ls libx.so.2", "ls latest libx.so.2"),
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
        ("-C / restore '' a", None),
        ("-C / rollback ''", None),
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


_WORDS = reference.words_of_others()
_SHOWN = [name for name, command in app.whole().commands.items() if not command.hidden]
# What takes snapshots, or their space, away for good or until somebody brings them back.
_REMOVING = {"delete", "prune", "purge", "gc"}
_ASKS_TO_REMOVE = re.compile("forget|rm|clean|rewrite")
# Commands of restic, borg, git, snapper, timeshift, etckeeper, apt and zfs, and what people look for.
_KNOWN_ELSEWHERE = """
    forget size space uninstall destroy upgrade backup commit save checkout revert protect create remove rm start
    update reset fsck check mount stats du usage unprotect snapshots dump info merge tag rename modify undochange
    export archive fetch send receive rewrite repair unlock compact extract break-lock umount reflog grep stash
    branch switch cherry-pick rebase install autoremove hold unhold clean enable disable stop exclude settings
    hooks quota copy
"""


@pytest.mark.parametrize("answer", sorted(set(_WORDS.values())))
def test_what_is_said_of_a_word_can_be_typed(answer: str) -> None:
    lines = re.findall("`(gitsnap [^`]+)`", answer)
    assert lines or "`.gitsnapignore`" in answer
    # What is an option of the program itself ends it as soon as it is parsed.
    commands = [parsed(line) for line in lines if not line.startswith("gitsnap --")]
    assert [line for line in lines if re.search(r" (-y|--yes|--force)\b", line)] == []
    named = {context.info_name for context in commands}
    if named & _REMOVING:
        assert any(_ASKS_TO_REMOVE.search(word) for word, said in _WORDS.items() if said == answer)
    assert [c for c in commands if c.info_name in ("prune", "purge") and not c.params["dry_run"]] == []
    assert "gc" not in named or "nothing brings back" in answer


def test_no_word_of_others_is_a_command_and_all_that_are_known_are_there() -> None:
    assert set(_WORDS).isdisjoint(app.whole().commands)
    assert [w for w in _KNOWN_ELSEWHERE.split() if w not in _WORDS] == []
    # Each stands once.
    section = next(s for s in reference.sections() if s.title == "Words of other tools")
    cells = [line.split(" | ")[0] for line in section.body.splitlines() if line.startswith("| `")]
    assert sorted(re.findall("`([^`]+)`", " ".join(cells))) == sorted(_WORDS)


def test_no_action_is_told_for_its_opposite() -> None:
    of_timers, of_remotes = ("list", "install", "remove"), ("list", "add", "remove")
    meanings = {
        "remove": "uninstall disable stop off del delete rm forget remvoe",
        "list": "status show ls lsit",
    }
    for actions in (of_timers, of_remotes):
        for meaning, words in meanings.items():
            assert {did_you_mean.action(word, actions) for word in words.split()} == {meaning}
    assert [did_you_mean.action(word, of_timers) for word in ("enable", "add", "instal", "frob", "")] == [
        "install",
        "install",
        "install",
        None,
        None,
    ]
    assert did_you_mean.action("create", of_remotes) == "add"


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("rolback", ["rollback"]),
        ("roll", ["rollback"]),
        ("LIST", ["list"]),
        ("rest", ["restore"]),
        ("prun", ["prune"]),
        ("recove", ["recover"]),
        ("ro", []),
        ("", []),
        ("image", []),
        ("average", []),
        ("history!", ["history"]),
    ],
)
def test_a_slip_and_no_more_is_told_as_one(typed: str, near: list[str]) -> None:
    assert did_you_mean.alike(typed, _SHOWN) == near


def test_a_word_that_is_no_command(gitsnap_home: Path) -> None:
    def said(*words: str, code: int = 2) -> list[str]:
        done = run_gitsnap(*words, check=code)
        return (done.stderr or done.stdout).splitlines()

    answer = said("forget")
    assert answer[0] == "gitsnap: no such command 'forget'"
    assert answer[1].startswith("  `gitsnap delete SNAPSHOT` removes one")
    assert said("help", "forget", code=0) == [f"forget: {answer[1].strip()}"]
    assert said("-C", "/srv", "DU")[1].startswith("  `gitsnap -C /srv status` says what snapshots take on disk")
    assert said("snapshto")[1] == "  gitsnap snapshot --help"
    assert said("nosuch")[1] == "  gitsnap --help"
    # Options that are commands elsewhere.
    assert said("--list")[1] == "  gitsnap list --help"
    assert said("--create", "x")[1].startswith("  `gitsnap snapshot -m TEXT`")


@pytest.mark.parametrize(("typed", "hint"), [("log", "history"), ("ls", "list"), ("undelete", "list --deleted")])
def test_what_is_missing_is_told_where_to_find(typed: str, hint: str, gitsnap_home: Path) -> None:
    assert f"`gitsnap {hint}`" in run_gitsnap(typed, check=2).stderr


def test_an_error_of_this_kind_is_one_of_usage() -> None:
    with pytest.raises(UsageError, match="no such command 'x'"):
        app.whole().resolve_command(app.whole().make_context("gitsnap", ["list"]), ["x"])
