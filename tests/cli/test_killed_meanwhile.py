"""gitsnap killed while the command of an upgrade runs, or waits for somebody: what is refused, said, offered then."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.cli.render.terminal import Terminal
from gitsnap.config.environment import Options
from tests.cli.test_soak import LONG, killed
from tests.support.terminal import gitsnap_on_terminal
from tests.support.webapp import Shop, edit, until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


class Command:
    """The command of an upgrade, which goes on until it is let go, and writes again then."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._fifo, self.file = shop, shop.state / "fifo", shop.app / "f"
        os.mkfifo(self._fifo)

    def kill_runner(self, *options: str) -> str:
        """The id of its upgrade, whose gitsnap was killed."""
        script = f"echo 7 >'{self.file}'; cat '{self._fifo}'; echo late >'{self.file}'"
        upgrade = killed(self._shop, "run", *options, "--", "sh", "-c", script, at="command-started")
        until(lambda: self.file.exists() and self.file.read_text() == "7\n")
        return upgrade

    def let_go(self) -> None:
        self._fifo.write_text("")
        until(lambda: self._shop.document("status")["pending_upgrade"]["running"] is None)
        assert self.file.read_text() == "late\n"


@pytest.fixture
def command(shop: Shop) -> Command:
    return Command(shop)


def test_nothing_is_kept_while_its_command_runs(shop: Shop, command: Command) -> None:
    command.kill_runner("--confirm", LONG)
    told = shop.gitsnap("keep", check=1)
    assert told.stdout == ""
    assert "nothing was decided" in told.stderr
    assert "to keep what is here" not in told.stderr
    assert shop.last["status"] == "unknown"
    shop.gitsnap("recover", check=11)
    command.let_go()
    shop.gitsnap("keep")
    assert shop.last["status"] == "kept"


@pytest.mark.parametrize("options", [(), ("--confirm", LONG)])
def test_nothing_goes_back_while_its_command_runs(shop: Shop, command: Command, options: tuple[str, ...]) -> None:
    shop.gitsnap("snapshot")
    (shop.app / "notes").write_text("n")
    shop.gitsnap("rollback", "-y")
    upgrade = command.kill_runner(*options)
    for words in (("rollback", "-y"), ("rollback", "--keep-edits", "-y"), ("undo", "-y")):
        assert "still runs" in shop.gitsnap(*words, check=11).stderr, words
    assert command.file.read_text() == "7\n"
    # What is refused now is no step to take next.
    told = shop.gitsnap("list").stderr
    assert "wait for it or end it first" in told
    assert not [line for line in told.splitlines() if "to go back:" in line or "to keep what is here" in line]
    # It writes to other paths, perhaps; and a plan touches nothing.
    shop.gitsnap("rollback", "-n")
    shop.gitsnap("restore", f"{upgrade}@pre", "server.py", "-y")
    command.let_go()
    shop.gitsnap("rollback", f"{upgrade}@pre", "-y")
    assert not command.file.exists()


def test_a_command_may_go_back_itself(shop: Shop) -> None:
    words = f"'{sys.executable}' -m gitsnap -C '{shop.app}' rollback -y && touch '{shop.state}/back'"
    script = f"cat '{shop.state}/fifo'; {words}"
    os.mkfifo(shop.state / "fifo")
    killed(shop, "run", "--", "sh", "-c", script, at="command-started")
    (shop.state / "fifo").write_text("")
    until(lambda: (shop.state / "back").exists())


def test_keep_is_not_offered_when_it_is_too_late(shop: Shop) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    assert "to keep what is here" in shop.gitsnap("list").stderr
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=r["wait"]["term"]["began"]["ticks"] - 3601))
    for words in (("status",), ("list",)):
        told = shop.gitsnap(*words)
        assert "nobody said keep within 1 h" in told.stdout + told.stderr
        assert f"{shop.app} keep" not in told.stdout + told.stderr
        assert "recover" in told.stderr
    assert "too late" in shop.gitsnap("keep", check=1).stderr


def test_doctor_and_snapshot_say_what_is_not_decided(shop: Shop) -> None:
    upgrade = killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=r["wait"]["term"]["began"]["ticks"] - 3601))
    doctor = shop.gitsnap("doctor", check=1)
    assert f"BAD upgrade      {upgrade} was cut short" in doctor.stdout
    assert re.search(r"gitsnap -C \S+ recover", doctor.stdout)
    assert "nobody said keep within 1 h" in shop.gitsnap("snapshot").stderr
    shop.gitsnap("recover")
    assert "was cut short" not in shop.gitsnap("doctor").stdout
    assert shop.gitsnap("snapshot").stderr.count("cut short") == 0


def test_a_snapshot_that_settles_a_plain_one_says_nothing_of_it(shop: Shop, command: Command) -> None:
    upgrade = command.kill_runner()
    command.let_go()
    assert f" rollback {upgrade}@pre" in shop.gitsnap("doctor", check=1).stdout
    assert "cut short" not in shop.gitsnap("snapshot").stderr
    shop.gitsnap("doctor")


@pytest.mark.parametrize("options", [(), ("--confirm", LONG)])
def test_status_does_not_contradict_itself(shop: Shop, command: Command, options: tuple[str, ...]) -> None:
    upgrade = command.kill_runner(*options)
    said = shop.gitsnap("status").stdout
    assert f"{upgrade} was cut short; its command still runs, as process" in said
    assert "nobody knows how" not in said
    assert ("nothing is pending" in said) is not bool(options)
    command.let_go()
    said = shop.gitsnap("status").stdout
    assert f"{upgrade} was cut short; nothing is decided" in said
    assert ("waits for `recover`" in said) is bool(options)


def test_what_is_to_be_typed_elsewhere_names_the_whole_path(shop: Shop) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        shop.gitsnap("keep")
        output = run.ends(0)
    assert f"Keep it:  gitsnap -C {shop.app} keep\n" in output
    code, shown = gitsnap_on_terminal(
        *("-C", "app", "run", "--confirm", "1.5s", "--", *shop.upgrade("3")),
        cwd=shop.app.parent,
        env={**os.environ, "GITSNAP_HOME": str(shop.home), "TERM": "xterm"},
        columns=300,
    )
    assert code == 20
    command = f"gitsnap -C {shop.app} keep"
    assert f"Keep it:  {command}" in shown


def test_a_sidecar_that_was_named_is_named_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Terminal(Options(directory="app", typed_store="a store.git"))
    assert (
        out.command_from_anywhere("keep", f"{tmp_path}/app")
        == f"gitsnap -C {tmp_path}/app --store '{tmp_path}/a store.git' keep"
    )


def test_recover_says_what_brings_back_what_waits_for_nothing(shop: Shop, command: Command) -> None:
    upgrade = command.kill_runner()
    command.let_go()
    said = shop.gitsnap("recover").stdout
    assert "nothing to recover" not in said
    assert f"the upgrade {upgrade} was, and the directory is as that left it" in said
    back = re.search(r"To go back: +gitsnap (.*)", said)
    assert back
    assert command.file.exists()
    shop.gitsnap(*shlex.split(back[1])[2:], "-y")
    assert not command.file.exists()
    assert "nothing to recover" in shop.gitsnap("recover").stdout


def test_help_says_where_things_run_and_what_brings_back(shop: Shop) -> None:
    told = " ".join(shop.gitsnap("run", "--help").stdout.split())
    assert "With one -C DIR the command runs inside DIR; without, with several or with --set, where you stand" in told
    assert "`gitsnap rollback` brings its directory back" in " ".join(shop.gitsnap("recover", "--help").stdout.split())
