"""The sidecar: a stock bare git repository, private, with gitsnap's own few files in its `gitsnap/` directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from weakref import WeakSet

from gitsnap.core import statcache_file
from gitsnap.core.audit import Noted
from gitsnap.core.errors import (
    GitsnapError,
    IntegrityError,
    PendingRecoveryError,
)
from gitsnap.core.model import Snapshot
from gitsnap.core.statcache import StatCache
from gitsnap.sidecar import files, limits, location, locks, stale_files, standalone
from gitsnap.sidecar.git import config as gitconfig
from gitsnap.sidecar.git import damaged_objects, stock_git
from gitsnap.sidecar.git import locks as gitlocks
from gitsnap.sidecar.git.config import FORMAT_VERSION
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.refs import MANIFESTS, METADATA, TIMELINE
from gitsnap.sidecar.git.repo import Repository

# The journal's name; what follows is its phase (core/journal.py).
JOURNAL = "journal."
UPGRADE_RECORD = "upgrade.json"
SERVICE_MARK = "service.json"
# What says that several directories go back together (state.set_rollback).
SET_RETURN = "return.json"
# What says that the directory has not been brought back yet from which this was cloned (state.clone_mark).
CLONE_MARK = "clone.json"


class Sidecar(Repository):
    """An open sidecar at `path` (absolute), a dulwich repository. Close it, or use it as a context manager."""

    def __init__(self, path: str) -> None:
        location.require_private(path)
        location.require_directories(path)
        settings = dict(gitconfig.read(path))
        super().__init__(path, settings)
        version = settings.get("gitsnap.formatversion", "")
        if not version.isdecimal():
            raise IntegrityError(
                f"the config of the sidecar {path} names no format version",
                path=path,
                hint=f"if all else is whole: git --git-dir {path} config gitsnap.formatVersion {FORMAT_VERSION}",
            )
        if int(version) > FORMAT_VERSION:
            raise GitsnapError(
                f"the sidecar has format version {version}; this gitsnap knows version {FORMAT_VERSION}",
                kind="newer-format",
                path=path,
                hint="upgrade gitsnap; nothing was changed",
            )
        installation = gitconfig.installation(settings)
        if installation is None:
            raise IntegrityError("the sidecar's config has a malformed gitsnap.installation", path=path)
        self.installation = installation
        # The snapshots that could not be read when they were looked at last, and why.
        self.damaged: dict[str, IntegrityError] = {}
        self._opened = False
        self._is_held = False
        self._suspected: set[bytes] = set()
        self._inherited: tuple[int, ...] = ()
        # The snapshots that were read already, by commit (catalog.load).
        self.catalog: dict[str, Snapshot] = {}
        # What stat caches that somebody holds are read from.
        self._caches: WeakSet[files.Pieces] = WeakSet()
        # What is done with it, for the audit log.
        self.noted = Noted()

    def close(self) -> None:
        """Release descriptors, and forget what was read: a stat cache has no rows any more but those that it holds."""
        self.catalog.clear()
        for file in list(self._caches):
            file.close()
        super().close()
        self._opened = False

    @property
    def objects(self) -> ObjectStore:
        """All objects, for reading; and what is known to be damaged."""
        if not self._opened:
            self.object_store.refresh()
            self._suspected = damaged_objects.load(self.own("suspects"))
            self.object_store.damaged |= self._suspected
            self._opened = True
        return self.object_store

    @property
    def met_damage(self) -> bool:
        """Whether something could not be read that was not known to be damaged."""
        return self._opened and not self.object_store.damaged <= self._suspected

    def own(self, name: str) -> str:
        """The path of one of gitsnap's own files in the sidecar."""
        return os.path.join(self.path, "gitsnap", name)

    @property
    def scratch(self) -> str:
        """The directory for temporary files; git does not know it, so git never cleans it."""
        path = self.own("tmp")
        # Empty most of the time, and so lost by what copies files alone, such as an object store.
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    @property
    def pending(self) -> str | None:
        """The phase of the rollback that runs now, or was interrupted; None when there is none."""
        try:
            names = os.listdir(self.own(""))
        except FileNotFoundError:
            return None
        return next((name.removeprefix(JOURNAL) for name in sorted(names) if name.startswith(JOURNAL)), None)

    @property
    def service_marked(self) -> bool:
        """Whether its service was to be stopped, and was not started again (state.stopped_service). One look."""
        return os.path.exists(self.own(SERVICE_MARK))

    @property
    def upgrading(self) -> bool:
        """Whether an upgrade has left a record (state.upgrade_record): it goes on, or was cut short. One look."""
        return os.path.exists(self.own(UPGRADE_RECORD))

    @property
    def returning(self) -> bool:
        """Whether several directories, this one among them, are going back, or were interrupted. One look."""
        return os.path.exists(self.own(SET_RETURN))

    @property
    def cloning(self) -> bool:
        """Whether a clone goes on, or was interrupted, before its directory was there. One look."""
        return os.path.exists(self.own(CLONE_MARK))

    @property
    def busy(self) -> bool:
        """Whether a changing command is at work at this moment."""
        return locks.held(self.own("writer.lock"))

    @contextmanager
    def writing(self, wait: float, *, recovering: bool = False) -> Iterator[None]:
        """One changing command at a time; raises LockedError after `wait` seconds. Whoever has it has it again.

        Raises PendingRecoveryError, unless `recovering`, when a rollback was interrupted.
        """
        self.noted.changes = True
        if self._is_held:
            if not recovering:
                self._require_settled()
            yield
            return
        with locks.hold(self.own("writer.lock"), exclusive=True, wait=wait), self.using_objects(wait):
            if not recovering:
                self.require_settled()
            stale_files.clear(self.path)
            standalone.ensure(self.path, self.scratch)
            if self._opened:
                # What another process found damaged since: a verification beside an upgrade, say.
                self.object_store.damaged |= damaged_objects.load(self.own("suspects"))
            self.refs.patience = max(wait, self.refs.patience)
            if not recovering:
                # What nearly every change needs: told before a directory is read for minutes.
                self.refs.wait_until_free((TIMELINE, MANIFESTS, METADATA))
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    def _require_settled(self) -> None:
        # Whoever holds the writer's lock knows that nobody is at work on it.
        if self.pending is not None:
            raise PendingRecoveryError(
                f"a rollback of {self.installation} was interrupted and has to be settled first",
                path=self.installation,
                hint="`gitsnap recover` settles it: --finish brings it to its end, --revert takes it back",
            )

    def require_settled(self) -> None:
        """Raise PendingRecoveryError where a rollback was interrupted, of this directory or of several. For whoever
        holds the writer's lock."""
        self._require_settled()
        if self.returning:
            raise PendingRecoveryError(
                f"a rollback of several directories, {self.installation} among them, was interrupted and has to be "
                "settled first",
                path=self.installation,
                hint="`gitsnap recover` brings all of them to the same end",
            )

    @contextmanager
    def using_objects(self, wait: float) -> Iterator[None]:
        """Keep gc out while objects are read or added."""
        with locks.hold(self.own("objects.lock"), exclusive=False, wait=wait):
            yield

    @contextmanager
    def collecting(self, wait: float) -> Iterator[None]:
        """Alone with the objects: for gc. The git that runs meanwhile holds the locks as well, should we be killed."""
        self.noted.changes = True
        with locks.hold(self.own("writer.lock"), exclusive=True, wait=wait) as writer:
            self._require_settled()
            stale_files.clear(self.path)
            # Readers can go on while a git is waited for.
            gitlocks.wait_for_all(self.path, wait)
            with locks.hold(self.own("objects.lock"), exclusive=True, wait=wait) as objects:
                self._inherited = (writer, objects)
                try:
                    with stale_files.git_at_work(self.path):
                        yield
                finally:
                    self._inherited = ()

    def load_cache(self) -> StatCache:
        """The stat cache; an empty one when it is missing or damaged."""
        with suppress(FileNotFoundError):
            file = files.Pieces(self.own("stat-cache"))
            if file.size > limits.PER_PATH_FILE:
                raise IntegrityError(f"{file.path} has more bytes than gitsnap ever writes there", path=file.path)
            self._caches.add(file)
            with suppress(OSError):
                return statcache_file.opened(file.read, file.size) or StatCache()
        return StatCache()

    def save_cache(
        self,
        cache: StatCache,
        edits: statcache_file.Edits | None = None,
        more: Iterable[statcache_file.Folder] = (),
    ) -> None:
        """Replace the stat cache, or leave it when there is no room. Not synced: losing it costs time only."""
        with suppress(OSError):
            written = statcache_file.pieces(cache, edits, more)
            files.replace(self.own("stat-cache"), written, self.scratch, durable=False)

    def git(self, *arguments: str) -> bytes:
        """Run stock git on the sidecar's refs and objects; its output."""
        with stock_git.room(self.path, refs=True) as where:
            return stock_git.run(arguments, where=where, installation=self.installation, inherited=self._inherited)

    def git_on_objects(self, *arguments: str) -> bytes:
        """Run stock git on the sidecar's objects alone, each named by its id; its output."""
        with stock_git.room(self.path, refs=False) as where:
            return stock_git.run(arguments, where=where, installation=self.installation)

    def git_elsewhere(self, *arguments: str, cwd: str, ok: Sequence[int] = (0,)) -> bytes:
        """Run stock git on files in the directory `cwd`, without any repository; its output."""
        return stock_git.run(arguments, cwd=cwd, ok=ok, installation=self.installation)

    def disk_bytes(self) -> int:
        """What the sidecar takes on disk, in bytes."""
        total = 0
        for folder, _, names in files.walk(self.path):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    continue
        return total

    def adopt(self, installation: str) -> None:
        """Record that the sidecar now protects the directory at `installation` (it was moved)."""
        config = os.path.join(self.path, "config")
        self.git_elsewhere("config", "--file", config, "gitsnap.installation", installation, cwd=self.path)
        self.installation = installation
