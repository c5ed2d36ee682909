"""Which package a path belongs to, by what the packages' records list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gitsnap.core.packages.model import Kind, Package, Tree, no_files
from gitsnap.core.packages.text import ancestors

# Python keeps what it compiled of foo/bar.py as foo/__pycache__/bar.cpython-311.pyc.
_COMPILED = re.compile(rb"((?:.*/)?)__pycache__/([^/]+?)\.[^/]*\.pyc", re.DOTALL)


@dataclass(slots=True)
class Owners:
    """The paths of packages in one state: those that are listed, with digests, and directories as wholes."""

    listed: dict[bytes, tuple[Package, str]] = field(default_factory=dict)
    tops: dict[bytes, Package] = field(default_factory=dict)

    @classmethod
    def of(cls, packages: Iterable[Package], tree: Tree, *, only: Mapping[bytes, object] | None = None) -> Owners:
        """Those of some packages, perhaps of some paths alone."""
        found = cls()
        for package in packages:
            found.tops.update(dict.fromkeys(package.tops, package))
            for path, digest in package.files(tree).items():
                if only is None or path in only:
                    found.listed[path] = (package, digest)
        return found

    def owner(self, path: bytes) -> Package | None:
        """The package that a path belongs to."""
        listed = self.listed.get(path) or self._source(path)
        if listed is not None:
            return listed[0]
        at = path
        while at:
            if at in self.tops:
                return self.tops[at]
            at = at.rpartition(b"/")[0]
        return None

    def digest(self, path: bytes) -> str:
        """What the record says of a file's content; empty where it says nothing."""
        return self.listed[path][1] if path in self.listed else ""

    def _source(self, path: bytes) -> tuple[Package, str] | None:
        compiled = _COMPILED.fullmatch(path)
        return self.listed.get(compiled[1] + compiled[2] + b".py") if compiled else None


class Holders:
    """Which installed package another one lies in."""

    def __init__(self, everything: Iterable[Package], tree: Tree) -> None:
        self._tree = tree
        self._tops: dict[bytes, Package] = {}
        self._listing: dict[bytes, list[Package]] = {}
        self._known: dict[tuple[bytes, bytes], Package | None] = {}
        self._read: dict[int, Mapping[bytes, str]] = {}
        for package in everything:
            if package.kind is Kind.INSTALLED:
                self._tops.update(dict.fromkeys(package.tops, package))
                if package.files is not no_files:
                    self._listing.setdefault(package.where, []).append(package)

    def marked(self, package: Package) -> Package | None:
        """The package, vendored if it lies in another one; None for what a lock file says that lies in one."""
        if package.kind is Kind.VENDORED:
            return package
        key = package.record, package.where
        if key not in self._known:
            self._known[key] = self._holder(package)
        holder = self._known[key]
        if holder is None:
            return package
        return replace(package, kind=Kind.VENDORED, holder=holder.name) if package.kind is Kind.INSTALLED else None

    def _holder(self, package: Package) -> Package | None:
        for at in ancestors(package.record):
            holder = self._tops.get(at)
            if holder is not None and holder.record != package.record:
                return holder
        for at in ancestors(package.where):
            for holder in self._listing.get(at, ()):
                if holder.record != package.record and (
                    _is_named(package.where, at, holder) or package.record in self._files(holder)
                ):
                    return holder
        return None

    def _files(self, holder: Package) -> Mapping[bytes, str]:
        if id(holder) not in self._read:
            self._read[id(holder)] = holder.files(self._tree)
        return self._read[id(holder)]


def _is_named(path: bytes, at: bytes, holder: Package) -> bool:
    """Whether a path lies in the directory, in `at`, that has the name of a package there."""
    name = path[len(at) :].lstrip(b"/").partition(b"/")[0].decode("utf-8", "replace")
    return name.lower().replace("_", "-") == (holder.canonical or holder.name)
