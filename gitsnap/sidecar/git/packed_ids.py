"""Many object ids in little memory: as they lie one behind the other."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

# The bytes of one.
ID = 20
_LEAST = 1 << 10
_PLACE = struct.Struct(">Q20s")
# Places are sorted a part at a time.
_PARTS = 64


def cut_ids(data: bytes | bytearray) -> list[bytes]:
    """Object ids that stand one behind the other."""
    return [bytes(data[i : i + ID]) for i in range(0, len(data), ID)]


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
        return len(self._ids) // ID

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return cut_ids(self._ids[ID * start : ID * stop])
        if not 0 <= at < len(self):
            raise IndexError(at)
        return bytes(self._ids[ID * at : ID * at + ID])


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


class PackedIds:
    """Raw ids, numbered from zero in the order in which they are added: 30 bytes for each.

    A table of their numbers leads to them, found by their ids' hashes and never more than half full.
    """

    __slots__ = ("_count", "_mask", "_oids", "_table")

    def __init__(self) -> None:
        self._oids, self._count = bytearray(), 0
        self._mask = _LEAST - 1
        self._table = array("I", bytes(4 * _LEAST))

    def _slot(self, oid: bytes) -> int:
        """The place in the table that has this object's number, counted from one, or is free for it."""
        table, mask, same = self._table, self._mask, self._oids.startswith
        # The interpreter's own hash has a secret in it: nobody can choose contents that meet in one place.
        at = hash(oid) & mask
        while (number := table[at]) and not same(oid, ID * (number - 1)):
            at = at + 1 & mask
        return at

    def number(self, oid: bytes) -> int:
        """The number of an object; -1 where it has none."""
        return self._table[self._slot(oid)] - 1

    def add(self, oid: bytes) -> int:
        """The number of an object, which gets one where it has none."""
        at, table = self._slot(oid), self._table
        if number := table[at]:
            return number - 1
        self._oids += oid
        self._count = count = self._count + 1
        table[at] = count
        if 2 * count > self._mask:
            self._grow()
        return count - 1

    def _grow(self) -> None:
        mask = self._mask = 4 * self._mask + 3
        table = self._table = array("I", bytes(4 * (mask + 1)))
        for number, oid in enumerate(self, 1):
            at = hash(oid) & mask
            while table[at]:
                at = at + 1 & mask
            table[at] = number

    def __contains__(self, oid: bytes) -> bool:
        return self._table[self._slot(oid)] != 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        """The ids, in the order in which they were added."""
        # Not all at once, and none of them while the column grows.
        oids = self._oids
        return (bytes(oids[at : at + ID]) for at in range(0, len(oids), ID))
