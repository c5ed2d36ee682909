"""Inventories written down: what a core test needs of a tree, without a file system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gitsnap.core.model import Entry, Inventory, Problem, Type

ROOT = Entry(b"", Type.DIR, 0o755)


def file(path: bytes, content: bytes | None = b"1", **more: Any) -> Entry:
    """A regular file. Equal contents have equal digests; that of None is not known."""
    known = {} if content is None else {"sha256": content.rjust(32, b"\0"), "oid": content.rjust(20, b"\0")}
    wanted: dict[str, Any] = {"mode": 0o644, "size": len(content or b""), **known, **more}
    return Entry(path, Type.FILE, **wanted)


def folder(path: bytes, mode: int = 0o755, **more: Any) -> Entry:
    """A directory."""
    return Entry(path, Type.DIR, mode, **more)


def link(path: bytes, target: bytes, **more: Any) -> Entry:
    """A symlink."""
    return Entry(path, Type.LINK, 0o777, target=target, **more)


def tree(*entries: Entry, partial: tuple[bytes, ...] = (), **more: Any) -> Inventory:
    """An inventory of these entries and the root; directories above them are made up where they are not named."""
    found = {b"": ROOT} | {e.path: replace(e) for e in entries}
    for entry in entries:
        above = entry.path
        while above := above.rpartition(b"/")[0]:
            found.setdefault(above, folder(above))
    problems = [Problem(p, "unreadable") for p in partial]
    return Inventory([found[p] for p in sorted(found)], partial=problems, **more)
