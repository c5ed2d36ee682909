"""What a clone leaves in its sidecar until the directory is there: from where it is, and what comes back."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import NamedTuple

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import CLONE_MARK, Sidecar


class Cloning(NamedTuple):
    """`source` is how it was shown, `snapshot` the id of what comes back. `stage` is the directory beside the
    installation in which that is made, "" where it is made in its place, and `inode` that of the one or the other; 0
    before it has begun."""

    source: str
    snapshot: str
    stage: str = ""
    inode: int = 0


def write(sidecar: Sidecar, mark: Cloning) -> None:
    """Write it down, durably. OSError."""
    files.replace(sidecar.own(CLONE_MARK), json.dumps(mark._asdict()).encode() + b"\n", sidecar.scratch)


def load(sidecar: Sidecar) -> Cloning | None:
    """What is written down; None where there is nothing, or nothing that can be read."""
    data = files.read(sidecar.own(CLONE_MARK))
    if data is None:
        return None
    try:
        found = json.loads(data)
        mark = Cloning(str(found["source"]), str(found["snapshot"]), str(found["stage"]), int(found["inode"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return mark


def remove(sidecar: Sidecar) -> None:
    """The directory is there."""
    with suppress(FileNotFoundError):
        os.unlink(sidecar.own(CLONE_MARK))
    files.sync_directory(sidecar.own(""))
