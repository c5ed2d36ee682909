"""The key of the marks that stand for secrets: random, in one private file, made when it is first needed.

With it two marks tell whether the values are the same; without it they tell nothing of them.
"""

from __future__ import annotations

import os
from contextlib import suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE, _LENGTH = "mark-key", 32


def load(sidecar: Sidecar) -> bytes:
    """The sidecar's key. One for this process alone where none can be read or kept."""
    key = _read(sidecar)
    if key is None:
        key = os.urandom(_LENGTH)
        with suppress(OSError):
            _keep(sidecar, key)
            # Another process may have been quicker: both go on with the one that stands.
            key = _read(sidecar) or key
    return key


def _read(sidecar: Sidecar) -> bytes | None:
    with suppress(OSError, IntegrityError):
        data = files.read(sidecar.own(_FILE))
        if data is not None and len(data) == _LENGTH:
            return data
    return None


def _keep(sidecar: Sidecar, key: bytes) -> None:
    """Put it there whole, unless one is there that is right."""
    temporary = os.path.join(sidecar.scratch, f"file-{os.getpid()}-{os.urandom(6).hex()}")
    with os.fdopen(files.private_create(temporary), "wb") as file:
        file.write(key)
    try:
        try:
            os.link(temporary, sidecar.own(_FILE))
        except FileExistsError:
            if _read(sidecar) is None:
                os.rename(temporary, sidecar.own(_FILE))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
