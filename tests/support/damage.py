"""Damage to a sidecar's objects, as a disk does it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.inprocess import bare_git


def unpack(store: Path) -> None:
    """Make every object a file of its own."""
    packs = store / "objects/pack"
    for pack in list(packs.glob("*.pack")):
        moved = pack.rename(store.parent / pack.name)
        bare_git(store, "unpack-objects", "-q", stdin=moved.read_bytes())
        moved.unlink()
    for left in packs.iterdir():
        left.unlink()


def flip_object(store: Path, content: bytes) -> None:
    """Damage the blob that has this content."""
    unpack(store)
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    path = store / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.write_bytes(b"damaged")
