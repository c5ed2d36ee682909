"""Where the objects of a pack are that is being written: columns of numbers, since there may be a million of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from gitsnap.sidecar.git.packed_ids import ID, PackedIds


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
        for number, first in enumerate(self._oids[::ID]):
            shares[first].append(number)
        oids, crcs, offsets = self._oids, self._crcs, self._offsets
        for share in shares:
            placed = sorted((bytes(oids[ID * n : ID * n + ID]), n) for n in share)
            yield from ((oid, offsets[n], crcs[n]) for oid, n in placed)
