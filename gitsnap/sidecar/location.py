"""What lies at a path: a sidecar, private and without links; another bare repository; nothing."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress

from gitsnap.core.errors import (
    GitsnapError,
    IntegrityError,
    NoSidecarError,
    NotASidecarError,
)

# In these gitsnap makes, empties and removes files.
_WRITTEN_IN = (
    "gitsnap",
    "gitsnap/audit",
    "gitsnap/remotes",
    "gitsnap/tmp",
    "objects",
    "objects/pack",
    "objects/info",
    "info",
    "refs",
    "refs/heads",
    "refs/gitsnap",
    "refs/gitsnap/snapshots",
    "refs/gitsnap/pins",
    "refs/gitsnap/upgrades",
    "refs/gitsnap/rollbacks",
    "refs/gitsnap/descriptions",
    "refs/notes",
    "refs/notes/gitsnap",
    "logs",
    "logs/refs",
    "logs/refs/notes",
    "logs/refs/notes/gitsnap",
)


def exists(path: str) -> bool:
    """Whether there is a sidecar at `path`."""
    return os.path.isfile(os.path.join(path, "config")) and os.path.isdir(os.path.join(path, "gitsnap"))


def is_bare_repository(path: str) -> bool:
    """Whether there is a bare git repository at `path` that is no sidecar: a mirror of one, perhaps."""
    return (
        not exists(path)
        and os.path.lexists(os.path.join(path, "HEAD"))
        and all(os.path.isdir(os.path.join(path, name)) for name in ("objects", "refs"))
    )


def no_sidecar(path: str, root: str | None = None) -> NoSidecarError:
    """The error for a `path` that holds none, and how what it holds can become that of the directory `root`."""
    if not is_bare_repository(path):
        hint = "without --store, the sidecar of a directory is found by that; `gitsnap -C DIR status` names it"
        return NoSidecarError(f"{path} is not a gitsnap sidecar", path=path, hint=hint)
    # Named in any case: whoever has typed --store meant what is no sidecar.
    here = shlex.quote(root) if root else "."
    there = "of that directory" if root else "of the directory where you stand"
    source = shlex.quote(path)
    return NotASidecarError(
        f"{path} is a git repository, a mirror of a sidecar perhaps, and not one itself",
        path=path,
        hint=f"`gitsnap -C {here} adopt {source}` makes it the sidecar {there}; "
        "`clone` brings what was in it back into a new one",
    )


def require_private(path: str) -> None:
    """Raise NoSidecarError where there is none at `path`, GitsnapError where others own or can write it."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise NoSidecarError(f"there is no sidecar at {path} ({error.strerror})", path=path) from None
    if not stat.S_ISDIR(found.st_mode) or not exists(path):
        raise no_sidecar(path)
    if found.st_uid != os.geteuid():
        raise GitsnapError(
            f"the sidecar belongs to user {found.st_uid}, not to you",
            kind="foreign-sidecar",
            path=path,
            hint="run gitsnap as its owner: a repository that others can write is not safe to use. "
            f"`gitsnap -C . adopt {shlex.quote(path)}` copies it, checked, for the directory where you stand",
        )
    if found.st_mode & 0o022:
        raise GitsnapError(
            f"the sidecar can be written by others (mode {stat.S_IMODE(found.st_mode):04o})",
            kind="exposed-sidecar",
            path=path,
            hint=f"chmod 700 {path}, after checking who changed it",
        )


def require_directories(path: str) -> None:
    """Raise IntegrityError where a directory is a link: a sidecar from elsewhere could have anybody's files removed."""
    for name in _WRITTEN_IN:
        place = os.path.join(path, name)
        with suppress(OSError):
            if stat.S_ISLNK(os.lstat(place).st_mode):
                raise IntegrityError(
                    f"{place} is a link: gitsnap would write and remove files wherever it leads",
                    path=place,
                    hint="if you made it, put the directory itself in its place",
                )
