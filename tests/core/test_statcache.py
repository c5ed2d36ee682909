"""The stat cache as bytes: whole, or treated as absent."""

from __future__ import annotations

import hashlib
import struct

import pytest

from gitsnap.core import statcache
from gitsnap.core.statcache import CachedImage, StatCache, decode, encode, key_of, row

KEY = key_of(7, -5, 6, 9, 0o100644, 1, 2)
OID, SHA = bytes(range(20)), bytes(range(32))


def cache() -> StatCache:
    return StatCache(
        bytes(range(1, 21)),
        {
            b"": row(KEY, content=None, sparse=False, xattrs=False),
            b"a\xff": row(KEY, content=(OID, SHA), sparse=True, xattrs=True),
        },
        {b"a\xff": (("user.a\udcff", b"\0x"), ("user.b", b"")), b"": ()},
        frozenset({bytes(20), b"t" * 20}),
        b"whole\0of it",
        {b"db": CachedImage(KEY * 2, 3, b"i" * 20, b"j" * 32), b"": CachedImage(b"", 0, OID, SHA)},
    )


def resealed(data: bytes) -> bytes:
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


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
    assert list(found.rows) == [b"", b"a\xff"]
    assert len(found.rows) == 2
    assert found.rows.get(b"b") is None
    assert found.rows.begins(b"a\xff", KEY)  # type: ignore[attr-defined]
    assert not found.rows.begins(b"a\xff", b"x" + KEY[1:])  # type: ignore[attr-defined]
    assert not found.rows.begins(b"b", b"")  # type: ignore[attr-defined]
    changed = it._replace(sha256=b"s" * 32)
    assert (changed.sha256, changed.oid, changed[: statcache.FLAGS]) == (b"s" * 32, OID, KEY)


@pytest.mark.parametrize("at", range(0, len(encode(cache())), 13))
def test_one_bit_is_enough(at: int) -> None:
    data = bytearray(encode(cache()))
    data[at] ^= 4
    assert decode(bytes(data)) is None


@pytest.mark.parametrize("size", range(0, len(encode(cache())), 29))
def test_what_was_cut_off_is_absent_even_with_a_digest(size: int) -> None:
    data = encode(cache())
    assert decode(data[:size]) is None
    short = resealed(data[:size] + bytes(32))
    found = decode(short)
    # What may be missing without notice are attributes at the very end, and those not in the middle.
    assert found is None or (found.commit == cache().commit and found.rows.keys() == cache().rows.keys())


@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("value", [0, 1, 5, 1 << 20, (1 << 64) - 1])
def test_counts_that_lie(field: int, value: int) -> None:
    data = bytearray(encode(cache()))
    at = len(b"gitsnap stat cache 4\n") + 20 + 8 * field
    if struct.unpack_from("<Q", data, at)[0] == value:
        pytest.skip("it is so")
    struct.pack_into("<Q", data, at, value)
    found = decode(resealed(bytes(data)))
    assert found is None or found.rows.keys() != cache().rows.keys() or field in (0, 3, 4)


def test_another_version() -> None:
    assert decode(resealed(encode(cache()).replace(b"cache 4", b"cache 3"))) is None


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
