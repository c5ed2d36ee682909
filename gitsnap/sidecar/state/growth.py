"""What each snapshot made the sidecar larger by when it was taken: one line each, `<commit> <bytes>`.

For `status` alone: what is lost or does not parse is not known, and nothing depends on it. Whoever writes holds the
writer's lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gitsnap.core.model import Snapshot
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE = "growth"


def load(sidecar: Sidecar) -> dict[str, int]:
    """The bytes that a snapshot added, by commit."""
    found = {}
    for line in (files.read(sidecar.own(_FILE)) or b"").decode("ascii", "replace").splitlines():
        commit, _, size = line.partition(" ")
        # A disk of 10^18 bytes is none: the number would come from damage.
        if size.isascii() and size.isdecimal() and len(size) <= 18:
            found[commit] = int(size)
    return found


def note(sidecar: Sidecar, commit: str, packs: Sequence[str], *, less: int = 0) -> None:
    """Note what a snapshot added: the packs of these names with their indexes, `less` the bytes of one that they
    replace. No reason to fail, ever."""
    with suppress(OSError):
        bases = [os.path.join(sidecar.path, "objects", "pack", f"pack-{name}") for name in packs]
        size = sum(os.stat(base + suffix).st_size for base in bases for suffix in (".pack", ".idx"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(sidecar.own(_FILE), flags, 0o600)
        try:
            # A line that a crash has cut off ends before ours begins.
            os.write(fd, b"\n%s %d\n" % (commit.encode(), max(size - less, 0)))
        finally:
            os.close(fd)


def rename(sidecar: Sidecar, commits: Mapping[str, str]) -> None:
    """What is known of the old commits is so of the new ones."""
    text = "".join(f"{commits.get(commit, commit)} {size}\n" for commit, size in load(sidecar).items())
    with suppress(OSError):
        files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch, durable=False)


def forget_others(sidecar: Sidecar, living: Sequence[Snapshot]) -> None:
    """Drop the lines of snapshots that are gone."""
    known = load(sidecar)
    text = "".join(f"{s.commit} {known[s.commit]}\n" for s in living if s.commit in known)
    with suppress(OSError):
        files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch, durable=False)
