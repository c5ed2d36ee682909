"""How gitsnap is started again: by systemd, or beside what is at work."""

from __future__ import annotations

import os
import sys

# The one file that all of it was unpacked from, if it runs from one: an absolute path, set when it starts.
archive: str | None = None


def command() -> list[str]:
    """The words to start it with. What lies in the directory where it is started is never taken for a module."""
    return [sys.executable, "-P", archive] if archive else [sys.executable, "-P", "-m", "gitsnap"]


def program() -> str:
    """The file that they start: where it is gone, gitsnap is. An absolute path."""
    return archive or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../__main__.py"))
