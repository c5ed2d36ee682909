"""Spans of time as people type and read them: `90`, `30s`, `10m`, `1h30m`, `2d`; `m` is minutes here.

Retention's ages are another language (core.retention.parse_duration): there a day is the smallest that is of use, and
`m` is a month.
"""

from __future__ import annotations

import re

from gitsnap.core.errors import UsageError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"(\d{1,9}(?:\.\d{1,6})?)"
_SPAN = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS), re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_LONGEST = 1e9


def parse(text: str, name: str) -> float:
    """The seconds that are meant, more than 0; a number alone is seconds. UsageError names the option `name`."""
    if _PLAIN.fullmatch(text):
        value = float(text)
    else:
        found = _SPAN.fullmatch(text)
        if not text or found is None:
            raise UsageError(
                f"{name}: '{text}' is no span of time", hint="for example 90, 30s, 10m (minutes), 1h30m or 2d"
            )
        value = sum(float(n) * unit for n, unit in zip(found.groups(), _UNITS.values(), strict=True) if n)
    if not 0 < value < _LONGEST:
        raise UsageError(f"{name} must be more than 0" if value <= 0 else f"{name}: '{text}' is too long")
    return value


def told(seconds: float) -> str:
    """The two largest units that count: `45 s`, `9 min 5 s`, `2 h 3 min`, `3 d 1 h`. Below ten seconds to a tenth."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for large, small, unit, rest in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            more = whole % large // small
            return f"{whole // large} {unit}" + (f" {more} {rest}" if more else "")
    return f"{whole} s"
