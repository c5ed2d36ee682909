"""What poetry, uv, pdm, pip and pipenv write down of the packages that are to be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import array_of_tables, json_object, parent, plain, text

_LONGEST = 1000
_PINNED = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;#,\\]+)")


@reader("**/poetry.lock", "**/uv.lock", "**/pdm.lock", outermost=True)
def locked(path: bytes, tree: Tree) -> Iterator[Package]:
    """What a lock file in TOML says."""
    yield from _packages(path, ((t["name"], t.get("version")) for t in array_of_tables(tree.read(path), "package")))


@reader("**/pylock*.toml", outermost=True)
def pylock(path: bytes, tree: Tree) -> Iterator[Package]:
    """What the lock file of PEP 751 says."""
    yield from _packages(path, ((t["name"], t.get("version")) for t in array_of_tables(tree.read(path), "packages")))


@reader("**/Pipfile.lock", outermost=True)
def pipfile(path: bytes, tree: Tree) -> Iterator[Package]:
    """What pipenv's lock file says."""
    found = json_object(tree.read(path))
    both = {**found.get("develop", {}), **found.get("default", {})}
    yield from _packages(path, ((name, str(said.get("version", "")).lstrip("=")) for name, said in both.items()))


@reader("**/requirements*.txt", "**/requirements/*.txt", "**/constraints*.txt", outermost=True)
def requirements(path: bytes, tree: Tree) -> Iterator[Package]:
    """What is pinned with `==` in a file of requirements."""
    lines = (line for line in text(tree.read(path)).splitlines() if len(line) < _LONGEST)
    yield from _packages(path, ((m[1], m[2]) for m in map(_PINNED.match, lines) if m))


def _packages(path: bytes, found: Iterable[tuple[str, str | None]]) -> Iterator[Package]:
    for name, version in found:
        # What is built from a directory has no version.
        if version:
            canonical = re.sub(r"[-_.]+", "-", name).lower()
            yield Package(
                "python", plain(name), plain(version), parent(path), path, kind=Kind.LOCKED, canonical=canonical
            )
