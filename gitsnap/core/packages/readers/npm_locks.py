"""What npm, yarn, pnpm and bun write down of the packages that are to be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import json_object, parent, plain, pnpm_packages, text

_YARN = re.compile(r'"?(?P<name>@?[^@"\s]+)@.*:\s*')
_YARN_VERSION = re.compile(r'  version:? "?([^"\s]+)"?\s*')
_BUN = re.compile(r'    "[^"]+": \["(?P<name>@?[^@"]+)@(?P<version>\d[^"]*)".*')


@reader("**/package-lock.json", "**/npm-shrinkwrap.json", outermost=True)
def npm(path: bytes, tree: Tree) -> Iterator[Package]:
    """What npm's lock file says, of any of its versions."""
    found = json_object(tree.read(path))
    told: Iterator[tuple[str, Any]]
    if "packages" in found:
        told = ((at.rpartition("node_modules/")[2], said) for at, said in found["packages"].items() if at)
    else:
        told = _nested(found.get("dependencies", {}))
    yield from _packages(path, ((name, said["version"]) for name, said in told if said.get("version")))


def _nested(dependencies: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, said in dependencies.items():
        yield name, said
        yield from _nested(said.get("dependencies", {}))


@reader("**/yarn.lock", outermost=True)
def yarn(path: bytes, tree: Tree) -> Iterator[Package]:
    """What yarn's lock file says, of any of its versions."""

    def found() -> Iterator[tuple[str, str]]:
        name = ""
        for line in text(tree.read(path)).splitlines():
            if match := _YARN.fullmatch(line):
                name = match["name"]
            elif name and (match := _YARN_VERSION.fullmatch(line)):
                # A package of the project itself.
                if not match[1].startswith("0.0.0-use.local"):
                    yield name, match[1]
                name = ""

    yield from _packages(path, found())


@reader("**/pnpm-lock.yaml", outermost=True)
def pnpm(path: bytes, tree: Tree) -> Iterator[Package]:
    """What pnpm's lock file says, of any of its versions."""
    yield from _packages(path, pnpm_packages(tree.read(path)))


@reader("**/bun.lock", outermost=True)
def bun(path: bytes, tree: Tree) -> Iterator[Package]:
    """What bun's lock file says."""
    lines = text(tree.read(path)).splitlines()
    yield from _packages(path, ((m["name"], m["version"]) for m in map(_BUN.fullmatch, lines) if m))


def _packages(path: bytes, found: Iterable[tuple[str, str]]) -> Iterator[Package]:
    for name, version in found:
        yield Package("npm", plain(name), plain(version), parent(path), path, kind=Kind.LOCKED)
