"""Moments as people type them: a date, a date and a time, or how long ago."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta

from gitsnap.core.errors import UsageError
from gitsnap.core.retention import parse_duration

_WRITTEN = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,6})?)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
# Retention's ages, of which `m` is a month, have none.
_MINUTES = re.compile(r"([0-9]{1,9})min", re.ASCII)
# How long it is that is named, by the last of the groups above.
_LONG = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), timedelta.resolution)


def moment(text: str, now: datetime) -> datetime | None:
    """The first moment of what is named, without a zone where `text` has none. None where it is no moment."""
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    return _ago(text, now)


def span(text: str, now: datetime) -> tuple[datetime, datetime] | None:
    """The first and the last moment of what is named: of a date the whole day, of `04:15` the whole minute. How long
    ago (retention's ages, and `30min`) is one moment. None where it is neither."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        ago = _ago(text, now)
        return None if ago is None else (ago, ago)
    with suppress(ValueError, OverflowError):
        first = datetime.fromisoformat(text)
        return first, first + _LONG[written.lastindex or 0] - timedelta.resolution
    return None


def _ago(text: str, now: datetime) -> datetime | None:
    with suppress(UsageError, OverflowError):
        minutes = _MINUTES.fullmatch(text)
        return now - (timedelta(minutes=int(minutes[1])) if minutes else parse_duration(text))
    return None
