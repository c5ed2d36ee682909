"""The tools side by side: each takes snapshots of one directory, verifies, brings back, and gives space back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar


class FailedError(Exception):
    """A tool said that it could not, or took too long."""


class Tool:
    """One tool at work in `base`, on `base/install`. Sums up what its processes take: `secs`, `cpu` and `rss` (MB)."""

    name = ""
    limit: ClassVar[float] = 900.0
    # Operations that it has; None for all.
    has: ClassVar[frozenset[str] | None] = None

    def __init__(self, base: Path) -> None:
        self.base, self.dir, self.repo = base, base / "install", base / "repo"
        self.taken = 0
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_", "PYTHONDONT"))}
        self.env |= {"HOME": str(base), "LC_ALL": "C.UTF-8"}
        self.reset()

    def reset(self) -> None:
        self.secs = self.cpu = self.rss = 0.0

    def run(self, *words: object, cwd: Path | None = None, ok: tuple[int, ...] = (0,)) -> str:
        with open(self.base / "out", "w+b") as out, open(self.base / "log", "ab") as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                [str(w) for w in words],
                cwd=cwd or self.base,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
            killer = threading.Timer(self.limit, os.killpg, (process.pid, signal.SIGKILL))
            killer.start()
            _, status, used = os.wait4(process.pid, 0)
            self.secs += time.perf_counter() - began
            killer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu += used.ru_utime + used.ru_stime
            self.rss = max(self.rss, used.ru_maxrss / 1024)
            if process.returncode not in ok:
                raise FailedError(f"{self.name}: {words[0]} ended with {process.returncode}; see {self.base / 'log'}")
            out.seek(0)
            return out.read().decode("utf-8", "replace")

    @classmethod
    def available(cls) -> bool:
        return shutil.which(cls.name) is not None

    def version(self) -> str:
        raise NotImplementedError

    def init(self) -> None:
        raise NotImplementedError

    def snapshot(self) -> str:
        raise NotImplementedError

    def verify(self, snapshot: str) -> None:
        raise NotImplementedError

    def rollback(self, snapshot: str) -> None:
        raise NotImplementedError

    def gc(self) -> None:
        raise NotImplementedError

    def swap_in(self, restored: Path) -> None:
        """For tools that only restore into an empty directory: put it where the installation was."""
        began = time.perf_counter()
        self.dir.rename(self.base / "replaced")
        restored.rename(self.dir)
        self.secs += time.perf_counter() - began
        shutil.rmtree(self.base / "replaced")


class Gitsnap(Tool):
    name = "gitsnap"
    program = Path(sys.executable).with_name("gitsnap")

    @classmethod
    def available(cls) -> bool:
        return cls.program.exists()

    def call(self, *words: object) -> str:
        return self.run(self.program, "-q", "-C", self.dir, "--store", self.repo, *words)

    def version(self) -> str:
        return self.run(self.program, "--version").strip()

    def init(self) -> None:
        self.call("init")

    def snapshot(self) -> str:
        return self.call("snapshot").strip()

    def verify(self, snapshot: str) -> None:
        self.call("verify", snapshot)

    def rollback(self, snapshot: str) -> None:
        self.call("rollback", snapshot, "--yes")

    def gc(self) -> None:
        self.call("gc")

    def gc_in_full(self) -> None:
        self.call("gc", "--full")


class Git(Tool):
    """Plain git with a bare repository beside the directory, everything added, nothing converted."""

    name = "git"

    def call(self, *words: object) -> str:
        return self.run("git", f"--git-dir={self.repo}", f"--work-tree={self.dir}", *words, cwd=self.dir)

    def version(self) -> str:
        return self.run("git", "version").strip()

    def init(self) -> None:
        who = {f"GIT_{role}_{what}": "bench" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.env |= who | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        self.run("git", "init", "-q", "--bare", self.repo)
        self.call("config", "gc.auto", "0")
        (self.repo / "info").mkdir(exist_ok=True)
        (self.repo / "info/attributes").write_text("* -text -eol -ident -filter -working-tree-encoding\n")

    def snapshot(self) -> str:
        self.taken += 1
        self.call("add", "-A", "--force", ".")
        self.call("commit", "-q", "--allow-empty", "--no-verify", "-m", self.taken)
        self.call("update-ref", f"refs/snapshots/{self.taken}", "HEAD")
        return f"refs/snapshots/{self.taken}"

    def verify(self, snapshot: str) -> None:
        self.call("fsck", "--full", "--no-progress")

    def rollback(self, snapshot: str) -> None:
        self.call("read-tree", "-u", "--reset", snapshot)
        self.call("clean", "-ffdxq")

    def gc(self) -> None:
        self.call("gc", "-q", "--prune=now")


class Restic(Tool):
    name = "restic"

    def call(self, *words: object, cwd: Path | None = None) -> str:
        return self.run("restic", "-q", "-r", self.repo, "--cache-dir", self.base / "cache", *words, cwd=cwd)

    def version(self) -> str:
        return self.run("restic", "version").strip()

    def init(self) -> None:
        (self.base / "password").write_text("bench\n")
        self.env["RESTIC_PASSWORD_FILE"] = str(self.base / "password")
        self.call("init", "--repository-version", "2")

    def snapshot(self) -> str:
        said = self.call("backup", "--json", ".", cwd=self.dir)
        return str(json.loads(said.strip().splitlines()[-1])["snapshot_id"])

    def verify(self, snapshot: str) -> None:
        self.call("check", "--read-data")

    def rollback(self, snapshot: str) -> None:
        new = self.base / "new"
        new.mkdir()
        self.call("restore", snapshot, "--target", new)
        self.swap_in(new)

    def gc(self) -> None:
        self.call("prune")


class Borg(Tool):
    name = "borg"

    def version(self) -> str:
        return self.run("borg", "--version").strip()

    def init(self) -> None:
        self.env |= {"BORG_BASE_DIR": str(self.base), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self.run("borg", "init", "-e", "none", self.repo)

    def snapshot(self) -> str:
        self.taken += 1
        self.run("borg", "create", f"{self.repo}::{self.taken}", ".", cwd=self.dir, ok=(0, 1))
        return str(self.taken)

    def verify(self, snapshot: str) -> None:
        self.run("borg", "check", "--verify-data", self.repo)

    def rollback(self, snapshot: str) -> None:
        new = self.base / "new"
        new.mkdir()
        self.run("borg", "extract", f"{self.repo}::{snapshot}", cwd=new, ok=(0, 1))
        self.swap_in(new)

    def gc(self) -> None:
        self.run("borg", "compact", self.repo)


class Copies(Tool):
    """What people do without any of these: a copy before the upgrade, and rsync back. Nothing is checked or shared."""

    name = "cp + rsync"
    has = frozenset({"init", "first", "upgrade", "rollback", "rollback few"})

    @classmethod
    def available(cls) -> bool:
        return shutil.which("rsync") is not None

    def version(self) -> str:
        return self.run("rsync", "--version").splitlines()[0]

    def init(self) -> None:
        self.repo.mkdir()

    def snapshot(self) -> str:
        self.taken += 1
        self.run("cp", "-a", self.dir, self.repo / str(self.taken))
        return str(self.taken)

    def rollback(self, snapshot: str) -> None:
        self.run("rsync", "-aHAX", "--delete", f"{self.repo / snapshot}/", f"{self.dir}/")


TOOLS: tuple[type[Tool], ...] = (Copies, Git, Restic, Borg, Gitsnap)
