"""A package as its own record tells of it, and what became of it from one state to another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """How a package is there.

    INSTALLED: on its own. VENDORED: inside another one, which brought it. LOCKED: a lock file or the like says that it
    is to be there.
    """

    INSTALLED = "installed"
    VENDORED = "vendored"
    LOCKED = "locked"


class Direction(StrEnum):
    """What became of a package, its versions compared as its ecosystem does.

    CHANGED: another version that is neither above nor below. MOVED: the same version at another place. REBUILT: the
    same version at the same place, with other files and a record that agrees with them.
    """

    UP = "up"
    DOWN = "down"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    MOVED = "moved"
    REBUILT = "rebuilt"


class Tree(Protocol):
    """One state, as readers see it."""

    def read(self, path: bytes) -> bytes:
        """The content of a file; empty where there is none, or one that is larger than a record may be."""

    def has(self, path: bytes) -> bool:
        """Whether there is anything at this path."""

    def names(self, directory: bytes) -> Iterable[bytes]:
        """What is in a directory, by name."""


Files = Callable[[Tree], Mapping[bytes, str]]


def no_files(tree: Tree) -> Mapping[bytes, str]:
    """For a package that names none."""
    return {}


@dataclass(slots=True, frozen=True)
class Package:
    """A package as a record tells of it.

    `where` is the directory that it was installed in (npm: its own), or that of the record where there is none.
    `record` is the file that tells of it. All below `tops` is its own; `files` gives the other paths that it owns in a
    tree, each with its digest as the record has it: algorithm, colon and digits in hexadecimal, or algorithm, `=` and
    unpadded URL-safe base64; empty where there is none. `holder` names the package that a vendored one is in.

    Two are the same package when their `key` is: ecosystem, `base` (the directory by which places are told apart;
    `where` if not given) and `canonical` (the name as names are compared; `name` if not given). With `alone` there is
    only one of a key, and any other record is a leftover.
    """

    ecosystem: str
    name: str
    version: str
    where: bytes
    record: bytes
    tops: tuple[bytes, ...] = ()
    files: Files = no_files
    kind: Kind = Kind.INSTALLED
    holder: str = ""
    base: bytes | None = None
    canonical: str = ""
    alone: bool = False

    @property
    def key(self) -> tuple[str, bytes, str]:
        """What makes it the same package in another state."""
        return self.ecosystem, self.where if self.base is None else self.base, self.canonical or self.name


@dataclass(slots=True, frozen=True)
class PackageChange:
    """A package that came, went, or has another version; `files` is how many of its files changed.

    `old` and `new` are versions, None where it is not there. `where` is as of Package, on the side that has it.
    """

    ecosystem: str
    name: str
    where: bytes
    old: str | None
    new: str | None
    direction: Direction
    files: int = 0
    kind: Kind = Kind.INSTALLED
    holder: str = ""


@dataclass(slots=True, frozen=True)
class Edited:
    """A changed file of a package that is not as the package's record says: somebody changed it by hand.

    `before` tells that it was so in the old state already: it is the user's own, and the upgrade went over it.
    """

    path: bytes
    package: str
    before: bool


@dataclass(slots=True, frozen=True)
class Rule:
    """One's own way to find a package: in files whose paths `paths` matches, `expression` finds its version.

    The group `version` is that. With a group `name`, each match is a package; without one, the first is the package
    `name`.
    """

    name: str
    paths: re.Pattern[bytes]
    expression: re.Pattern[str]
