"""Moments of any year: what a file system can hold goes far beyond the years 1 to 9999 that `datetime` knows."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

_DAY = 86_400
# Days in 400 years, after which the Gregorian calendar repeats itself; and from 0000-03-01 to 1970-01-01.
_ERA, _EPOCH = 146_097, 719_468
# 0001-01-02 and 9999-12-31, in seconds since 1970: between them every zone's offset keeps within datetime's years.
_FIRST, LAST = -62_135_510_400, 253_402_214_400


def rfc3339(seconds: int) -> str:
    """UTC, as RFC 3339 has it for the years 0 to 9999. Others as ISO 8601 has expanded years, a sign and six digits or
    more, which is what ECMAScript reads: `+010000-01-01T00:00:00Z`, `-000001-12-31T00:00:00Z`."""
    year, rest = _civil(seconds)
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+07d}"
    return f"{shown}-{rest.replace(' ', 'T')}Z"


def local(seconds: int, zone: tzinfo | None = None) -> str:
    """`2025-08-10 03:40:11` in a zone (default: the system's); far years in UTC, where no zone's rules reach."""
    if _FIRST <= seconds < LAST:
        return datetime.fromtimestamp(seconds, UTC).astimezone(zone).isoformat(" ", "seconds")[:19]
    year, rest = _civil(seconds)
    return f"{year:04d}-{rest}"


def _civil(seconds: int) -> tuple[int, str]:
    """The year (0 is 1 BC), and `MM-DD hh:mm:ss`, in the proleptic Gregorian calendar."""
    days, second = divmod(seconds, _DAY)
    # Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    era, day_of_era = divmod(days + _EPOCH, _ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return year, f"{month:02d}-{day:02d} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
