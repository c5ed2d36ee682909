"""Home Assistant: its version in the configuration's directory, and custom components (HACS among them)."""

from __future__ import annotations

from collections.abc import Iterator

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import json_object, parent, plain, text


@reader("**/.HA_VERSION")
def server(path: bytes, tree: Tree) -> Iterator[Package]:
    """The version that last ran with this configuration."""
    yield Package("home-assistant", "home-assistant", plain(text(tree.read(path))), parent(path), path)


@reader("**/custom_components/*/manifest.json")
def component(path: bytes, tree: Tree) -> Iterator[Package]:
    """A custom component."""
    said = json_object(tree.read(path))
    own = parent(path)
    yield Package("home-assistant", plain(said["domain"]), plain(said["version"]), own, path, tops=(own,))
