"""A directory for a moment, in the sidecar, or beside it where that cannot be written to."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from gitsnap.sidecar.repository import Sidecar


@contextmanager
def scratch(sidecar: Sidecar) -> Iterator[str]:
    """Its path; private, and removed afterwards with all that is in it."""
    try:
        folder = tempfile.mkdtemp(prefix="diff-", dir=sidecar.scratch)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
        folder = tempfile.mkdtemp(prefix="gitsnap-diff-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
