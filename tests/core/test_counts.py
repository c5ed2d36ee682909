"""How a record says how many files changed: one form, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.counts import Counts, Status, format_counts, parse_counts


@given(st.dictionaries(st.sampled_from(Status), st.integers(1, 10**12)))
def test_counts_are_read_as_they_were_written(counts: dict[Status, int]) -> None:
    assert parse_counts(format_counts(counts)) == counts


@pytest.mark.parametrize(
    "text", ["", "0 added", "1 new", "1 added, 1 added", "1 renamed, 1 added", "-1 added", "01 added", "1 added,"]
)
def test_no_other_form_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="count"):
        parse_counts(text)


def test_the_three_numbers_of_a_snapshot_are_of_these() -> None:
    of_files = (Status.ADDED, Status.MODIFIED, Status.TYPE, Status.RENAMED, Status.METADATA)
    found = Counts.of([*((status, False) for status in of_files), (Status.REMOVED, True)])
    assert (found.new_files, found.changed_files, found.removed_files) == (1, 2, 0)
    assert found.directories == {Status.REMOVED: 1}
    assert found
    assert not Counts.of([])
