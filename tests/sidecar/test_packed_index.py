"""The columns in which a pack's objects are kept while it is written, and the index that is made of them."""

from __future__ import annotations

import hashlib
import io
import tracemalloc

import pytest
from dulwich.pack import write_pack_index_v2

from gitsnap.sidecar.git.pack_file import index_of
from gitsnap.sidecar.git.packed_index import PackedIndex


def _ids(count: int) -> list[bytes]:
    return [hashlib.sha1(b"%d" % n, usedforsecurity=False).digest() for n in range(count)]


def test_it_is_a_table_of_all_that_was_put_in() -> None:
    """Beyond its first size several times, with places that are told again."""
    ids, other = _ids(5_000), hashlib.sha1(b"other", usedforsecurity=False).digest()
    index, told = PackedIndex(), dict[bytes, tuple[int, int]]()
    for n, oid in enumerate([*ids, *ids[::7]]):
        index[oid] = told[oid] = (n * 31 % (1 << 32), n * 1_000_003)
    assert len(index) == len(told)
    assert list(index) == ids
    assert {oid: index[oid] for oid in ids} == told
    assert other not in index
    assert ids[-1] in index
    with pytest.raises(KeyError):
        index[other]
    assert list(index.by_id()) == [(oid, at, crc) for oid, (crc, at) in sorted(told.items())]


def test_ids_that_meet_in_one_place_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitsnap.sidecar.git.packed_index.hash", lambda _: 7, raising=False)
    index = PackedIndex()
    for n, oid in enumerate(_ids(600)):
        index[oid] = (n, n)
    assert [index[oid][0] for oid in _ids(600)] == list(range(600))


def test_the_index_is_the_one_that_dulwich_writes() -> None:
    """With offsets beyond two gigabytes in between, and with nothing at all."""
    for count in (0, 1, 700):
        index, trailer = PackedIndex(), bytes(range(20))
        for n, oid in enumerate(_ids(count)):
            index[oid] = (0xFFFF_FFFF - n, (1 << 31) - 300 + n)
        expected = io.BytesIO()
        write_pack_index_v2(expected, list(index.by_id()), trailer)
        assert b"".join(index_of(index.by_id(), trailer)) == expected.getvalue()


def test_an_object_takes_less_than_64_bytes() -> None:
    ids, index = _ids(20_000), PackedIndex()
    tracemalloc.start()
    try:
        for oid in ids:
            index[oid] = (1, 1 << 40)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 64 * len(ids)
