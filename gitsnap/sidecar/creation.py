"""A new sidecar: laid out whole, and then in its place by one rename."""

from __future__ import annotations

import os

from gitsnap.core.errors import (
    UsageError,
)
from gitsnap.sidecar import files, location, standalone
from gitsnap.sidecar.git import config as gitconfig
from gitsnap.sidecar.git.refs import TIMELINE
from gitsnap.sidecar.repository import Sidecar


def create(path: str, installation: str) -> Sidecar:
    """Create the sidecar for `installation` (absolute real path). It appears whole, by one rename.

    Raises UsageError when something else is at `path`.
    """
    if location.is_bare_repository(path):
        raise location.no_sidecar(path, installation)
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise UsageError(f"{path} exists and is not a gitsnap sidecar", path=path, hint="choose another --store")
    parent = os.path.dirname(path)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    building = os.path.join(parent, f".gitsnap-{os.getpid()}.new")
    os.mkdir(building, 0o700)
    lay_out(building, installation)
    if os.path.isdir(path):
        os.rmdir(path)
    os.rename(building, path)
    files.sync_directory(parent)
    return Sidecar(path)


def lay_out(building: str, installation: str) -> None:
    """Make an empty private directory a sidecar without snapshots, durably."""
    for folder in (
        "objects",
        "objects/pack",
        "objects/info",
        "refs",
        "refs/heads",
        "info",
        "gitsnap",
        "gitsnap/tmp",
    ):
        os.mkdir(os.path.join(building, folder), 0o700)
    contents = {
        "HEAD": f"ref: {TIMELINE}\n".encode(),
        "config": gitconfig.for_sidecar(installation),
        "description": b"gitsnap sidecar; see git log timeline\n",
        "info/attributes": gitconfig.ATTRIBUTES,
        **{name: standalone.text(name) for name in standalone.NAMES},
    }
    for name, data in contents.items():
        fd = files.private_create(os.path.join(building, name))
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
    for folder in ("objects/pack", "objects/info", "objects", "refs/heads", "refs", "info", "gitsnap", ""):
        files.sync_directory(os.path.join(building, folder))
