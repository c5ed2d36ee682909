"""The objects that a stream remembers as bases of deltas to come: whoever writes it and whoever reads it know the same.

So a stream can be checked that cannot be read twice, in bounded memory: nothing in it is a delta of what was forgotten.
"""

from __future__ import annotations

from collections import OrderedDict

# Of all that is remembered, and of the largest one, in bytes.
_ALL, _ONE = 64 << 20, 24 << 20


class DeltaWindow:
    """What passed by last: contents for who reads, b"" for who writes, by id."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, tuple[int, bytes, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._held

    def use(self, oid: bytes) -> tuple[int, bytes] | None:
        """(number of its type, content) of a base, which is remembered longer for that; None for one that is not."""
        found = self._held.get(oid)
        if found is None:
            return None
        self._held.move_to_end(oid)
        return found[0], found[1]

    def passed(self, oid: bytes, size: int, kind: int = 0, content: bytes = b"") -> None:
        """An object of `size` bytes has passed by."""
        if size > _ONE or oid in self._held:
            return
        self._held[oid] = kind, content, size
        self._size += size
        while self._size > _ALL:
            self._size -= self._held.popitem(last=False)[1][2]
