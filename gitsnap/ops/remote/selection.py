"""Which remote a name means, and whether it can be one."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from gitsnap.core.errors import UsageError
from gitsnap.core.remote import Remote
from gitsnap.core.settings import Settings
from gitsnap.sidecar import location
from gitsnap.sidecar.repository import Sidecar


def chosen(settings: Settings, name: str | None) -> Remote:
    """The remote of that name; the only one, or the one called `origin`, without."""
    if name is None:
        only = [*settings.remotes.values()] if len(settings.remotes) == 1 else []
        found = only[0] if only else settings.remotes.get("origin")
        if found is None and settings.remotes:
            raise UsageError("there are several remotes", hint=f"name one of {', '.join(sorted(settings.remotes))}")
    else:
        found = settings.remotes.get(name)
    if found is None:
        raise UsageError(
            f"there is no remote '{name}'" if name else "there is no remote",
            hint="`gitsnap remote add NAME URL` makes one, `gitsnap remote list` shows them",
        )
    return found


def require_elsewhere(sidecar: Sidecar, remote: Remote) -> None:
    """Raise UsageError where the remote is the sidecar itself, or lies in the installation. What its path leads to may
    have changed since it was added."""
    path = remote.url if remote.bundles is None else remote.bundles
    if path.startswith("file://"):
        path = unquote(urlsplit(path).path)
    if not path.startswith("/"):
        return
    real = os.path.join(os.path.realpath(path), "")
    if real.startswith(os.path.join(os.path.realpath(sidecar.path), "")):
        raise UsageError(f"{path} is the sidecar itself: a copy of it has to be elsewhere")
    if real.startswith(os.path.join(sidecar.installation, "")):
        raise UsageError(f"{path} lies inside the installation: every snapshot would hold all others")


def missing(remote: Remote) -> bool:
    """Whether it names a directory on this machine that is no git repository."""
    path = remote.url.removeprefix("file://")
    return remote.bundles is None and path.startswith("/") and not location.is_bare_repository(path)
