"""What of SQLite's file format tells a database, and which files beside it belong to it.

See sqlite.org/fileformat.html and sqlite.org/tempfiles.html.
"""

from __future__ import annotations

from gitsnap.core.model import Entry, Image, Inventory, Type

HEADER = b"SQLite format 3\0"
JOURNAL, WAL, SHARED = b"-journal", b"-wal", b"-shm"
# One of these, when it is not empty, makes the database's own file a part of the truth only.
LIVE = (JOURNAL, WAL)
BESIDE = (JOURNAL, SHARED, WAL)


def beside(path: bytes) -> tuple[bytes, ...]:
    """The names that SQLite gives to the files of the database at `path`, but for its own."""
    return tuple(path + suffix for suffix in BESIDE)


def claim(inventory: Inventory) -> None:
    """Tell the files beside databases from the sockets among what was skipped, in a stored tree.

    A database was captured as an image when one of its journals was skipped: only then are they.
    """
    files = {e.path for e in inventory.entries if e.type is Type.FILE} if inventory.skipped else set()
    skipped = set(inventory.skipped)
    for path in {p.removesuffix(suffix) for suffix in LIVE for p in skipped if p.endswith(suffix)} & files:
        parts = [p for p in beside(path) if p in skipped]
        inventory.images[path] = Image(tuple(Entry(p, Type.FILE, 0) for p in parts))
        skipped -= set(parts)
    inventory.skipped = sorted(skipped)
