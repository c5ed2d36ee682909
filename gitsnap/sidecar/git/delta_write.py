"""Making deltas (gitformat-pack(5), "Deltified representation") of what is nearly the same, by whole lines or entries.

dulwich's create_delta compares bytes (difflib), which takes seconds for a manifest (1.2.21; docs/adr/0133). Where few
lines differ, each is looked for in what follows. Else what two texts begin and end with is found by blocks, and the
lines in between by a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# In what lies between the common beginning and end, this many bytes are written as they are rather than looked at.
_FEW = 64
# An entry of a tree: `<mode> <name>\0<20 bytes>`.
_ENTRY = re.compile(rb"[0-7]+ [^\0]*\0.{20}", re.DOTALL)
_MOST_COPIED = 0xFFFFFF
# Lines are looked for one after the other in all that follows, up to so many bytes for each byte of the base.
_SEARCHED = 16
# Of so many lines one is looked up, to see whether two texts have that much in common.
_EVERY, _COMMON = 61, 0.3


def make(base: bytes, new: bytes, *, tree: bool = False) -> bytes:
    """A delta that makes `new` of `base`: by lines, or by the entries of a `tree`."""
    ops = None if tree else _by_searching(base, new)
    if ops is None:
        ops = _by_looking_up(base, new, tree=tree)
    return _varint(len(base)) + _varint(len(new)) + ops


def alike(base: bytes, new: bytes) -> bool:
    """Whether two texts have so many lines in common that a delta can be worth while."""
    start = _common_start(base, new)
    if start + _common_end(base, new, min(len(base), len(new)) - start) >= _COMMON * len(new):
        return True
    sample = new.split(b"\n")[::_EVERY]
    known = set(base.split(b"\n"))
    return sum(line in known for line in sample) >= _COMMON * len(sample)


def _by_searching(base: bytes, new: bytes) -> bytes | None:
    """For texts that differ in few lines; None where that is too many."""
    out: list[bytes] = []
    literal: list[bytes] = []
    i = j = 0
    left = _SEARCHED * len(base)
    while i < len(new):
        end = new.find(b"\n", i) + 1 or len(new)
        line = new[i:end]
        found = j if base.startswith(line, j) else base.find(b"\n" + line, max(j - 1, 0)) + 1
        left -= (found or len(base)) - j + _FEW
        if left < 0:
            return None
        if found or base.startswith(line, j):
            same = _common_start(base, new, found, i)
            # Up to the end of a line, where what follows is another one.
            same = same if i + same == len(new) else new.rfind(b"\n", i, i + same) + 1 - i
            out += [_insert(b"".join(literal)), _copy(found, same)]
            literal, i, j = [], i + same, found + same
        else:
            literal.append(line)
            i = end
    return b"".join([*out, _insert(b"".join(literal))])


def _by_looking_up(base: bytes, new: bytes, *, tree: bool) -> bytes:
    start = _common_start(base, new)
    # From the beginning of the line or entry, which is the same in both.
    start = _last_entry(base, start) if tree else base.rfind(b"\n", 0, start) + 1
    end = _common_end(base, new, min(len(base), len(new)) - start)
    between = new[start : len(new) - end]
    if len(between) <= _FEW:
        middle = _insert(between)
    else:
        middle = _pieces(_split(base[start : len(base) - end], tree=tree), _split(between, tree=tree), start)
    return _copy(0, start) + middle + _copy(len(base) - end, end)


def _last_entry(tree: bytes, most: int) -> int:
    """Where the last entry of a tree ends that ends at `most` or before."""
    last = 0
    for entry in _ENTRY.finditer(tree):
        if entry.end() > most:
            break
        last = entry.end()
    return last


def _split(data: bytes, *, tree: bool) -> list[bytes]:
    """Lines, or entries of a tree; the last one may be a part of one."""
    if not tree:
        return data.splitlines(keepends=True)
    found = [m[0] for m in _ENTRY.finditer(data)]
    rest = data[sum(map(len, found)) :]
    return [*found, rest] if rest else found


def _pieces(known: Iterable[bytes], pieces: Iterable[bytes], start: int) -> bytes:
    """What makes these pieces of those `known`, which lie in the base from `start` on."""
    at: dict[bytes, int] = {}
    for piece in known:
        at.setdefault(piece, start)
        start += len(piece)
    out: list[bytes] = []
    literal: list[bytes] = []
    run = (0, 0)
    for piece in pieces:
        found = at.get(piece)
        if found is None:
            out.append(_copy(*run))
            run = (0, 0)
            literal.append(piece)
        elif run[1] and sum(run) == found:
            run = (run[0], run[1] + len(piece))
        else:
            out += [_copy(*run), _insert(b"".join(literal))]
            literal, run = [], (found, len(piece))
    return b"".join([*out, _copy(*run), _insert(b"".join(literal))])


def _common_start(a: bytes, b: bytes, in_a: int = 0, in_b: int = 0) -> int:
    """How many bytes are the same from these places on."""
    most, at, step = min(len(a) - in_a, len(b) - in_b), 0, 1 << 16
    while step:
        while at + step <= most and a[in_a + at : in_a + at + step] == b[in_b + at : in_b + at + step]:
            at += step
        step >>= 1
    return at


def _common_end(a: bytes, b: bytes, most: int) -> int:
    at, step = 0, 1 << 16
    while step:
        while at + step <= most and a[len(a) - at - step : len(a) - at] == b[len(b) - at - step : len(b) - at]:
            at += step
        step >>= 1
    return at


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _copy(at: int, size: int) -> bytes:
    out = bytearray()
    while size:
        part = min(size, _MOST_COPIED)
        code, rest = 0x80, bytearray()
        for bit in range(4):
            if byte := at >> 8 * bit & 0xFF:
                code |= 1 << bit
                rest.append(byte)
        # 0x10000 is written as none at all.
        for bit in range(3) if part != 0x10000 else ():
            if byte := part >> 8 * bit & 0xFF:
                code |= 0x10 << bit
                rest.append(byte)
        out += bytes([code]) + rest
        at, size = at + part, size - part
    return bytes(out)


def _insert(data: bytes) -> bytes:
    return b"".join([bytes([len(part := data[i : i + 127])]) + part for i in range(0, len(data), 127)])
