"""Which readers there are: each is a function of a module in `readers`, entered by its decorator."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from gitsnap.core.component import glob
from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.versions import Order, natural

Read = Callable[[bytes, Tree], Iterable[Package]]
_PLACE = "gitsnap.core.packages.readers"
# What lies in there is of a package that is installed, and so are its lock files.
_INSIDE = re.compile(rb"(?:^|/)(?:node_modules|(?:site|dist)-packages|vendor|_vendor|gems)/")


@dataclass(slots=True, frozen=True)
class Reader:
    """Finds packages in files whose paths `pattern` matches. `last` are the globs of their names. With
    `outermost`, those inside of installed packages do not count."""

    pattern: re.Pattern[bytes]
    last: tuple[str, ...]
    read: Read
    outermost: bool = False


@dataclass(slots=True)
class Readers:
    """Readers by the names of files, so that a file which is none's costs one look."""

    by_name: dict[bytes, list[Reader]] = field(default_factory=dict)
    by_ending: dict[bytes, list[Reader]] = field(default_factory=dict)
    executable: list[Reader] = field(default_factory=list)

    def enter(self, reader: Reader) -> None:
        """Add one; ValueError for a glob that ends in neither a name nor `.ending`."""
        for name in reader.last:
            if not set(name) & set("*?"):
                self.by_name.setdefault(name.encode(), []).append(reader)
                continue
            ending = name.rpartition(".")[2]
            if set(ending) & set("*?") or "." not in name:
                raise ValueError(f"'{name}' would have to be tried on every file")
            self.by_ending.setdefault(ending.encode(), []).append(reader)

    def of(self, path: bytes) -> Sequence[Reader]:
        """Those that read this file."""
        name = path[path.rfind(b"/") + 1 :]
        found, ending = self.by_name.get(name), self.by_ending.get(name[name.rfind(b".") + 1 :])
        if found is None and ending is None:
            return ()
        return [
            reader
            for reader in (*(found or ()), *(ending or ()))
            if reader.pattern.fullmatch(path) and not (reader.outermost and is_inside(path))
        ]


_READERS = Readers()
_ORDERS: dict[str, Order] = {}


def reader(*globs: str, outermost: bool = False) -> Callable[[Read], Read]:
    """Enter a function as the reader of files that one of `globs` matches, relative to the installation's root.

    `**/` stands for any directories or none, `*` and `?` stay within a name. The function gets the file's path and the
    tree that it is in, and yields packages. It raises ValueError, KeyError, TypeError or AttributeError for what is no
    such record after all. `outermost` is for lock files: those that packages brought along do not count.
    """

    def entered(function: Read) -> Read:
        pattern = re.compile(b"|".join(glob(g).pattern for g in globs), re.DOTALL)
        _READERS.enter(Reader(pattern, tuple({g.rpartition("/")[2] for g in globs}), function, outermost))
        return function

    return entered


def executable_reader(function: Read) -> Read:
    """Enter a function as a reader of programs. It gets those alone that changed and that no package brought along."""
    _READERS.executable.append(Reader(re.compile(b""), (), function))
    return function


def is_inside(path: bytes) -> bool:
    """Whether a path is in a directory that packages of some ecosystem are installed in."""
    return _INSIDE.search(path) is not None


def order(ecosystem: str, compare: Order) -> None:
    """Say how the versions of an ecosystem compare; `natural` holds where nothing is said."""
    _ORDERS[ecosystem] = compare


def readers() -> Readers:
    """All of them. Their modules are imported when they are first asked for."""
    _load()
    return _READERS


@cache
def _load() -> None:
    for found in pkgutil.iter_modules(importlib.import_module(_PLACE).__path__):
        importlib.import_module(f"{_PLACE}.{found.name}")


def order_of(ecosystem: str) -> Order:
    """How the versions of an ecosystem compare."""
    return _ORDERS.get(ecosystem, natural)
