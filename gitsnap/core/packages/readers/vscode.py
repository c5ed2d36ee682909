"""Extensions of Visual Studio Code and its kin: `extensions/PUBLISHER.NAME-VERSION`."""

from __future__ import annotations

from collections.abc import Iterator

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import json_object, parent, plain
from gitsnap.core.packages.versions import semver

order("vscode", semver)


@reader("**/extensions/*/package.json")
def extension(path: bytes, tree: Tree) -> Iterator[Package]:
    """An extension."""
    said = json_object(tree.read(path))
    if "vscode" not in said.get("engines", {}):
        return
    own = parent(path)
    name = plain(f"{said['publisher']}.{said['name']}")
    yield Package("vscode", name, plain(said["version"]), own, path, tops=(own,), base=parent(own))
