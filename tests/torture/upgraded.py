"""An installation that was upgraded, ready to be rolled back, made anew for every fault.

A scene knows the two states that may be there after a recovery, and rsync is the judge of which it is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitsnap.core.retention import Policy
from gitsnap.core.settings import Settings
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import verify
from gitsnap.ops.restore import recover as recovery
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar.repository import Sidecar
from tests.crash import faults
from tests.crash.faults import Call, Mode, Outcome
from tests.support.installation import (
    build_app,
    copy_tree,
    differences,
    remove_tree,
    run_gitsnap,
    take_snapshot,
    upgrade,
)
from tests.torture import power

_SETTINGS = Settings(zone=UTC, retention=Policy(), lock_wait=5.0)
# Later than any snapshot that a command in a scene takes: ids must not tie.
_LATER = timedelta(hours=1)


@dataclass
class Upgraded:
    """An installation and its sidecars below `live`, and in `top` a copy of all to begin from again.

    `old` is the tree before the rollback, `new` the one that the rollback brings back.
    """

    top: Path
    arguments: tuple[str, ...]
    live: Path
    # A command that was killed at a call before this one begins.
    begun: tuple[tuple[str, ...], Call] | None = None
    # What loses its power at the fault.
    disk: power.Disk | None = None

    @property
    def app(self) -> Path:
        return self.live / "app"

    @property
    def home(self) -> Path:
        return self.live / "home"

    @property
    def old(self) -> Path:
        return self.top / "old"

    @property
    def new(self) -> Path:
        return self.top / "new"

    @property
    def env(self) -> dict[str, str]:
        return faults.environment(self.home)

    @property
    def command(self) -> list[str]:
        return faults.gitsnap("-C", self.app, *self.arguments)

    def reset(self) -> None:
        """Everything as it was before the command."""
        if self.live.exists():
            remove_tree(self.live)
        copy_tree(self.top / "template", self.live)
        if self.begun is not None:
            arguments, call = self.begun
            faults.run_with_fault(faults.gitsnap("-C", self.app, *arguments), Mode.KILL, call.number, env=self.env)

    def keep(self) -> None:
        """What is there now is what every run begins with."""
        if (self.top / "template").exists():
            remove_tree(self.top / "template")
        copy_tree(self.live, self.top / "template")

    def calls(self) -> list[Call]:
        """What there is to hit in a run of the command."""
        self.reset()
        return faults.calls(self.command, self.env)

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault."""
        self.reset()
        if self.disk is None:
            return faults.run_with_fault(self.command, mode, point.number, errno, self.env)
        os.sync()
        cut = self.disk.cut_command
        outcome = faults.run_with_fault(self.command, mode, point.number, errno, self.env, at_fault=cut)
        self.disk.restart()
        return outcome

    def complete(self, more: Mapping[str, str]) -> str:
        """The command without a fault, in an environment with `more`; what it prints."""
        done = subprocess.run(self.command, env=self.env | dict(more), check=True, capture_output=True, text=True)
        return done.stdout

    def sidecar(self) -> Sidecar:
        """The sidecar, open."""
        (store,) = [p for p in self.home.iterdir() if p.name.startswith("app-") and p.name.endswith(".git")]
        return Sidecar(str(store))

    def recover(self, direction: Direction | None = None) -> Recovered:
        """What `gitsnap recover` does, in this process."""
        with self.sidecar() as sidecar:
            return recovery.recover(sidecar, direction, _SETTINGS, RollbackOptions(datetime.now(UTC) + _LATER))

    def state(self) -> str:
        """`old`, `new`, or what rsync says of both."""
        if not (told := differences(self.old, self.app)):
            return "old"
        if not (told_new := differences(self.new, self.app)):
            return "new"
        return f"neither\nbut for the old:\n{told}\nbut for the new:\n{told_new}"

    def not_new(self) -> list[str]:
        """The paths that are not as the rollback was to leave them."""
        told = differences(self.new, self.app).splitlines()
        return [line.partition(" ")[2].partition(" -> ")[0].strip("/").removeprefix("./") for line in told]

    def assert_settled(self) -> None:
        """Nothing is pending, the next snapshot works, every snapshot verifies, and stock git is content."""
        with self.sidecar() as sidecar:
            assert sidecar.pending is None
            snapshot.take(sidecar, Request(), _SETTINGS, now=datetime.now(UTC) + 2 * _LATER)
            verdicts = verify.verify(sidecar, [], _SETTINGS, now=datetime.now(UTC), everything=True)
            assert [(v.snapshot, v.problems) for v in verdicts if v.problems] == []
            store = sidecar.path
        done = subprocess.run(
            ["git", f"--git-dir={store}", "fsck", "--full", "--strict", "--no-dangling", "--no-progress"],
            capture_output=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def rollback_scene(
    top: Path, arguments: Sequence[str] = ("rollback", "latest", "--yes"), live: Path | None = None
) -> Upgraded:
    """A small application, upgraded until little is as it was; the rollback brings all of it back.

    `live` is where it happens, if not below `top`: the sidecar knows its installation by its path.
    """
    scene = Upgraded(top, tuple(arguments), live or top / "live")
    top.mkdir(parents=True, exist_ok=True)
    scene.live.mkdir(parents=True)
    build_app(scene.app)
    copy_tree(scene.app, scene.new)
    take_snapshot(scene.app, home=scene.home)
    upgrade(scene.app)
    copy_tree(scene.app, scene.old)
    scene.keep()
    return scene


def restore_scene(top: Path) -> Upgraded:
    """The same, of which named paths are brought back."""
    scene = rollback_scene(top, ("restore", "latest", "modules", "config/shop.ini", "current", "plugins"))
    remove_tree(scene.new)
    scene.reset()
    run_gitsnap("-C", scene.app, *scene.arguments, home=scene.home)
    copy_tree(scene.app, scene.new)
    return scene


def undo_scene(top: Path) -> Upgraded:
    """An installation that was rolled back; undo brings the upgrade back."""
    scene = rollback_scene(top, ("undo",))
    scene.reset()
    run_gitsnap("-C", scene.app, "rollback", "latest", "--yes", home=scene.home)
    scene.keep()
    os.rename(scene.old, top / "swap")
    os.rename(scene.new, scene.old)
    os.rename(top / "swap", scene.new)
    return scene


def synced() -> None:
    """Everything so far is on the disk for good."""
    os.sync()


def unsynced(top: Path) -> Path:
    """A library that makes every sync do nothing."""
    source, library = top / "unsynced.c", top / "unsynced.so"
    source.write_text("int fsync(int f){return 0;}\nint fdatasync(int f){return 0;}\nint syncfs(int f){return 0;}\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library
