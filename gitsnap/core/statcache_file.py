"""The stat cache as a file: a block of rows for each directory, then what leads to them.

It is written in one go, and read by blocks: whoever looks at a directory needs no more than its block in memory. At the
end stand the size and the SHA-256 of the part that leads to the blocks, which has the digest of each.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

from gitsnap.core.model import Xattrs
from gitsnap.core.statcache import PLACE, Block, CachedImage, Packed, Row, StatCache, block_digest

_MAGIC = b"gitsnap stat cache 5\n"
_HEAD = struct.Struct("<20sQQQQQQ")
_HELD = struct.Struct("<Q20s32s")
_TAIL = struct.Struct("<Q32s")
_U32 = struct.Struct("<I")
# A directory, the bytes of its block, and their digest.
_Block = tuple[bytes, bytes, bytes]


class Edits(NamedTuple):
    """What becomes of rows that lie in a file: these are there instead, or beside them, and those of these paths are
    gone, with all that is below them."""

    rows: Mapping[bytes, Row]
    gone: Collection[bytes] = ()


# The rows of a directory by their names.
Folder = tuple[bytes, list[tuple[bytes, Row]]]


def pieces(cache: StatCache, edits: Edits | None = None, more: Iterable[Folder] = ()) -> Iterator[bytes]:
    """The cache as the bytes of a file, one block after the other. `more` rows than those of the cache, which is then
    a small one, come by their directories, each of which comes once."""
    yield _MAGIC
    at, count = len(_MAGIC), 0
    folders: list[bytes] = []
    table: list[bytes] = []
    for folder, data, check in _edited(cache.rows, edits) if edits else _blocks(cache.rows, more):
        folders.append(folder)
        table.append(PLACE.pack(at, len(data), check))
        size = _U32.unpack_from(data)[0]
        count += data.count(b"\0", _U32.size, _U32.size + size) + 1
        at += len(data)
        yield data
    names = b"\0".join(folders)
    images = b"".join(_field(p) + _field(held.keys) + _HELD.pack(*held[1:]) for p, held in cache.images.items())
    extra = b"".join(_encode_xattrs(p, x) for p, x in cache.xattrs.items())
    sizes = (len(cache.whole), count, len(folders), len(names), len(cache.trees), len(images))
    parts = [_HEAD.pack(cache.commit, *sizes), cache.whole, *table, names, *cache.trees, images, extra]
    index = b"".join(parts)
    yield index
    yield _TAIL.pack(len(index), hashlib.sha256(index).digest())


def encode(cache: StatCache) -> bytes:
    """The same in one piece."""
    return b"".join(pieces(cache))


def _blocks(rows: Mapping[bytes, Row], more: Iterable[Folder] = ()) -> Iterator[_Block]:
    if isinstance(rows, Packed):
        for folder in rows.folders:
            data, check = rows.checked(folder)
            if data:
                yield folder, data, check
        return
    folders: dict[bytes, list[tuple[bytes, Row]]] = {}
    for path, row in rows.items():
        folder, _, name = path.rpartition(b"/")
        folders.setdefault(folder, []).append((name, row))
    for folder, found in more:
        yield _block(folder, [*found, *folders.pop(folder, ())])
    while folders:
        # As they go: this is when a snapshot takes the most memory.
        yield _block(*folders.popitem())


def _edited(rows: Mapping[bytes, Row], edits: Edits) -> Iterator[_Block]:
    assert isinstance(rows, Packed)
    gone = set(edits.gone)
    touched: dict[bytes, dict[bytes, Row | None]] = {}
    for path in gone | edits.rows.keys():
        folder, _, name = path.rpartition(b"/")
        touched.setdefault(folder, {})[name] = edits.rows.get(path)
    for folder, data, check in _blocks(rows):
        if folder in touched:
            yield from _left(folder, {**dict(Block(data).items()), **touched.pop(folder)})
        elif not _below(folder, gone):
            yield folder, data, check
    for folder, held in touched.items():
        yield from _left(folder, held)


def _left(folder: bytes, held: Mapping[bytes, Row | None]) -> Iterator[_Block]:
    if left := [(name, row) for name, row in held.items() if row is not None]:
        yield _block(folder, left)


def _block(folder: bytes, rows: Iterable[tuple[bytes, Row]]) -> _Block:
    data = Block.packed(sorted(rows, key=itemgetter(0)))
    return folder, data, block_digest(data)


def _below(folder: bytes, gone: Collection[bytes]) -> bool:
    while folder and gone:
        if folder in gone:
            return True
        folder = folder.rpartition(b"/")[0]
    return False


def decode(data: bytes) -> StatCache | None:
    """The cache that `data` holds, or None when what leads to its blocks is anything but whole."""
    return opened(lambda at, size: data[at : at + size], len(data))


def opened(read: Callable[[int, int], bytes], size: int) -> StatCache | None:
    """The same of a file of `size` bytes, of which `read` gives so many from an offset on, now and as rows are asked
    for; it may raise OSError."""
    if size < len(_MAGIC) + _HEAD.size + _TAIL.size or read(0, len(_MAGIC)) != _MAGIC:
        return None
    end = size - _TAIL.size
    tail = read(end, _TAIL.size)
    if len(tail) != _TAIL.size:
        return None
    length, check = _TAIL.unpack(tail)
    if not _HEAD.size <= length <= end - len(_MAGIC):
        return None
    index = read(end - length, length)
    if hashlib.sha256(index).digest() != check:
        return None
    try:
        return _decode(index, read)
    except (struct.error, ValueError, OverflowError):
        # The digest is right and the rest is not: not written by us.
        return None


def _decode(index: bytes, read: Callable[[int, int], bytes]) -> StatCache | None:
    commit, whole_size, count, folder_count, names_size, tree_count, images_size = _HEAD.unpack_from(index)
    at = _HEAD.size
    parts = []
    for size in (whole_size, folder_count * PLACE.size, names_size, 20 * tree_count, images_size):
        if at + size > len(index):
            return None
        parts.append(index[at : at + size])
        at += size
    whole, table, names, trees, images = parts
    folders = names.split(b"\0") if folder_count else []
    if len(folders) != folder_count:
        return None
    rows = Packed(read, {folder: n for n, folder in enumerate(folders)}, table, count)
    ids = tuple(trees[i : i + 20] for i in range(0, len(trees), 20))
    return StatCache(commit, rows, dict(_decode_xattrs(index[at:])), ids, whole, dict(_decode_images(images)))


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
