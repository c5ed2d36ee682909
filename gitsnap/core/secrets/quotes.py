"""Quotes in a line of text, as far as they can be told without knowing its language. Every function is one pass."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

# The positions of an opening quote and of the one that closes it.
Span = tuple[int, int]

_QUOTE = re.compile(r"""\\.|["'`]""")


def spans(line: str) -> list[Span]:
    """What is in quotes, in order; quotes that nothing closes, and apostrophes within words, are none."""
    out: list[Span] = []
    opened = -1
    for found in _QUOTE.finditer(line):
        at = found.start()
        if len(found[0]) > 1:
            continue
        if opened < 0:
            if not re.match(r"\w", line[at - 1 : at]):
                opened = at
        elif line[at] == line[opened]:
            out.append((opened, at))
            opened = -1
    return out


def around(pairs: Sequence[Span], at: int) -> Span | None:
    """What is in quotes around a position; the quotes themselves do not count."""
    n = bisect_right(pairs, (at, -1)) - 1
    return pairs[n] if n >= 0 and pairs[n][0] < at < pairs[n][1] else None


def word_end(line: str, at: int, within: str) -> int:
    """Where a shell's word ends; `within` is the quote around the words, empty for none."""
    start, quote = at, ""
    while at < len(line):
        c = line[at]
        if c == "\\":
            at += 1
        elif quote:
            quote = "" if c == quote else quote
        elif c == within or c.isspace():
            break
        elif c in "\"'":
            quote = c
        at += 1
    at = min(at, len(line))
    return at - 1 if at - 1 > start and line[at - 1] == ";" else at


def nested_end(line: str, opened: int, at: int, end: int) -> int:
    """Where a value ends at the latest that stands in quotes or brackets within what is open since a position."""
    for quote in "\"'`":
        if line.count(quote, opened + 1, at) % 2 and (found := line.find(quote, at, end)) > at:
            end = found
    if line.count("(", opened, at) > line.count(")", opened, at) and line[end - 1 : end] == ")":
        end -= 1
    return end


def closing(line: str, at: int, quote: str) -> int | None:
    """Where the quote that is open at a position is closed."""
    found = re.compile(rf"(?:[^\\{quote}]|\\.)*+{quote}").match(line, at)
    return found.end() - 1 if found else None
