"""Many object ids in little memory: as they lie one behind the other."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

_ID = 20
_PLACE = struct.Struct(">Q20s")
# Places are sorted a part at a time.
_PARTS = 64


def cut_ids(data: bytes | bytearray) -> list[bytes]:
    """Object ids that stand one behind the other."""
    return [bytes(data[i : i + _ID]) for i in range(0, len(data), _ID)]


def shares(oids: Iterable[bytes]) -> Iterator[set[bytes]]:
    """The ids, each once, those that begin with the same byte at a time."""
    parts = [bytearray() for _ in range(256)]
    for oid in oids:
        parts[oid[0]] += oid
    for number, part in enumerate(parts):
        if part:
            yield set(cut_ids(part))
            parts[number] = bytearray()


class PackedList(Sequence[bytes]):
    """A list of ids, 20 bytes for each."""

    def __init__(self) -> None:
        self._ids = bytearray()

    def append(self, oid: bytes) -> None:
        """Put one behind the others."""
        self._ids += oid

    def __len__(self) -> int:
        return len(self._ids) // _ID

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return cut_ids(self._ids[_ID * start : _ID * stop])
        if not 0 <= at < len(self):
            raise IndexError(at)
        return bytes(self._ids[_ID * at : _ID * at + _ID])


class Places:
    """Where objects lie in a pack that ends at an offset: 28 bytes for each."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._parts = [bytearray() for _ in range(_PARTS)]

    def put(self, at: int, oid: bytes) -> None:
        """One lies at this offset."""
        self._parts[min(at * _PARTS // max(self._end, 1), _PARTS - 1)] += _PLACE.pack(at, oid)

    def in_order(self) -> Iterator[tuple[bytes, int]]:
        """Each in the order of the offsets, and how far it is to the next. They are forgotten on the way."""
        for one, other in pairwise(self._sorted()):
            yield one[1], other[0] - one[0]

    def _sorted(self) -> Iterator[tuple[int, bytes]]:
        for number, part in enumerate(self._parts):
            yield from sorted(_PLACE.iter_unpack(part))
            self._parts[number] = bytearray()
        yield self._end, b""
