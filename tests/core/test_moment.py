"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gitsnap.core.moment import moment, span

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "length"),
    [
        ("2026-11-23", "2026-11-23", timedelta(days=1)),
        ("2026-11-23T04", "2026-11-23T04:00", timedelta(hours=1)),
        ("2026-11-23 04:26", "2026-11-23T04:26", timedelta(minutes=1)),
        ("2026-11-23T04:26:20Z", "2026-11-23T04:26:20+00:00", timedelta(seconds=1)),
        ("2026-11-23T04:26+0530", "2026-11-23T04:26:00+05:30", timedelta(minutes=1)),
        ("2026-11-23T04:26:20.5", "2026-11-23T04:26:20.5", timedelta.resolution),
        ("7d", "2026-11-24T12:00:00+00:00", timedelta.resolution),
        ("90min", "2026-12-01T10:30:00+00:00", timedelta.resolution),
        ("2w12h", "2026-11-17T00:00:00+00:00", timedelta.resolution),
    ],
)
def test_what_is_named_to_its_end(text: str, first: str, length: timedelta) -> None:
    began = datetime.fromisoformat(first)
    assert span(text, NOW) == (began, began + length - timedelta.resolution)
    assert moment(text, NOW) == began


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7x",
        "0d",
        "d",
        "2026-02-30",
        "2026-11-23T25:00",
        "9999y",
        "1h30min",
        "0x5min",
        "9999-12-31",
        "2026-11-23T04-26-20Z",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert span(text, NOW) is None


def test_what_only_since_takes() -> None:
    """What could mean a whole week, or is a number behind an @."""
    for text in ("2026-W48", "20261123"):
        assert moment(text, NOW) is not None
        assert span(text, NOW) is None
