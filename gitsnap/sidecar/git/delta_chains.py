"""Entries of packs, with the chains of deltas that git has left there, across packs where they go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from dulwich.pack import OFS_DELTA, REF_DELTA

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import deltas
from gitsnap.sidecar.git.blob_stream import STREAM_FROM
from gitsnap.sidecar.git.pack_read import TYPES, PackData

_MAX_CHAIN = 4096
# Of the bases that are remembered.
CACHE_BYTES = 24 << 20


class Entries(Protocol):
    """What is needed of a pack: where it is, and what is in it."""

    @property
    def path(self) -> str:
        """Its file."""

    @property
    def data(self) -> PackData:
        """Its entries."""


class DeltaChains:
    """Reads entries, and remembers bases, which are mostly those of others. `locate` finds a base by its id."""

    def __init__(self, locate: Callable[[bytes], tuple[Entries, int] | None]) -> None:
        self._locate = locate
        self._bases: OrderedDict[tuple[str, int], tuple[int, bytes]] = OrderedDict()
        self._bases_size = 0

    def read(self, pack: Entries, offset: int, most: int) -> tuple[int, bytes]:
        """(number of its type, content) of an entry of at most `most` bytes. Raises IntegrityError."""
        steps: list[tuple[tuple[str, int], bytes]] = []
        # What a delta starts from may be larger than what it makes, but git has it not much larger.
        room, seen = min(max(4 * most, STREAM_FROM), deltas.LARGEST), set()
        while True:
            # Deltas by id may form a circle, and a few that inflate hugely would fill the memory.
            if (pack.path, offset) in seen or len(steps) > _MAX_CHAIN or room < 0:
                raise IntegrityError("a chain of deltas does not end", path=pack.path)
            seen.add((pack.path, offset))
            cached = self._bases.get((pack.path, offset)) if self._bases else None
            if cached:
                self._bases.move_to_end((pack.path, offset))
                kind, content = cached
                break
            kind, size, base, content = pack.data.load(offset, room if steps else most)
            if size > (room if steps else most):
                raise IntegrityError(f"pack entry at {offset} claims {size} bytes", path=pack.path)
            if kind in TYPES:
                break
            if not steps and deltas.announced(content) > most:
                raise IntegrityError(f"pack entry at {offset} makes {deltas.announced(content)} bytes", path=pack.path)
            steps.append(((pack.path, offset), content))
            pack, offset = self._base_of(pack, kind, base, offset)
            room -= len(content)
        if steps:
            self._remember((pack.path, offset), kind, content)
        for place, delta in reversed(steps):
            content = deltas.apply(content, delta)
            # What was made by one delta is the base of others.
            self._remember(place, kind, content)
        return kind, content

    def _base_of(self, pack: Entries, kind: int, base: bytes | int | None, offset: int) -> tuple[Entries, int]:
        if kind == OFS_DELTA and isinstance(base, int) and 12 <= base < offset:
            return pack, base
        if kind == REF_DELTA and isinstance(base, bytes):
            found = self._locate(base)
            if found:
                return found
        raise IntegrityError(f"pack entry at {offset} has no base or is of an unknown type", path=pack.path)

    def _remember(self, key: tuple[str, int], kind: int, content: bytes) -> None:
        if key in self._bases or len(content) > CACHE_BYTES // 2:
            return
        self._bases[key] = (kind, content)
        self._bases_size += len(content)
        while self._bases_size > CACHE_BYTES:
            self._bases_size -= len(self._bases.popitem(last=False)[1][1])
