"""What of this process the command line sets: its umask, its streams."""

from __future__ import annotations

import os
import sys

_callers_umask: list[int] = []


def callers_umask() -> int:
    """The umask that this process was started with: that of the commands it runs."""
    return _callers_umask[0] if _callers_umask else -1


def prepare_process() -> None:
    """Private files whatever the caller's umask, and output that survives any name."""
    _callers_umask.append(os.umask(0o077))
    # Names hold anything; what an encoding cannot say must not end the program.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
