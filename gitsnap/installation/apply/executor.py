"""Carrying out a plan: what is new is staged and synced first, then every name moves, one rename each.

Nothing is unlinked while names move: what is replaced or removed goes into the stage, so that each move can be taken
back. Moves and changes of metadata can be repeated in either direction from wherever a crash left them
(docs/internals/journal.md has the argument); a move tells by the inodes it finds whether it is done.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from gitsnap.core.errors import GitsnapError, StopRequestedError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.interim_mode import closed
from gitsnap.core.journal import Motion, Move, Record
from gitsnap.core.model import Entry, Problem, Type
from gitsnap.installation.apply.stage_dirs import Stages
from gitsnap.installation.apply.times import Retiming
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk, close, only_times, redress

# Looked up once, because access to an enumeration's members is slow.
_FILE, _DIR = Type.FILE, Type.DIR
_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NOT_PERMITTED = ": not permitted"

Content = Callable[[Entry], Iterator[bytes]]
Stop = Callable[[], bool]


def go_on() -> bool:
    """The default: nobody asks to stop."""
    return False


def refusal(path: bytes, words: list[str]) -> Problem:
    """What an unprivileged user was not allowed to set."""
    return Problem(path, ", ".join(words) + _NOT_PERMITTED)


def refused(problem: Problem) -> bool:
    """Whether it is one of those."""
    return problem.reason.endswith(_NOT_PERMITTED)


class Executor:
    """Moves the names of a record and sets the metadata of its paths, forward or backward, from wherever things stand.

    `first` says that nothing has been done yet: each path still has the old metadata of the record. `retiming` knows
    the contents that the directory had then.
    """

    def __init__(
        self,
        disk: Disk,
        dirs: Directories,
        stages: Stages,
        record: Record,
        observer: Observer = SILENT,
        *,
        first: bool = False,
        retiming: Retiming | None = None,
    ) -> None:
        self._disk, self._dirs, self._stages, self._record = disk, dirs, stages, record
        self._observer, self._first, self._retiming = observer, first, retiming
        self._opened: set[bytes] = set()
        self._may_anything = os.geteuid() == 0
        self.incomplete: list[Problem] = []

    def forward(self, stop: Stop = go_on) -> None:
        """To the target. Raises OSError, GitsnapError when something stands in the way, StopRequestedError."""
        self._close()
        self._run(self._record.moves, self._forward, stop)
        self.dress_new(stop)

    def backward(self, stop: Stop = go_on) -> None:
        """To the old state; raises the same."""
        self._close()
        self._run(reversed(self._record.moves), self._backward, stop)
        self.dress_old(stop)

    def dress_new(self, stop: Stop = go_on, only: Iterable[bytes] | None = None) -> None:
        """Set the metadata of the target; of `only` these paths, where they are given."""
        known = self._first and only is None
        done = self._retime(stop) if known else set()
        metadata_changes = (
            (d.path, d.old if known else None, d.new) for d in self._record.metadata_changes if d.path not in done
        )
        self._set_all_metadata(metadata_changes, stop, only)

    def dress_old(self, stop: Stop = go_on, only: Iterable[bytes] | None = None) -> None:
        """Set the metadata of the old state."""
        self._set_all_metadata(((d.path, None, d.old) for d in self._record.metadata_changes), stop, only)

    def sync(self) -> None:
        """Make all of it durable."""
        self._stages.sync()
        self._disk.sync_file_system(self._dirs.root)

    def _close(self) -> None:
        """Before the first name moves, whichever way: each directory is as closed as the stricter of its two states.

        They open when they get their metadata, after the last name has moved and the files have their own modes.
        """
        changed = False
        for path, old, new in self._record.metadata_changes:
            if old is None or new is None or old.type is not _DIR or (wanted := closed(old, new)) is None:
                continue
            # One that was removed meanwhile has nothing to hide.
            with about(path), suppress(FileNotFoundError):
                parent, name = self._dirs.parent(path) if path else (self._dirs.root, b".")
                changed |= close(self._disk, parent, name, wanted)
        if changed:
            # No name may be durable before this is.
            self.sync()

    def _run(self, moves: Iterable[Move], carry: Callable[[Move], None], stop: Stop) -> None:
        self._observer.started("replacing", len(self._record.moves))
        for move in moves:
            _heed(stop)
            with about(move.path):
                carry(move)
            self._observer.advanced(1)
        self._observer.finished()

    def _forward(self, move: Move) -> None:
        slot = b"%d" % move.slot
        stage = self._stages.fd(move.stage)
        place = self._place(move)
        if place is None:
            return
        parent, name = place
        if move.motion is Motion.SWAP:
            self._disk.settle(stage, slot)
            if _inode(stage, slot) != move.inode:
                return
            try:
                self._disk.exchange(stage, slot, parent, name)
            except FileNotFoundError:
                # Somebody removed the old one meanwhile.
                self._disk.move(stage, slot, parent, name)
        elif move.motion is Motion.IN:
            with suppress(FileNotFoundError):
                try:
                    self._disk.move(stage, slot, parent, name)
                except FileExistsError:
                    raise _appeared(move.path) from None
        else:
            self._release(move, parent, name)
            # A slot that is taken: it is in there already, and what stands in its place came later.
            with suppress(FileNotFoundError, FileExistsError):
                self._disk.move(parent, name, stage, slot)

    def _backward(self, move: Move) -> None:
        slot = b"%d" % move.slot
        stage = self._stages.fd(move.stage)
        place = self._place(move, gone=move.motion is not Motion.OUT)
        if place is None:
            return
        parent, name = place
        if move.motion is Motion.OUT:
            found = _inode(stage, slot)
            if found and move.old_inode and found != move.old_inode:
                self._give_back(stage, slot, parent, name)
            elif found:
                self._release(move, stage, slot)
                self._return(stage, slot, parent, name)
            return
        self._disk.settle(stage, slot)
        found = _inode(stage, slot)
        if found and found != move.inode:
            self._disk.exchange(stage, slot, parent, name)
        elif not found and _inode(parent, name) == move.inode:
            self._release(move, parent, name)
            self._disk.move(parent, name, stage, slot)
            if _inode(stage, slot) != move.inode:
                self._give_back(stage, slot, parent, name)

    def _give_back(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        """What another process put in place of ours just before it moved goes back, unless the name is taken again.

        It is kept from the slot then.
        """
        with suppress(FileExistsError):
            self._disk.move(stage, slot, parent, name)

    def _return(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        try:
            self._disk.move(stage, slot, parent, name)
        except FileExistsError:
            # What came in its place meanwhile is not ours to lose: it waits in the slot to be kept.
            self._disk.exchange(stage, slot, parent, name)

    def _release(self, move: Move, parent: int, name: bytes) -> None:
        """Let go of a directory that is about to move; its owner needs the right to write to it for that."""
        if move.size >= 0:
            return
        self._dirs.forget(move.path)
        if self._may_anything:
            return
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o300 != 0o300:
                self._disk.set_mode(parent, name, stat.S_IMODE(found.st_mode) | 0o300, Type.DIR)

    def _place(self, move: Move, gone: bool | None = None) -> tuple[int, bytes] | None:
        """The parent and the name that a move is about; None where the parent is `gone` as it should be.

        Going forward, what was to leave it has left it before; going backward, what came with it has left it again.
        """
        try:
            return self._parent(move.path)
        except OSError as error:
            if error.errno in _NO_DIRECTORY and (move.motion is Motion.OUT if gone is None else gone):
                return None
            raise

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The parent, made writable for its owner if it is not; its mode is set right at the end."""
        parent, name = self._dirs.parent(path)
        if not self._may_anything:
            folder = path.rpartition(b"/")[0]
            if folder not in self._opened:
                self._opened.add(folder)
                mode = stat.S_IMODE(os.fstat(parent).st_mode)
                if mode & 0o300 != 0o300:
                    os.fchmod(parent, mode | 0o300)
        return parent, name

    def _set_all_metadata(
        self, wanted: Iterable[tuple[bytes, Entry | None, Entry | None]], stop: Stop, only: Iterable[bytes] | None
    ) -> None:
        chosen = None if only is None else set(only)
        for path, old, new in wanted:
            if new is None or (chosen is not None and path not in chosen):
                continue
            _heed(stop)
            try:
                parent, name = self._dirs.parent(path) if path else (self._dirs.root, b".")
                # A directory's time has moved with every name in it.
                words = redress(self._disk, parent, name, None if new.type is _DIR else old, new)
            except FileNotFoundError:
                # Removed by somebody meanwhile: the comparison at the end says so.
                continue
            if words:
                self.incomplete.append(refusal(path, words))

    def _retime(self, stop: Stop) -> set[bytes]:
        """Set the times of the files that get nothing else, and whose content is known; their paths."""
        if self._retiming is None:
            return set()
        wanted = [
            (path, new.mtime_ns)
            for path, old, new in self._record.metadata_changes
            if old is not None and new is not None and new.type is _FILE and only_times(old, new)
        ]
        return self._retiming.set_all(self._dirs, wanted, lambda: _heed(stop))


@contextmanager
def about(path: bytes) -> Iterator[None]:
    """An error of a system call names the path that it was about, not a slot."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


def _heed(stop: Stop) -> None:
    if stop():
        raise StopRequestedError(
            "interrupted half way: the directory is between two states",
            hint="`gitsnap recover` brings it to its end, `gitsnap recover --revert` takes it back",
        )


def _inode(parent: int, name: bytes) -> int:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return 0


def _appeared(path: bytes) -> GitsnapError:
    return GitsnapError(
        "something appeared here while the directory was being brought back",
        kind="changed-meanwhile",
        path=path,
        hint="stop what writes to the directory, and try again",
    )
