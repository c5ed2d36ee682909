"""The stat cache: what was true of each path when it was last read, so that unchanged files are not read again.

A cache only. Whatever is not whole is treated as absent (statcache_file). A row is written only for a path that had not
changed within the clock's granularity of being read (the rule git calls "racy", Documentation/technical/racy-git.txt).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Xattrs

_KEY = struct.Struct("<QqqQIII")
_TIMES = slice(8, 24)
_ROW = struct.Struct("<QqqQIIIB20s32s")
_U32 = _MODE = struct.Struct("<I")
_MODE_AT = 32
_SIZE_AND_FLAGS = struct.Struct("<Q36xB52x")
_OWNER = struct.Struct("<II")
_OWNER_AT = 36
_CTIME = struct.Struct("<q")
_CTIME_AT = 16
# No ctime is so long ago.
_RACY = -(1 << 63)
# Where the block of a directory is in the file, its size, and its digest.
PLACE = struct.Struct("<QQ16s")
# Blocks that are kept for who asks name by name.
_RECENT = 64
CONTENT, SPARSE, XATTRS = 1, 2, 4
FLAGS, OID, _END = _KEY.size, _KEY.size + 1, _ROW.size
SHA256 = OID + 20
_ID = SHA256 - OID
# How long a row is.
ROW_BYTES = _ROW.size


# The packed stat fields, with which a row begins. struct.error for times beyond the year 2262.
pack_key = _KEY.pack


class Row(bytes):
    """One path's stat fields (st_size, st_mtime_ns, st_ctime_ns, st_ino, st_mode, st_uid, st_gid) and what was
    read then.

    Packed as it is in the file: an installation may have a million of them, and most are only compared.
    """

    __slots__ = ()

    @property
    def has_content(self) -> bool:
        """Whether the digests are those of the file's content."""
        return bool(self[FLAGS] & CONTENT)

    @property
    def sparse(self) -> bool:
        """Whether the file had holes."""
        return bool(self[FLAGS] & SPARSE)

    @property
    def has_xattrs(self) -> bool:
        """Whether there were extended attributes; they are in StatCache.xattrs."""
        return bool(self[FLAGS] & XATTRS)

    @property
    def oid(self) -> bytes:
        """The content's git blob id, raw."""
        return self[OID:SHA256]

    @property
    def sha256(self) -> bytes:
        """The content's SHA-256, raw."""
        return self[SHA256:_END]

    def _replace(self, *, oid: bytes | None = None, sha256: bytes | None = None) -> Row:
        """The same row with other digests, as a named tuple would do it."""
        return Row(self[:OID] + (oid or self.oid) + (sha256 or self.sha256))


def key_of(size: int, mtime_ns: int, ctime_ns: int, ino: int, mode: int, uid: int, gid: int) -> bytes:
    """The packed stat fields; for times that no row can hold, something longer that tells them apart as well."""
    try:
        return pack_key(size, mtime_ns, ctime_ns, ino, mode, uid, gid)
    except struct.error:
        fields = (size, mtime_ns, ctime_ns, ino, mode, uid, gid)
        return b"beyond what a row can hold: %d %d %d %d %d %d %d" % fields


def mode_of(row: bytes) -> int:
    """The mode, with the type, of a row or a key."""
    return int(_MODE.unpack_from(row, _MODE_AT)[0])


def fits(key: bytes) -> bool:
    """Whether a row can begin with this key."""
    return len(key) == _KEY.size


def same_but_for_times(key: bytes, row: bytes) -> bool:
    """Whether the stat fields of a key and those that a row begins with agree, times aside."""
    return key[: _TIMES.start] == row[: _TIMES.start] and key[_TIMES.stop :] == row[_TIMES.stop : FLAGS]


def row(key: bytes, *, content: tuple[bytes, bytes] | None, sparse: bool, xattrs: bool) -> Row:
    """A row from `key_of` and what was read."""
    flags = (CONTENT if content else 0) | (SPARSE if sparse else 0) | (XATTRS if xattrs else 0)
    oid, sha256 = content or (bytes(20), bytes(32))
    return Row(b"%b%c%b%b" % (key, flags, oid, sha256))


def racy_key(size: int, mtime_ns: int, mode: int, uid: int, gid: int) -> bytes:
    """The stat fields for a row of what may have changed in the moment in which it was read: nothing that is there has
    them, so that it is read again."""
    return key_of(size, mtime_ns, _RACY, 0, mode, uid, gid)


def is_racy(row: bytes) -> bool:
    """Whether a row is such a one."""
    return int(_CTIME.unpack_from(row, _CTIME_AT)[0]) == _RACY


def cut(data: bytes) -> list[Row]:
    """The rows that were put one behind the other."""
    return [Row(data[at : at + ROW_BYTES]) for at in range(0, len(data), ROW_BYTES)]


def ids_in(blocks: list[bytes]) -> Iterator[bytes]:
    """The object ids that were put one behind the other in some blocks, which are used up."""
    while blocks:
        data = blocks.pop()
        yield from [data[at : at + _ID] for at in range(0, len(data), _ID)]


def unpack(rows: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """What each of some rows holds: the stat fields in their order, the flags, both digests."""
    return map(_ROW.unpack, rows)


def unpack_at(rows: bytes | bytearray, at: int) -> tuple[Any, ...]:
    """The same of the row that begins at an offset."""
    return _ROW.unpack_from(rows, at)


def sizes_in(rows: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """The size and the flags of each of the rows that were put one behind the other."""
    return _SIZE_AND_FLAGS.iter_unpack(rows)


def owner_of(rows: bytes | bytearray, at: int) -> tuple[int, int]:
    """The numbers of the owner and the group in that row."""
    uid, gid = _OWNER.unpack_from(rows, at + _OWNER_AT)
    return uid, gid


class Block:
    """The rows of what is directly in one directory, as they lie in the file: `places` tells where in `data` the row of
    each name begins."""

    __slots__ = ("data", "places")

    def __init__(self, data: bytes) -> None:
        """ValueError for bytes that are no block."""
        start = _U32.size
        size = _U32.unpack_from(data)[0] if len(data) >= start else 0
        names, at = data[start : start + size].split(b"\0"), start + size
        self.data = data
        self.places = dict(zip(names, range(at, len(data), _END), strict=True))
        if len(self.places) != len(names) or at + len(names) * _END != len(data):
            raise ValueError("names and rows that do not belong together")

    @staticmethod
    def packed(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The bytes of a block of these names, of which there is one at least, and rows."""
        names, packed = zip(*rows, strict=True)
        joined = b"\0".join(names)
        return b"".join([_U32.pack(len(joined)), joined, *packed])

    def get(self, name: bytes) -> Row | None:
        """The row of a name."""
        at = self.places.get(name)
        return None if at is None else Row(self.data[at : at + _END])

    def items(self) -> Iterator[tuple[bytes, Row]]:
        """Names and rows."""
        data = self.data
        return ((name, Row(data[at : at + _END])) for name, at in self.places.items())

    def oids(self) -> list[bytes]:
        """The ids of all content."""
        data = self.data
        return [data[at + OID : at + SHA256] for at in self.places.values() if data[at + FLAGS] & CONTENT]


class Packed(Mapping[bytes, Row]):
    """Rows as they lie in the file, a block for each directory, read when one in it is asked for.

    `read` gives so many bytes of the file from an offset on, fewer where there are none, or raises OSError. `folders`
    numbers the directories; `table` has the place, the size and the digest of each one's block. There are `count` rows;
    a block that cannot be read, or is not what was written, has none of them. The root itself has no name, and is in
    the directory b"".
    """

    def __init__(
        self, read: Callable[[int, int], bytes], folders: Mapping[bytes, int], table: bytes, count: int
    ) -> None:
        self._read, self._table, self._count = read, table, count
        self.folders = folders
        self._recent: dict[bytes, Block | None] = {}

    def raw(self, folder: bytes) -> bytes:
        """The bytes of a directory's block; none where there is no whole one."""
        return self.checked(folder)[0]

    def checked(self, folder: bytes) -> tuple[bytes, bytes]:
        """The same with their digest."""
        number = self.folders.get(folder)
        if number is None:
            return b"", b""
        at, size, check = PLACE.unpack_from(self._table, number * PLACE.size)
        try:
            data = self._read(at, size)
        except OSError:
            return b"", b""
        return (data, check) if block_digest(data) == check else (b"", b"")

    def block(self, folder: bytes) -> Block | None:
        """What is directly in a directory; None where nothing is known of it."""
        data = self.raw(folder)
        try:
            return Block(data) if data else None
        except ValueError:
            return None

    def blocks(self) -> Iterator[tuple[bytes, Block]]:
        """The directories of which something is known, and what is in them."""
        return ((folder, block) for folder in self.folders if (block := self.block(folder)) is not None)

    def get(self, path: bytes, default: Any = None) -> Any:
        """The row, or `default`."""
        folder, _, name = path.rpartition(b"/")
        recent = self._recent
        if folder in recent:
            block = recent[folder]
        else:
            if len(recent) >= _RECENT:
                # The oldest: whoever goes by path comes back to the directories above.
                del recent[next(iter(recent))]
            block = recent[folder] = self.block(folder)
        found = block.get(name) if block is not None else None
        return default if found is None else found

    def __getitem__(self, path: bytes) -> Row:
        found: Row | None = self.get(path)
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[bytes]:
        for folder, block in self.blocks():
            prefix = folder + b"/" if folder else b""
            yield from [prefix + name for name in block.places]

    def __len__(self) -> int:
        return self._count

    def oids(self) -> set[bytes]:
        """The ids of all content."""
        return {oid for _, block in self.blocks() for oid in block.oids()}

    def items(self) -> ItemsView[bytes, Row]:
        """Paths and rows, all of them cut out."""
        found: dict[bytes, Row] = {}
        for folder, block in self.blocks():
            prefix = folder + b"/" if folder else b""
            found.update([(prefix + name, row) for name, row in block.items()])
        return found.items()

    def begins(self, path: bytes, key: bytes) -> bool:
        """Whether there is a row for `path` that begins with `key`."""
        found = self.get(path)
        return found is not None and found.startswith(key)


def block_digest(data: bytes) -> bytes:
    """What tells that a block is as it was written."""
    return hashlib.sha256(data).digest()[:16]


class CachedImage(NamedTuple):
    """The image of a database: `keys` are the packed stat fields of all files that it was made from."""

    keys: bytes
    size: int
    oid: bytes
    sha256: bytes


@dataclass(slots=True)
class StatCache:
    """Rows by path, valid for the snapshot `commit` (raw object id): all their blobs are reachable from it.

    `trees` are the ids of that snapshot's trees, one for each directory. `whole`, unless it is empty, says that the
    rows are the whole snapshot, and what else it depends on (see installation.scan.unchanged). `images` are those of
    databases; the rows of the files that they were made from have no content.
    """

    commit: bytes = bytes(20)
    rows: Mapping[bytes, Row] = field(default_factory=dict)
    xattrs: Mapping[bytes, Xattrs] = field(default_factory=dict)
    trees: Sequence[bytes] = ()
    whole: bytes = b""
    images: Mapping[bytes, CachedImage] = field(default_factory=dict)

    def read_through(self, endings: tuple[bytes, ...] = ()) -> tuple[list[bytes], list[bytes]]:
        """The paths that end so, and the ids of all content that the rows and images vouch for, some perhaps twice, and
        of the trees (ids_in): the rows are read but once.

        IntegrityError where rows cannot be read.
        """
        paths: list[bytes] = []
        ids = [b"".join([*self.trees, *(image.oid for image in self.images.values())])]
        if not isinstance(self.rows, Packed):
            ids.append(b"".join([r[OID:SHA256] for r in self.rows.values() if r[FLAGS] & CONTENT]))
            return [path for path in self.rows if path.endswith(endings)], ids
        seen = 0
        for folder, block in self.rows.blocks():
            seen += len(block.places)
            ids.append(b"".join(block.oids()))
            prefix = folder + b"/" if folder else b""
            paths += [prefix + name for name in block.places if name.endswith(endings)]
        if seen != len(self.rows):
            raise IntegrityError("a part of the stat cache is damaged")
        return paths, ids

    def oids(self) -> set[bytes]:
        """The ids of all content that the rows and images vouch for."""
        held = {image.oid for image in self.images.values()}
        if isinstance(self.rows, Packed):
            return self.rows.oids() | held
        return {r[OID:SHA256] for r in self.rows.values() if r[FLAGS] & CONTENT} | held
