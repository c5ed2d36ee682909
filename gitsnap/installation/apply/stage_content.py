"""Drafting and staging: a plan becomes a record of moves, and what is to come is written into the slots of the stages.

The installation itself stays as it is; every byte that is staged is checked against the manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from gitsnap.core.content import beside
from gitsnap.core.errors import IntegrityError, StopRequestedError
from gitsnap.core.events import Observer
from gitsnap.core.journal import MetadataChange, Motion, Move, Record
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.core.plan import Action, RestorePlan, Step
from gitsnap.installation.apply.executor import Content, Stop, about, go_on, refusal
from gitsnap.installation.apply.stage_dirs import Holders, Stages
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk, set_metadata
from gitsnap.installation.stable_read import open_file

_BLOCK = 4096
_ZEROS = bytes(_BLOCK)
# A smaller file is written in less time than it takes to compare.
_WORTH_CLONING = 16 << 20
# Looked up once, because access to an enumeration's members is slow.
_METADATA, _DIR = Action.METADATA, Type.DIR
_PATH = attrgetter("path")
_MOTIONS = {Action.REMOVE: Motion.OUT, Action.RMDIR: Motion.OUT, Action.MKDIR: Motion.IN}


def draft(record: Record, plan: RestorePlan, live: Inventory, dirs: Directories) -> None:
    """Write what `plan` will do into `record`, nothing staged yet. `live` is the state that the plan started from."""
    holders = Holders(dirs, set(plan.paths(Action.MKDIR)))
    before = live.by_path()
    for number, step in enumerate(plan.steps):
        if step.action is not Action.METADATA:
            motion = _MOTIONS.get(step.action) or (Motion.SWAP if step.replaces else Motion.IN)
            record.moves.append(_move(motion, step.path, number, holders.number(step.path), before))
    record.stages = holders.stages
    record.metadata_changes = _metadata_changes(record, plan.steps, before)


def _move(motion: Motion, path: bytes, slot: int, stage: int, before: dict[bytes, Entry]) -> Move:
    old = before.get(path)
    if motion is Motion.IN or old is None or old.type not in (Type.FILE, Type.LINK):
        return Move(motion, path, slot, stage)
    size = len(old.target) if old.type is Type.LINK else old.size
    return Move(motion, path, slot, stage, size=size, mtime_ns=old.mtime_ns)


def _placed(move: Move, inode: int, old_inode: int) -> Move:
    # dataclasses.replace takes ten times as long, for each of thousands.
    return Move(move.motion, move.path, move.slot, move.stage, inode, old_inode, move.size, move.mtime_ns)


def _metadata_changes(record: Record, steps: Iterable[Step], before: dict[bytes, Entry]) -> list[MetadataChange]:
    """Metadata that the plan sets, and those that its moves disturb: files first, then directories, deepest first."""
    files: list[MetadataChange] = []
    folders: dict[bytes, MetadataChange] = {}
    for action, path, entry, *_ in steps:
        if action is _METADATA:
            old = before.get(path)
            if old is not None and (entry is None or old.type is not entry.type):
                old = None
            if entry is not None and entry.type is _DIR:
                folders[path] = MetadataChange(path, old, entry)
            else:
                files.append(MetadataChange(path, old, entry))
    holders = {s.holder for s in record.stages}
    for path in {m.path.rpartition(b"/")[0] for m in record.moves} | {m.path for m in record.moves} | holders:
        old = before.get(path)
        if path not in folders and old is not None and old.type is _DIR:
            folders[path] = MetadataChange(path, old, old if path in holders else None)
    files.sort(key=_PATH)
    return [*files, *sorted(folders.values(), key=_PATH, reverse=True)]


class Stager:
    """Fills the slots with what is to come, every byte checked; the installation itself stays as it is."""

    def __init__(self, disk: Disk, dirs: Directories, stages: Stages, content: Content, observer: Observer) -> None:
        self._disk, self._dirs, self._stages, self._content, self._observer = disk, dirs, stages, content, observer
        self.incomplete: list[Problem] = []
        # The inodes of the slots that were filled before their turn.
        self._ready: dict[int, int] = {}

    def fill(self, record: Record, plan: RestorePlan, stop: Stop = go_on) -> None:
        """Stage everything, and note in the record which inodes were staged and which are to be replaced.

        Raises IntegrityError for content that is not what its manifest says, OSError, StopRequestedError.
        """
        self._observer.started("writing", len(plan.paths(Action.WRITE)), plan.size())
        slots: dict[bytes, Move] = {}

        def heed() -> None:
            if stop():
                raise StopRequestedError("interrupted before anything was changed", hint="run the same command again")

        self._stage_ahead(record.moves, plan.steps, heed)
        for position, move in enumerate(record.moves):
            heed()
            with about(move.path):
                inode = self._stage(move, plan.steps[move.slot], slots)
                placed = _placed(move, inode, self._present(move))
            record.moves[position] = slots[move.path] = placed
        self._observer.finished()

    def _stage_ahead(self, moves: Sequence[Move], steps: Sequence[Step], heed: Callable[[], None]) -> None:
        """Fill slots before their turn, where that is quicker; `heed` is called now and then, and may raise."""

    def _stage(self, move: Move, step: Step, slots: dict[bytes, Move]) -> int:
        fd, slot = self._stages.fd(move.stage), b"%d" % move.slot
        if step.action is Action.MKDIR:
            self._disk.mkdir(fd, slot)
            return os.stat(slot, dir_fd=fd, follow_symlinks=False).st_ino
        return self._write(fd, slot, move, step, slots) if step.entry is not None else 0

    def _write(self, fd: int, slot: bytes, move: Move, step: Step, slots: dict[bytes, Move]) -> int:
        assert step.entry is not None
        if (ready := self._ready.get(move.slot)) is not None:
            return ready
        self._observer.advanced(1)
        first = slots.get(step.link_of) if step.link_of is not None else None
        if first is not None and self._stages.fd(first.stage) == fd:
            self._disk.link(fd, slot, b"%d" % first.slot)
            return first.inode
        return self._create(fd, slot, step.entry, move.path if step.replaces else None)

    def _present(self, move: Move) -> int:
        """The inode that is about to move out."""
        if move.motion is Motion.IN:
            return 0
        parent, name = self._dirs.parent(move.path)
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return 0

    def _create(self, fd: int, slot: bytes, entry: Entry, present: bytes | None) -> int:
        if entry.type is Type.FILE:
            return self._write_file(fd, slot, entry, present)
        if entry.type is Type.LINK:
            self._disk.symlink(fd, slot, entry.target)
        else:
            self._disk.special(fd, slot, entry)
        self._refused(entry, set_metadata(self._disk, fd, slot, entry))
        return os.stat(slot, dir_fd=fd, follow_symlinks=False).st_ino

    def _write_file(self, fd: int, slot: bytes, entry: Entry, present: bytes | None = None) -> int:
        digest, size = beside(hashlib.sha256(), entry.size), 0
        file = self._disk.create(fd, slot)
        try:
            cloned = present is not None and self._clone(file, present, entry)
            for piece in self._content(entry):
                digest.update(piece)
                if cloned:
                    _write_differing(file, piece, size)
                else:
                    _write_sparse(file, piece) if entry.sparse else _write_all(file, piece)
                size += len(piece)
                self._observer.advanced(0, len(piece))
            if entry.sparse or cloned:
                os.ftruncate(file, size)
            found = os.fstat(file)
            ours = (found.st_uid, found.st_gid) == (entry.uid, entry.gid) and not entry.xattrs
            if ours:
                self._disk.finish(file, entry.mode, found.st_atime_ns, entry.mtime_ns)
        finally:
            os.close(file)
            actual = digest.digest()
        if actual != entry.sha256 or size != entry.size:
            raise IntegrityError(
                "the stored content is not what the manifest says; nothing was changed", path=entry.path
            )
        if not ours:
            self._refused(entry, set_metadata(self._disk, fd, slot, entry))
        return found.st_ino

    def _clone(self, file: int, present: bytes, entry: Entry) -> bool:
        """Let a new file share the blocks of the one that it replaces, where that is large and the file system can."""
        if entry.size < _WORTH_CLONING or entry.sparse:
            return False
        try:
            source = open_file(*self._dirs.parent(present))
        except OSError:
            return False
        try:
            found = os.fstat(source)
            # Holes would come along.
            if found.st_blocks * 512 < found.st_size:
                return False
            self._disk.clone(file, source)
        except OSError:
            # Whatever came of it is written over.
            os.ftruncate(file, 0)
            return False
        finally:
            os.close(source)
        return True

    def _refused(self, entry: Entry, words: list[str]) -> None:
        if words:
            self.incomplete.append(refusal(entry.path, words))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write_differing(fd: int, data: bytes, offset: int) -> None:
    """Write the blocks of `data` that a file does not hold at `offset`, and read the others: a file that shares its
    blocks with another one keeps sharing them."""
    held = os.pread(fd, len(data), offset)
    if held == data:
        return
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        if held[start : start + _BLOCK] != block:
            os.lseek(fd, offset + start, os.SEEK_SET)
            _write_all(fd, block)


def _write_sparse(fd: int, data: bytes) -> None:
    """Write, leaving holes for blocks of zeros. The caller sets the final length."""
    start = 0
    for at in range(0, len(data), _BLOCK):
        if data[at : at + _BLOCK] == _ZEROS[: len(data) - at]:
            if at > start:
                _write_all(fd, data[start:at])
            os.lseek(fd, min(_BLOCK, len(data) - at), os.SEEK_CUR)
            start = at + _BLOCK
    if start < len(data):
        _write_all(fd, data[start:])
