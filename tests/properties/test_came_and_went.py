"""Manifests alone tell that much came and went, and never more than did: what they tell is not counted."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.comparison import Status, compare
from gitsnap.core.manifest import format_manifest
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.stored_difference import came_and_went
from gitsnap.core.stored_text import Text
from tests.support.examples import examples

STATES = st.dictionaries(st.sampled_from([b"a", b"b", b"c\nd", b"\\e", b"-", b"f"]), st.integers(0, 3))


def state(files: Mapping[bytes, int]) -> Inventory:
    """Files by their paths, with one of few contents each."""
    entries = [Entry(b"", Type.DIR, 0o755, 0, 0)]
    entries += [
        Entry(path, Type.FILE, 0o644, 0, 0, size=content, sha256=bytes([content]) * 32)
        for path, content in sorted(files.items())
    ]
    return Inventory(entries)


def told(old: Mapping[bytes, int], new: Mapping[bytes, int]) -> tuple[int, int]:
    """What the manifests tell, and what a comparison does."""
    a, b = state(old), state(new)
    counts = [sum(c.status is s for c in compare(a, b).changes) for s in (Status.ADDED, Status.REMOVED)]
    return came_and_went(*(Text.of(format_manifest(side)) for side in (a, b))), sum(counts) if all(counts) else 0


@examples(100)
@given(STATES, STATES)
def test_no_more_than_a_comparison_finds(old: Mapping[bytes, int], new: Mapping[bytes, int]) -> None:
    least, exact = told(old, new)
    assert least <= exact


def test_all_but_what_moved() -> None:
    assert told({b"-": 1, b"c\nd": 2, b"stays": 1, b"a": 3}, {b"\\e": 4, b"stays": 2, b"f": 3}) == (3, 3)
    assert told({b"a": 1}, {b"a": 2, b"b": 3}) == (0, 0)
