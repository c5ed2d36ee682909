"""Commands around snapshots: when they run, what they find, and what their failure means."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import REPOSITORY, run_gitsnap


class Hooked:
    """An installation whose sidecar has hooks."""

    def __init__(self, where: Path) -> None:
        self.app, self.home, self.log = where / "app", where / "home", where / "log"
        self.app.mkdir()
        (self.app / "file").write_bytes(b"content")
        self.run("init")
        self.config = next(self.home.glob("app-*")) / "gitsnap.toml"

    def set(self, before: str = "", after: str = "", more: str = "") -> None:
        """Write the table; `{log}` in a command is a file outside the installation."""
        commands = [json.dumps(c.replace("{log}", str(self.log))) for c in (before, after)]
        lines = ["[hooks]"]
        lines += [f"before-snapshot = {commands[0]}"] * bool(before) + [f"after-snapshot = {commands[1]}"] * bool(after)
        self.config.write_text("\n".join([*lines, more, ""]))
        self.config.chmod(0o600)

    def run(self, *args: str, check: bool | int = True, **more: Any) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", self.app, *args, home=self.home, check=check, **more)

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        return list(json.loads(self.run("--json", "list").stdout)["snapshots"])

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    return Hooked(tmp_path)


def test_what_a_hook_writes_is_in_the_snapshot_and_what_it_says_goes_to_stderr(hooked: Hooked) -> None:
    hooked.set(
        'echo dump > dump.sql; echo "before $GITSNAP_HOOK $PWD $GITSNAP_DIR $GITSNAP_KIND $GITSNAP_LABEL"',
        'rm dump.sql; echo "after $GITSNAP_OUTCOME $GITSNAP_SNAPSHOT $GITSNAP_STORE"',
    )
    done = hooked.run("snapshot", "--label", "nightly")
    id_ = done.stdout.strip()
    assert f"before before-snapshot {hooked.app} {hooked.app} manual nightly" in done.stderr
    assert f"after taken {id_} {hooked.config.parent}" in done.stderr
    assert hooked.run("cat", id_, "dump.sql").stdout == "dump\n"
    assert not (hooked.app / "dump.sql").exists()
    quiet = hooked.run("-q", "snapshot")
    assert quiet.stderr == ""
    as_json = hooked.run("--json", "snapshot")
    assert as_json.stderr == ""
    hooks = json.loads(as_json.stdout)["hooks"]
    assert [(h["hook"], h["ok"], h["exit_code"]) for h in hooks] == [
        ("before-snapshot", True, 0),
        ("after-snapshot", True, 0),
    ]
    assert "before before-snapshot" in hooks[0]["output"]


def test_a_hook_that_fails_before_means_no_snapshot_and_the_other_runs_all_the_same(hooked: Hooked) -> None:
    hooked.set("echo no dump; exit 3", "echo $GITSNAP_OUTCOME >> {log}")
    done = hooked.run("snapshot", check=1)
    assert (done.stdout, hooked.snapshots, hooked.said()) == ("", [], ["failed"])
    assert "the hook before-snapshot exited with 3; no snapshot was taken" in done.stderr
    error = json.loads(hooked.run("--json", "snapshot", check=1).stderr)["error"]
    assert (error["kind"], error["hint"]) == ("hook-failed", "no dump")
    hooked.set("sleep 600 & echo $! >> {log}; sleep 600", more="timeout = 0.3")
    started = time.monotonic()
    assert "took longer than 0.3 s" in hooked.run("snapshot", check=1).stderr
    assert time.monotonic() - started < 300


def test_a_hook_that_fails_afterwards_is_told_and_the_snapshot_stands(hooked: Hooked) -> None:
    hooked.set("true", "echo could not start it; false")
    done = hooked.run("-q", "snapshot", check=3)
    assert "the hook after-snapshot exited with 1" in done.stderr
    assert "could not start it" in done.stderr
    assert [s["id"] for s in hooked.snapshots] == [done.stdout.strip()]


def test_a_hook_after_runs_when_the_snapshot_fails(hooked: Hooked) -> None:
    hooked.set("", "echo $GITSNAP_OUTCOME >> {log}")
    hooked.run("snapshot", "--label", "!!", check=2)
    assert hooked.said() == ["failed"]
    hooked.run("snapshot")
    hooked.run("snapshot", "--skip-unchanged")
    assert hooked.said() == ["failed", "taken", "unchanged"]


def test_a_hook_may_use_gitsnap_and_is_not_run_by_it(hooked: Hooked) -> None:
    gitsnap = f"{sys.executable} -m gitsnap"
    hooked.set(f"echo run >> {{log}}; {gitsnap} -q snapshot --label dump >/dev/null && {gitsnap} -q list >> {{log}}")
    hooked.run("snapshot", env={"PYTHONPATH": str(REPOSITORY)})
    assert hooked.said()[0] == "run"
    assert "-dump" in hooked.said()[-1]
    assert sum(line == "run" for line in hooked.said()) == 1
    assert [s["label"] for s in hooked.snapshots] == ["dump", "manual"]


def test_a_rollback_runs_no_hooks_and_none_can_keep_it_from_happening(hooked: Hooked) -> None:
    hooked.run("snapshot")
    (hooked.app / "file").write_bytes(b"changed")
    hooked.set("echo ran >> {log}; false", "echo ran >> {log}; false")
    hooked.run("rollback", "latest", "-y")
    assert (hooked.app / "file").read_bytes() == b"content"
    hooked.run("undo", "-y")
    assert hooked.said() == []


def test_an_upgrade_tells_of_hooks_and_does_not_start_without_the_first(hooked: Hooked) -> None:
    hooked.set("echo $GITSNAP_KIND $GITSNAP_UPGRADE >> {log}")
    done = hooked.run("--json", "run", "--label", "up", "--", "true")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [(e["role"], e["hook"]) for e in events if e["event"] == "hook-passed"]
    assert told == [("pre", "before-snapshot"), ("post", "before-snapshot")]
    upgrade = events[-1]["upgrade"]
    assert hooked.said() == [f"pre {upgrade}", f"post {upgrade}"]
    hooked.set("false")
    failed = hooked.run("run", "--", "touch", "started", check=1)
    assert "hook" in failed.stderr
    assert not (hooked.app / "started").exists()
    # The upgrade after which it fails goes back.
    hooked.set("test $GITSNAP_KIND = pre")
    back = hooked.run("run", "--", "sh", "-c", f"echo more > {hooked.app}/more", check=20)
    assert "the snapshot after it failed: the hook before-snapshot exited with 1" in back.stderr
    assert not (hooked.app / "more").exists()


def test_a_hook_ends_with_ctrl_c_and_the_other_runs(hooked: Hooked) -> None:
    hooked.set("sleep 1; echo $$ >> {log}; sleep 60", "echo after >> {log}")
    command = [sys.executable, "-m", "gitsnap", "-C", str(hooked.app), "snapshot"]
    environ = os.environ | {"GITSNAP_HOME": str(hooked.home), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    while not hooked.said():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    pid, after = hooked.said()
    assert after == "after"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_only_a_private_file_in_the_sidecar_has_hooks(hooked: Hooked, tmp_path: Path) -> None:
    user = tmp_path / "config/gitsnap/config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[hooks]\nbefore-snapshot = "touch ran"\n')
    done = hooked.run("snapshot", check=2, env={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert "counts only in a sidecar's gitsnap.toml" in done.stderr
    (hooked.app / "gitsnap.toml").write_text('[hooks]\nbefore-snapshot = "touch ran"\n')
    hooked.run("snapshot")
    hooked.set("touch ran")
    hooked.config.chmod(0o620)
    assert "written by others" in hooked.run("snapshot", check=2).stderr
    for table in ("before = 'x'", "before-snapshot = 3", "timeout = 0", "timeout = '3s'"):
        hooked.set(more=table)
        assert "[hooks]" in hooked.run("snapshot", check=2).stderr
    assert not (hooked.app / "ran").exists()
