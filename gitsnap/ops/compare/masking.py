"""The lines of files as they may be shown: what `changelog` hides in a key is hidden in the lines, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gitsnap.core.comparison import Change
from gitsnap.core.model import Entry, Type
from gitsnap.core.secrets.masker import Masker, Unmaskable, begun, split
from gitsnap.ops.compare import structured
from gitsnap.ops.compare.patch import Piece
from gitsnap.ops.compare.text_detection import Read

_LONGEST = 300
# Larger texts are masked by the lines of a patch alone.
LARGEST = 4 << 20
_HUNK = re.compile(rb"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
UNSHOWN = b"# it holds a secret that cannot be hidden line by line; --show-secrets shows it\n"


def decode(data: bytes) -> str:
    """The text; what is not UTF-8 as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def cut(line: str, length: int) -> str:
    """The beginning of a long line, and how much more there is."""
    return line if length <= _LONGEST else f"{line[:_LONGEST]} … {length - _LONGEST:,} more characters"


def lines(path: bytes, data: bytes, masker: Masker) -> list[str]:
    """The lines of one version of a file, with marks for secrets. Raises Unmaskable."""
    text = decode(data)
    return split(text) if masker.shows else masker.lines(path, text, _parsed(path, data))


def pair(path: bytes, old: bytes, new: bytes, masker: Masker) -> tuple[list[str], list[str]]:
    """The lines of both versions, with marks for secrets, as long as they are. Raises Unmaskable."""
    if masker.shows:
        return split(decode(old)), split(decode(new))
    return masker.pair(path, (decode(old), _parsed(path, old)), (decode(new), _parsed(path, new)))


def short(path: bytes, old: bytes, new: bytes, masker: Masker) -> tuple[list[str], list[str]]:
    """As pair(), long lines cut."""
    shown = pair(path, old, new, masker)
    out = [
        [cut(s, max(len(line), len(s))) for s, line in zip(side, split(decode(data)), strict=True)]
        for side, data in zip(shown, (old, new), strict=True)
    ]
    return out[0], out[1]


def told(
    path: bytes, data: bytes, wanted: Sequence[bytes], masker: Masker, numbers: Sequence[int] | None = None
) -> list[bytes]:
    """Some lines of a file, which has `data`, with marks: all of them, or those of these numbers from 0.

    Those that `data` does not tell are masked by themselves; where a secret cannot be found in them, all are hidden.
    """
    if masker.shows:
        return list(wanted)
    try:
        shown = lines(path, data, masker)
    except Unmaskable:
        return [UNSHOWN.rstrip()] * len(wanted)
    out = []
    for number, text in zip(numbers if numbers is not None else range(len(wanted)), wanted, strict=True):
        whole = shown[number] if number < len(shown) else None
        plain = decode(text)
        # A line that was cut shows no more of its masked form.
        mine = whole if whole is not None else masker.text(plain)
        out.append(text if mine.startswith(plain) else _encode(mine[: max(len(plain), 1)] if "•" not in mine else mine))
    return out


def pieces(found: Iterator[Piece], read: Read, masker: Masker) -> Iterator[Piece]:
    """A patch for people: its pieces, with marks for secrets."""
    for piece in found:
        yield piece if masker.shows or not piece.hunks else _masked(piece, read, masker)


def _masked(piece: Piece, read: Read, masker: Masker) -> Piece:
    change = piece.change
    try:
        old, new = (_content(change, side, read) for side in (0, 1))
        sides = pair(change.path, old, new, masker)
    except Unmaskable:
        return replace(piece, hunks=b"", notes=UNSHOWN + piece.notes)
    return replace(piece, hunks=b"".join(_hunks(piece.hunks, sides, masker)))


def _content(change: Change, side: int, read: Read) -> bytes:
    entry: Entry | None = (change.old, change.new)[side]
    if entry is None or entry.type is not Type.FILE or entry.size > LARGEST:
        return b""
    return b"".join(read(side, entry))


def _hunks(hunks: bytes, sides: tuple[Sequence[str], Sequence[str]], masker: Masker) -> Iterator[bytes]:
    """Each line of the hunks as its version has it with marks; what cannot be told so, by itself."""
    old = new = 0
    for line in hunks.split(b"\n")[:-1]:
        if place := _HUNK.match(line):
            old, new = int(place[1]), int(place[2])
            # What git shows after it is a line of the file, too.
            yield place[0] + _encode(masker.text(decode(line[place.end() :]))) + b"\n"
            continue
        sign, text = line[:1], decode(line[1:])
        shown = None
        if sign in (b" ", b"-"):
            shown = _line(sides[0], old, text)
        if sign in (b" ", b"+"):
            shown = _line(sides[1], new, text) if shown is None else shown
        old += sign in (b" ", b"-")
        new += sign in (b" ", b"+")
        if shown is None:
            yield line + b"\n" if sign == b"\\" else _encode(masker.text(decode(line))) + b"\n"
        else:
            yield sign + _encode(shown) + b"\n"


def _line(side: Sequence[str], number: int, text: str) -> str | None:
    """The line of that number; None where it is not there, as in a patch by words."""
    if not 0 < number <= len(side):
        return None
    shown = side[number - 1]
    # A carriage return is a part of the line to git and to us.
    return shown if shown == begun(text) or "•" in shown else None


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _parsed(path: bytes, data: bytes) -> Any:
    """The data; None where they are not read key by key."""
    try:
        return structured.parse(path, data)
    except ValueError:
        return None
