"""A stored text, a manifest or metadata, read block by block: of a million files it is a hundred megabytes.

Its lines are sorted, by what a `place` says of a line: so two texts are compared, and lines are found, without holding
either of them. Where lines are not sorted, which only damage or malice does, more is said to differ than does, and
never less.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gitsnap.core.errors import IntegrityError

# Some hundred lines. Where one differs, these are all that is looked at.
BLOCK = 1 << 16
# As much as most lines have, twice.
_STEP = 1 << 8

# Where a line, without its newline, stands among all others of its text.
Place = Callable[[bytes], Any]


@dataclass(slots=True, frozen=True)
class Text:
    """A text of `size` bytes, of which `read` gives so many from an offset on, and may raise OSError."""

    size: int
    read: Callable[[int, int], bytes]

    @staticmethod
    def of(data: bytes) -> Text:
        """A text that is in memory."""
        return Text(len(data), lambda at, size: data[at : at + size])

    def whole(self) -> bytes:
        """All of it in one piece."""
        return self._read(0, self.size)

    def ends(self) -> bytes:
        """Its last byte; none of an empty one."""
        return self._read(self.size - 1, 1) if self.size else b""

    def count_lines(self) -> int:
        """How many there are."""
        return sum(piece.count(b"\n") for piece in self.pieces(0, self.size))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """What is between two offsets, in pieces."""
        for at in range(start, end, BLOCK):
            yield self._read(at, min(BLOCK, end - at))

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The lines between two offsets at which lines begin, some at a time."""
        left: list[bytes] = []
        for piece in self.pieces(start, self.size if end is None else end):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield b"".join([*left, piece[:cut]])
                left = []
            if cut < len(piece):
                left.append(piece[cut:])
        if left:
            yield b"".join(left)

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The lines between two offsets at which lines begin, without their newlines."""
        for block in self.blocks(start, end):
            yield from lines_of(block)

    def line_over(self, at: int, low: int, high: int) -> tuple[int, bytes]:
        """The line that the byte at an offset belongs to, with its newline, and where it begins. Between `low` and
        `high` there are whole lines."""
        # Most lines are short, and the line of a file with very many names is not: each step is twice the last.
        begin, before, step = at, b"", _STEP
        while begin > low and b"\n" not in before:
            step = min(2 * step, begin - low)
            before = self._read(begin - step, step) + before
            begin -= step
        cut = before.rfind(b"\n") + 1
        start, line, step = begin + cut, before[cut:], _STEP
        while (end := line.find(b"\n", at - start)) < 0 and start + len(line) < high:
            step = min(2 * step, high - start - len(line))
            line += self._read(start + len(line), step)
        return start, line if end < 0 else line[: end + 1]

    def find(self, wanted: Any, place: Place, low: int, high: int) -> tuple[int, int]:
        """Where the line with this place begins and ends, or would, between two offsets at which lines begin."""
        while low < high:
            start, line = self.line_over((low + high) // 2, low, high)
            end, found = start + len(line), place(line.removesuffix(b"\n"))
            if found == wanted:
                return start, end
            low, high = (end, high) if found < wanted else (low, start)
        return low, low

    def _read(self, at: int, size: int) -> bytes:
        data = self.read(at, size)
        if len(data) != size:
            raise IntegrityError("a text is shorter than it was")
        return data


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block, without their newlines."""
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def ends_of(block: bytes) -> tuple[bytes, bytes]:
    """The first line of a block, and the last one, without their newlines."""
    end = len(block) - block.endswith(b"\n")
    return block[: end if (first := block.find(b"\n")) < 0 else first], block[block.rfind(b"\n", 0, end) + 1 : end]


def blocks_about(text: Text, places: Sequence[Any], place: Place, end: int | None = None) -> Iterator[bytes]:
    """The blocks before `end` in which lines with these places, which are sorted, may be."""
    for block in text.blocks(0, end):
        first, last = map(place, ends_of(block))
        at = bisect_left(places, first)
        if at < len(places) and places[at] <= last:
            yield block


def differing_blocks(old: Text, new: Text, place: Place) -> Iterator[tuple[bytes, bytes]]:
    """The blocks of either text in which they differ: a line that only one of them has is in there, and whatever the
    other has with the same place stands beside it."""
    sides = _Side(old, place), _Side(new, place)
    while True:
        a, b = (side.filled() for side in sides)
        if not a and not b:
            return
        same = min(len(a), len(b))
        if same and a[:same] == b[:same]:
            # Both are whole lines, so what is the same ends where a line does.
            sides[0].pass_over(same)
            sides[1].pass_over(same)
            continue
        # No further than both are known.
        bounds = [place(ends_of(side.held)[1]) for side in sides if side.held and not side.ended]
        pair = [side.up_to(min(bounds)) for side in sides] if bounds else [b"", b""]
        if not any(pair):
            # The end of both, or lines that are not sorted.
            pair = [side.pass_over(len(side.held)) for side in sides]
        if pair[0] != pair[1]:
            yield pair[0], pair[1]


class _Side:
    """One of two texts that are gone through side by side: `held` are lines that nobody has passed over yet."""

    def __init__(self, text: Text, place: Place) -> None:
        self._blocks, self._place = text.blocks(), place
        self.held, self.ended = b"", False

    def filled(self) -> bytes:
        """What is held, a block of it or all that is left."""
        while not self.ended and len(self.held) < BLOCK:
            block = next(self._blocks, None)
            self.ended = block is None
            self.held += block or b""
        return self.held

    def pass_over(self, size: int) -> bytes:
        """So many bytes of it, which are held no longer."""
        passed, self.held = self.held[:size], self.held[size:]
        return passed

    def up_to(self, bound: Any) -> bytes:
        """The lines that are not after this place, which are held no longer."""
        lines = self.held
        low, high = 0, len(lines)
        while low < high:
            middle = (low + high) // 2
            start = lines.rfind(b"\n", low, middle) + 1 or low
            end = lines.find(b"\n", start) + 1 or len(lines)
            low, high = (end, high) if self._place(lines[start:end].removesuffix(b"\n")) <= bound else (low, start)
        return self.pass_over(low)
