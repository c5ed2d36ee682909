"""The stat cache: what was true of each path when it was last read, so that unchanged files are not read again.

A cache only. Whatever does not decode is treated as absent. A row is written only for a path that had not changed
within the clock's granularity of being read (the rule git calls "racy", Documentation/technical/racy-git.txt).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gitsnap.core.model import Xattrs

_MAGIC = b"gitsnap stat cache 4\n"
_HEAD = struct.Struct("<20sQQQQQ")
_HELD = struct.Struct("<Q20s32s")
_KEY = struct.Struct("<QqqQIII")
_TIMES = slice(8, 24)
_ROW = struct.Struct("<QqqQIIIB20s32s")
_U32 = struct.Struct("<I")
CONTENT, SPARSE, XATTRS = 1, 2, 4
FLAGS, OID, _END = _KEY.size, _KEY.size + 1, _ROW.size
SHA256 = OID + 20
# How long a row is.
ROW_BYTES = _ROW.size
_AT_ONCE = 4096


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


def cut(data: bytes) -> list[Row]:
    """The rows that were put one behind the other."""
    return [Row(data[at : at + ROW_BYTES]) for at in range(0, len(data), ROW_BYTES)]


def unpack(rows: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """What each of some rows holds: the stat fields in their order, the flags, both digests."""
    return map(_ROW.unpack, rows)


class Packed(Mapping[bytes, Row]):
    """Rows as they lie in the file, cut out when they are asked for."""

    def __init__(self, data: bytes, places: dict[bytes, int]) -> None:
        self.data, self.places = data, places

    def __getitem__(self, path: bytes) -> Row:
        at = self.places[path]
        return Row(self.data[at : at + _END])

    def get(self, path: bytes, default: Any = None) -> Any:
        """The row, or `default`."""
        at = self.places.get(path)
        return default if at is None else Row(self.data[at : at + _END])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def oids(self) -> set[bytes]:
        """The ids of all content."""
        data = self.data
        return {data[at + OID : at + SHA256] for at in self.places.values() if data[at + FLAGS] & CONTENT}

    def items(self) -> ItemsView[bytes, Row]:
        """Paths and rows, all of them cut out."""
        data = self.data
        return {path: Row(data[at : at + _END]) for path, at in self.places.items()}.items()

    def begins(self, path: bytes, key: bytes) -> bool:
        """Whether there is a row for `path` that begins with `key`."""
        at = self.places.get(path)
        return at is not None and self.data.startswith(key, at)


class CachedImage(NamedTuple):
    """The image of a database: `keys` are the packed stat fields of all files that it was made from."""

    keys: bytes
    size: int
    oid: bytes
    sha256: bytes


@dataclass(slots=True)
class StatCache:
    """Rows by path, valid for the snapshot `commit` (raw object id): all their blobs are reachable from it.

    `trees` are the ids of that snapshot's trees. `whole`, unless it is empty, says that the rows are the whole
    snapshot, and what else it depends on (see installation.scan.unchanged). `images` are those of databases; the rows
    of the files that they were made from have no content.
    """

    commit: bytes = bytes(20)
    rows: Mapping[bytes, Row] = field(default_factory=dict)
    xattrs: Mapping[bytes, Xattrs] = field(default_factory=dict)
    trees: frozenset[bytes] = frozenset()
    whole: bytes = b""
    images: Mapping[bytes, CachedImage] = field(default_factory=dict)

    def oids(self) -> set[bytes]:
        """The ids of all content that the rows and images vouch for."""
        held = {image.oid for image in self.images.values()}
        if isinstance(self.rows, Packed):
            return self.rows.oids() | held
        return {r[OID:SHA256] for r in self.rows.values() if r[FLAGS] & CONTENT} | held


def encode(cache: StatCache) -> bytes:
    """The cache as bytes, with a SHA-256 at the end."""
    paths = list(cache.rows)
    extra = b"".join(_encode_xattrs(p, x) for p, x in cache.xattrs.items() if p in cache.rows)
    names = b"\0".join(paths)
    images = b"".join(_field(p) + _field(held.keys) + _HELD.pack(*held[1:]) for p, held in cache.images.items())
    parts = [
        _MAGIC,
        _HEAD.pack(cache.commit, len(cache.whole), len(paths), len(names), len(cache.trees), len(images)),
        cache.whole,
        *cache.rows.values(),
        names,
        *cache.trees,
        images,
        extra,
    ]
    check = hashlib.sha256()
    for at in range(0, len(parts), _AT_ONCE):
        check.update(b"".join(parts[at : at + _AT_ONCE]))
    # One copy of it all: this is when a snapshot takes the most memory.
    return b"".join([*parts, check.digest()])


def decode(data: bytes) -> StatCache | None:
    """The cache that `data` holds, or None when it is anything but whole."""
    if len(data) < len(_MAGIC) + _HEAD.size + 32 or not data.startswith(_MAGIC):
        return None
    view = memoryview(data)[:-32]
    if hashlib.sha256(view).digest() != data[-32:]:
        return None
    try:
        return _decode(data, view)
    except (struct.error, ValueError, OverflowError):
        # The digest is right and the rest is not: not written by us.
        return None


def _decode(data: bytes, view: memoryview) -> StatCache | None:
    commit, whole_size, count, names_size, tree_count, images_size = _HEAD.unpack_from(view, len(_MAGIC))
    at = len(_MAGIC) + _HEAD.size + whole_size
    whole = data[at - whole_size : at]
    end = at + count * _ROW.size
    names = bytes(view[end : end + names_size]).split(b"\0") if count else []
    if len(names) != count or end > len(view):
        return None
    rows = Packed(data, dict(zip(names, range(at, end, _ROW.size), strict=True)))
    at = end + names_size
    if at + 20 * tree_count > len(view):
        return None
    trees = frozenset(bytes(view[i : i + 20]) for i in range(at, at + 20 * tree_count, 20))
    at += 20 * tree_count
    if at + images_size > len(view):
        return None
    images = dict(_decode_images(bytes(view[at : at + images_size])))
    return StatCache(commit, rows, dict(_decode_xattrs(bytes(view[at + images_size :]))), trees, whole, images)


def _field(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


def _encode_xattrs(path: bytes, xattrs: Xattrs) -> bytes:
    parts = [_field(path), _U32.pack(len(xattrs))]
    for name, value in xattrs:
        parts += [_field(name.encode("utf-8", "surrogateescape")), _field(value)]
    return b"".join(parts)


def _decode_images(data: bytes) -> Iterable[tuple[bytes, CachedImage]]:
    at = 0
    while at < len(data):
        fields = []
        for _ in range(2):
            size = int(_U32.unpack_from(data, at)[0])
            fields.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        yield fields[0], CachedImage(fields[1], *_HELD.unpack_from(data, at))
        at += _HELD.size


def _decode_xattrs(data: bytes) -> Iterable[tuple[bytes, Xattrs]]:
    at = 0

    def number() -> int:
        nonlocal at
        at += 4
        return int(_U32.unpack_from(data, at - 4)[0])

    def text() -> bytes:
        nonlocal at
        size = number()
        at += size
        return data[at - size : at]

    while at < len(data):
        path = text()
        yield path, tuple((text().decode("utf-8", "surrogateescape"), text()) for _ in range(number()))
