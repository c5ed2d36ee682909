"""The stat cache as bytes: whole, or treated as absent."""

from __future__ import annotations

import hashlib
import struct

import pytest

from gitsnap.core import statcache
from gitsnap.core.errors import IntegrityError
from gitsnap.core.statcache import CachedImage, Packed, Row, StatCache, key_of, row
from gitsnap.core.statcache_file import Edits, decode, encode, opened, pieces

KEY = key_of(7, -5, 6, 9, 0o100644, 1, 2)
OID, SHA = bytes(range(20)), bytes(range(32))


def cache() -> StatCache:
    return StatCache(
        bytes(range(1, 21)),
        {
            b"": row(KEY, content=None, sparse=False, xattrs=False),
            b"a\xff": row(KEY, content=(OID, SHA), sparse=True, xattrs=True),
            b"d/e/f": row(KEY, content=(OID, SHA), sparse=False, xattrs=False),
        },
        {b"a\xff": (("user.a\udcff", b"\0x"), ("user.b", b"")), b"": ()},
        (bytes(20), b"t" * 20, b"t" * 20),
        b"whole\0of it",
        {b"db": CachedImage(KEY * 2, 3, b"i" * 20, b"j" * 32), b"": CachedImage(b"", 0, OID, SHA)},
    )


def resealed(data: bytes, index: int) -> bytes:
    """With the right size and digest of what begins at `index`."""
    part = data[index:-40]
    return data[:-40] + struct.pack("<Q", len(part)) + hashlib.sha256(part).digest()


def index_of(data: bytes) -> int:
    return int(len(data) - 40 - struct.unpack_from("<Q", data, len(data) - 40)[0])


def test_there_and_back() -> None:
    found = decode(encode(cache()))
    assert found is not None
    wanted = cache()
    assert dict(found.rows.items()) == wanted.rows
    assert (found.commit, found.xattrs, found.trees, found.whole, found.images) == (
        wanted.commit, wanted.xattrs, wanted.trees, wanted.whole, wanted.images,
    )  # fmt: skip
    assert found.oids() == wanted.oids() == {OID, b"i" * 20}
    assert decode(encode(StatCache())) is not None


def test_what_a_row_says() -> None:
    found = decode(encode(cache()))
    assert found is not None
    it, bare = found.rows[b"a\xff"], found.rows[b""]
    assert (it.has_content, it.sparse, it.has_xattrs, it.oid, it.sha256) == (True, True, True, OID, SHA)
    assert (bare.has_content, bare.sparse, bare.has_xattrs) == (False, False, False)
    assert sorted(found.rows) == [b"", b"a\xff", b"d/e/f"]
    assert len(found.rows) == 3
    assert found.rows.get(b"b") is None
    assert found.rows.begins(b"a\xff", KEY)  # type: ignore[attr-defined]
    assert not found.rows.begins(b"a\xff", b"x" + KEY[1:])  # type: ignore[attr-defined]
    assert not found.rows.begins(b"b", b"")  # type: ignore[attr-defined]
    changed = it._replace(sha256=b"s" * 32)
    assert (changed.sha256, changed.oid, changed[: statcache.FLAGS]) == (b"s" * 32, OID, KEY)


def only_what_was_written(data: bytes) -> bool:
    """Whether a cache is absent, or knows nothing but what is true."""
    found, wanted = decode(data), cache()
    return found is None or (
        found.rows.items() <= wanted.rows.items()
        and all(found.rows.get(path) in (None, row) for path, row in wanted.rows.items())
        and (found.commit, found.trees, found.whole, found.images) == (
            wanted.commit, wanted.trees, wanted.whole, wanted.images,
        )
    )  # fmt: skip


@pytest.mark.parametrize("at", range(0, len(encode(cache())), 13))
def test_one_bit_is_enough(at: int) -> None:
    data = bytearray(encode(cache()))
    data[at] ^= 4
    assert only_what_was_written(bytes(data))
    found = decode(bytes(data))
    assert found is None or len(found.rows.items()) < len(found.rows) == 3
    if found is not None:
        with pytest.raises(IntegrityError):
            found.read_through()


@pytest.mark.parametrize("size", range(0, len(encode(cache())), 29))
def test_what_was_cut_off_is_absent_even_with_a_digest(size: int) -> None:
    data = encode(cache())
    assert decode(data[:size]) is None
    short = data[:size] + bytes(40)
    for index in (21, size // 2, index_of(data)):
        found = decode(resealed(short, min(index, size)))
        # What may be missing without notice are attributes at the very end.
        assert found is None or (found.commit == cache().commit and found.rows.items() <= cache().rows.items())


@pytest.mark.parametrize("field", range(6))
@pytest.mark.parametrize("value", [0, 1, 5, 1 << 20, (1 << 64) - 1])
def test_counts_that_lie(field: int, value: int) -> None:
    data = bytearray(encode(cache()))
    index = index_of(data)
    at = index + 20 + 8 * field
    if struct.unpack_from("<Q", data, at)[0] == value:
        pytest.skip("it is so")
    struct.pack_into("<Q", data, at, value)
    found = decode(resealed(bytes(data), index))
    assert found is None or found.rows.items() <= cache().rows.items()


def test_another_version() -> None:
    assert decode(encode(cache()).replace(b"cache 5", b"cache 4")) is None


def test_a_disk_that_fails_knows_nothing() -> None:
    data, broken = encode(cache()), False

    def read(at: int, size: int) -> bytes:
        if broken:
            raise OSError(5, "Input/output error")
        return data[at : at + size]

    found = opened(read, len(data))
    broken = True
    assert found is not None
    assert not found.rows.items()
    assert found.rows.get(b"a\xff") is None


def test_rows_are_written_anew_where_they_changed() -> None:
    old = decode(encode(cache()))
    new = row(KEY, content=(b"n" * 20, SHA), sparse=False, xattrs=False)
    assert old is not None

    def edited(rows: dict[bytes, Row], gone: tuple[bytes, ...] = ()) -> dict[bytes, Row]:
        assert old is not None
        found = decode(b"".join(pieces(old, Edits(rows, gone))))
        assert found is not None
        assert len(found.rows) == len(found.rows.items())
        return dict(found.rows.items())

    was = cache().rows
    assert edited({}) == was
    assert edited({b"a\xff": new}) == {**was, b"a\xff": new}
    assert edited({b"d/n": new, b"x/y": new}) == {**was, b"d/n": new, b"x/y": new}
    assert edited({}, (b"d",)) == {b"": was[b""], b"a\xff": was[b"a\xff"]}
    assert edited({b"d": new}, (b"d",)) == {b"": was[b""], b"a\xff": was[b"a\xff"], b"d": new}
    assert edited({}, (b"d/e/f", b"a\xff")) == {b"": was[b""]}


def test_many_directories_are_asked_in_the_order_of_paths() -> None:
    one = row(KEY, content=(OID, SHA), sparse=False, xattrs=False)
    rows = {b"%d/%d" % (a, b): one for a in range(200) for b in range(3)} | {b"%d" % a: one for a in range(200)}
    found = decode(encode(StatCache(rows=rows)))
    assert found is not None
    assert all(found.rows.get(path) == one for path in sorted(rows))
    assert isinstance(found.rows, Packed)
    assert found.rows.block(b"nothing") is None


def test_times_that_no_row_can_hold() -> None:
    far = key_of(7, 1 << 63, 6, 9, 0o100644, 1, 2)
    assert statcache.fits(KEY)
    assert not statcache.fits(far)
    assert far != key_of(7, (1 << 63) + 1, 6, 9, 0o100644, 1, 2)


def test_the_same_but_for_times() -> None:
    it = row(KEY, content=(OID, SHA), sparse=False, xattrs=False)
    assert statcache.same_but_for_times(key_of(7, 99, -99, 9, 0o100644, 1, 2), it)
    for other in ((8, -5, 6, 9, 0o100644, 1, 2), (7, -5, 6, 8, 0o100644, 1, 2), (7, -5, 6, 9, 0o100645, 1, 2),
                  (7, -5, 6, 9, 0o100644, 0, 2), (7, -5, 6, 9, 0o100644, 1, 3)):  # fmt: skip
        assert not statcache.same_but_for_times(key_of(*other), it), other


def test_rows_one_behind_the_other() -> None:
    rows = [row(KEY, content=None, sparse=True, xattrs=False), row(KEY, content=(OID, SHA), sparse=False, xattrs=True)]
    assert statcache.cut(b"".join(rows)) == rows
    assert [fields[7:] for fields in statcache.unpack(rows)] == [(2, bytes(20), bytes(32)), (5, OID, SHA)]
    assert [fields[:7] for fields in statcache.unpack(rows)] == [(7, -5, 6, 9, 0o100644, 1, 2)] * 2
