"""Spans of time as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.duration import parse, told
from gitsnap.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1d1h1m1.5s", 90061.5)],
)
def test_what_is_meant(text: str, seconds: float) -> None:
    assert parse(text, "--soak") == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "m", "5x", "30m1h", "1 h", "1e3", "inf", "nan", "٣s", "9" * 12])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--soak"):
        parse(text, "--soak")


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_each_unit_counts(days: int, hours: int, minutes: int, seconds: int) -> None:
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if whole:
        assert parse(f"{days}d{hours}h{minutes}m{seconds}s", "x") == whole


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.25, "0.2 s"),
        (9, "9 s"),
        (59.6, "1 min"),
        (605, "10 min 5 s"),
        (3600, "1 h"),
        (90000, "1 d 1 h"),
    ],
)
def test_how_it_is_told(seconds: float, text: str) -> None:
    assert told(seconds) == text
