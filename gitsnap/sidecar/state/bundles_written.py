"""What was last written into each folder of bundles: of an encrypted one nobody here could tell otherwise.

Lose it, and the next bundle in a folder is a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE = "bundles.json"


class Last(NamedTuple):
    """The last bundle in a folder: its file's name and size in bytes, the bundle's own name, the refs in it, and for
    whom it is encrypted (none: it is not)."""

    file: str
    size: int
    name: str
    refs: Mapping[str, str]
    recipients: Sequence[str] = ()


def load(sidecar: Sidecar, folder: str) -> Last | None:
    """What was written into `folder` (absolute) last; None where that is not known."""
    with suppress(IntegrityError, ValueError, KeyError, TypeError, AttributeError):
        found: Any = _all(sidecar)[folder]
        to = tuple(map(str, found.get("recipients", ())))
        return Last(str(found["file"]), int(found["size"]), str(found["name"]), {**found["refs"]}, to)
    return None


def save(sidecar: Sidecar, folder: str, last: Last) -> None:
    """This is the last one in `folder` now; durable."""
    found: dict[str, object] = {}
    with suppress(IntegrityError, ValueError, TypeError):
        found = _all(sidecar)
    found[folder] = last._asdict() | {"refs": {**last.refs}}
    files.replace(sidecar.own(_FILE), json.dumps(found, indent=1).encode(), sidecar.scratch)


def forget(sidecar: Sidecar, folder: str) -> None:
    """Nothing goes to `folder` any more; who adds it anew gets a whole one."""
    with suppress(IntegrityError, ValueError, TypeError):
        found = _all(sidecar)
        if found.pop(folder, None) is not None:
            files.replace(sidecar.own(_FILE), json.dumps(found, indent=1).encode(), sidecar.scratch)


def _all(sidecar: Sidecar) -> dict[str, object]:
    held = json.loads(files.read(sidecar.own(_FILE)) or b"{}")
    if not isinstance(held, dict):
        raise TypeError(_FILE)
    return held
