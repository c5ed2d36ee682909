"""A push that is killed, with all that it has started, the other side's git among them: nothing half is there, and the
next push goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash import faults
from tests.crash.faults import Mode
from tests.support.inprocess import workspace
from tests.torture.kinds import Share, Tally, kind

_GITSNAP = (sys.executable, "-m", "gitsnap")
_TEXTS = ("Manifest", "Metadata")


@dataclass
class Pair:
    """An installation with snapshots that are to go, and the repository elsewhere; both as they were, at will."""

    top: Path

    @property
    def env(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_"))}
        alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": os.getcwd()}
        return clean | alone | {"GITSNAP_HOME": str(self.top / "now/home")}

    @property
    def push(self) -> list[str]:
        return [*_GITSNAP, "-C", str(self.top / "app"), "push"]

    @property
    def there(self) -> Path:
        return self.top / "now/there.git"

    def gitsnap(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*_GITSNAP, "-C", str(self.top / "app"), *words]
        return subprocess.run(command, env=self.env, check=check, capture_output=True, text=True)

    def git(self, *words: str, check: bool = True) -> str:
        command = ["git", "--git-dir", str(self.there), *words]
        return subprocess.run(command, env=self.env, check=check, capture_output=True, text=True).stdout

    def keep(self) -> None:
        """What is there now is how every point begins."""
        shutil.copytree(self.top / "now", self.top / "kept", symlinks=True)

    def again(self) -> None:
        shutil.rmtree(self.top / "now")
        shutil.copytree(self.top / "kept", self.top / "now", symlinks=True)

    def snapshots(self) -> dict[str, str]:
        rows = self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/gitsnap/snapshots").splitlines()
        return {row[:-41]: row[-40:] for row in rows}

    def complaint(self, before: dict[str, str]) -> str | None:
        """What is wrong over there: a snapshot that was there and is not, or whose notes are not those it names."""
        found = self.snapshots()
        if not before.items() <= found.items():
            return f"gone over there: {before.keys() - found.keys()}"
        broken = self.git("fsck", "--full", "--strict", "--no-dangling", check=False)
        if broken:
            return f"fsck over there: {broken}"
        for name, commit in found.items():
            for text in _TEXTS:
                shown = subprocess.run(
                    ["git", "--git-dir", str(self.there), "notes", f"--ref=gitsnap/{text.lower()}", "show", commit],
                    env=self.env,
                    capture_output=True,
                ).stdout
                said = self.git("log", "-1", f"--format=%(trailers:key=Gitsnap-{text}-SHA256,valueonly)", commit)
                if hashlib.sha256(shown).hexdigest() != said.strip():
                    return f"{name} is there without its {text.lower()}"
        return None

    def unlock(self) -> bool:
        """Remove the locks that a killed git has left over there, as git tells to; whether there were any."""
        left = [p for p in self.there.rglob("*.lock") if p.is_file()]
        for path in left:
            path.unlink()
        return bool(left)


@contextmanager
def pair() -> Iterator[Pair]:
    with workspace() as top:
        found = Pair(top)
        (top / "now/home").mkdir(parents=True)
        (top / "app/dir").mkdir(parents=True)
        for number in range(8):
            (top / f"app/dir/f{number}").write_text(f"{number}\n" * 100)
        subprocess.run(["git", "init", "-q", "--bare", str(found.there)], env=found.env, check=True)
        found.gitsnap("snapshot", "-q")
        found.gitsnap("remote", "add", "there", str(found.there))
        found.gitsnap("push", "-q")
        for number in range(2):
            (top / "app/dir/f1").write_text(f"change {number}\n" * 200)
            found.gitsnap("snapshot", "-q")
        found.keep()
        yield found


@kind("killed: push")
def killed_push(share: Share) -> Tally:
    """At every mutating call of gitsnap and of the git over there."""
    if reason := faults.why_not():
        return Tally(note=f"skipped: {reason}")
    tally = Tally()
    with pair() as scene:
        before = scene.snapshots()
        made = faults.calls(scene.push, scene.env)
        wanted = share.number(len(made))
        for call in [made[int(i * len(made) / wanted)] for i in range(wanted)]:
            scene.again()
            outcome = faults.run_with_fault(scene.push, Mode.KILL, call.number, env=scene.env, must_fire=False)
            tally.add(_judge(scene, before, f"{outcome.hit}"))
    return tally


def _judge(scene: Pair, before: dict[str, str], where: str) -> str | None:
    wrong = scene.complaint(before)
    if wrong:
        return f"{where}: {wrong}"
    done = scene.gitsnap("push", check=False)
    if done.returncode == 15 and scene.unlock():
        done = scene.gitsnap("push", check=False)
    if done.returncode or len(scene.snapshots()) != 3:
        return f"{where}: the next push does not go on: {done.stderr}"
    wrong = scene.complaint(before)
    if wrong:
        return f"{where}: after the next push: {wrong}"
    checked = scene.gitsnap("verify", "--all", check=False)
    return f"{where}: here: {checked.stdout}{checked.stderr}" if checked.returncode else None
