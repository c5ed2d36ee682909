"""Secrets that may go to a remote: path and keyed mark of each value, one JSON file for each remote in `allowed/`.

Somebody has decided so for these values: another value at the same place is another secret. What cannot be read is
forgotten, and asked for again.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import NamedTuple

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import secret_mark_key

_FOLDER = "allowed"


class Allowed(NamedTuple):
    """One of them: path (bytes that are no UTF-8 as surrogates), key, and mark."""

    path: str
    key: str
    mark: str


def mark(sidecar: Sidecar, value: str) -> str:
    """What stands for a value: the same for the same one, and telling nothing without the sidecar's key."""
    raw = value.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(raw, key=secret_mark_key.load(sidecar), digest_size=16, person=b"allowed").hexdigest()


def load(sidecar: Sidecar, name: str, url: str) -> list[Allowed]:
    """Those of the remote `name`, which is at `url`; none of one that had another URL then."""
    import json

    try:
        row = json.loads(files.read(_path(sidecar, name)) or b"{}")
        found = [Allowed(*map(str, each)) for each in row["allowed"]]
        return found if row["url"] == url else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def save(sidecar: Sidecar, name: str, url: str, allowed: list[Allowed]) -> None:
    """Write them down, for good."""
    import json

    os.makedirs(sidecar.own(_FOLDER), mode=0o700, exist_ok=True)
    row = {"url": url, "allowed": sorted(set(allowed))}
    files.replace(_path(sidecar, name), json.dumps(row).encode(), sidecar.scratch)


def forget(sidecar: Sidecar, name: str) -> None:
    """The remote is none any more."""
    with suppress(FileNotFoundError):
        os.unlink(_path(sidecar, name))


def _path(sidecar: Sidecar, name: str) -> str:
    # A name is letters, digits, dash and underscore (core.remote).
    return os.path.join(sidecar.own(_FOLDER), name)
