"""Databases in the installation that a server has open: what that means for whoever copies or moves their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitsnap.core.database_servers import Policy, Running, candidates, hook, sentence
from gitsnap.core.errors import GitsnapError
from gitsnap.core.settings import Settings


class DatabaseRunningError(GitsnapError):
    """A database stands in the way: its files cannot be copied, or replaced, while they are open."""

    kind = "database-running"


def look(root: str, paths: Iterable[bytes]) -> list[Running]:
    """Those at work, by the names of all files below `root`."""
    found = candidates(paths)
    if not found:
        return []
    # Few directories have one.
    from gitsnap.installation import servers

    return servers.running(root, found)


def require_stopped(found: Sequence[Running], store: str, what: str) -> None:
    """DatabaseRunningError where a snapshot would hold the files of one that runs; `what` was not done."""
    if not found:
        return
    first = found[0]
    raise DatabaseRunningError(
        f"{sentence(first)}, and a copy of files that it writes to may not start again; {what}",
        path=first.path,
        hint=f"stop it, or have a hook write a dump: [hooks] {hook(first.database)[0]} in {store}/gitsnap.toml; "
        "--running-databases warn goes on all the same",
    )


def require_untouched(found: Sequence[Running]) -> None:
    """DatabaseRunningError where files of one that runs would be replaced."""
    if not found:
        return
    first = found[0]
    raise DatabaseRunningError(
        f"{sentence(first)}, and would be destroyed by what comes back under it; nothing was touched",
        path=first.path,
        hint="stop it first; --running-databases warn goes on all the same",
    )


def refuses(settings: Settings, *, upgrade: bool) -> bool:
    """Whether no snapshot is to be taken of one that runs. A hook before it has seen to that."""
    if settings.hooks is not None and settings.hooks.before:
        return False
    return settings.databases is Policy.REFUSE or (upgrade and settings.databases is None)
