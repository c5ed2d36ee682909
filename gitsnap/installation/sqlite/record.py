"""Databases in place of the files that a walk would find: each captured as one image, and recorded as one file."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable

from gitsnap.core.errors import exhausted
from gitsnap.core.model import Entry, Image, Inventory, Problem, Type
from gitsnap.core.sqlite import LIVE
from gitsnap.core.sqlite import beside as names_beside
from gitsnap.installation.entries import entry_of
from gitsnap.installation.scan_result import Recording, set_xattrs
from gitsnap.installation.sqlite.backup import NoDatabaseError, UnsettledError
from gitsnap.installation.sqlite.detect import Imaged, Imager
from gitsnap.installation.stable_read import ReadFailedError, key, settled


class Images:
    """Takes and records the images of one walk. `plain` are databases of which there is none."""

    def __init__(self, imager: Imager, recording: Recording) -> None:
        self._imager, self._recording = imager, recording
        self.plain: set[bytes] = set()

    def in_use(self, folder: int, prefix: bytes, names: Collection[str]) -> list[bytes]:
        """The names in an open directory, whose path and a slash are `prefix`, that are databases in use."""
        return self._imager.in_use(folder, prefix, names)

    def calm(self, fd: int, name: bytes) -> bool:
        """Whether nobody is at work on a database, so that it can be read as any file. Raises OSError."""
        return self._imager.calm(fd, name)

    def take(self, fd: int, name: bytes, path: bytes) -> bool:
        """Capture one database as an image; false where it is to be read as any file."""
        try:
            imaged = self._imager.take(fd, name, path)
        except (NoDatabaseError, ReadFailedError, OSError) as error:
            cause = error.cause if isinstance(error, ReadFailedError) else error
            if exhausted(cause):
                raise cause from None
            # As it lies there, then; what cannot be read is named for that.
            self.plain.add(path)
            return False
        except UnsettledError as error:
            self.plain.add(path)
            there = [p for p in names_beside(name) if _exists(fd, p)]
            for part in (name, *there):
                self._recording.scan.inventory.partial.append(Problem(path + part.removeprefix(name), str(error)))
            return False
        if imaged is None:
            return False
        self._record(fd, name, path, imaged)
        return True

    def _record(self, fd: int, name: bytes, path: bytes, imaged: Imaged) -> None:
        scan, started = self._recording.scan, time.time_ns()
        entry = entry_of(path, imaged.found, Type.FILE)
        beside = [entry_of(path + suffix, found, Type.FILE) for suffix, found in imaged.beside.items()]
        # With nothing beside it, its own file has these very bytes.
        content = None if beside else imaged.digests
        for part, found in zip((entry, *beside), (imaged.found, *imaged.beside.values()), strict=True):
            try:
                refused = set_xattrs(part, fd, name + part.path.removeprefix(path))
            except FileNotFoundError:
                # A journal goes with its transaction.
                continue
            self._recording.refused(part.path, refused)
            if refused is None and imaged.settled and settled(found, started):
                self._recording.remember(part.path, part, key(found), content, None)
        if imaged.settled and beside:
            scan.images[path] = imaged.held
        entry.size, (entry.oid, entry.sha256) = imaged.held.size, imaged.digests
        scan.inventory.entries.append(entry)
        scan.inventory.images[path] = Image(tuple(beside), imaged.found.st_size)


def drop_what_images_hold(inventory: Inventory, links: Iterable[list[bytes]]) -> None:
    """A database that was seen to be in use only when it was read: its journals were read by themselves, before or
    after, and are of no use to it. `links` are the groups of hard links found."""
    if not inventory.images:
        return
    names = {part for path in inventory.images for part in names_beside(path)}
    found = {p.path: Entry(p.path, Type.FILE, 0) for p in inventory.partial if p.path in names}
    found |= {e.path: e for e in inventory.entries if e.path in names}
    unread = {p.path for p in inventory.partial}
    for path, image in inventory.images.items():
        there = [part for part in names_beside(path) if part in found]
        says = (part for part in there if part.endswith(LIVE) and (found[part].size or part in unread))
        if image.beside or any(says):
            parts = {part: found[part] for part in there} | {e.path: e for e in image.beside}
            inventory.images[path] = Image(tuple(parts[part] for part in sorted(parts)), image.size)
    # With nothing beside it, its own file says it all.
    inventory.images = {path: image for path, image in inventory.images.items() if image.beside}
    held = inventory.beside()
    inventory.entries = [e for e in inventory.entries if e.path not in held]
    inventory.partial = [p for p in inventory.partial if p.path not in held]
    for group in links:
        group[:] = [p for p in group if p not in held]


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
