"""Obsidian: plugins and themes of a vault."""

from __future__ import annotations

from collections.abc import Iterator

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import json_object, parent, plain
from gitsnap.core.packages.versions import semver

order("obsidian", semver)


@reader("**/.obsidian/plugins/*/manifest.json", "**/.obsidian/themes/*/manifest.json")
def plugin(path: bytes, tree: Tree) -> Iterator[Package]:
    """A plugin by its id, or a theme, which has a name alone. Its data.json is the user's."""
    said = json_object(tree.read(path))
    own = parent(path)
    names = (b"manifest.json", b"main.js", b"styles.css", b"theme.css")

    def files(tree: Tree) -> dict[bytes, str]:
        return {own + b"/" + n: "" for n in names}

    yield Package("obsidian", plain(said.get("id") or said["name"]), plain(said["version"]), own, path, files=files)
