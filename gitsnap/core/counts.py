"""How many files and directories changed in which way: what every reader of a comparison tells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How a path changed."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    RENAMED = "renamed"
    METADATA = "metadata"
    TYPE = "type"

    @property
    def letter(self) -> str:
        """The letter of git's name-status for it; `m`, which git does not know, for metadata."""
        return _LETTERS[self]


_LETTERS = {
    Status.ADDED: "A",
    Status.REMOVED: "D",
    Status.MODIFIED: "M",
    Status.RENAMED: "R",
    Status.METADATA: "m",
    Status.TYPE: "T",
}
_PART = re.compile(f"([1-9][0-9]{{0,17}}) ({'|'.join(Status)})")


@dataclass(slots=True, frozen=True)
class Counts:
    """How many files, and how many directories, changed in which way; what is none of a kind is not in there.

    A file is whatever is no directory: symlinks, FIFOs and devices are files. What was a directory and is a file now,
    or the other way round, is counted with the files. The directory that is protected counts as one.
    """

    files: Mapping[Status, int] = field(default_factory=dict)
    directories: Mapping[Status, int] = field(default_factory=dict)

    @staticmethod
    def of(changes: Iterable[tuple[Status, bool]]) -> Counts:
        """The counts of changes, each a status and whether the path is a directory."""
        found = Counter(changes)
        return Counts(*({s: found[s, kind] for s in Status if found[s, kind]} for kind in (False, True)))

    @staticmethod
    def of_new(files: int, directories: int) -> Counts:
        """The counts where there was nothing before."""
        return Counts(*({Status.ADDED: number} if number else {} for number in (files, directories)))

    @staticmethod
    def of_three(added: int, removed: int, modified: int) -> Counts:
        """The counts of whom nothing more is known of."""
        files = {Status.ADDED: added, Status.REMOVED: removed, Status.MODIFIED: modified}
        return Counts({status: count for status, count in files.items() if count})

    @property
    def figures(self) -> dict[str, int]:
        """As figures with names of their own: `files_added`, `directories_removed`; only what there is."""
        pairs = (("files", self.files), ("directories", self.directories))
        return {f"{unit}_{status}": count for unit, of in pairs for status, count in of.items()}

    @staticmethod
    def from_figures(figures: Mapping[str, object]) -> Counts:
        """Read what `figures` gave; others are left alone."""
        found = [
            {s: count for s in Status if isinstance(count := figures.get(f"{unit}_{s}"), int) and count > 0}
            for unit in ("files", "directories")
        ]
        return Counts(*found)

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.files or self.directories)

    @property
    def summary(self) -> dict[str, int]:
        """How many files changed in each way; every status is named."""
        return {status.value: self.files.get(status, 0) for status in Status}

    @property
    def directory_summary(self) -> dict[str, int]:
        """The same of directories."""
        return {status.value: self.directories.get(status, 0) for status in Status}

    @property
    def new_files(self) -> int:
        """How many files are there that were not."""
        return self.files.get(Status.ADDED, 0)

    @property
    def changed_files(self) -> int:
        """How many files have another content under the same name, or are something else."""
        return self.files.get(Status.MODIFIED, 0) + self.files.get(Status.TYPE, 0)

    @property
    def removed_files(self) -> int:
        """How many files are gone."""
        return self.files.get(Status.REMOVED, 0)


def format_counts(counts: Mapping[Status, int]) -> str:
    """As a record has them: `2 added, 1 renamed`, or `0`."""
    return ", ".join(f"{counts[s]} {s.value}" for s in Status if counts.get(s)) or "0"


def parse_counts(text: str) -> dict[Status, int]:
    """Read what `format_counts` wrote; ValueError for anything else."""
    found: dict[Status, int] = {}
    for part in text.split(", ") if text != "0" else ():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no count of changes")
        found[Status(match[2])] = int(match[1])
    if format_counts(found) != text:
        raise ValueError(f"{text!r} are no counts of changes in their order")
    return found
