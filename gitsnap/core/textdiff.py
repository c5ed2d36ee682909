"""Two versions of a text side by side: rows of line numbers, and the words that differ in a pair of lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_HUNK = re.compile(rb"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
# Beyond these, lines are paired in order, and words are not compared.
_MOST_PAIRS, _MOST_TOKENS, _LIKE = 900, 160, 0.35

Span = tuple[int, int]


class DiffRow(NamedTuple):
    """One row: the number of the line on each side, from 1 (None: no line there), and whether it is a change."""

    old: int | None
    new: int | None
    changed: bool


def rows(hunks: bytes) -> list[list[DiffRow]]:
    """The rows of each hunk of a unified diff. Removed and added lines that are alike stand beside each other."""
    out: list[list[DiffRow]] = []
    old = new = 0
    gone: list[tuple[int, bytes]] = []
    came: list[tuple[int, bytes]] = []
    for line in hunks.split(b"\n"):
        sign = line[:1]
        if sign == b"-":
            gone.append((old, line[1:]))
            old += 1
        elif sign == b"+":
            came.append((new, line[1:]))
            new += 1
        elif sign in (b" ", b"@"):
            if gone or came:
                out[-1] += _beside(gone, came)
                gone, came = [], []
            if sign == b" ":
                out[-1].append(DiffRow(old, new, False))
                old, new = old + 1, new + 1
            elif head := _HUNK.match(line):
                old, new = int(head[1]), int(head[2])
                out.append([])
    if gone or came:
        out[-1] += _beside(gone, came)
    return out


def _beside(gone: Sequence[tuple[int, bytes]], came: Sequence[tuple[int, bytes]]) -> Iterator[DiffRow]:
    """The rows of a run of removed and added lines."""
    i = j = 0
    for a, b in [*_alike([t for _, t in gone], [t for _, t in came]), (len(gone), len(came))]:
        while i < a or j < b:
            yield DiffRow(gone[i][0] if i < a else None, came[j][0] if j < b else None, True)
            i, j = min(i + 1, a), min(j + 1, b)
        if a < len(gone) and b < len(came):
            yield DiffRow(gone[a][0], came[b][0], True)
            i, j = a + 1, b + 1


def _alike(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[int, int]]:
    """The pairs of lines that are most alike, in order on both sides; none where that would take long."""
    if len(old) == len(new) or len(old) * len(new) > _MOST_PAIRS:
        return []
    words = [[Counter(re.findall(rb"\w+|[^\w\s]", line[:500])) for line in side] for side in (old, new)]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            score = _likeness(words[0][i], words[1][j])
            pair = best[i + 1][j + 1] + score if score >= _LIKE else 0.0
            best[i][j] = max(pair, best[i + 1][j], best[i][j + 1])
    out, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            out.append((i, j))
            i, j = i + 1, j + 1
    return out


def _likeness(a: Counter[bytes], b: Counter[bytes]) -> float:
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 0.0


def differing(old: str, new: str) -> tuple[list[Span], list[Span]]:
    """The parts of two lines that differ, as (start, end); none where the lines have too little in common."""
    sides: list[list[str]] = [_TOKEN.findall(text) for text in (old, new)]
    if old == new or not all(0 < len(tokens) <= _MOST_TOKENS for tokens in sides):
        return [], []
    matcher = SequenceMatcher(None, sides[0], sides[1], autojunk=False)
    if matcher.quick_ratio() < _LIKE or matcher.ratio() < _LIKE:
        return [], []
    starts = [_starts(tokens) for tokens in sides]
    found: tuple[list[Span], list[Span]] = ([], [])
    for name, a, b, c, d in matcher.get_opcodes():
        if name != "equal":
            for side, (first, last) in enumerate(((a, b), (c, d))):
                if first < last:
                    found[side].append((starts[side][first], starts[side][last]))
    return found


def _starts(tokens: Sequence[str]) -> list[int]:
    out = [0]
    for token in tokens:
        out.append(out[-1] + len(token))
    return out
