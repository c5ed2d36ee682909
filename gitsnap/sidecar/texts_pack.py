"""The manifests and metadata of the last snapshots in one pack: the newest whole, each older one by what differs.

git allows no delta whose base lies in another pack, so the pack is written anew with each snapshot; what was in it is
copied as it is stored. When it holds `_MOST` texts, or is much larger than what is new, it stays as it is, and another
begins. Which one is written anew is told by a small file: where it is lost, or names what a gc has taken, another
begins as well (docs/adr/0142).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from gitsnap.core.errors import IntegrityError
from gitsnap.core.stored_text import Text
from gitsnap.sidecar import files
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.git.pack_copy import by_difference
from gitsnap.sidecar.git.pack_file import Entry, PackFile
from gitsnap.sidecar.git.pack_read import TYPES, Pack
from gitsnap.sidecar.git.pack_write import BLOB, deflate
from gitsnap.sidecar.repository import Sidecar

_FILE = "texts"
_LINE = re.compile("[0-9a-f]{40}(?: [0-9a-f]{40}){2}\n")
_KINDS = (refs.MANIFESTS, refs.METADATA)
# For a kind of which the pack has no text yet.
_NONE = bytes(20)
# Two for each snapshot, and deltas of deltas no deeper than git makes them itself.
_MOST = 100
# More than so many times what is new is not copied.
_TIMES = 6
# A text of more bytes goes with its snapshot's contents: two of them would have to be held to compare them.
LARGEST = 64 << 20


def name(sidecar: Sidecar) -> str:
    """The name of the pack that is written anew; empty where there is none."""
    return next(iter(_known(sidecar)), "")


def moved(sidecar: Sidecar, made: PackFile) -> None:
    """The pack that is written anew has become this one. Where that cannot be told, another begins."""
    heads = [text if bytes.fromhex(text) in made.index else _NONE.hex() for text in _known(sidecar)[1:]]
    with suppress(OSError):
        _tell(sidecar, made.name, heads)


def _tell(sidecar: Sidecar, pack: str, heads: Iterable[str]) -> None:
    files.replace(sidecar.own(_FILE), f"{' '.join([pack, *heads])}\n".encode(), sidecar.scratch, durable=False)


def _known(sidecar: Sidecar) -> list[str]:
    """The pack's name, and the hex ids of the newest manifest and metadata in it."""
    found = (files.read(sidecar.own(_FILE)) or b"").decode("ascii", "replace")
    return found.split() if _LINE.fullmatch(found) else []


def _chain(stored: Mapping[bytes, Entry], oid: bytes | None) -> Iterator[bytes]:
    """An object, what it is built on, and so on."""
    while oid is not None and oid in stored:
        yield oid
        oid = stored[oid].base


class TextsPack:
    """The pack as it becomes with new texts. add() them, let it be named together with what belongs to them (pack()),
    and once the refs stand, settle()."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        # The id of each, how it is to be stored, and itself, where another is to be made of it.
        self._new: dict[str, tuple[bytes, Entry, Text]] = {}
        self._old: Pack | None = None
        self._heads: dict[str, bytes] = {}
        self._made: PackFile | None = None
        # Of which text (its id) each new one was made.
        self._origins: dict[str, bytes] = {}
        # Texts that somebody has read already, by their raw ids.
        self.known: dict[bytes, Text] = {}

    @cached_property
    def _former_pack(self) -> list[str]:
        # Looked up once: a text is not kept where nothing can become a delta of it.
        return _known(self._sidecar)

    def add(self, ref: str, oid: bytes, text: Text, origin: bytes | None = None) -> None:
        """One new text, for the notes of this ref. After a rollback its `origin` is not the newest of before, and what
        once made the origin of that one would stay beside what makes that one of the new text."""
        entry = Entry(BLOB, text.size, deflate(text.whole()))
        self._new[ref] = (oid, entry, text if self._former_pack else Text.of(b""))
        if origin is not None:
            self._origins[ref] = origin

    def pack(self) -> PackFile | None:
        """The pack, complete; None where no text is new."""
        if not self._new:
            return None
        entries = {ref: entry for ref, (_, entry, _) in self._new.items()}
        known = self._former_pack
        self._heads = dict(zip(_KINDS, map(bytes.fromhex, known[1:]), strict=True)) if known else {}
        self._old = self._former(known, sum(len(e.deflated) for e in entries.values()))
        try:
            copied = self._copied(self._old) if self._old else {}
        except (IntegrityError, OSError):
            # What cannot be read stays where it is, for verify to name.
            self._old, copied = None, {}
        made = PackFile(self._sidecar.scratch)
        try:
            for ref, entry in entries.items():
                made.add(self._new[ref][0], entry)
            for oid, entry in copied.items():
                if oid not in made.index:
                    made.add(oid, entry)
        except BaseException:
            made.abandon()
            raise
        if not self._old:
            self._heads = {}
        self._heads |= {ref: oid for ref, (oid, _, _) in self._new.items()}
        self._new.clear()
        self._made = made
        return made

    def _former(self, known: list[str], fresh: int) -> Pack | None:
        """The pack of before, where it can be written anew."""
        if not known:
            return None
        folder = os.path.join(self._sidecar.path, "objects", "pack")
        path = os.path.join(folder, f"pack-{known[0]}.pack")
        # git would look for it in the one, and its owner wants it as it is by the other.
        if os.path.exists(os.path.join(folder, "multi-pack-index")) or os.path.exists(f"{path[:-5]}.keep"):
            return None
        pack = next((p for p in self._sidecar.objects.packs if p.path == path), None)
        if pack is None or len(pack.index) + len(self._new) > _MOST or pack.data.end > _TIMES * fresh:
            return None
        return pack

    def _copied(self, old: Pack) -> dict[bytes, Entry]:
        """What is in the pack, in an order in which a base comes first; the newest of before by what differs, and where
        a new text was made of another one, that, too."""
        stored = dict(old.stored_entries())
        former = {self._heads[ref]: ref for ref in self._new if self._heads.get(ref) in stored}
        former = {oid: ref for oid, ref in former.items() if stored[oid].base is None}
        for ref, oid in self._origins.items():
            between = [found for found in _chain(stored, oid) if found not in former]
            if between:
                former[max(between, key=lambda found: len(stored[found].deflated))] = ref
        out = {}
        for oid, entry in stored.items():
            if oid in former and self._new[former[oid]][0] != oid:
                base, _, newer = self._new[former[oid]]
                entry = by_difference(entry, self._older(oid), base, newer.whole())
            out[oid] = entry
        return out

    def _older(self, oid: bytes) -> bytes:
        known = self.known.get(oid)
        return known.whole() if known else self._sidecar.objects.read(oid, TYPES[BLOB], LARGEST)[1]

    @property
    def replaces(self) -> int:
        """The size in bytes of the pack that goes when this one stands, with its index."""
        if self._old is None:
            return 0
        with suppress(OSError):
            return sum(os.stat(self._old.path[:-5] + suffix).st_size for suffix in (".pack", ".idx"))
        return 0

    def settle(self) -> None:
        """The refs stand, and need the new pack: that of before goes. Where that fails both stay, until a gc."""
        if self._made is None:
            return
        with suppress(OSError):
            _tell(self._sidecar, self._made.name, [self._heads.get(ref, _NONE).hex() for ref in _KINDS])
            if self._old is not None and self._made.name not in self._old.path:
                self._old.remove()
