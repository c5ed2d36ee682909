"""Large blobs in blocks: any zlib reads them, we read them with several threads, and no damage comes out of it."""

from __future__ import annotations

import os
import random
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gitsnap.sidecar.git import deflate
from gitsnap.sidecar.git.deflate import BLOCK, deflated, inflated

MARK = b"\0\0\xff\xff"
DICE = random.Random(3)
# What is worth sharing among threads here, so that blobs of few blocks do.
LEAST = 4


@cache
def _words() -> bytes:
    return b" ".join(DICE.randbytes(4).hex().encode() for _ in range(50_000))


def _text(size: int) -> bytes:
    return (_words() * (size // len(_words()) + 1))[:size]


NAMES = ("text", "one more", "noise", "zeros", "both", "marks", "marks among noise", "what was deflated")


@cache
def _content(name: str) -> bytes:
    """Six blocks or so."""
    match name:
        case "text":
            return _text(6 * BLOCK)
        case "one more":
            return _text(6 * BLOCK + 1)
        case "noise":
            return DICE.randbytes(6 * BLOCK)
        case "zeros":
            return bytes(6 * BLOCK + 77)
        case "both":
            return b"".join(_text(BLOCK) + DICE.randbytes(BLOCK) for _ in range(3))
        case "marks":
            return MARK * (5 * BLOCK // 4)
        case "marks among noise":
            return (b"".join(DICE.randbytes(60) + MARK for _ in range(BLOCK // 64)) * 5)[: 5 * BLOCK]
        case _:
            return b"".join(deflated([_text(BLOCK)] * 10, 10 * BLOCK))


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has, and for less than would be worth it."""
    monkeypatch.setattr(deflate, "_workers", lambda: 2)
    monkeypatch.setattr(deflate, "WORTHWHILE", LEAST * BLOCK)


def _chunks(data: bytes, size: int = BLOCK) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _through_a_file(stream: bytes, size: int) -> bytes | None:
    """What is read of a stream that lies between others."""
    with tempfile.TemporaryFile() as file:
        before = os.urandom(33) + MARK
        file.write(before + stream + zlib.compress(b"the next one") + MARK * 40)
        file.flush()
        pieces = inflated(file.fileno(), len(before), size)
        return None if pieces is None else b"".join(pieces)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_what_is_deflated_is_read_by_zlib_and_by_several_threads(name: str) -> None:
    data = _content(name)
    stream = b"".join(deflated(_chunks(data), len(data)))
    assert zlib.decompress(stream) == data
    assert len(stream) < len(data) + len(data) // 1000
    assert _through_a_file(stream, len(data)) == data


@pytest.mark.parametrize("size", [BLOCK // 2, BLOCK - 1, 3 * BLOCK // 2, 2 * BLOCK])
def test_chunks_of_any_length_do(size: int) -> None:
    data = _content("both")
    stream = b"".join(deflated(_chunks(data, size), len(data)))
    assert zlib.decompress(stream) == data
    assert _through_a_file(stream, len(data)) in (data, None)


@pytest.mark.long
@pytest.mark.parametrize("level", [0, 1, 9])
def test_what_others_have_deflated_is_read(level: int) -> None:
    data = _content("marks among noise")
    assert _through_a_file(zlib.compress(data, level), len(data)) in (data, None)


def test_blocks_of_another_program_are_read(tmp_path: Path) -> None:
    """Full flushes in other places than ours."""
    deflater = zlib.compressobj(6)
    data, parts = _content("text"), []
    for chunk in _chunks(data, 300_000):
        parts += [deflater.compress(chunk), deflater.flush(zlib.Z_FULL_FLUSH)]
    assert _through_a_file(b"".join(parts) + deflater.flush(), len(data)) in (data, None)


@pytest.mark.long
@pytest.mark.parametrize("name", ["text", "both", "noise"])
def test_no_damage_comes_out_as_content(name: str) -> None:
    data = _content(name)
    stream = b"".join(deflated(_chunks(data), len(data)))
    for at in [2, 3, len(stream) - 1, len(stream) - 5, *(DICE.randrange(len(stream)) for _ in range(25))]:
        bad = bytearray(stream)
        bad[at] ^= 1 << DICE.randrange(8)
        try:
            found = _through_a_file(bytes(bad), len(data))
        except (deflate.IsalError, EOFError):
            continue
        # The bits before a stored block's length say nothing.
        assert found in (data, None), f"a flipped bit at {at} went unnoticed"


def test_a_stream_that_ends_too_soon_is_told() -> None:
    data = _content("text")
    stream = b"".join(deflated(_chunks(data), len(data)))
    with tempfile.TemporaryFile() as file:
        file.write(stream[: len(stream) // 2])
        file.flush()
        pieces = inflated(file.fileno(), 0, len(data))
        assert pieces is not None
        with pytest.raises((EOFError, deflate.IsalError)):
            for _ in pieces:
                continue


def test_threads_end_with_the_stream() -> None:
    import threading

    before = threading.active_count()

    def chunks() -> Iterator[bytes]:
        yield _text(BLOCK)
        yield _text(BLOCK)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(deflated(chunks(), 6 * BLOCK))
    data = _content("text")
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(deflated(_chunks(data), len(data))))
        file.flush()
        pieces = inflated(file.fileno(), 0, len(data))
        assert pieces is not None
        assert next(pieces) == data[:BLOCK]
        pieces.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
