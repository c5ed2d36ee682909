"""Deltas, read where git, or delta_write, has left them (gitformat-pack(5))."""

from __future__ import annotations

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from gitsnap.core.errors import IntegrityError

# The largest object that is held whole, in bytes.
LARGEST = 1 << 31
# The most that a delta could make dulwich copy, in bytes, when it says that it makes less.
_HARMLESS = 1 << 30


def apply(base: bytes, delta: bytes) -> bytes:
    """What a delta makes of its base; raises IntegrityError."""
    try:
        expected, at = _varint(delta, 0)
        size, at = _varint(delta, at)
    except IndexError:
        raise IntegrityError("a delta does not apply: it is truncated") from None
    if expected != len(base) or size > LARGEST:
        raise IntegrityError("a delta does not apply: it is of another base, or too large")
    if size * len(delta) > _HARMLESS:
        return _apply_bounded(base, delta, at, size)
    try:
        return b"".join(apply_delta(base, delta))
    except (ApplyDeltaError, ValueError, IndexError, AssertionError) as error:
        raise IntegrityError(f"a delta does not apply: {error}") from None


def _apply_bounded(base: bytes, delta: bytes, at: int, size: int) -> bytes:
    """gitformat-pack(5), "Deltified representation", never making more than the `size` that the delta announces.

    Slower than dulwich's, which copies all that it is told to before it looks at the size.
    """
    try:
        parts, made, end = [], 0, len(delta)
        while at < end and made <= size:
            code = delta[at]
            at += 1
            if code & 0x80:
                offset = length = 0
                for bit in range(4):
                    if code & 1 << bit:
                        offset |= delta[at] << 8 * bit
                        at += 1
                for bit in range(3):
                    if code & 0x10 << bit:
                        length |= delta[at] << 8 * bit
                        at += 1
                part = base[offset : offset + (length or 0x10000)]
                whole = len(part) == (length or 0x10000)
            else:
                part = delta[at : at + code]
                whole = code != 0 and len(part) == code
                at += code
            if not whole:
                raise IntegrityError("a delta does not apply: it reaches beyond its base or its end")
            parts.append(part)
            made += len(part)
    except IndexError:
        raise IntegrityError("a delta does not apply: it is truncated") from None
    if made != size:
        raise IntegrityError("a delta does not apply: it makes another size than it says")
    return b"".join(parts)


def announced(delta: bytes) -> int:
    """How many bytes a delta says that it makes; 0 where it is truncated: apply() tells."""
    try:
        return _varint(delta, _varint(delta, 0)[1])[0]
    except IndexError:
        return 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return number, at
        if shift > 63:
            raise IntegrityError("a delta does not apply: its size is out of range")
