"""Upgrades that take their time: checks that go on, somebody who has to say keep, and gitsnap killed meanwhile.

With a web application that runs as a service, and clocks that nobody has to trust.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.terminal import gitsnap_on_terminal, left_on_screen
from tests.support.webapp import PATIENCE, Shop, edit, until

# Longer than any test.
LONG = "1h"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def soaking(shop: Shop, *more: str, soak: str = LONG) -> tuple[str, ...]:
    return ("run", "--check", f"{shop.control} check", "--soak", soak, "--every", "0.2s", *more, "--")


def test_a_version_that_breaks_later_goes_back(shop: Shop) -> None:
    with shop.running(*soaking(shop), *shop.upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        assert (shop.version, shop.serves) == ("2-broken", "2-broken")
        shop.fail()
        output = run.ends(20)
    assert shop.version == "1"
    assert "HTTP Error 500" in output
    failed = next(e for e in run.events() if e["event"] == "check-failed")
    assert failed["during"] == "soak"
    assert shop.last["status"] == "rolled-back"
    assert shop.last["failed_check"] == f"{shop.control} check"


def test_a_good_version_is_kept_when_its_time_is_over(shop: Shop) -> None:
    shop.gitsnap(*soaking(shop, soak="1s"), *shop.upgrade("2"))
    assert (shop.version, shop.last["status"]) == ("2", "kept")
    # The first check, one in each fifth of a second as far as the machine comes to it, and one at the end.
    assert shop.rounds() >= 2
    assert not shop.record.exists()
    assert shop.document("audit")["audit"][-1]["details"]["soaked"] == 1.0


def test_the_outcome_is_unknown_until_it_is_decided(shop: Shop) -> None:
    with shop.running(*soaking(shop), *shop.upgrade("2")) as run:
        run.wait_for("soak-started")
        status = shop.document("status")
        waits = status["waiting"]
        assert (waits["phase"], waits["process"], waits["soak"]) == ("soak", run.process.pid, 3600)
        assert 3000 < waits["soak_left"] <= 3600
        assert status["last_upgrade"]["outcome"] == "unknown"
        text = shop.gitsnap("status").stdout
        assert "waits for what becomes of it" in text
        assert "of 1 h yet" in text
        shop.gitsnap("keep")
        run.ends(0)
    assert shop.last["status"] == "kept"


def test_nobody_confirms(shop: Shop) -> None:
    done = shop.gitsnap("run", "--confirm", "1s", "--", *shop.upgrade("2"), check=20)
    assert "nobody said keep within 1 s" in done.stderr
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")


@pytest.mark.parametrize("selector", ["", "latest", "label", "id"])
def test_somebody_confirms(shop: Shop, selector: str) -> None:
    with shop.running("run", "--label", "label", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        upgrade = run.wait_for("confirm-started")["upgrade"]
        named = {"": [], "id": [upgrade]}.get(selector, [selector])
        assert shop.gitsnap("keep", *named).stdout == f"kept: {upgrade}\n"
        assert "somebody said so" in run.ends(0)
    assert (shop.version, shop.last["status"]) == ("2", "kept")
    assert run.events()[-1]["confirmed"] is True


def test_both_and_the_checks_are_done_before_somebody_has_spoken(shop: Shop) -> None:
    with shop.running(*soaking(shop, "--confirm", LONG, soak="0.5s"), *shop.upgrade("2-broken")) as run:
        run.wait_for("confirm-started")
        assert any(e["event"] == "soak-completed" for e in run.events())
        shop.fail()
        rounds = shop.rounds()
        shop.gitsnap("keep")
        run.ends(0)
        assert shop.rounds() == rounds


def killed(shop: Shop, *words: str, at: str, number: int = signal.SIGKILL) -> str:
    """The id of an upgrade whose gitsnap is killed when an event has come."""
    with shop.running(*words) as run:
        upgrade = str(run.wait_for(at)["upgrade"])
        run.kill(number)
        run.process.wait(PATIENCE)
    return upgrade


def test_killed_while_checks_go_on_and_then_it_breaks(shop: Shop) -> None:
    upgrade = killed(shop, *soaking(shop), *shop.upgrade("2-broken"), at="soak-started")
    shop.fail()
    told = shop.gitsnap("status")
    assert "nobody: `recover` goes on with it" in told.stdout
    assert f"the upgrade {upgrade}" in told.stderr
    assert shop.document("status")["waiting"]["process"] is None
    done = shop.gitsnap("recover")
    assert "HTTP Error 500" in done.stderr
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")
    assert not shop.record.exists()


def test_killed_while_checks_go_on_and_it_is_well(shop: Shop) -> None:
    killed(shop, *soaking(shop, soak="1.5s"), *shop.upgrade("2"), at="soak-started")
    rounds = shop.rounds()
    shop.gitsnap("recover")
    assert (shop.version, shop.last["status"]) == ("2", "kept")
    # They went on, and did not only pass the first time.
    assert shop.rounds() >= rounds + 2
    assert shop.last["exit_code"] == 0
    assert shop.last["files_changed"]["modified"] == 1


def test_what_was_soaked_already_counts(shop: Shop) -> None:
    killed(shop, *soaking(shop), *shop.upgrade("2"), at="soak-started")
    edit(shop.record, lambda r: r["wait"].update(soaked=3599.5))
    shop.gitsnap("recover")
    assert shop.last["status"] == "kept"


@pytest.mark.parametrize("in_time", [True, False])
def test_killed_while_it_waits_for_somebody(shop: Shop, in_time: bool) -> None:
    upgrade = killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    if in_time:
        assert shop.gitsnap("keep").stdout == f"kept: {upgrade}\n"
        assert shop.gitsnap("recover").returncode == 0
        assert (shop.version, shop.last["status"]) == ("2", "kept")
        return
    # More than an hour ago, by the clock that only goes forward.
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=r["wait"]["term"]["began"]["ticks"] - 3601))
    late = shop.gitsnap("keep", check=1)
    assert "too late" in late.stderr
    shop.gitsnap("recover")
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")
    assert "nobody said keep within 1 h" in shop.last["failure"]


def test_recover_waits_for_the_rest_of_the_time(shop: Shop) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    with shop.running("recover", events=False) as recover:
        until(lambda: shop.document("status")["waiting"]["process"] == recover.process.pid)
        # Whoever comes second is told, and does nothing.
        again = shop.gitsnap("recover")
        assert f"process {recover.process.pid} sees to the upgrade" in again.stderr
        shop.gitsnap("keep")
        recover.ends(0)
    assert (shop.version, shop.last["status"]) == ("2", "kept")


def test_somebody_said_keep_and_then_it_was_killed(shop: Shop) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record, lambda r: r["wait"].update(kept=True))
    shop.gitsnap("recover")
    assert (shop.version, shop.last["status"]) == ("2", "kept")


@pytest.mark.parametrize("ahead", [-(10**8), 10**8])
def test_the_wall_clock_jumps(shop: Shop, ahead: int) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(wall=r["wait"]["term"]["began"]["wall"] - ahead))
    left = shop.document("status")["waiting"]["confirm_left"]
    assert 3000 < left <= 3600
    assert shop.gitsnap("keep").returncode == 0


def restarted(record: dict[str, Any]) -> None:
    """As if the machine had been started again: what was written down is of another boot."""
    record["wait"]["term"]["began"]["boot"] = record["runner"]["boot"] = "another"


def test_the_machine_is_started_again_while_checks_go_on(shop: Shop) -> None:
    upgrade = killed(shop, *soaking(shop), *shop.upgrade("2-broken"), at="soak-started")
    edit(shop.record, restarted)
    shop.fail()
    assert shop.gitsnap("recover").returncode == 0
    assert (shop.version, shop.last["id"], shop.last["status"]) == ("1", upgrade, "rolled-back")


def test_the_machine_is_started_again_and_the_time_is_over(shop: Shop) -> None:
    killed(shop, "run", "--confirm", "1s", "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record, restarted)
    # This boot has lasted for more than a second.
    shop.gitsnap("recover")
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")


def test_killed_at_other_moments(shop: Shop) -> None:
    """What was not decided is gone on with; what was decided is carried out."""
    ways = {
        "command-started": ("2", "rolled-back"),
        "command-exited": ("2", "rolled-back"),
        "check-passed": ("2", "kept"),
        "soak-completed": ("2", "kept"),
        "rollback-started": ("2-broken", "rolled-back"),
    }
    for at, (version, outcome) in ways.items():
        (shop.state / "fail").unlink(missing_ok=True)
        if at == "rollback-started":
            shop.fail()
        killed(shop, *soaking(shop, soak="0.3s"), *shop.upgrade(version), at=at)
        if at == "command-exited" and _goes_on(shop):
            # The signal came after that was written down.
            outcome = "kept"
        until(lambda: _settled(shop))
        assert shop.last["status"] == outcome, at
        assert shop.version == ("1" if outcome == "rolled-back" else version), at
        shop.gitsnap("rollback", "-y") if outcome == "kept" else None
        shop.ctl("start")


def _goes_on(shop: Shop) -> bool:
    """Whether an upgrade has come beyond its command: `recover` takes the second snapshot and runs the checks then."""
    return not shop.record.exists() or json.loads(shop.record.read_text())["stage"] != "command"


def _settled(shop: Shop) -> bool:
    """Whether `recover` is done; the command of one that was killed may still run."""
    done = shop.gitsnap("recover", check=False)
    assert done.returncode in (0, 11), done.stderr
    assert done.returncode == 0 or "still runs" in done.stderr
    return done.returncode == 0


def test_a_hang_up_while_it_waits(shop: Shop) -> None:
    """The ssh session ends: its terminal is gone."""
    for word, version in (("confirm-started", "2"), ("soak-started", "3-broken")):
        ours, theirs = os.openpty()
        words = ("run", "--confirm", LONG, "--") if word == "confirm-started" else soaking(shop)
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
        with shop.running(
            *words, *shop.upgrade(version), preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **streams
        ) as run:
            os.close(theirs)
            run.wait_for(word)
            os.close(ours)
            # It has heard it by now, or will: the signal comes before anything else that we do.
            assert f"{run.process.pid}" in Path(f"/proc/{run.process.pid}/stat").read_text()
            if word == "confirm-started":
                shop.gitsnap("keep")
                assert run.process.wait(PATIENCE) == 0
            else:
                shop.fail()
                assert run.process.wait(PATIENCE) == 20
    assert shop.version == "2"
    assert shop.last["status"] == "rolled-back"


def test_who_is_told_to_stop_decides_nothing(shop: Shop) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        upgrade = run.wait_for("confirm-started")["upgrade"]
        run.kill(signal.SIGTERM)
        assert "nothing is decided" in run.ends(130)
    assert run.events()[-1]["event"] == "wait-left"
    assert (shop.version, shop.last["status"]) == ("2", "unknown")
    # Meanwhile: what it may have to go back to stays, and another upgrade has to wait.
    assert "waits for what becomes of it" in shop.gitsnap("run", "--", "true", check=14).stderr
    shop.gitsnap("delete", f"{upgrade}@pre", check=11)
    for n in range(12):
        (shop.app / "notes").write_text(str(n))
        shop.gitsnap("snapshot")
    assert shop.gitsnap("verify", f"{upgrade}@pre").returncode == 0
    assert shop.document("status")["waiting"]["upgrade"] == upgrade
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=0))
    shop.gitsnap("recover")
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")
    shop.gitsnap("run", "--", "true")


def test_hooks_are_told_when_it_is_decided_and_not_before(shop: Shop) -> None:
    shop.gitsnap("snapshot")
    config = next(shop.home.glob("app-*")) / "gitsnap.toml"
    told = shop.state / "told"
    config.write_text(f"[hooks]\nafter-run = 'cat >>{told}'\non-failure = 'cat >>{told}'\n")
    config.chmod(0o600)
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started", number=signal.SIGTERM)
    assert not told.exists()
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=0))
    shop.gitsnap("recover")
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(e["event"], e["upgrade_outcome"]) for e in events] == [
        ("on-failure", "rolled-back"),
        ("after-run", "rolled-back"),
    ]


def test_ctrl_c_goes_back(shop: Shop) -> None:
    with shop.running(*soaking(shop), *shop.upgrade("2")) as run:
        run.wait_for("soak-started")
        run.kill(signal.SIGINT)
        assert "interrupted by SIGINT" in run.ends(20)
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")


def test_other_commands_while_it_waits(shop: Shop) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        upgrade = run.wait_for("confirm-started")["upgrade"]
        for words in (("rollback", "-y"), ("undo", "-y"), ("rollback", "--keep-edits", "-y")):
            assert f"kill -INT {run.process.pid}" in shop.gitsnap(*words, check=11).stderr, words
        shop.gitsnap("rollback", "-n")
        shop.gitsnap("run", "--", "true", check=11)
        shop.gitsnap("delete", f"{upgrade}@pre", check=11)
        shop.gitsnap("restore", f"{upgrade}@pre", "server.py", "-y")
        (shop.app / "notes").write_text("n")
        shop.gitsnap("snapshot")
        shop.gitsnap("keep")
        run.ends(0)
    assert shop.version == "2"


def test_what_was_changed_since_stays(shop: Shop) -> None:
    with shop.running("run", "--confirm", LONG, "--keep-edits", "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        (shop.app / "orders").write_text("one\n")
        run.kill(signal.SIGINT)
        run.ends(20)
    assert (shop.version, (shop.app / "orders").read_text()) == ("1", "one\n")
    assert shop.last["status"] == "rolled-back"
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        (shop.app / "orders").write_text("two\n")
        run.kill(signal.SIGINT)
        run.ends(20)
    assert (shop.app / "orders").read_text() == "one\n"


def test_commands_of_a_sidecar_that_comes_from_elsewhere_are_not_run(shop: Shop, tmp_path: Path) -> None:
    killed(shop, *soaking(shop), *shop.upgrade("2"), at="soak-started")
    rounds = shop.rounds()
    edit(shop.record, lambda r: r["wait"].update(where="elsewhere:1"))
    done = shop.gitsnap("recover")
    assert "its checks are not run" in done.stderr
    assert shop.rounds() == rounds
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")


def test_nothing_waits(shop: Shop) -> None:
    shop.gitsnap("snapshot")
    done = shop.gitsnap("--json", "keep", check=1)
    assert json.loads(done.stderr)["error"]["kind"] == "nothing-waits"
    assert shop.document("status")["waiting"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("--soak", "1m"),
        ("--confirm", "soon"),
        ("--confirm", "0"),
        ("--confirm", "1m", "--on-failure", "keep"),
        ("--keep-edits",),
        ("--check", "true", "--soak", "1m", "--every", "-1s"),
    ],
)
def test_what_makes_no_sense(shop: Shop, words: tuple[str, ...]) -> None:
    shop.gitsnap("run", *words, "--", "true", check=2)


def test_a_keep_that_comes_too_late_for_the_runner_is_told(shop: Shop) -> None:
    """Whoever is told that it is kept can rely on it, at whatever moment they say so."""
    for n in range(6):
        with shop.running("run", "--confirm", "0.6s", "--", *shop.upgrade(f"2.{n}")) as run:
            run.wait_for("confirm-started")
            # Around the moment at which it is too late.
            time.sleep(0.1 * n)
            said = shop.gitsnap("keep", check=False)
            code = run.process.wait(PATIENCE)
        assert (code == 0) == (said.returncode == 0), said.stderr
        assert shop.last["status"] == ("kept" if code == 0 else "rolled-back")


def test_a_terminal_counts_down(shop: Shop) -> None:
    code, shown = gitsnap_on_terminal(
        *("-C", str(shop.app), "run", "--confirm", "1.5s", "--", *shop.upgrade("2")),
        cwd=shop.app,
        env={**os.environ, "GITSNAP_HOME": str(shop.home), "TERM": "xterm"},
        columns=200,
    )
    assert code == 20
    assert "\r\x1b[Kgoes back in 1 s unless: gitsnap -C" in shown
    # The line is gone when something else is said.
    left = left_on_screen(shown)
    assert not any("unless: gitsnap" in line for line in left), left
