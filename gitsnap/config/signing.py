"""The table [signing]: who signs, and who may. It is believed from no file that others can write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitsnap.config.environment import user_home
from gitsnap.core.errors import UsageError
from gitsnap.core.signature import Policy

_PATHS = {"key": "key", "allowed-signers": "allowed", "revoked": "revoked"}


def signing(table: dict[str, Any], below: Policy, path: str, environ: Mapping[str, str]) -> Policy:
    """What the file at `path` says; what it does not name stays what it is `below`. UsageError names file and key."""
    unknown = table.keys() - {*_PATHS, "require"}
    if unknown:
        raise UsageError(f"{path}: [signing] does not know {min(unknown)}", path=path)
    chosen: dict[str, Any] = {
        _PATHS[key]: _place(key, table[key], path, environ) for key in sorted(_PATHS.keys() & table.keys())
    }
    require = table.get("require", below.require)
    if not isinstance(require, bool):
        raise UsageError(f"{path}: [signing] require must be true or false", path=path)
    found = os.stat(path)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UsageError(
            f"{path} has [signing], and can be written by others: it is not believed",
            path=path,
            hint=f"look at what is in it, then: chmod 600 {path}",
        )
    return below._replace(require=require, **chosen)


def _place(key: str, value: Any, path: str, environ: Mapping[str, str]) -> str:
    """A path that is the same from wherever one stands; empty for none."""
    named = value if isinstance(value, str) else "\0"
    if named.startswith("~/"):
        named = os.path.join(user_home(environ), named[2:])
    if "\0" in named or (named and not named.startswith("/")):
        raise UsageError(
            f"{path}: [signing] {key} must be an absolute path, or one that begins with ~/",
            path=path,
            hint="a relative one would lead to another file from every working directory",
        )
    return named
