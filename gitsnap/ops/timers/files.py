"""Units as files: what is there, whose it is, and what systemd makes of it before it is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping

from gitsnap.core.errors import GitsnapError
from gitsnap.ops.process import systemd

# A unit is a few lines; more than this is none of ours.
_LARGEST = 65536


def read(path: str) -> str | None:
    """The text of a unit; None where there is none. OSError."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def present(texts: Mapping[str, str], told: Callable[[str], object | None]) -> dict[str, str | None]:
    """What is there in the place of these units. GitsnapError where one is not ours: `told` says nothing of it."""
    before = {path: read(path) for path in texts}
    if any(text is not None and told(text) is None for text in before.values()):
        raise GitsnapError(
            f"there are units of that name that gitsnap did not write: {min(texts)}", path=min(texts), kind="timer"
        )
    return before


def verify(texts: Mapping[str, str], *, user: bool, environ: Mapping[str, str]) -> None:
    """Have systemd read them, where it can be asked. GitsnapError with what it says of them."""
    with tempfile.TemporaryDirectory(prefix="gitsnap-") as scratch:
        paths = []
        for path, text in texts.items():
            paths.append(os.path.join(scratch, os.path.basename(path)))
            systemd.write_unit(paths[-1], text)
        said = systemd.complaints(paths, user=user, environ=environ)
    if said:
        raise GitsnapError(f"systemd would not read the units: {said[0]}", kind="timer")
