"""What a copy of a sidecar tells beside its snapshots: facts, each looked at before it is believed.

Nothing of it is taken over but the ids that were given once: settings name programs, and journals tell of a directory
that is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.sidecar.git import config
from gitsnap.sidecar.git.config import FORMAT_VERSION
from gitsnap.sidecar.repository import JOURNAL, SERVICE_MARK, SET_RETURN, UPGRADE_RECORD
from gitsnap.sidecar.state import register

# As the user's file in a sidecar is called.
_SETTINGS = "gitsnap.toml"
_LONGEST = 4096


@dataclass(slots=True)
class Copied:
    """`installation` is the directory that it protected, "" where it does not say. `settings` tells that it has
    settings of the user's, `rollback`, `upgrade` and `service` that something was not settled when it was copied, `log`
    that it has an audit log. `expected` are the commits of the snapshots that it should have, by their ids; `gone` the
    ids of those that were removed, with the time (seconds since 1970, 0: not known)."""

    installation: str = ""
    settings: bool = False
    rollback: bool = False
    upgrade: bool = False
    service: bool = False
    log: bool = False
    expected: dict[str, str] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)


def look(path: str | None, settings: Mapping[str, str]) -> Copied:
    """What the repository at `path` with these settings tells; nothing where it is no copy of a sidecar.

    GitsnapError for one of a newer format than this gitsnap knows.
    """
    out = Copied()
    version = settings.get("gitsnap.formatversion", "")
    if path is None or not version.isdecimal():
        return out
    if int(version) > FORMAT_VERSION:
        raise GitsnapError(
            f"{path} has format version {version}; this gitsnap knows version {FORMAT_VERSION}",
            kind="newer-format",
            path=path,
            hint="upgrade gitsnap; nothing was changed",
        )
    was = config.installation(dict(settings)) or ""
    if was.startswith("/") and "\0" not in was and len(was) <= _LONGEST:
        out.installation = was
    out.settings = os.path.lexists(os.path.join(path, _SETTINGS))
    own = os.path.join(path, "gitsnap")
    with suppress(OSError):
        names = set(os.listdir(own))
        out.rollback = any(name.startswith(JOURNAL) for name in names) or SET_RETURN in names
        out.upgrade, out.service = UPGRADE_RECORD in names, SERVICE_MARK in names
        out.log = "audit" in names
    with suppress(OSError, IntegrityError):
        known = register.read(path)
        out.expected, out.gone = dict(known.living()), dict(known.gone)
    return out
