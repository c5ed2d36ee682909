"""The limits on space that were kept the last time: one small private file, as for retention's rules."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict

from gitsnap.core.space import Limits
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE = "limits.json"


def load(sidecar: Sidecar) -> Limits | None:
    """The limits of the last time; None where they are not known, or cannot be read."""
    data = files.read(sidecar.own(_FILE))
    try:
        found = Limits(**json.loads(data)) if data is not None else None
    except (ValueError, TypeError, RecursionError):
        return None
    whole = found is not None and all(
        value is None or (isinstance(value, (int, float)) and value >= 0) for value in asdict(found).values()
    )
    return found if whole else None


def store(sidecar: Sidecar, limits: Limits) -> None:
    """Write them down, if they are not yet. A full disk keeps those of before."""
    if load(sidecar) != limits:
        with suppress(OSError):
            files.replace(sidecar.own(_FILE), json.dumps(asdict(limits)).encode(), sidecar.scratch)
