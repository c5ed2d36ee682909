"""What stops and starts a service, around an upgrade and around whatever brings the directory back."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap
from tests.support.webapp import PATIENCE, Shop, edit, ended, until

LONG = "1h"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    (made.state / "said").unlink()
    yield made
    made.close()


def around(shop: Shop, *more: str) -> tuple[str, ...]:
    """`run` that stops and starts the service itself."""
    control = str(shop.control)
    return (
        "run",
        "--stop",
        f"{control} stop",
        "--start",
        f"{control} start",
        "--check",
        f"{control} check",
        *more,
        "--",
    )


def upgrade(version: str) -> list[str]:
    return ["sh", "-c", f"echo {version} >version"]


def configure(shop: Shop, more: str = "", mode: int = 0o600) -> Path:
    if not list(shop.home.glob("app-*")):
        shop.gitsnap("init")
    config = next(shop.home.glob("app-*")) / "gitsnap.toml"
    config.write_text(f'[service]\nstop = "{shop.control} stop"\nstart = "{shop.control} start"\n{more}\n')
    config.chmod(mode)
    return config


def mark(shop: Shop) -> Path:
    return next(shop.home.glob("app-*")) / "gitsnap/service.json"


def test_it_is_stopped_before_and_started_after(shop: Shop) -> None:
    seen = shop.state / "seen"
    shop.gitsnap(*around(shop), "sh", "-c", f"ls {shop.state} >{seen}; echo 2 >version")
    assert "port" not in seen.read_text().split()
    assert shop.said() == ["stop", "start"]
    assert (shop.serves, shop.last["status"]) == ("2", "kept")
    assert not mark(shop).exists()
    words = [e["service"] for e in shop.document("audit")["audit"][-1]["details"]["service"]]
    assert words == ["stop", "start"]


def test_a_command_that_fails(shop: Shop) -> None:
    """The new version, which is none, is never started."""
    shop.gitsnap(*around(shop), "sh", "-c", "echo 2 >version; exit 7", check=20)
    assert shop.said() == ["stop", "start"]
    assert (shop.serves, shop.version) == ("1", "1")


def test_a_version_that_breaks(shop: Shop) -> None:
    shop.fail()
    with shop.running(*around(shop), *upgrade("2-broken")) as run:
        run.ends(20)
    assert shop.said() == ["stop", "start", "stop", "start"]
    assert (shop.serves, shop.version) == ("1", "1")
    told = [e["event"] for e in run.events() if e["event"].startswith("service-")]
    assert told == ["service-stopped", "service-started"] * 2


def test_where_it_cannot_be_stopped_nothing_begins(shop: Shop) -> None:
    (shop.state / "cannot-stop").touch()
    done = shop.gitsnap("--json", *around(shop), "touch", "begun", check=1)
    assert json.loads(done.stderr)["error"]["kind"] == "service"
    assert not (shop.app / "begun").exists()
    assert shop.document("list")["snapshots"] == []
    assert shop.serves == "1"
    assert shop.document("status")["upgrade_under_way"] is None


def test_where_it_cannot_be_started_the_upgrade_has_failed(shop: Shop) -> None:
    done = shop.gitsnap(*around(shop), "sh", "-c", f"echo 2 >version; touch {shop.state}/cannot-start", check=20)
    assert "the service could not be started again" in done.stderr
    assert "WARNING" in done.stderr or "could not be started" in done.stderr
    assert shop.version == "1"
    # It does not run, and that is known.
    assert shop.document("status")["service_stopped"] is True
    assert "STOPPED" in shop.gitsnap("status").stdout
    shop.gitsnap("recover", check=3)
    (shop.state / "cannot-start").unlink()
    assert "started the service" in shop.gitsnap("recover").stderr
    assert (shop.serves, shop.document("status")["service_stopped"]) == ("1", False)


def test_at_boot_it_is_left_to_what_starts_everything(shop: Shop) -> None:
    """A unit that the service waits for would wait for itself."""
    shop.gitsnap(*around(shop), "sh", "-c", f"echo 2 >version; touch {shop.state}/cannot-start", check=20)
    (shop.state / "cannot-start").unlink()
    said = shop.said()
    shop.gitsnap("recover", "--at-boot")
    assert (shop.said(), shop.document("status")["service_stopped"]) == (said, False)


def test_a_broken_version_that_cannot_be_stopped_goes_back_all_the_same(shop: Shop) -> None:
    """What fails to stop may have broken down, and nobody is there to look."""
    shop.fail()
    done = shop.gitsnap(*around(shop), "sh", "-c", f"echo 2-broken >version; touch {shop.state}/cannot-stop", check=20)
    assert "could not be stopped" in done.stderr
    assert (shop.version, shop.serves) == ("1", "1")


def test_kept_although_it_failed(shop: Shop) -> None:
    shop.gitsnap(*around(shop, "--on-failure", "keep"), "sh", "-c", "echo 2 >version; exit 7", check=7)
    assert (shop.serves, shop.said()) == ("2", ["stop", "start"])


def test_a_first_snapshot_that_cannot_be_taken(shop: Shop) -> None:
    shop.gitsnap("init")
    config = next(shop.home.glob("app-*")) / "gitsnap.toml"
    config.write_text("[hooks]\nbefore-snapshot = 'false'\n")
    config.chmod(0o600)
    shop.gitsnap(*around(shop), *upgrade("2"), check=1)
    assert (shop.serves, shop.said()) == ("1", ["stop", "start"])
    assert not mark(shop).exists()


@pytest.mark.parametrize("words", [("--stop", "true"), ("--start", "true")])
def test_one_goes_with_the_other(shop: Shop, words: tuple[str, str]) -> None:
    shop.gitsnap("run", *words, "--", "true", check=2)


def test_around_rollbacks_alone(shop: Shop) -> None:
    configure(shop)
    shop.gitsnap("run", "--", *upgrade("2"))
    assert shop.said() == []
    shop.gitsnap("rollback", "-y")
    assert (shop.said(), shop.serves) == (["stop", "start"], "1")
    # Nothing to do, nothing to stop for it; neither for what only says what it would do.
    shop.gitsnap("rollback", f"{shop.last['id']}@pre", "-y")
    shop.gitsnap("undo", "-n")
    assert shop.said() == ["stop", "start"]
    shop.gitsnap("undo", "-y")
    assert (shop.said(), shop.serves) == (["stop", "start"] * 2, "2")
    shop.gitsnap("restore", f"{shop.last['id']}@pre", "version", "-y")
    assert shop.said() == ["stop", "start"] * 2
    document = shop.document("rollback", "latest", "-y")
    assert [r["service"] for r in document["service"]] == ["stop", "start"]


def test_around_upgrades_where_that_is_configured(shop: Shop) -> None:
    configure(shop, "upgrade = true")
    shop.gitsnap("run", "--", *upgrade("2"))
    assert (shop.said(), shop.serves) == (["stop", "start"], "2")


def test_a_rollback_that_could_not_stop_it_touches_nothing(shop: Shop) -> None:
    configure(shop)
    shop.gitsnap("run", "--", *upgrade("2"))
    (shop.state / "cannot-stop").touch()
    done = shop.gitsnap("rollback", "-y", check=1)
    assert "could not be stopped" in done.stderr
    assert shop.version == "2"
    assert shop.said() == ["stop", "start"]


def test_a_rollback_that_could_not_start_it_says_so_loudly(shop: Shop) -> None:
    configure(shop)
    shop.gitsnap("run", "--", *upgrade("2"))
    (shop.state / "cannot-start").touch()
    done = shop.gitsnap("rollback", "-y", check=3)
    assert "WARNING: the service could not be started again" in done.stderr
    assert shop.version == "1"


def test_the_configuration_of_others_is_not_run(shop: Shop, tmp_path: Path) -> None:
    configure(shop, mode=0o622)
    assert "can be written by others" in shop.gitsnap("status", check=2).stderr
    configure(shop, "nonsense = 1")
    shop.gitsnap("status", check=2)
    config = configure(shop)
    config.write_text('[service]\nstop = "true"\n')
    shop.gitsnap("status", check=2)
    config.unlink()
    user = tmp_path / "xdg/gitsnap"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('[service]\nstop = "true"\nstart = "true"\n')

    done = run_gitsnap(
        "-C", shop.app, "status", home=shop.home, env={"XDG_CONFIG_HOME": str(tmp_path / "xdg")}, check=2
    )
    assert "counts only in a sidecar's gitsnap.toml" in done.stderr
    # Nor is what lies in the installation.
    (shop.app / "gitsnap.toml").write_text(f'[service]\nstop = "touch {tmp_path}/ran"\nstart = "true"\n')
    shop.gitsnap("run", "--", *upgrade("2"))
    shop.gitsnap("rollback", "-y")
    assert not (tmp_path / "ran").exists()


def test_killed_while_it_was_stopped(shop: Shop) -> None:
    with shop.running(*around(shop), "sh", "-c", "echo 2 >version; exec sleep 1000") as run:
        until(lambda: shop.version == "2" and any(e["event"] == "command-started" for e in run.events()))
        child = json.loads(shop.record.read_text())["child"]["pid"]
        run.kill()
        # Its command goes on: it is not over yet.
        assert shop.document("status")["service_stopped"] is True
        shop.gitsnap("recover")
        assert shop.serves == ""
        subprocess.run(["kill", "-KILL", str(child)], check=True)
        until(lambda: ended(child))
    shop.gitsnap("recover")
    assert shop.serves == "2"
    assert not mark(shop).exists()


def test_killed_before_its_rollback_with_what_the_command_line_said(shop: Shop) -> None:
    with shop.running(*around(shop, "--soak", LONG, "--every", "0.2s"), *upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        run.kill()
    shop.fail()
    shop.gitsnap("recover")
    assert shop.said() == ["stop", "start", "stop", "start"]
    assert (shop.serves, shop.version) == ("1", "1")


def test_a_mark_that_comes_from_elsewhere_brings_no_command(shop: Shop, tmp_path: Path) -> None:
    with shop.running(*around(shop), "sh", "-c", "echo 2 >version; exec sleep 1000") as run:
        run.wait_for("command-started")
        child = json.loads(shop.record.read_text())["child"]["pid"]
        run.kill()
        subprocess.run(["kill", "-KILL", str(child)], check=True)
        until(lambda: ended(child))
    edit(mark(shop), lambda m: m.update(where="elsewhere:1", start=f"touch {tmp_path}/ran"))
    assert "start it" in shop.gitsnap("recover", check=3).stderr
    assert not (tmp_path / "ran").exists()
    configure(shop)
    shop.gitsnap("recover")
    assert shop.serves


def test_interrupted_while_it_is_being_stopped(shop: Shop) -> None:
    slow = f"touch {shop.state}/stopping; {shop.control} quit; sleep 1000"
    with shop.running("run", "--stop", slow, "--start", f"{shop.control} start", "--", "touch", "begun") as run:
        until((shop.state / "stopping").exists)
        until(lambda: not (shop.state / "pid").exists())
        run.kill(signal.SIGINT)
        assert run.process.wait(PATIENCE) == 130
    assert not (shop.app / "begun").exists()
    assert shop.serves == "1"
