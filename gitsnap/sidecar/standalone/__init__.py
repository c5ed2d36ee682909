"""What whoever finds a sidecar needs to use it without gitsnap: `README`, and `recover.sh`, for any POSIX shell.

Both are the same in every sidecar, and gitsnap never runs them.
"""

from __future__ import annotations

import os
import pkgutil
from contextlib import suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files

NAMES = ("README", "recover.sh")


def text(name: str) -> bytes:
    """One of the files."""
    found = pkgutil.get_data(__name__, name)
    assert found is not None
    return found


def ensure(path: str, scratch: str) -> None:
    """Put the files into the sidecar at `path` where they are missing or not what they should be.

    Whoever cannot write them goes on without: nothing of ours needs them.
    """
    for name in NAMES:
        place = os.path.join(path, name)
        with suppress(OSError, IntegrityError):
            if files.read(place) != (wanted := text(name)):
                files.replace(place, wanted, scratch)
