"""The remotes of an installation: adding and removing them, and how far each one is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gitsnap.core.errors import UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.remote import FOLDER, Remote, from_table, installation_name, is_local_path, remote_name, to_table
from gitsnap.core.settings import Settings
from gitsnap.ops.check.doctor import Check
from gitsnap.ops.process.age import recipients
from gitsnap.ops.remote import building
from gitsnap.ops.remote.selection import require_elsewhere
from gitsnap.ops.store import configuration
from gitsnap.sidecar import catalog, outgoing
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import allowed_secrets, bundles_written, remote_seen
from gitsnap.sidecar.state.allowed_secrets import Allowed

# What stands for the name of this machine and that of the directory.
AUTO = "auto"


class Standing(NamedTuple):
    """How far a remote is, by what was seen there last: when it was there that all went well (None: never), how many
    snapshots it had then, which living ones it lacks, and why the last attempt failed (empty: it did not)."""

    remote: Remote
    when: datetime | None
    there: int
    lacks: Sequence[str]
    problem: str
    allowed: Sequence[Allowed] = ()


def add(
    sidecar: Sidecar, name: str, wanted: Mapping[str, str | int | list[str]], cwd: str, settings: Settings
) -> Remote:
    """Write a remote into the sidecar's configuration. Paths count from `cwd`. UsageError for one that cannot be."""
    if remote_name(name) in settings.remotes:
        raise UsageError(f"there is a remote '{name}' already", hint=f"gitsnap remote remove {name}")
    table = dict(wanted)
    if table.get("installation") == AUTO:
        table["installation"] = default_installation(sidecar.installation)
    url = str(table["url"])
    if url.startswith(FOLDER):
        table["url"] = FOLDER + os.path.normpath(os.path.join(cwd, url.removeprefix(FOLDER)))
    if is_local_path(url):
        table["url"] = os.path.normpath(os.path.join(cwd, url))
    remote = from_table(name, table)
    recipients(remote.recipients, ())
    require_elsewhere(sidecar, remote)
    configuration.change_remote(sidecar, name, to_table(remote), settings.lock_wait)
    return remote


def examine(sidecar: Sidecar, settings: Settings) -> list[Check]:
    """What `doctor` says of the remotes."""
    found = []
    for each in survey(sidecar, settings, catalog.snapshots(sidecar)) if settings.remotes else ():
        ok = False if each.problem else None if each.lacks else True
        lacks = f"{len(each.lacks)} snapshots to go" if each.lacks else "has every snapshot that is to be there"
        answer = f"{each.remote.name}: {each.problem or lacks}"
        found.append(Check("remote", ok, answer, None if ok else f"gitsnap push {each.remote.name}"))
    return found


def unfinished(parents: Iterable[str]) -> list[Check]:
    """What `doctor` says of sidecars in these directories that a clone or an adopt has not finished."""
    advice = "the same command again goes on; or remove it"
    return [
        Check("clone", None, f"{path} was left by a clone or an adopt that was killed", advice)
        for parent in sorted({*parents})
        for path in building.left(parent)
    ]


def default_installation(root: str) -> str:
    """This machine's name, and the directory's."""
    host = socket.gethostname().partition(".")[0] or "localhost"
    return installation_name(f"{host}/{os.path.basename(root) or 'root'}")


def remove(sidecar: Sidecar, name: str, settings: Settings) -> Remote:
    """Take a remote out of the sidecar's configuration. What is over there stays. UsageError for one that is none."""
    found = settings.remotes.get(name)
    if found is None:
        raise UsageError(f"there is no remote '{name}'", hint="gitsnap remote list")
    configuration.change_remote(sidecar, name, None, settings.lock_wait)
    remote_seen.forget(sidecar, name)
    allowed_secrets.forget(sidecar, name)
    if found.bundles is not None:
        bundles_written.forget(sidecar, found.bundles)
    return found


def survey(sidecar: Sidecar, settings: Settings, living: Sequence[Snapshot]) -> list[Standing]:
    """All remotes, by name, without asking any of them."""
    out = []
    for _, remote in sorted(settings.remotes.items()):
        seen = remote_seen.load(sidecar, remote)
        at = outgoing.snapshots_there(seen.refs, remote.layout)
        wanted = outgoing.to_go(living, remote.keep if remote.bundles is None else None)
        lacks = [s.id for s in wanted if at.get(s.id) != s.commit]
        allowed = allowed_secrets.load(sidecar, remote.name, remote.url)
        out.append(Standing(remote, seen.when, len(at), lacks, seen.problem, allowed))
    return out
