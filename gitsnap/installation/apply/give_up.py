"""Taking out of a directory what an interrupted rollback had in its stages, all of it, into a place outside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from gitsnap.core.model import Problem
from gitsnap.installation.apply.conflicts import copy_aside
from gitsnap.installation.apply.stage_dirs import remove_tree
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk


def take_out(
    root: str, disk: Disk, left: Iterable[bytes], paths: Mapping[bytes, bytes], destination: str
) -> list[Problem]:
    """Copy what is in the stages `left` (relative to `root`) to `destination`, then delete them.

    `paths` has the path that each slot belongs to. A stage is deleted when all of it is copied and synced. Raises
    OSError.
    """
    kept: list[Problem] = []
    with Directories(root) as dirs:
        for stage in left:
            fd = dirs.fd(stage)
            for slot in sorted(map(os.fsencode, os.listdir(fd))):
                path = paths.get(slot, b"unknown/" + slot)
                where = copy_aside(fd, slot, destination, path)
                kept.append(Problem(path, f"what the stage held is kept in {where}"))
            parent, name = dirs.parent(stage)
            holder = os.fstat(parent)
            dirs.forget(stage)
            remove_tree(disk, parent, name)
            disk.set_time(parent, b".", holder.st_atime_ns, holder.st_mtime_ns)
            disk.sync(parent)
    return kept
