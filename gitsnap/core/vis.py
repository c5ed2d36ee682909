r"""Bytes as printable text for mtree(5): whatever is not a plain printable character becomes `\ooo`, in octal.

The text has no space, newline, `#`, `=`, backslash but for the escapes, nor any of the characters of a shell's pattern.
"""

from __future__ import annotations

import re

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import ROOT
from gitsnap.core.paths import check_path

# For a set in a regular expression: printable ASCII without `#`, `*`, `=`, `?`, `[` and the backslash.
PLAIN = r"!-\"$-)+-<>@-Z\]-~"

_plain = re.compile(b"[" + PLAIN.encode() + b"]*").fullmatch
_VISIBLE = {byte: f"\\{byte:03o}" for byte in range(256) if not _plain(bytes([byte]))}
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")
_has_pattern = re.compile(rb"[*?\[]").search


def visible(raw: bytes) -> str:
    """`raw` as text. Raises ValueError for a NUL, which no name, path or link target can have."""
    if _plain(raw):
        return raw.decode("ascii")
    if b"\0" in raw:
        raise ValueError(f"NUL in {raw!r}")
    return raw.decode("latin-1").translate(_VISIBLE)


def invisible(text: str) -> bytes:
    """The bytes that `visible` wrote as `text`; IntegrityError when it would have written them otherwise."""
    raw = _OCTAL.sub(lambda found: chr(int(found[1], 8)), text).encode("latin-1", "replace")
    if b"\0" in raw or visible(raw) != text:
        raise IntegrityError(f"malformed escape in {text!r}")
    return raw


def visible_path(path: bytes) -> str:
    """A path as mtree has it in full: `.` for the root, `./` before any other."""
    return "./" + visible(path) if path else "."


def invisible_path(text: str) -> bytes:
    """The path that `visible_path` wrote as `text`; IntegrityError for another text and for unsafe paths."""
    if text == ".":
        return ROOT
    if not text.startswith("./"):
        raise IntegrityError(f"{text!r} does not start with ./")
    path = invisible(text[2:])
    check_path(path)
    return path


def pattern_key(path: bytes) -> list[tuple[int, bytes]]:
    """How to sort the paths that mtree takes for patterns; empty for the others.

    In each directory plain names come first, `*` last: mtree gives a file to the first entry that matches its name.
    """
    if not _has_pattern(path):
        return []
    return [(2 if b"*" in name else 1 if _has_pattern(name) else 0, name) for name in path.split(b"/")]
