"""Stages: private directories below the installation, one on each file system that a plan writes to.

New content waits there in numbered slots until it is moved into place; what it replaces moves into the slots in turn.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from gitsnap.core.errors import IntegrityError, exhausted
from gitsnap.core.journal import Stage
from gitsnap.core.model import Problem
from gitsnap.core.paths import STAGE_PREFIX
from gitsnap.installation import mounts
from gitsnap.installation.apply.conflicts import copy_aside
from gitsnap.installation.directories import OPEN_DIRECTORY, Directories, names_in
from gitsnap.installation.disk import Disk
from gitsnap.installation.obstacles import bars

_NAME = re.compile(re.escape(STAGE_PREFIX) + rb"[0-9a-f]{12}")
_DEFAULT_ACL = "system.posix_acl_default"


class Holders:
    """Chooses the directories that hold stages: one for each place between which names can be moved."""

    def __init__(self, dirs: Directories, coming: Collection[bytes]) -> None:
        self._dirs, self._coming = dirs, coming
        self._mounts = mounts.below(dirs.root)
        self._by_place: dict[tuple[int, bytes], int] = {}
        self._by_folder: dict[bytes, int] = {}
        self.stages: list[Stage] = []

    def number(self, path: bytes) -> int:
        """The number of the stage on the file system that `path` is on, or will be."""
        folder = path.rpartition(b"/")[0]
        seen = []
        while folder not in self._by_folder:
            seen.append(folder)
            if folder not in self._coming:
                self._by_folder[folder] = self._on_its_file_system(folder)
                break
            folder = folder.rpartition(b"/")[0]
        number = self._by_folder[folder]
        self._by_folder |= dict.fromkeys(seen, number)
        return number

    def _on_its_file_system(self, folder: bytes) -> int:
        place = self._place(folder)
        if place not in self._by_place:
            above = folder
            while above and self._place(above.rpartition(b"/")[0]) == place:
                above = above.rpartition(b"/")[0]
                # Where nothing can be made, no stage can be either.
                if bars(self._dirs.fd(above)) is None:
                    folder = above
            found = os.fstat(self._dirs.fd(folder))
            self._by_place[place] = len(self.stages)
            self.stages.append(Stage(folder, stat.S_IMODE(found.st_mode), found.st_atime_ns, found.st_mtime_ns))
        return self._by_place[place]

    def _place(self, folder: bytes) -> tuple[int, bytes]:
        """What two directories have in common when names can be moved between them: the device and the mount."""
        device = os.fstat(self._dirs.fd(folder)).st_dev
        while folder and folder not in self._mounts:
            folder = folder.rpartition(b"/")[0] if self._mounts else b""
        return device, folder


class Stages:
    """The stages of one rollback, open."""

    def __init__(self, disk: Disk, dirs: Directories, name: bytes, stages: Iterable[Stage]) -> None:
        self._disk, self._dirs, self._name = disk, dirs, name
        self.stages = list(stages)
        # Descriptors of our own: those of `dirs` are closed when enough others were asked for.
        self._fds: list[int | None] = [None] * len(self.stages)

    def close(self) -> None:
        """Release the descriptors."""
        for fd in self._fds:
            if fd is not None:
                os.close(fd)
        self._fds = [None] * len(self._fds)

    def make(self) -> None:
        """Make all of them. Raises OSError."""
        for number, stage in enumerate(self.stages):
            holder = self._dirs.fd(stage.holder)
            with writable(holder):
                self._disk.mkdir(holder, self._name)
            fd = os.open(self._name, OPEN_DIRECTORY, dir_fd=holder)
            self._fds[number] = fd
            self.stages[number] = replace(stage, inode=os.fstat(fd).st_ino)
            self._disown(fd)

    def _disown(self, fd: int) -> None:
        """Let nothing in the stage inherit a group or access rules from the directory that holds it."""
        if stat.S_IMODE(os.fstat(fd).st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        with suppress(OSError):
            os.removexattr(fd, _DEFAULT_ACL)

    def open(self) -> None:
        """Open those that are there; IntegrityError when one is not the one that was made."""
        for number, stage in enumerate(self.stages):
            try:
                fd = os.open(self._name, OPEN_DIRECTORY, dir_fd=self._dirs.fd(stage.holder))
            except FileNotFoundError:
                continue
            self._fds[number] = fd
            found = os.fstat(fd)
            if found.st_uid != os.geteuid() or (stage.inode and found.st_ino != stage.inode):
                raise IntegrityError(
                    "the stage of an interrupted rollback was replaced by somebody else's directory",
                    path=stage.holder + b"/" + self._name if stage.holder else self._name,
                )

    def fd(self, number: int) -> int:
        """The descriptor of a stage; FileNotFoundError when it is not there."""
        fd = self._fds[number]
        if fd is None:
            raise FileNotFoundError(errno.ENOENT, "the stage of the rollback is gone", os.fsdecode(self._name))
        return fd

    @property
    def missing(self) -> bool:
        """Whether one of them is not there."""
        return None in self._fds

    @property
    def present(self) -> bool:
        """Whether one of them is there."""
        return any(fd is not None for fd in self._fds)

    def sync(self) -> None:
        """Make everything on their file systems durable."""
        for fd in self._fds:
            if fd is not None:
                self._disk.sync_file_system(fd)

    def remove(self, keep: Callable[[int, int, bytes], None], *, untouched: bool = False) -> None:
        """Delete them with what is left in them; their holders get their times back, and where the installation is
        `untouched`, their modes: else they have those that they shall have.

        `keep(number, descriptor, name)` sees each slot first, and may save it.
        """
        for number, stage in enumerate(self.stages):
            holder, fd = self._dirs.fd(stage.holder), self._fds[number]
            if fd is not None:
                for name in names_in(fd):
                    keep(number, fd, name)
                    remove_tree(self._disk, fd, name)
                with writable(holder):
                    self._disk.rmdir(holder, self._name)
            try:
                self._disk.set_time(holder, b".", stage.atime_ns, stage.mtime_ns)
            except OSError as error:
                # It is another's, who alone may set its time; or nothing could be made there in the first place.
                if error.errno not in ((errno.EPERM,) if fd is not None else (errno.EPERM, errno.EROFS)):
                    raise
            if untouched and stat.S_IMODE(os.fstat(holder).st_mode) != stage.mode:
                os.fchmod(holder, stage.mode)
        self.close()

    def sync_holders(self) -> None:
        """Make it durable that they are gone."""
        for stage in self.stages:
            self._disk.sync(self._dirs.fd(stage.holder))


def remove_tree(disk: Disk, parent: int, name: bytes) -> None:
    """Delete a name, and what is below it where it is a directory. Symlinks are not followed."""
    try:
        disk.unlink(parent, name)
        return
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
    try:
        disk.rmdir(parent, name)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        with writable(fd):
            for below in names_in(fd):
                remove_tree(disk, fd, below)
    finally:
        os.close(fd)
    disk.rmdir(parent, name)


@contextmanager
def writable(fd: int) -> Iterator[None]:
    """An open directory that its owner may write to for the moment. Root may in any case."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o300 == 0o300 or os.geteuid() == 0:
        yield
        return
    os.fchmod(fd, mode | 0o300)
    try:
        yield
    finally:
        os.fchmod(fd, mode)


def left_behind(root: str) -> list[bytes]:
    """Stages of rollbacks that are no more: private directories of ours with a stage's name, relative to the root."""
    found = []
    with Directories(root) as dirs:
        for folder in [b"", *sorted(mounts.below(dirs.root))]:
            try:
                fd = dirs.fd(folder)
            except OSError as error:
                if exhausted(error):
                    raise
                continue
            for name in names_in(fd):
                if not _NAME.fullmatch(name):
                    continue
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and (status.st_uid, status.st_mode & 0o7777) == (os.geteuid(), 0o700):
                    found.append(folder + b"/" + name if folder else name)
    return found


def clear(
    root: str,
    disk: Disk,
    left: Iterable[bytes],
    unsaved: Callable[[int], bool],
    destination: str,
    held_by: str = "neither snapshot",
) -> list[Problem]:
    """Delete stages that were left behind; their files that are `unsaved` are copied to `destination` first."""
    kept: list[Problem] = []
    with Directories(root) as dirs:
        for path in left:
            parent, name = dirs.parent(path)
            holder = os.fstat(parent)
            for below in _files(dirs.fd(path)):
                folder, _, last = (path + b"/" + below).rpartition(b"/")
                fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dirs.fd(folder))
                try:
                    if unsaved(fd):
                        where = copy_aside(dirs.fd(folder), last, destination, below)
                        kept.append(Problem(path + b"/" + below, f"is in {held_by}; it is kept in {where}"))
                finally:
                    os.close(fd)
            dirs.forget(path)
            remove_tree(disk, parent, name)
            disk.set_time(parent, b".", holder.st_atime_ns, holder.st_mtime_ns)
            disk.sync(parent)
    return kept


def _files(fd: int) -> list[bytes]:
    """All regular files below an open directory."""
    found = []
    for name in names_in(fd):
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            found.append(name)
        elif stat.S_ISDIR(mode):
            below = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            try:
                found += [name + b"/" + deeper for deeper in _files(below)]
            finally:
                os.close(below)
    return found
