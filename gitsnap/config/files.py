"""Configuration: options over environment over the sidecar's file over the user's over the system's.

Nothing is ever read from inside the installation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitsnap.config.commands import hooks, remotes, service
from gitsnap.config.environment import Options, local_zone, user_file, user_home, xdg
from gitsnap.config.signing import signing
from gitsnap.config.tables import merge, sets_rules
from gitsnap.core.errors import UsageError
from gitsnap.core.retention import SOURCES
from gitsnap.core.settings import Settings

_SYSTEM = "/etc/gitsnap/config.toml"
_TABLES = {
    "audit",
    "capture",
    "components",
    "retention",
    "check",
    "databases",
    "hooks",
    "packages",
    "remote",
    "secrets",
    "service",
    "sets",
    "signing",
    "verify",
}


def load(environ: Mapping[str, str], store: str | None, options: Options, root: str | None = None) -> Settings:
    """The settings for a sidecar (or, without one, those of user and system) of the directory `root`. UsageError names
    file and key."""
    author = _author(environ, [path for path in (store, root) if path])
    settings = Settings(zone=local_zone(), lock_wait=options.lock_wait, author=author)
    own = os.path.join(store, "gitsnap.toml") if store else None
    for path, source in zip((_SYSTEM, user_file(environ), own), SOURCES[1:], strict=True):
        table = _read(path) if path is not None else None
        if path is None or table is None:
            continue
        if "sets" in table:
            if path == own:
                raise UsageError(f"{path}: [sets] counts only in the user's or the system's configuration", path=path)
            _sets(table, path)
        settings = merge(settings, table, path)
        if "retention" in table:
            settings = replace(settings, retention_from=source if sets_rules(table["retention"]) else SOURCES[0])
        if "signing" in table:
            settings = replace(settings, signing=signing(table["signing"], settings.signing, path, environ))
        if "hooks" in table:
            settings = replace(settings, hooks=hooks(table["hooks"], path, environ, own=path == own))
        if "service" in table:
            settings = replace(settings, service=service(table["service"], path, environ, own=path == own))
        if "remote" in table:
            settings = replace(settings, remotes={**settings.remotes, **remotes(table["remote"], path)})
    return settings


def sets(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The sets of directories that system and user have named; the user's over the system's. UsageError names file and
    key."""
    found: dict[str, tuple[str, ...]] = {}
    for path in (_SYSTEM, user_file(environ)):
        if path is not None:
            found |= _sets(_read(path) or {}, path)
    return found


def _sets(table: dict[str, Any], path: str) -> dict[str, tuple[str, ...]]:
    named = table.get("sets", {})
    if not isinstance(named, dict):
        raise UsageError(f"{path}: sets must be a table", path=path)
    for name, roots in named.items():
        whole = isinstance(roots, list) and len(roots) > 1
        if not whole or not all(isinstance(r, str) and r.startswith("/") and "\0" not in r for r in roots):
            raise UsageError(f"{path}: [sets] {name} must be a list of two or more absolute paths", path=path)
    return {name: tuple(roots) for name, roots in named.items()}


def _author(environ: Mapping[str, str], foreign: list[str]) -> str:
    """Who is at work, by git's files of system and user, which lie in no directory of `foreign`."""
    from gitsnap.sidecar.git import identity

    base, home = xdg(environ, "XDG_CONFIG_HOME", ".config"), user_home(environ)
    found = ["/etc/gitconfig"] if not environ.get("GIT_CONFIG_NOSYSTEM") else []
    if own := environ.get("GIT_CONFIG_GLOBAL"):
        found.append(own)
    else:
        found += [os.path.join(base, "git", "config")] if base else []
        found += [os.path.join(home, ".gitconfig")] if home else []
    return identity.author(environ, found, foreign)


def _read(path: str) -> dict[str, Any] | None:
    """What a file says; None where there is none."""
    from gitsnap.sidecar import files as regular
    from gitsnap.sidecar import limits

    try:
        # What never ends, or is no settings by its size, is not waited for.
        data = regular.read(path, limits.SETTINGS)
    except NotADirectoryError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", path=path) from None
    return None if data is None else _parse(path, data)


def _parse(path: str, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", path=path) from None
    unknown = table.keys() - _TABLES
    if unknown:
        raise UsageError(f"{path}: unknown table [{min(unknown)}]", path=path, hint=_nearest(min(unknown)))
    return table


def _nearest(table: str) -> str:
    """The tables whose names are most like it: all of them are more than a line."""
    from difflib import get_close_matches

    return f"perhaps {', '.join(get_close_matches(table, sorted(_TABLES), 3, 0))}; the reference has all of them"
