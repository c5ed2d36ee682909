"""Deltas as git leaves them, and those that a foreign sidecar could hold."""

from __future__ import annotations

import pytest
from dulwich.pack import create_delta
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import deltas


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def copy(offset: int, length: int) -> bytes:
    """An instruction that copies, with all its bytes written out."""
    return b"\xff" + offset.to_bytes(4, "little") + length.to_bytes(3, "little")


def delta(base: int, size: int, *instructions: bytes) -> bytes:
    return varint(base) + varint(size) + b"".join(instructions)


@pytest.fixture(params=[False, True], ids=["dulwich", "bounded"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(deltas, "_HARMLESS", -1)


@pytest.mark.parametrize(
    "base, made", [(b"abc" * 900, b"x" + b"abc" * 800 + b"y" * 300), (b"", b"a"), (b"q" * 70000, b"q" * 66000)]
)
def test_what_another_has_written(way: None, base: bytes, made: bytes) -> None:
    written = b"".join(create_delta(base, made))
    assert deltas.apply(base, written) == made
    assert deltas.announced(written) == len(made)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_both_ways_agree(base: bytes, made: bytes) -> None:
    written = b"".join(create_delta(base, made))
    _, at = deltas._varint(written, 0)
    size, at = deltas._varint(written, at)
    assert deltas._apply_bounded(base, written, at, size) == deltas.apply(base, written) == made


def test_a_copy_of_no_length_is_of_64_kib(way: None) -> None:
    base = bytes(range(256)) * 257
    assert deltas.apply(base, delta(len(base), 0x10000, b"\x80")) == base[:0x10000]


def test_the_parts_of_offset_and_length(way: None) -> None:
    base = bytes(i * 7 % 251 for i in range(1 << 17))
    assert deltas.apply(base, delta(len(base), 3, copy(0x1F001, 3))) == base[0x1F001:0x1F004]
    assert deltas.apply(base, delta(len(base), 0x1F001, copy(2, 0x1F001))) == base[2 : 2 + 0x1F001]
    assert deltas.apply(base, delta(len(base), 2, b"\x92\x01\x02")) == base[0x100:0x102]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x80",
        varint(4),
        delta(5, 1, b"\x01a"),
        delta(4, 2, b"\x01a"),
        delta(4, 1, b"\x02ab"),
        delta(4, 1, b"\x00"),
        delta(4, 2, b"\x02a"),
        delta(4, 2, copy(3, 2)),
        delta(4, 2, b"\xff\x00"),
        delta(4, 0x10000, b"\x80"),
        delta(4, deltas.LARGEST + 1, b"\x01a"),
        b"\xff" * 12,
    ],
)
def test_what_does_not_apply(way: None, wrong: bytes) -> None:
    with pytest.raises(IntegrityError, match="a delta does not apply"):
        deltas.apply(b"base", wrong)


def test_one_that_copies_more_than_it_says_is_not_followed() -> None:
    """A kilobyte of copies of the whole base would make gigabytes: it ends at the size that was announced."""
    base = bytes(1 << 23)
    bomb = delta(len(base), 1 << 23, *[copy(0, len(base) - 1)] * 4000)
    with pytest.raises(IntegrityError, match="another size"):
        deltas.apply(base, bomb)


def test_what_is_announced() -> None:
    assert deltas.announced(delta(4, 1 << 40)) == 1 << 40
    assert deltas.announced(b"\x04") == deltas.announced(b"\x04\x80") == deltas.announced(b"") == 0
