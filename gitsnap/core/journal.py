"""The journal of a rollback: everything that is needed to finish it, or to take it back, as text.

Four lines of JSON and a SHA-256 over them: a header, the stages, the names that move, and the paths whose metadata
change. Device numbers are left out: btrfs gives the same file another one at each mount.
What is read back is untrusted until it has passed `decode`, which checks every path and number.
"""

from __future__ import annotations

import base64
import hashlib
import json
from binascii import Error as BinasciiError
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from gitsnap.core.component import Part
from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import ID
from gitsnap.core.model import Entry, Type, Xattrs
from gitsnap.core.paths import STAGE_PREFIX, check_path

VERSION = 2
_TRANSACTION_DIGITS = 12
# Where there is no entry before or after.
_NOTHING = -1


class Phase(StrEnum):
    """How far a rollback is. The journal file's name tells, so that a rename is the step from one to the next.

    STAGING: nothing has been changed yet. FORWARD: decided, going to the target. BACKWARD: going back to the old state.
    FINISHED and REVERTED: the directory is as it shall be, only the stages are left.
    """

    STAGING = "staging"
    FORWARD = "forward"
    BACKWARD = "backward"
    FINISHED = "finished"
    REVERTED = "reverted"


class Motion(StrEnum):
    """How a name moves: into the directory from its slot in the stage, in exchange with what is there, or out."""

    IN = "in"
    SWAP = "swap"
    OUT = "out"


@dataclass(slots=True, frozen=True)
class Stage:
    """One stage: the directory that holds it, as it was before, and the stage's own inode (0 before it exists)."""

    holder: bytes
    mode: int
    atime_ns: int
    mtime_ns: int
    inode: int = 0


@dataclass(slots=True, frozen=True)
class Move:
    """One name that moves. `slot` is its number in stage `stage`.

    `inode` is what was staged (0 for OUT). `size` and `mtime_ns` are those of the file or symlink that the safety
    snapshot holds for this path (-1: there was none, or it is something else); `old_inode` is its number.
    """

    motion: Motion
    path: bytes
    slot: int
    stage: int
    inode: int = 0
    old_inode: int = 0
    size: int = -1
    mtime_ns: int = 0


class MetadataChange(NamedTuple):
    """A path's metadata before and after; None where it is not there, or where nothing is known."""

    path: bytes
    old: Entry | None
    new: Entry | None


@dataclass(slots=True)
class Record:
    """One rollback. `created` is RFC 3339, `root` absolute, `target` and `safety` are snapshot ids.

    `paths` are those asked for (none: everything), `part` the component (None: all); `ignore` and `exclude` the texts
    of the exclusion rules that held. Where `leaving` is not None, a merge was put in place: all that counts is what
    differs between the two snapshots, but for these paths, which others wrote to.
    """

    transaction: str
    created: str
    root: bytes
    root_inode: int
    target: str
    safety: str
    paths: tuple[bytes, ...] = ()
    part: Part | None = None
    ignore: bytes = b""
    exclude: bytes = b""
    stages: list[Stage] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    metadata_changes: list[MetadataChange] = field(default_factory=list)
    leaving: tuple[bytes, ...] | None = None

    @property
    def stage_name(self) -> bytes:
        """The stages' name, the same in each holder."""
        return STAGE_PREFIX + self.transaction.encode()

    def stage_paths(self) -> frozenset[bytes]:
        """Where the stages are, relative to the root."""
        return frozenset(s.holder + b"/" + self.stage_name if s.holder else self.stage_name for s in self.stages)


def encode(record: Record) -> bytes:
    """The record as text, with its digest."""
    header = {
        "gitsnap-journal": VERSION,
        "transaction": record.transaction,
        "created": record.created,
        "root": _text(record.root),
        "root-inode": record.root_inode,
        "target": record.target,
        "safety": record.safety,
        "paths": [_text(p) for p in record.paths],
        "part": _part(record.part),
        "ignore": _text(record.ignore),
        "exclude": _text(record.exclude),
        "leaving": None if record.leaving is None else [_text(p) for p in record.leaving],
    }
    sections = [
        header,
        [[_text(s.holder), s.mode, s.atime_ns, s.mtime_ns, s.inode] for s in record.stages],
        [
            [m.motion.value, _text(m.path), m.slot, m.stage, m.inode, m.old_inode, m.size, m.mtime_ns]
            for m in record.moves
        ],
        _columns(record.metadata_changes),
    ]
    body = "".join([json.dumps(section, separators=(",", ":")) + "\n" for section in sections]).encode()
    return body + b"sha256 %s\n" % hashlib.sha256(body).hexdigest().encode()


def decode(data: bytes) -> Record:
    """Read a record back; IntegrityError for anything that `encode` would not have written."""
    body, _, trailer = data.rpartition(b"sha256 ")
    if trailer != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise _damaged("its digest does not match")
    try:
        header, stages, moves, metadata_changes = (json.loads(line) for line in body.decode("ascii").split("\n")[:-1])
        record = _header(header)
        record.stages = [_stage(found) for found in _is(stages, list)]
        record.moves = [_move(found, len(record.stages)) for found in _is(moves, list)]
        record.metadata_changes = _metadata_changes(metadata_changes)
    except (ValueError, IndexError, KeyError, TypeError, BinasciiError, RecursionError):
        raise _damaged("it is malformed") from None
    _check(record)
    return record


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(text: object) -> bytes:
    return _is(text, str).encode("utf-8", "surrogateescape")


def _part(part: Part | None) -> list[object] | None:
    if part is None:
        return None
    return [part.name, {name: list(globs) for name, globs in part.components.items()}, sorted(map(_text, part.folders))]


def _read_part(found: Any) -> Part | None:
    if found is None:
        return None
    name, components, folders = _is(found, list)
    table = {n: tuple(_is(glob, str) for glob in _is(globs, list)) for n, globs in _is(components, dict).items()}
    return Part(_is(name, str), table, frozenset(map(_bytes, _is(folders, list))))


def _columns(metadata_changes: list[MetadataChange]) -> dict[str, list[Any]]:
    """Metadata column by column: after an upgrade they are all the installation's files, and few of them look other
    than the rest but for their times."""
    looks: dict[tuple[Type, int, int, int, Xattrs], int] = {}

    def look(entry: Entry | None) -> int:
        if entry is None:
            return _NOTHING
        return looks.setdefault((entry.type, entry.mode, entry.uid, entry.gid, entry.xattrs), len(looks))

    paths = b"\0".join([d.path for d in metadata_changes]).decode("utf-8", "surrogateescape")
    columns: dict[str, list[Any]] = {
        "paths": paths.split("\0") if metadata_changes else [],
        "old": [look(d.old) for d in metadata_changes],
        "old-times": [d.old.mtime_ns if d.old else 0 for d in metadata_changes],
        "new": [look(d.new) for d in metadata_changes],
        "new-times": [d.new.mtime_ns if d.new else 0 for d in metadata_changes],
    }
    columns["looks"] = [[*look[:4], _coded(look[4])] for look in looks]
    return columns


def _coded(xattrs: Xattrs) -> list[list[str]]:
    return [[name, base64.b64encode(value).decode()] for name, value in xattrs]


def _header(found: Any) -> Record:
    version = _is(found, dict)["gitsnap-journal"]
    if type(version) is not int or version != VERSION:
        raise _damaged(f"it has version {version!r}; this gitsnap knows {VERSION}")
    return Record(
        _is(found["transaction"], str),
        _is(found["created"], str),
        _bytes(found["root"]),
        _number(found["root-inode"]),
        _is(found["target"], str),
        _is(found["safety"], str),
        tuple(map(_bytes, _is(found["paths"], list))),
        _read_part(found["part"]),
        _bytes(found["ignore"]),
        _bytes(found["exclude"]),
        leaving=None if found.get("leaving") is None else tuple(map(_bytes, _is(found["leaving"], list))),
    )


def _stage(found: Any) -> Stage:
    holder, mode, atime, mtime, inode = _is(found, list)
    return Stage(_bytes(holder), _number(mode, 0o7777), _time(atime), _time(mtime), _number(inode))


def _move(found: Any, stages: int) -> Move:
    motion, path, slot, stage, inode, old_inode, size, mtime = _is(found, list)
    return Move(
        Motion(motion),
        _bytes(path),
        _number(slot),
        _number(stage, stages - 1),
        _number(inode),
        _number(old_inode),
        -1 if size == -1 else _number(size),
        _time(mtime),
    )


def _metadata_changes(found: Any) -> list[MetadataChange]:
    looks = [_look(look) for look in _is(_is(found, dict)["looks"], list)]
    names = ("paths", "old", "old-times", "new", "new-times")
    paths, old, old_times, new, new_times = (_is(found[name], list) for name in names)

    def entry(path: bytes, number: object, time: object) -> Entry | None:
        if number == _NOTHING:
            return None
        kind, mode, uid, gid, xattrs = looks[_number(number, len(looks) - 1)]
        return Entry(path, kind, mode, uid, gid, mtime_ns=_time(time), xattrs=xattrs)

    rows = zip(map(_bytes, paths), old, old_times, new, new_times, strict=True)
    return [MetadataChange(path, entry(path, a, then), entry(path, b, now)) for path, a, then, b, now in rows]


def _look(found: Any) -> tuple[Type, int, int, int, Xattrs]:
    kind, mode, uid, gid, xattrs = _is(found, list)
    largest = (1 << 32) - 1
    return Type(kind), _number(mode, 0o7777), _number(uid, largest), _number(gid, largest), _xattrs(xattrs)


def _xattrs(found: Any) -> Xattrs:
    return tuple((_is(name, str), base64.b64decode(_is(value, str), validate=True)) for name, value in found)


def _check(record: Record) -> None:
    digits = record.transaction
    if len(digits) != _TRANSACTION_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise _damaged("it names no transaction")
    if not record.root.startswith(b"/") or b"\0" in record.root:
        raise _damaged("it names no directory")
    if not all(ID.fullmatch(name) for name in (record.target, record.safety)):
        raise _damaged("it names no snapshots")
    _check_paths((m.path for m in record.moves), check_path)
    _check_paths((s.holder for s in record.stages), _check_directory)
    _check_paths((d.path for d in record.metadata_changes), _check_directory)
    _check_paths(record.paths, _check_directory)
    _check_paths(record.leaving or (), _check_directory)
    if len({m.slot for m in record.moves}) != len(record.moves):
        raise _damaged("a slot occurs twice")


def _check_paths(paths: Iterable[bytes], check: Callable[[bytes], None]) -> None:
    for path in paths:
        try:
            check(path)
        except IntegrityError as error:
            raise _damaged(f"it names an {error.message}") from None


def _check_directory(path: bytes) -> None:
    if path:
        check_path(path)


_Kind = TypeVar("_Kind")


def _is(value: object, kind: type[_Kind]) -> _Kind:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _number(value: object, largest: int = (1 << 64) - 1) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError
    return value


def _time(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 79:
        raise ValueError
    return value


def _damaged(why: str) -> IntegrityError:
    return IntegrityError(f"the journal of an interrupted rollback is damaged: {why}")
