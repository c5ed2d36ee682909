"""Packages that the configuration tells how to find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gitsnap.core.packages.model import Package, Rule, Tree
from gitsnap.core.packages.registry import Reader
from gitsnap.core.packages.text import parent, plain, text

ECOSYSTEM = "own"
_LARGEST = 1 << 20


def readers(rules: Iterable[Rule]) -> list[Reader]:
    """The rules as readers, to be tried on every path."""
    return [_reader(rule) for rule in rules]


def _reader(rule: Rule) -> Reader:
    def read(path: bytes, tree: Tree) -> Iterator[Package]:
        said = text(tree.read(path)[:_LARGEST])
        named = "name" in rule.expression.groupindex
        for match in rule.expression.finditer(said):
            name = match["name"] if named else rule.name
            yield Package(ECOSYSTEM, plain(name), plain(match["version"]), parent(path), path, base=path)
            if not named:
                return

    return Reader(rule.paths, (), read)
