"""Tables that name commands, or where copies go: of nobody but their owner, and commands of one installation alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gitsnap.core.errors import UsageError
from gitsnap.core.notification import HOOKS as TOLD
from gitsnap.core.settings import HOOK_TIMEOUT, Hooks, Service

# For annotations only: every command reads the configuration, few go to a remote.
if TYPE_CHECKING:
    from gitsnap.core.remote import Remote


def hooks(table: dict[str, Any], path: str, environ: Mapping[str, str], *, own: bool) -> Hooks | None:
    """The commands around snapshots: of this installation alone, and of nobody but its sidecar's owner."""
    _require_own("hooks", path, own=own)
    unknown = table.keys() - {"before-snapshot", "after-snapshot", "timeout", *TOLD}
    if unknown:
        raise UsageError(f"{path}: [hooks] does not know {min(unknown)}", path=path)
    commands = [table.get(key, "") for key in ("before-snapshot", "after-snapshot")]
    if not all(isinstance(command, str) and "\0" not in command for command in commands):
        raise UsageError(f"{path}: [hooks] before-snapshot and after-snapshot must be shell commands", path=path)
    told = {key: table[key] for key in TOLD if key in table}
    for key, command in told.items():
        if not isinstance(command, str) or "\0" in command:
            raise UsageError(f"{path}: [hooks] {key} must be a shell command", path=path)
    timeout = _timeout(table, "hooks", path)
    _require_private("hooks", path)
    if environ.get("GITSNAP_HOOK"):
        # We are run by one.
        return None
    return Hooks(commands[0], commands[1], timeout, dict(environ), told=told)


def service(table: dict[str, Any], path: str, environ: Mapping[str, str], *, own: bool) -> Service | None:
    """What stops and starts the service that runs from this installation: as hooks, nobody's but the owner's."""
    _require_own("service", path, own=own)
    unknown = table.keys() - {"stop", "start", "timeout", "upgrade"}
    if unknown:
        raise UsageError(f"{path}: [service] does not know {min(unknown)}", path=path)
    commands = [table.get(key) for key in ("stop", "start")]
    if not all(isinstance(command, str) and command.strip() and "\0" not in command for command in commands):
        raise UsageError(f"{path}: [service] needs stop and start, which are shell commands", path=path)
    upgrade = table.get("upgrade", False)
    if not isinstance(upgrade, bool):
        raise UsageError(f"{path}: [service] upgrade must be true or false", path=path)
    timeout = _timeout(table, "service", path)
    _require_private("service", path)
    if environ.get("GITSNAP_HOOK"):
        return None
    return Service(str(commands[0]), str(commands[1]), timeout, upgrade, dict(environ))


def remotes(table: dict[str, Any], path: str) -> dict[str, Remote]:
    """Where copies go: nowhere that somebody else has written down."""
    from gitsnap.core.remote import from_table

    _require_private("remote", path)
    found = {}
    for name, content in table.items():
        if not isinstance(content, dict):
            raise UsageError(f"{path}: [remote.{name}] must be a table", path=path)
        try:
            found[name] = from_table(name, content)
        except UsageError as error:
            raise UsageError(f"{path}: {error.message}", path=path, hint=error.hint) from None
    return found


def _timeout(table: dict[str, Any], name: str, path: str) -> float:
    timeout = table.get("timeout", HOOK_TIMEOUT)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < 1e9:
        raise UsageError(f"{path}: [{name}] timeout must be a number of seconds", path=path)
    return float(timeout)


def _require_own(name: str, path: str, *, own: bool) -> None:
    if not own:
        raise UsageError(
            f"{path}: [{name}] counts only in a sidecar's gitsnap.toml",
            path=path,
            hint="each installation has its own; `gitsnap status` tells where its sidecar is",
        )


def _require_private(name: str, path: str) -> None:
    """What is run, and where copies go, must not be what somebody else has written: UsageError."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} has [{name}], and is no file of its own: that does not count", path=path)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UsageError(
            f"{path} has [{name}], and can be written by others: that does not count",
            path=path,
            hint=f"look at what is in it, then: chmod 600 {path}",
        )
