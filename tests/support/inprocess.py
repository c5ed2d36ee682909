"""gitsnap's operations called in this process, for tests that need hundreds of them, and stock git on sidecars."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitsnap.core.model import Inventory, Snapshot
from gitsnap.core.retention import Policy
from gitsnap.core.settings import Settings
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.check import verify
from gitsnap.ops.check.verdict import Verdict
from gitsnap.ops.check.verify_live import verify_live
from gitsnap.ops.restore import export
from gitsnap.ops.restore import rollback as restore
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import gc, locate, retention
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import retention_rules
from tests.support.installation import remove_tree

SETTINGS = Settings(zone=UTC, retention=Policy(), lock_wait=5.0)
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@contextmanager
def workspace() -> Iterator[Path]:
    """A private directory in memory where there is such a place: what is synced there costs nothing."""
    memory = "/dev/shm"
    where = tempfile.mkdtemp(prefix="gitsnap-test-", dir=memory if os.access(memory, os.W_OK | os.X_OK) else None)
    try:
        yield Path(where)
    finally:
        remove_tree(Path(where))


class Protected:
    """An installation `root` with its sidecar beside it in `home`. Every operation happens a second after the last."""

    def __init__(self, root: Path, home: Path, settings: Settings = SETTINGS) -> None:
        self.root, self.settings = root, settings
        self.place, _ = locate.protect(str(root), None, str(home), "/", "")
        self.sidecar = Sidecar(self.place.store)
        self._ticks = 0

    def __enter__(self) -> Protected:
        return self

    def __exit__(self, *_: object) -> None:
        self.sidecar.close()

    @property
    def store(self) -> Path:
        return Path(self.place.store)

    @property
    def now(self) -> datetime:
        self._ticks += 1
        return START + timedelta(seconds=self._ticks)

    def reopen(self) -> None:
        """What the next process would see: nothing that this one remembers."""
        self.sidecar.close()
        self.sidecar = Sidecar(self.place.store)

    def take(self, request: Request = Request()) -> Captured:  # noqa: B008 - never changed
        return snapshot.take(self.sidecar, request, self.settings, now=self.now)

    def rollback(self, to: str, paths: Sequence[bytes] = (), *, dry_run: bool = False) -> Restored:
        return restore.rollback(
            self.sidecar, to, self.settings, RollbackOptions(self.now, dry_run=dry_run), paths=paths
        )

    def copy_out(self, what: str, to: Path, paths: Sequence[bytes] = ()) -> Restored:
        return export.copy_out(self.sidecar, what, paths, str(to), self.settings)

    def verify(self) -> list[Verdict]:
        """Every snapshot, read by a reader that remembers nothing."""
        with Sidecar(self.place.store) as fresh:
            return verify.verify(fresh, [], self.settings, now=self.now, everything=True)

    def verify_live(self, what: str) -> Verdict:
        return verify_live(self.sidecar, what, self.settings)

    def delete(self, *what: str) -> None:
        retention.delete(self.sidecar, what, self.settings, now=self.now)

    def prune(self, keep_last: int) -> None:
        retention.prune(self.sidecar, Policy(keep_last=keep_last), self.settings, now=self.now, dry_run=False)

    def collect(self, *, full: bool = False) -> None:
        gc.collect(self.sidecar, self.settings, now=self.now, full=full)

    def snapshots(self) -> list[Snapshot]:
        with Sidecar(self.place.store) as fresh:
            return catalog.snapshots(fresh)

    def inventory(self, of: Snapshot) -> Inventory:
        with Sidecar(self.place.store) as fresh:
            return contents.inventory(fresh, of)

    def git(self, *args: str, stdin: bytes = b"") -> bytes:
        return bare_git(self.store, *args, stdin=stdin)

    def assert_sound(self) -> None:
        """gitsnap finds every snapshot whole, and stock git has nothing to say."""
        assert [(v.snapshot, v.problems) for v in self.verify() if v.problems] == []
        done = _git(self.store, "fsck", "--full", "--strict", "--no-progress")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def keep(self, **policy: int) -> None:
        """Have retention follow these rules from now on, as if somebody had said so."""
        self.settings = replace(self.settings, retention=Policy(**policy))
        retention_rules.store(self.sidecar, self.settings.rules)


def scan(root: Path, **more: object) -> Scan:
    """What a walk over `root` finds, every file read."""
    from gitsnap.core.content import Digesting

    return Scanner(str(root), Digesting(), ScanOptions(**more)).run()  # type: ignore[arg-type]


def bare_git(repository: Path, *args: str, stdin: bytes = b"") -> bytes:
    """Stock git on a bare repository; its output."""
    done = _git(repository, *args, stdin=stdin)
    assert done.returncode == 0, f"git {args}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def _git(repository: Path, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = clean | who | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
    command = [shutil.which("git") or "git", f"--git-dir={repository}", *args]
    return subprocess.run(command, input=stdin, capture_output=True, env=env)
