"""An installation with a sidecar that can be put back to how it was in no time, and what must hold of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from tests.cli.helpers import forked
from tests.support.installation import remove_tree, run_gitsnap


def contents(path: Path) -> dict[str, bytes]:
    """Every entry's mode and content."""
    out = {}
    for entry in path.rglob("*"):
        found = entry.lstat()
        text = os.readlink(entry).encode() if entry.is_symlink() else entry.read_bytes() if entry.is_file() else b""
        out[str(entry.relative_to(path))] = b"%o " % found.st_mode + text
    return out


@dataclass
class Scene:
    """`app` is protected by the sidecar in `home`; `states` are what the snapshots hold, by id."""

    top: Path
    states: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        return self.top / "app"

    @property
    def home(self) -> Path:
        return self.top / "home"

    @property
    def store(self) -> Path:
        return next(p for p in self.home.iterdir() if p.name.endswith(".git") and not p.name.startswith("."))

    def take(self, *args: str) -> str:
        """A snapshot, the state of which is remembered."""
        made = run_gitsnap("-C", self.app, "snapshot", *args, home=self.home).stdout.strip()
        self.states[made] = contents(self.app)
        return made

    def gitsnap(self, *args: str | Path) -> CompletedProcess[bytes]:
        """A command in a forked process that has loaded everything."""
        return forked("-C", self.app, *args, home=self.home)

    def save(self) -> None:
        """This is what `reset` goes back to."""
        for name in ("app", "home"):
            shutil.rmtree(self.top / f"saved-{name}", ignore_errors=True)
            subprocess.run(["cp", "-a", self.top / name, self.top / f"saved-{name}"], check=True)
        self._saved = contents(self.app)

    def reset(self) -> None:
        """Everything as it was; the installation only if it is not."""
        for name in ("app", "home"):
            if name == "app" and contents(self.app) == self._saved:
                continue
            remove_tree(self.top / name)
            subprocess.run(["cp", "-a", self.top / f"saved-{name}", self.top / name], check=True)

    def untouched(self) -> bool:
        """Whether the installation is as it was saved."""
        return contents(self.app) == self._saved

    def fsck(self) -> str:
        """What git has to say against the sidecar; dangling objects are no complaint."""
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
        command = ["git", f"--git-dir={self.store}", "fsck", "--full", "--strict", "--no-progress"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        said = [x for x in (done.stdout + done.stderr).splitlines() if not re.match(r"(dangling|notice:) ", x)]
        return "\n".join(said) or ("" if done.returncode == 0 else f"git fsck: exit {done.returncode}")

    def restores(self, name: str) -> bool:
        """Whether a snapshot comes back exactly."""
        out = self.top / "out"
        shutil.rmtree(out, ignore_errors=True)
        done = self.gitsnap("restore", name, "--to", out)
        return done.returncode == 0 and contents(out) == self.states[name]


@contextmanager
def small_scene() -> Iterator[Scene]:
    """Three snapshots of a small installation, one of them pinned, and changes since the last."""
    memory = "/dev/shm"
    where = tempfile.mkdtemp(prefix="gitsnap-torture-", dir=memory if os.access(memory, os.W_OK | os.X_OK) else None)
    scene = Scene(Path(where))
    try:
        (scene.app / "lib").mkdir(parents=True)
        (scene.app / "link").symlink_to("lib/b")
        for number, name in enumerate("bcd"):
            (scene.app / "a.txt").write_text(f"state {number}\n" * 50)
            (scene.app / "lib" / name).write_bytes(os.urandom(2000))
            scene.take("--label", f"n{number}", *(["--pin"] if number == 0 else []))
        (scene.app / "a.txt").write_text("state now\n")
        (scene.app / "lib/e").write_bytes(os.urandom(3000))
        scene.save()
        yield scene
    finally:
        remove_tree(Path(where))
