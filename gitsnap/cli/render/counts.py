"""How many files and directories changed, and how long an upgrade took: the same words wherever it is told."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

from gitsnap.cli.render import formatting
from gitsnap.core.counts import Counts, Status

# What is said of a number of files or directories.
WORDS = {s: s.value for s in Status} | {Status.METADATA: "with other metadata", Status.TYPE: "of another type"}


def words(counts: Counts, none: str = "no changes") -> str:
    """`3 files changed: 1 added, 2 modified; 2 directories removed`."""
    told = []
    if counts.files:
        told.append(f"{formatting.many(sum(counts.files.values()), 'file')} changed: {by_status(counts.files)}")
    if counts.directories:
        many = formatting.many(sum(counts.directories.values()), "directory", "directories")
        (status, *others) = counts.directories
        told.append(f"{many} changed: {by_status(counts.directories)}" if others else f"{many} {WORDS[status]}")
    return "; ".join(told) or none


def lines(text: str, indent: str = "  ") -> list[str]:
    """A line that counts may have made long, as lines of at most 80 columns; each number stays with its words."""
    glued = re.sub(r"(?<![,;:]) ", "\0", text)
    wrapped = textwrap.wrap(glued, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in wrapped]


def by_status(counts: Mapping[Status, int]) -> str:
    """`1 added, 2 modified`, in the order of the statuses."""
    return ", ".join(f"{counts[s]:,} {WORDS[s]}" for s in Status if counts.get(s))


def took(length: float | None) -> str:
    """How long an upgrade took. Without a record only whole seconds are known, and 0 is less than one of them."""
    if length is None:
        return ""
    if not length:
        return "under 1 s"
    return f"{length:.0f} s" if length == int(length) and length < 60 else formatting.duration(length)
