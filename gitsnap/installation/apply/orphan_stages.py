"""Stages that no journal knows: what an interrupted rollback left when its journal went, or what was copied with them.

A stage is told by everything that is known of one: its name, its mode, its owner, and that it holds numbered slots and
nothing else. A directory of somebody's own that only has such a name is content as any other.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable

from gitsnap.core.model import Inventory, Problem, Type
from gitsnap.core.paths import STAGE_PREFIX
from gitsnap.installation.scan_result import Scan

_NAME = re.compile(re.escape(STAGE_PREFIX) + rb"[0-9a-f]{12}")
REASON = "a rollback's stage without its journal, which is no content (`gitsnap recover` settles it)"


def set_aside(scan: Scan, links: Iterable[list[bytes]]) -> None:
    """Take such stages out of what a walk has found, and name them."""
    inventory = scan.inventory
    found = _stages(inventory)
    if not found:
        return

    def ours(path: bytes) -> bool:
        return any(path == stage or path.startswith(stage + b"/") for stage in found)

    inventory.entries = [e for e in inventory.entries if not ours(e.path)]
    inventory.partial = [p for p in inventory.partial if not ours(p.path)]
    inventory.partial += [Problem(stage, REASON) for stage in found]
    inventory.excluded = [p for p in inventory.excluded if not ours(p)]
    inventory.skipped = [p for p in inventory.skipped if not ours(p)]
    inventory.images = {p: image for p, image in inventory.images.items() if not ours(p)}
    for paths in links:
        paths[:] = [p for p in paths if not ours(p)]
    for held in (scan.rows, scan.xattrs, scan.images):
        for path in [p for p in held if ours(p)]:
            del held[path]


def _stages(inventory: Inventory) -> list[bytes]:
    likely = [
        e.path
        for e in inventory.entries
        if STAGE_PREFIX in e.path
        and e.type is Type.DIR
        and (e.mode, e.uid) == (0o700, os.geteuid())
        and _NAME.fullmatch(e.path.rpartition(b"/")[2])
    ]
    if not likely:
        return []
    names: dict[bytes, set[bytes]] = {path: set() for path in likely}
    for path in (e.path for e in inventory.entries if STAGE_PREFIX in e.path):
        for stage in likely:
            if path.startswith(stage + b"/"):
                names[stage].add(path[len(stage) + 1 :].partition(b"/")[0])
    return [stage for stage, held in names.items() if _slots(held)]


def _slots(names: Collection[bytes]) -> bool:
    return all(name.isdigit() for name in names)


def find(root: str) -> list[bytes]:
    """All such stages in a directory, relative to it. Raises OSError."""
    found = []
    for folder, names, _, fd in os.fwalk(os.fsencode(root), follow_symlinks=False):
        for name in list(names):
            if not _NAME.fullmatch(name):
                continue
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or (status.st_uid, status.st_mode & 0o7777) != (os.geteuid(), 0o700):
                continue
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                held = list(map(os.fsencode, os.listdir(inner)))
            finally:
                os.close(inner)
            if _slots(held):
                names.remove(name)
                found.append(os.path.relpath(os.path.join(folder, name), os.fsencode(root)))
    return sorted(found)
