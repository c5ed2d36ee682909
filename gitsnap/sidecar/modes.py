"""The modes of what other people's code has created in the sidecar under the process's umask.

The sidecar's own directory lets nobody in, so this closes what was never open; but a copy of it may lie elsewhere.
A program's umask is not ours to change, not even for a moment: its other threads may be creating files.
"""

from __future__ import annotations

import os
import stat

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar


def close_to_others(sidecar: Sidecar) -> None:
    """Take away what group and others may do with refs and reflogs."""
    for top in ("refs", "logs"):
        for folder, _, names in files.walk(os.path.join(sidecar.path, top)):
            for path in (folder, *(os.path.join(folder, n) for n in names)):
                try:
                    mode = stat.S_IMODE(os.lstat(path).st_mode)
                    if mode & 0o077 and not os.path.islink(path):
                        os.chmod(path, mode & 0o700)
                except FileNotFoundError:
                    continue
