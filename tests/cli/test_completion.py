"""What the shells are answered, and that asking leaves no trace."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitsnap.cli.shells import words
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from tests.support.inprocess import Protected
from tests.support.installation import run_gitsnap, take_snapshot

pytestmark = pytest.mark.usefixtures("gitsnap_home")


def answer(*typed: str | Path, cwd: Path | None = None, shell: str = "fish") -> list[str]:
    done = run_gitsnap("__complete", shell, *typed, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def offered(*typed: str | Path, cwd: Path | None = None) -> list[str]:
    kind, *lines = answer(*typed, cwd=cwd)
    assert kind == "words"
    return [line.partition("\t")[0] for line in lines]


def test_commands_and_their_options() -> None:
    shown = offered("")
    assert {"run", "snapshot", "rollback", "list"} <= set(shown)
    assert "create-backup" not in shown
    assert offered("roll") == ["rollback"]
    assert {"--dry-run", "--yes", "--component", "--json", "--store"} <= set(offered("rollback", "--"))
    assert "--show-completion" in offered("--")
    assert offered("-v", "rollback", "--dr") == ["--dry-run"]


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        (("run", "--on-failure", ""), ["rollback", "keep", "ask"]),
        (("changelog", "--format="), ["--format=md", "--format=json", "--format=text"]),
        (("rollback", "--running-databases", "r"), ["refuse"]),
        (("import", "x", "--layout", ""), ["tree", "claudio"]),
        (("remote", ""), ["list", "add", "remove"]),
        (("remote", "add", "x", "y", "--secrets", ""), ["refuse", "allow", "encrypt"]),
        (("bundle", "c"), ["create"]),
        (("config", "c"), ["components"]),
        (("config", "components", "p"), ["preset"]),
        (("--show-completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_choices(typed: tuple[str, ...], choices: list[str]) -> None:
    assert offered(*typed) == choices


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (("-C", ""), "directories"),
        (("list", "--store", ""), "directories"),
        (("restore", "latest", "--to", ""), "directories"),
        (("run", "--events", ""), "files"),
        (("clone", ""), "files"),
        (("git", "log", ""), "files"),
        (("run", "--", "ca"), "command 2"),
        (("run", "--label", "x", "--", "cat", "f"), "command 4"),
        (("run", "cat", "f"), "command 1"),
    ],
)
def test_what_is_not_ours(typed: tuple[str, ...], kind: str) -> None:
    assert answer(*typed) == [kind]


def test_a_dash_begins_an_option_where_a_directory_or_file_may_stand() -> None:
    for typed in (("init",), ("timer", "install"), ("mcp",), ("adopt",), ("import",), ("clone",)):
        assert {"--json", "--help"} <= set(offered(*typed, "--")), typed
    # After `--` nothing is an option.
    assert answer("timer", "install", "--", "-") == ["directories"]


def test_the_commands_that_help_explains() -> None:
    assert offered("he") == ["help"]
    assert offered("help", "roll") == ["rollback"]
    assert offered("help", "rollback", "") == []


def test_snapshots_by_the_directory_that_is_named(installation: Path, tmp_path: Path) -> None:
    ids = [take_snapshot(installation), take_snapshot(installation, "--label", "one-label", "-m", "for\nall of it")]
    _, *lines = answer("-C", installation, "show", "", cwd=tmp_path)
    assert [line.partition("\t")[0] for line in lines] == ["latest", *reversed(ids)]
    assert "safety" in lines[0]
    assert lines[1].endswith("\tfor")
    assert offered("show", "-C", installation, "one", cwd=tmp_path) == ["one-label"]
    assert ids[0] not in offered("delete", "-C", installation, ids[0], "", cwd=tmp_path)
    assert offered("diff", "-C", installation, "n", cwd=tmp_path) == ["now"]
    assert offered("show", "", cwd=tmp_path) == []
    # As it is described now.
    assert run_gitsnap("-C", installation, "describe", ids[1], "-m", "the new", "--tag", "late").returncode == 0
    assert answer("-C", installation, "show", "", cwd=tmp_path)[2] == f"{ids[1]}\tthe new"
    assert offered("describe", "-C", installation, ids[1], "--untag", "", cwd=tmp_path) == ["late"]


def test_numbers_and_times_behind_an_at(installation: Path) -> None:
    now = datetime.now(UTC)
    with Protected(installation, Path(os.environ["GITSNAP_HOME"])) as place:
        for days in (8, 3):
            request = Request(message=f"age {days}")
            snapshot.take(place.sidecar, request, place.settings, now=now - timedelta(days=days))
    assert [line.split("\t")[0] for line in answer("-C", installation, "show", "@")] == [
        "words",
        "@2",
        "@1",
        "@1d",
        "@7d",
    ]
    assert answer("-C", installation, "show", "@1")[1].endswith("Z-manual age 8")
    day = (now - timedelta(days=3)).astimezone().date()
    assert offered("-C", installation, "restore", f"@{day:%Y-}")[0] == f"@{day}"
    assert offered("-C", installation, "cat", "@7d", "con") == ["config/"]


def test_paths_of_the_snapshot_that_is_named(installation: Path) -> None:
    (installation / "config/only-then.ini").write_text("x")
    first = take_snapshot(installation)
    (installation / "config/only-then.ini").unlink()
    (installation / "config/since.ini").write_text("x")
    take_snapshot(installation)
    assert offered("-C", installation, "cat", first, "con") == ["config/"]
    assert "config/only-then.ini" in offered("-C", installation, "cat", first, "config/")
    assert offered("-C", installation, "restore", "latest", "config/shop.ini", "config/si") == [
        "config/signing.key",
        "config/since.ini",
    ]
    assert offered("cat", first, "only", cwd=installation / "config") == ["only-then.ini"]
    assert offered("diff", "--", "config/sin", cwd=installation) == ["config/since.ini"]
    assert offered("cat", "latest", "../..", cwd=installation) == []
    assert offered("cat", "no-such", "con", cwd=installation) == []


def test_upgrades_components_tags_and_the_bin(installation: Path) -> None:
    run_gitsnap("-C", installation, "run", "--label", "to-v2", "--", "touch", installation / "new")
    found = offered("-C", installation, "changelog", "")
    upgrade = next(w for w in found if w.endswith("Z-to-v2"))
    assert f"{upgrade}@pre" in offered("-C", installation, "show", upgrade)
    assert "config" in offered("-C", installation, "rollback", "--component", "")
    take_snapshot(installation, "--tag", "v1")
    assert offered("-C", installation, "snapshot", "--tag", "") == ["v1"]
    gone = take_snapshot(installation)
    run_gitsnap("-C", installation, "delete", gone)
    assert offered("-C", installation, "undelete", "") == [gone]
    assert gone not in offered("-C", installation, "show", "")


def test_remotes_and_sets(installation: Path, tmp_path: Path) -> None:
    take_snapshot(installation)
    run_gitsnap("-C", installation, "remote", "add", "backup", tmp_path / "copy.git")
    assert offered("-C", installation, "push", "") == ["backup"]
    assert offered("-C", installation, "remote", "remove", "") == ["backup"]


def test_nothing_hostile_is_offered(installation: Path) -> None:
    for name in ("odd\nname", "odd\x1b[31m", "odd\x9b", "odd\u202e", os.fsdecode(b"odd\xff"), "odd $(touch x)"):
        (installation / name).write_text("x")
    take_snapshot(installation, "-m", "a \x1b[31m\tsecond field\nline")
    assert offered("-C", installation, "cat", "latest", "odd") == ["odd $(touch x)"]
    _, *lines = answer("-C", installation, "show", "")
    assert len(lines) == 2
    assert all(line.replace("\t", "", 1).isprintable() for line in lines)


def test_a_message_is_shown_without_secrets(installation: Path) -> None:
    take_snapshot(installation, "-m", "password=hunter2-Xy77 for the shop")
    assert "hunter2" not in "\n".join(answer("-C", installation, "show", ""))


def test_asking_leaves_no_trace(installation: Path, tmp_path: Path) -> None:
    take_snapshot(installation, "--tag", "v1")
    store = Path(json.loads(run_gitsnap("-C", installation, "--json", "status").stdout)["store"])

    def state() -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.lstat().st_mtime_ns, p.lstat().st_size)
            for base in (store, installation)
            for p in [base, *base.rglob("*")]
        }

    before = state()
    for typed in (("show", ""), ("cat", "latest", ""), ("changelog", ""), ("undelete", ""), ("snapshot", "--tag", "")):
        answer("-C", installation, *typed)
    # A damaged sidecar, too, is nothing to speak of.
    assert state() == before
    for pack in (store / "objects/pack").glob("*.pack"):
        os.chmod(pack, 0o600)
        pack.write_bytes(b"x" * 40)
    before = state()
    answer("-C", installation, "cat", "latest", "")
    answer("-C", installation, "show", "")
    assert state() == before


def test_locks_are_not_waited_for(installation: Path) -> None:
    import fcntl

    take_snapshot(installation)
    store = Path(json.loads(run_gitsnap("-C", installation, "--json", "status").stdout)["store"])
    with (store / "gitsnap/writer.lock").open("rb+") as one, (store / "gitsnap/objects.lock").open("rb+") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert len(offered("-C", installation, "show", "")) == 2
        assert offered("-C", installation, "cat", "latest", "con") == ["config/"]


@pytest.mark.parametrize(
    "typed", [(), ("fish",), ("bash", "x"), ("tcsh", "\udcff"), ("bash", "gitsnap", "other ", "=")]
)
def test_what_makes_no_sense_is_answered_with_nothing(typed: tuple[str, ...]) -> None:
    done = run_gitsnap("__complete", *typed, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_words_of_a_line_that_is_being_typed() -> None:
    assert [w.value for w in words.split('a  \'b c\' "d\\"e" f\\ g ')] == ["a", "b c", 'd"e', "f g", ""]
    last = words.split("gitsnap cat 'it s")[-1]
    assert (last.value, last.quote) == ("it s", "'")
    assert words.split("x $(touch y)")[1].value == "$(touch"
    assert words.for_bash(words.split("--tag=v")[-1], ["--tag=v 1"], "=:@") == ["v\\ 1"]
    assert words.for_bash(words.split("a:b@p")[-1], ["a:b@pre"], "=:@") == ["@pre"]
    assert words.for_bash(words.split("'a b")[-1], ["a b'c"], "=:@") == ["a b'\\''c"]


def test_scripts_are_shown_and_written_where_it_is_said(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        shown = run_gitsnap("--show-completion", shell).stdout
        assert "__complete" in shown
        environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
        said = run_gitsnap("--install-completion", shell, env=environ).stdout
        path = Path(said.split()[1].rstrip(";"))
        assert path.is_relative_to(tmp_path)
        assert path.read_text() == shown
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"gitsnap", "_gitsnap", "gitsnap.fish"}
    refused = run_gitsnap("--show-completion", "tcsh", check=False)
    assert (refused.returncode, "bash, zsh and fish" in refused.stderr) == (2, True)
    assert run_gitsnap("--show-completion", check=2).returncode == 2
