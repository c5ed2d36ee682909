"""Hooks that are told of what happened: which, with what, and that nothing they do changes what was done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.notification import HOOKS
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.damage import flip_object
from tests.support.inprocess import Protected
from tests.support.installation import REPOSITORY, run_gitsnap
from tests.support.processes import in_child


class Killed(Disk):
    """The process is killed when the first file would come back."""

    def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Told:
    """An installation whose sidecar's hooks write each event, a line, to a file of the hook's name."""

    def __init__(self, where: Path) -> None:
        self.app, self.home, self.where = where / "app", where / "home", where / "events"
        for folder in (self.app, self.where):
            folder.mkdir()
        (self.app / "file").write_bytes(b"content")
        self.run("init")
        self.config = next(self.home.glob("app-*")) / "gitsnap.toml"
        self.set({name: f"cat >>{self.where}/{name}" for name in HOOKS})

    def set(self, commands: dict[str, str], more: str = "") -> None:
        lines = [f"{name} = {json.dumps(command)}" for name, command in commands.items()]
        self.config.write_text("\n".join(["[hooks]", *lines, more, ""]))
        self.config.chmod(0o600)

    def run(self, *args: str, check: bool | int = True, **more: Any) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", self.app, *args, home=self.home, check=check, **more)

    def events(self) -> dict[str, list[dict[str, Any]]]:
        """What each hook was told since this was asked last."""
        found = {}
        for name in HOOKS:
            path = self.where / name
            if path.exists():
                found[name] = [json.loads(line) for line in path.read_text().splitlines()]
                path.unlink()
        return found

    def history(self) -> list[dict[str, Any]]:
        found = json.loads(self.run("--json", "history").stdout)["history"]
        return [row for row in found if row["type"] == "upgrade"]

    def log(self) -> list[dict[str, Any]]:
        return list(json.loads(self.run("--json", "audit").stdout)["audit"])


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_an_upgrade_that_is_kept_is_told_once_with_all_its_facts(told: Told) -> None:
    told.run("run", "--label", "two", "--check", "true", "--", "sh", "-c", "echo new >file")
    (name, (event,)), *more = told.events().items()
    assert (name, more) == ("after-run", [])
    line = told.log()[-1]
    assert (event["schema"], event["event"], event["action"]) == (1, "after-run", "run")
    assert event["installation"] == str(told.app)
    assert event["store"] == str(told.config.parent)
    assert (event["outcome"], event["exit_code"], event["failed"], event["cause"]) == ("kept", 0, False, None)
    assert event["snapshots"] == [event["pre"], event["post"]]
    assert [c["check"] for c in event["checks"]] == ["true"]
    assert event["upgrade"] == line["upgrade"]
    assert event["user"] == line["user"]
    assert event["host"] == line["host"]


def test_an_upgrade_that_fails_is_told_as_a_failure_a_rollback_and_a_run(told: Told) -> None:
    told.run("run", "--check", "test -e nowhere", "--", "sh", "-c", "echo new >file", check=20)
    found = told.events()
    assert sorted(found) == ["after-rollback", "after-run", "on-failure"]
    for event in (e[0] for e in found.values()):
        assert (event["outcome"], event["upgrade_outcome"], event["exit_code"]) == ("rolled-back", "rolled-back", 20)
        assert event["failed"]
        assert event["cause"] == "the check 'test -e nowhere' exited with 1"
        assert event["safety_snapshot"]
        assert event["command_exit_code"] == 0


@pytest.mark.parametrize(
    ("words", "code", "wanted"),
    [
        (["run", "--on-failure", "keep", "--", "false"], 1, ["after-run", "on-failure"]),
        (["run", "--on-failure", "keep", "--", "sh", "-c", "exit 2"], 2, ["after-run", "on-failure"]),
        (["run", "--", "no-such-command-anywhere"], 2, []),
        (["snapshot"], 0, []),
        (["snapshot", "--no-such-option"], 2, []),
        (["rollback", "no-such-snapshot", "--yes"], 1, ["on-failure"]),
        (["rollback", "--yes", "-n"], 0, []),
        (["rollback", "--yes"], 0, ["after-rollback"]),
        (["restore", "latest", "file"], 0, ["after-rollback"]),
        (["verify", "--live"], 1, []),
        (["status"], 0, []),
    ],
)
def test_who_is_told_of_what(told: Told, words: list[str], code: int, wanted: list[str]) -> None:
    told.run("snapshot")
    (told.app / "file").write_bytes(b"other")
    told.run(*words, check=code)
    assert sorted(told.events()) == wanted


def test_what_undo_brings_back_is_told(told: Told) -> None:
    told.run("snapshot")
    (told.app / "file").write_bytes(b"other")
    told.run("rollback", "--yes")
    told.events()
    told.run("undo", "--yes")
    event = told.events()["after-rollback"][0]
    assert (event["action"], event["outcome"], event["upgrade"]) == ("undo", "done", None)


def test_a_run_that_is_in_the_way_of_another_is_told_as_a_failure(told: Told) -> None:
    ready, go = told.where / "ready", told.where / "go"
    waiting = f"touch {ready}; while ! test -e {go}; do sleep 0.05; done"
    environ = os.environ | {"GITSNAP_HOME": str(told.home), "PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-m", "gitsnap", "-C", str(told.app), "run", "--", "sh", "-c", waiting]
    with subprocess.Popen(words, env=environ, stderr=subprocess.DEVNULL) as first:
        _until(ready.exists)
        told.run("--lock-wait", "0", "run", "--", "true", check=11)
        found = told.events()
        go.touch()
        assert first.wait() == 0
    assert list(found) == ["on-failure"]
    assert found["on-failure"][0]["outcome"] == "refused"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("command", ["exit 7", "sleep 60", "kill -9 $$", "echo on; exit 7", "exec 0<&-; exit 7"])
def test_a_hook_that_fails_or_hangs_changes_nothing_and_is_told(told: Told, command: str) -> None:
    told.set({"after-run": command}, "timeout = 0.5")
    done = told.run("run", "--", "sh", "-c", "echo new >file")
    assert (told.app / "file").read_bytes() == b"new\n"
    problem = {"sleep 60": "took longer than 0.5 s", "kill -9 $$": "was ended by SIGKILL"}.get(command, "exited with 7")
    assert f"warning: the hook after-run {problem}; what was done is done" in done.stderr
    run, hook = told.log()[-2:]
    assert (run["action"], run["outcome"], run["exit_code"]) == ("run", "kept", 0)
    assert (hook["action"], hook["outcome"], hook["cause"]) == ("hook", "failed", f"the hook after-run {problem}")
    assert hook["upgrade"] == run["upgrade"]
    assert told.run("verify", "--all")
    assert [u["status"] for u in told.history()] == ["kept"]


def test_a_failing_command_keeps_its_exit_code_whatever_the_hooks_do(told: Told) -> None:
    told.set({"on-failure": "exit 1", "after-run": "sleep 60", "after-rollback": "exit 0"}, "timeout = 0.3")
    done = told.run("--json", "run", "--", "false", check=20)
    assert json.loads(done.stdout.splitlines()[-1])["outcome"] == "rolled-back"
    assert [line["details"]["hook"] for line in told.log() if line["action"] == "hook"] == ["on-failure", "after-run"]


def test_ctrl_c_in_a_hook_changes_nothing(told: Told) -> None:
    ready = told.where / "ready"
    told.set({"after-run": f"touch {ready}; sleep 60"})
    environ = os.environ | {"GITSNAP_HOME": str(told.home), "PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-m", "gitsnap", "-C", str(told.app), "run", "--", "true"]
    with subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, start_new_session=True) as process:
        _until(ready.exists)
        os.kill(process.pid, signal.SIGINT)
        assert process.communicate()[1].count(b"Traceback") == 0
    assert process.returncode == 0


def test_a_gitsnap_that_a_hook_runs_runs_no_hooks(told: Told) -> None:
    words = f"{sys.executable} -m gitsnap -C {told.app} run -- true"
    told.set({"after-run": f"cat >>{told.where}/after-run; PYTHONPATH={REPOSITORY} {words}"})
    told.run("run", "--", "true")
    assert len(told.events()["after-run"]) == 1
    assert len(told.history()) == 2


def test_secrets_are_masked_in_what_is_told(told: Told) -> None:
    told.run(
        "run", "--check", "curl --password hunter2hunter2 x; false", "--", "true", "--token=abcdefsecret", check=20
    )
    text = json.dumps(told.events())
    assert "hunter2hunter2" not in text
    assert "abcdefsecret" not in text


def test_damage_is_told_the_first_time_whoever_finds_it(told: Told) -> None:
    told.run("snapshot")
    flip_object(told.config.parent, b"content")
    told.run("cat", "latest", "file", check=12)
    (event,) = told.events()["on-damage"]
    assert (event["action"], event["damaged"][0]["path"]) == ("cat", "file")
    told.run("cat", "latest", "file", check=12)
    told.run("verify", check=12)
    assert told.events() == {}


def test_a_verification_tells_of_damage_once_and_again_after_it_was_healed(told: Told) -> None:
    told.run("snapshot")
    flip_object(told.config.parent, b"content")
    told.run("verify", "--all", check=12)
    assert [e["action"] for e in told.events()["on-damage"]] == ["verify"]
    told.run("verify", "--all", check=12)
    assert told.events() == {}
    told.run("snapshot")
    told.run("verify", "--all")
    assert told.events() == {}


def test_a_ref_that_is_lost_is_damage_that_is_told_once(told: Told) -> None:
    name = told.run("snapshot").stdout.strip()
    store = told.config.parent
    (store / f"refs/gitsnap/snapshots/{name}").unlink(missing_ok=True)
    packed = store / "packed-refs"
    if packed.exists():
        packed.write_text("".join(x for x in packed.read_text().splitlines(keepends=True) if name not in x))
    told.run("verify", "--all", check=12)
    assert told.events()["on-damage"][0]["damaged"]
    told.run("verify", "--all", check=12)
    assert told.events() == {}


def test_what_recover_settles_is_told_as_the_upgrade_that_it_was(told: Told) -> None:
    told.run("run", "--", "sh", "-c", "echo new >file; kill -9 $PPID", check=False)
    told.events()
    with Protected(told.app, told.home) as place:
        pre = place.snapshots()[0]

        def roll() -> None:
            options = RollbackOptions(datetime.now(UTC), disk=Killed())
            rollback.rollback(place.sidecar, pre.id, place.settings, options)

        with pytest.raises(ChildProcessError):
            in_child(roll)
        assert place.sidecar.pending == "forward"
    told.run("recover")
    found = told.events()
    assert sorted(found) == ["after-rollback", "after-run", "on-failure"]
    event = found["after-run"][0]
    assert (event["action"], event["upgrade"], event["upgrade_outcome"]) == ("recover", pre.upgrade, "rolled-back")
    assert (event["outcome"], event["exit_code"], event["target"]) == ("done", 0, pre.id)


def test_the_table_names_only_hooks_that_there_are(told: Told) -> None:
    told.set({"after-upgrade": "true"})
    assert "[hooks] does not know after-upgrade" in told.run("status", check=2).stderr
    told.config.write_text("[hooks]\non-failure = 3\n")
    assert "[hooks] on-failure must be a shell command" in told.run("status", check=2).stderr
