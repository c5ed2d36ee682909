"""Taking down what a walk finds: entries, rows for the stat cache, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gitsnap.core.content import Digests
from gitsnap.core.errors import exhausted
from gitsnap.core.model import Entry, Inventory, Problem, Xattrs
from gitsnap.core.statcache import CachedImage, Row, fits, row, unpack_at
from gitsnap.installation import attributes
from gitsnap.installation.entries import entry_from
from gitsnap.installation.packed_entries import PackedEntries


@dataclass(slots=True)
class Scan:
    """What a walk found: the inventory, rows for the stat cache and how many of them it did not have, how many files
    were read, and mount points crossed.

    `images` is for the stat cache, too; `databases` tells whether images were taken at all.

    Where a walk was asked to pack what it finds, entries and rows of the inventory are in `packed` instead: go by
    entries(), paths() and by_folder() then.
    """

    inventory: Inventory = field(default_factory=Inventory)
    rows: dict[bytes, Row] = field(default_factory=dict)
    xattrs: dict[bytes, Xattrs] = field(default_factory=dict)
    fresh: int = 0
    read: int = 0
    mounts: list[bytes] = field(default_factory=list)
    images: dict[bytes, CachedImage] = field(default_factory=dict)
    databases: bool = False
    packed: PackedEntries | None = None

    def entries(self) -> Iterable[Entry]:
        """All entries, in the order of their paths."""
        return self.inventory.entries if self.packed is None else self.packed

    def paths(self) -> Iterator[bytes]:
        """The paths of all entries, in no order."""
        return (e.path for e in self.inventory.entries) if self.packed is None else self.packed.paths()

    def oids(self) -> Iterator[bytes]:
        """The ids of all contents, some perhaps more than once."""
        return (e.oid for e in self.inventory.entries if e.oid) if self.packed is None else self.packed.oids()

    def files(self) -> tuple[int, int]:
        """How many regular files there are, and how many bytes they have together."""
        if self.packed is not None:
            return self.packed.files()
        files = self.inventory.files()
        return len(files), sum([e.size for e in files])

    def counted_rows(self) -> int:
        """How many rows there are."""
        return len(self.rows) + (self.packed.packed if self.packed is not None else 0)

    def unpack(self) -> None:
        """Make entries and rows of what is packed."""
        packed, self.packed = self.packed, None
        if packed is not None:
            self.inventory.entries += packed.unordered()
            self.rows.update(packed.rows())


class Recording:
    """What one walk finds, in `scan`; `known` are the rows of the stat cache. With `packed`, rows are packed."""

    def __init__(self, known: Mapping[bytes, Row], *, databases: bool, packed: bool = False) -> None:
        self._known = known
        self.scan = Scan(databases=databases)
        self._packed = PackedEntries(self.scan.xattrs) if packed else None
        self.scan.packed = self._packed

    def take(self, folder: bytes, name: bytes, row: Row, xattrs: Xattrs) -> None:
        """Record a file or directory that has no other name by its row, which is kept for the stat cache."""
        if self._packed is not None:
            self._packed.add(folder, name, row)
            if xattrs:
                self.scan.xattrs[folder + b"/" + name if folder else name] = xattrs
            return
        path = folder + b"/" + name if folder else name
        self.take_apart(path, row, xattrs)
        self.scan.rows[path] = row
        if xattrs:
            self.scan.xattrs[path] = xattrs

    def take_apart(self, path: bytes, row: Row, xattrs: Xattrs) -> None:
        """The same of one whose row is not kept."""
        self.scan.inventory.entries.append(entry_from(path, unpack_at(row, 0), xattrs))

    def add(self, entry: Entry, *, told: bool) -> None:
        """Record an entry of which the row that was remembered, where there is one, has `told` everything, or not."""
        path = entry.path
        if self._packed is not None and told and path and path in self.scan.rows:
            folder, _, name = path.rpartition(b"/")
            self._packed.add(folder, name, self.scan.rows.pop(path))
        else:
            self.scan.inventory.entries.append(entry)

    def remember(self, path: bytes, entry: Entry, expected: bytes, content: Digests | None, cached: Row | None) -> None:
        """Keep what was read of a path for the stat cache: its `cached` row where that still holds, else a new one with
        the packed stat fields that were `expected`."""
        if cached is not None and (content is None or content == (cached.oid, cached.sha256)):
            self.scan.rows[path] = cached
        elif fits(expected):
            new = row(expected, content=content, sparse=entry.sparse, xattrs=bool(entry.xattrs))
            self.scan.fresh += self._known.get(path) != new
            self.scan.rows[path] = new
        if entry.xattrs:
            self.scan.xattrs[path] = entry.xattrs

    def partial(self, path: bytes, failure: Exception) -> None:
        """Name a path that could not be read whole. Where nothing could be read now, no path is to blame: raises it."""
        if exhausted(failure):
            raise failure
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "changed while it was read"
        self.scan.inventory.partial.append(Problem(path, reason))

    def refused(self, path: bytes, failure: OSError | None) -> None:
        """The same for attributes, where something kept us from reading them."""
        if failure is not None:
            self.partial(path, failure)


def hardlinks(names: Iterable[list[bytes]]) -> list[tuple[bytes, ...]]:
    """The groups of Inventory.hardlinks, from the names of each inode that may have several."""
    return sorted(tuple(sorted(paths)) for paths in names if len(paths) > 1)


def set_xattrs(entry: Entry, fd: int, name: bytes) -> OSError | None:
    """Read an entry's extended attributes; what kept us from it, when the entry counts without them.

    Raises FileNotFoundError.
    """
    try:
        entry.xattrs = attributes.read(fd, name)
    except FileNotFoundError:
        raise
    except OSError as error:
        return error
    return None
