"""Moments of any year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.calendar import LAST, local, rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_within_the_years_that_datetime_knows_it_says_the_same(when: datetime) -> None:
    seconds = (when - _EPOCH) // timedelta(seconds=1)
    assert rfc3339(seconds) == when.isoformat("T", "seconds")[:19] + "Z"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
        (253402300800, "+010000-01-01T00:00:00Z"),
        (-62167219200, "0000-01-01T00:00:00Z"),
        (-62167219201, "-000001-12-31T23:59:59Z"),
        # The ends of what ECMAScript's Date can hold, by its specification.
        (8_640_000_000_000, "+275760-09-13T00:00:00Z"),
        (-8_640_000_000_000, "-271821-04-20T00:00:00Z"),
        (2**63 - 1, "+292277026596-12-04T15:30:07Z"),
    ],
)
def test_other_years_have_a_sign(seconds: int, shown: str) -> None:
    assert rfc3339(seconds) == shown


@pytest.mark.parametrize("hours", [-14, 0, 14])
@pytest.mark.parametrize("seconds", [LAST - 1, LAST, LAST + 86_400, 253402300800, -62135596800, -62167219201])
def test_a_zone_takes_no_year_over_its_end(seconds: int, hours: int) -> None:
    assert local(seconds, timezone(timedelta(hours=hours)))


def test_text_is_in_the_zone() -> None:
    assert local(0, timezone(timedelta(hours=2))) == "1970-01-01 02:00:00"
