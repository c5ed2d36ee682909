"""One side of a comparison, as readers of packages see it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from gitsnap.core.model import Entry, Type
from gitsnap.core.packages.model import Package

Read = Callable[[int, Entry], Iterator[bytes]]
# No record of packages is larger; what says to be one, and is, is not read.
_LARGEST_RECORD = 32 << 20
_LARGEST_PROGRAM = 128 << 20
# What a record without SHA-256 says of larger files is not looked at.
_LARGEST_HASHED = 64 << 20
_DIGEST = re.compile(r"(md5|sha1|sha256|sha384|sha512)([:=])(.+)")


class State:
    """One side of a comparison as a tree of packages' records. `asked` are the paths whose contents were wanted."""

    def __init__(self, side: int, entries: Iterable[Entry], read: Read) -> None:
        self._side, self._read = side, read
        self.entries = {e.path: e for e in entries}
        self.asked: set[bytes] = set()

    def read(self, path: bytes) -> bytes:
        """The content of a file; empty where there is none, or one that is larger than a record may be."""
        self.asked.add(path)
        entry = self.entries.get(path)
        if entry is None or entry.type is not Type.FILE:
            return b""
        if entry.size > (_LARGEST_PROGRAM if entry.mode & 0o111 else _LARGEST_RECORD):
            return b""
        return b"".join(self._read(self._side, entry))

    def has(self, path: bytes) -> bool:
        """Whether there is anything at this path."""
        return path in self.entries

    def names(self, directory: bytes) -> list[bytes]:
        """What is in a directory, by name."""
        return self._listing.get(directory, [])

    @cached_property
    def _listing(self) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        for path in self.entries:
            if path:
                at, _, name = path.rpartition(b"/")
                found.setdefault(at, []).append(name)
        return found

    def begins(self, entry: Entry, with_: bytes) -> bool:
        """Whether a file begins so."""
        return next(iter(self._read(self._side, entry)), b"").startswith(with_)

    def agrees(self, path: bytes, digest: str) -> bool:
        """Whether a file is as a record says, or the record does not say it in a way that can be checked."""
        entry = self.entries.get(path)
        named = _DIGEST.fullmatch(digest)
        if entry is None or entry.type is not Type.FILE or named is None:
            return True
        algorithm, in_base64, digits = named.groups()
        if algorithm == "sha256" and entry.sha256 is not None:
            found = entry.sha256
        elif entry.size <= _LARGEST_HASHED:
            hashed = hashlib.new(algorithm, usedforsecurity=False)
            for piece in self._read(self._side, entry):
                hashed.update(piece)
            found = hashed.digest()
        else:
            return True
        said = base64.urlsafe_b64encode(found).decode().rstrip("=") if in_base64 == "=" else found.hex()
        return said == digits.rstrip("=")

    def agreement(self, package: Package) -> tuple[float, int]:
        """How much of what a package's record lists is as it says, from 0 to 1, and when the record was written."""
        listed = package.files(self)
        good = sum(1 for p, d in listed.items() if p in self.entries and self.agrees(p, d))
        return good / len(listed) if listed else 0.0, self.entries[package.record].mtime_ns
