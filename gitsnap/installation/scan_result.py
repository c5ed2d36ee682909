"""Taking down what a walk finds: entries, rows for the stat cache, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gitsnap.core.content import Digests
from gitsnap.core.errors import exhausted
from gitsnap.core.model import Entry, Inventory, Problem, Xattrs
from gitsnap.core.statcache import CachedImage, Row, fits, row
from gitsnap.installation import attributes


@dataclass(slots=True)
class Scan:
    """What a walk found: the inventory, rows for the stat cache and how many of them it did not have, how many files
    were read, and mount points crossed.

    `images` is for the stat cache, too; `databases` tells whether images were taken at all.
    """

    inventory: Inventory = field(default_factory=Inventory)
    rows: dict[bytes, Row] = field(default_factory=dict)
    xattrs: dict[bytes, Xattrs] = field(default_factory=dict)
    fresh: int = 0
    read: int = 0
    mounts: list[bytes] = field(default_factory=list)
    images: dict[bytes, CachedImage] = field(default_factory=dict)
    databases: bool = False


class Recording:
    """What one walk finds, in `scan`; `known` are the rows of the stat cache."""

    def __init__(self, known: Mapping[bytes, Row], *, databases: bool) -> None:
        self._known = known
        self.scan = Scan(databases=databases)

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
