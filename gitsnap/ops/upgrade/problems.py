"""What went wrong, in the words and fields of an upgrade's events."""

from __future__ import annotations

import base64
import os

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Problem


def named(problem: Problem) -> dict[str, str]:
    """A path and a reason, as in all documents."""
    text = os.fsdecode(problem.path)
    try:
        text.encode()
    except UnicodeEncodeError:
        encoded = {"path_b64": base64.b64encode(problem.path).decode()}
        return {"path": problem.path.decode("utf-8", "replace")} | encoded | {"reason": problem.reason}
    return {"path": text, "reason": problem.reason}


def describe(error: Exception) -> str:
    """What went wrong, in a few words, whatever it is."""
    if isinstance(error, GitsnapError):
        return error.message
    if isinstance(error, MemoryError):
        return "out of memory"
    if not isinstance(error, OSError):
        return f"a mistake in gitsnap: {type(error).__name__}: {error}"
    name = error.filename
    where = f": {os.fsdecode(name)}" if isinstance(name, (str, bytes)) and name else ""
    return (error.strerror or type(error).__name__) + where
