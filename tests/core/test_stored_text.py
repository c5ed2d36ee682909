"""Texts that are read block by block say what they say in one piece, wherever the blocks end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import stored_text
from gitsnap.core.errors import IntegrityError
from gitsnap.core.stored_text import Text, blocks_about, differing_blocks, lines_of
from tests.support.examples import examples

LINES = st.lists(st.binary(max_size=9).map(lambda raw: raw.hex().encode()), unique=True, max_size=40)


@pytest.fixture(scope="module", autouse=True)
def short_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_text, "BLOCK", 32)
        patch.setattr(stored_text, "_STEP", 3)
        yield


def itself(line: bytes) -> bytes:
    return line


def text(lines: list[bytes]) -> Text:
    return Text.of(b"".join(line + b"\n" for line in lines))


@examples(200)
@given(LINES, LINES)
def test_what_differs_is_in_the_blocks_that_differ(some: list[bytes], others: list[bytes]) -> None:
    old, new = sorted(some), sorted({*some[: len(some) // 2], *others})
    found = [tuple(map(lines_of, pair)) for pair in differing_blocks(text(old), text(new), itself)]
    gone, came = ({line for pair in found for line in pair[side]} for side in (0, 1))
    assert gone - came == set(old) - set(new)
    assert came - gone == set(new) - set(old)
    assert not list(differing_blocks(text(old), text(old), itself))


def test_little_that_differs_is_little_to_look_at() -> None:
    """Both are cut at the same place, so that what follows is equal again, however many lines came before."""
    old = [b"%05d" % n for n in range(0, 20_000, 20)]
    new = sorted([*old, *(b"%05d" % n for n in range(5, 20_000, 4000)), b"00101", b"00102", b"00103"])
    found = [line for pair in differing_blocks(text(old), text(new), itself) for line in lines_of(pair[1])]
    assert set(found) >= set(new) - set(old)
    assert len(found) < 80


@examples(100)
@given(LINES, LINES)
def test_lines_that_are_not_sorted_are_told_all_the_same(old: list[bytes], new: list[bytes]) -> None:
    found = [tuple(map(lines_of, pair)) for pair in differing_blocks(text(old), text(new), itself)]
    gone, came = ({line for pair in found for line in pair[side]} for side in (0, 1))
    assert gone >= set(old) - set(new)
    assert came >= set(new) - set(old)


@examples(100)
@given(LINES, st.integers(0, 39))
def test_a_line_is_found_by_halving_and_its_block_by_its_ends(lines: list[bytes], number: int) -> None:
    lines = sorted(lines)
    whole = text(lines)
    assert b"".join(whole.blocks()) == whole.whole()
    for wanted in [*lines[number:], b"", b"5", b"zz"]:
        start, end = whole.find(wanted, itself, 0, whole.size)
        at = whole.whole()[start:end]
        assert at == (wanted + b"\n" if wanted in lines else b"")
        assert lines_of(whole.whole()[:start]) == [line for line in lines if line < wanted]
        assert sum(wanted in lines_of(block) for block in blocks_about(whole, [wanted], itself)) == (wanted in lines)


def test_a_text_that_was_cut_short_meanwhile_is_damaged() -> None:
    with pytest.raises(IntegrityError):
        list(Text(10, lambda at, size: b"short"[at : at + size]).blocks())
