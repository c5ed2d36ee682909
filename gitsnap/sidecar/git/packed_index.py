"""What is known of many objects, by their ids: columns of numbers, since there may be a million of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

_ID = 20
_LEAST = 1 << 10


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
        while (number := table[at]) and not same(oid, _ID * (number - 1)):
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
        return (bytes(oids[at : at + _ID]) for at in range(0, len(oids), _ID))


class PackedIndex(PackedIds):
    """CRC-32 and offset of each object of a pack that is being written by its raw id: 45 bytes for each, where a
    dictionary of tuples takes 210."""

    __slots__ = ("_crcs", "_offsets")

    def __init__(self) -> None:
        super().__init__()
        self._crcs, self._offsets = array("I"), array("Q")

    def __getitem__(self, oid: bytes) -> tuple[int, int]:
        number = self.number(oid)
        if number < 0:
            raise KeyError(oid)
        return self._crcs[number], self._offsets[number]

    def __setitem__(self, oid: bytes, place: tuple[int, int]) -> None:
        number = self.add(oid)
        if number == len(self._crcs):
            self._crcs.append(place[0])
            self._offsets.append(place[1])
        else:
            self._crcs[number], self._offsets[number] = place

    def by_id(self) -> Iterator[tuple[bytes, int, int]]:
        """(id, offset, CRC-32) of each, sorted by id; a small share of them is in memory at a time."""
        shares = [array("I") for _ in range(256)]
        for number, first in enumerate(self._oids[::_ID]):
            shares[first].append(number)
        oids, crcs, offsets = self._oids, self._crcs, self._offsets
        for share in shares:
            placed = sorted((bytes(oids[_ID * n : _ID * n + _ID]), n) for n in share)
            yield from ((oid, offsets[n], crcs[n]) for oid, n in placed)
