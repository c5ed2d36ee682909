"""What a walk finds, as rows of the stat cache, directory by directory: entries are made when they are asked for.

An entry with its row takes 600 bytes, and a row 110; a large tree has a million of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import count, repeat
from operator import itemgetter

from gitsnap.core.model import Entry, Type, Xattrs
from gitsnap.core.statcache import CONTENT, FLAGS, OID, ROW_BYTES, SHA256, XATTRS, Row, owner_of, sizes_in, unpack_at
from gitsnap.installation.entries import entry_from

_NAME = itemgetter(0)


class PackedEntries:
    """Rows by directory and name. `others` are entries that no row tells, or not all of."""

    def __init__(self, xattrs: Mapping[bytes, Xattrs]) -> None:
        # For each directory its names, a zero after each, and their rows.
        self._folders: dict[bytes, tuple[bytearray, bytearray]] = {}
        self._xattrs = xattrs
        self.others: list[Entry] = []
        self.packed = 0

    def add(self, folder: bytes, name: bytes, row: bytes) -> None:
        """Take in the row of a file or directory."""
        held = self._folders.get(folder)
        if held is None:
            held = self._folders[folder] = (bytearray(), bytearray())
        names, rows = held
        names += name
        names += b"\0"
        rows += row
        self.packed += 1

    def __len__(self) -> int:
        return self.packed + len(self.others)

    def __iter__(self) -> Iterator[Entry]:
        """All entries, made one by one, in the order of their paths. ValueError where some are in no directory."""
        others: dict[bytes, list[Entry]] = {}
        for entry in self.others:
            others.setdefault(entry.path.rpartition(b"/")[0], []).append(entry)
        below: dict[bytes, list[bytes]] = {}
        for folder in self._folders.keys() | others.keys():
            if folder:
                parent, _, name = folder.rpartition(b"/")
                below.setdefault(parent, []).append(name)
        seen = 0
        walks = [self._directly_in(b"", others.get(b"", ()), below.get(b"", ()))]
        while walks:
            for found in walks[-1]:
                if isinstance(found, bytes):
                    walks.append(self._directly_in(found, others.get(found, ()), below.get(found, ())))
                    break
                seen += 1
                yield found
            else:
                walks.pop()
        if seen != len(self):
            raise ValueError(f"{len(self) - seen} entries are in no directory")

    def _directly_in(
        self, folder: bytes, others: Collection[Entry], below: Collection[bytes]
    ) -> Iterator[Entry | bytes]:
        """What is directly in a directory, in order, and where all that is in one below comes, the path of that."""
        prefix, (names, rows) = folder + b"/" if folder else b"", self._folders.get(folder, (b"", b""))
        order: list[tuple[bytes, int | Entry | None]] = [*zip(bytes(names).split(b"\0")[:-1], count(), strict=False)]
        order += [(entry.path[len(prefix) :], entry) for entry in others]
        # A path goes on with a slash, which is not the least of what a name can go on with.
        order += zip([name + b"/" for name in below], repeat(None), strict=False)
        order.sort(key=_NAME)
        for name, what in order:
            if isinstance(what, int):
                yield self._entry(prefix + name, rows, what * ROW_BYTES)
            else:
                yield what or prefix + name[:-1]

    def paths(self) -> Iterator[bytes]:
        """The paths of all, in no order."""
        for folder, (names, _) in self._folders.items():
            prefix = folder + b"/" if folder else b""
            yield from [prefix + name for name in bytes(names).split(b"\0")[:-1]]
        yield from (entry.path for entry in self.others)

    def mentions(self, part: bytes) -> bool:
        """Whether these bytes, without a slash, occur in the path of a packed entry."""
        return any(part in folder or part in names for folder, (names, _) in self._folders.items())

    def unordered(self) -> Iterator[Entry]:
        """All entries, in no order."""
        yield from (self._entry(path, row, 0) for path, row in self.rows())
        yield from self.others

    def _entry(self, path: bytes, rows: bytes | bytearray, at: int) -> Entry:
        fields = unpack_at(rows, at)
        return entry_from(path, fields, self._xattrs[path] if fields[7] & XATTRS else ())

    def rows(self) -> Iterator[tuple[bytes, Row]]:
        """Paths and rows, in no order."""
        for folder, held in self.by_folder():
            prefix = folder + b"/" if folder else b""
            yield from [(prefix + name, row) for name, row in held]

    def by_folder(self) -> Iterator[tuple[bytes, list[tuple[bytes, Row]]]]:
        """Names and rows of each directory."""
        for folder, (names, rows) in self._folders.items():
            cut = [Row(rows[at : at + ROW_BYTES]) for at in range(0, len(rows), ROW_BYTES)]
            yield folder, list(zip(bytes(names).split(b"\0"), cut, strict=False))

    def files(self) -> tuple[int, int]:
        """How many regular files there are, and how many bytes they have together."""
        others = [entry.size for entry in self.others if entry.type is Type.FILE]
        number, total = len(others), sum(others)
        for _, rows in self._folders.values():
            sizes = [size for size, flags in sizes_in(rows) if flags & CONTENT]
            number, total = number + len(sizes), total + sum(sizes)
        return number, total

    def owners(self) -> set[tuple[int, int]]:
        """The numbers of all owners and groups in the rows."""
        return {
            owner
            for _, rows in self._folders.values()
            for owner in {owner_of(rows, at) for at in range(0, len(rows), ROW_BYTES)}
        }

    def oids(self) -> Iterator[bytes]:
        """The ids of all content, some more than once."""
        for _, rows in self._folders.values():
            for at in range(0, len(rows), ROW_BYTES):
                if rows[at + FLAGS] & CONTENT:
                    yield bytes(rows[at + OID : at + SHA256])
        yield from (entry.oid for entry in self.others if entry.oid)
