"""Ruby: the specifications of installed gems, and Bundler's `Gemfile.lock`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import below, parent, plain, text

_FIELD = r"""^[ \t]*s\.{} = (?:Gem::Version\.new\(?)?["']([^"'\n]+)["']"""
_NAME, _VERSION = (re.compile(_FIELD.format(f), re.MULTILINE) for f in ("name", "version"))
_LOCKED = re.compile(r"^ {4}([\w.-]+) \((\d[\w.]*)(?:-[^)\n]*)?\)$", re.MULTILINE)


@reader("**/specifications/*.gemspec", "**/specifications/default/*.gemspec")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """An installed gem: its specification lies in `specifications`, itself in `gems`."""
    said = text(tree.read(path))
    name, version = _NAME.search(said), _VERSION.search(said)
    if name is None or version is None:
        return
    home = path.rpartition(b"specifications/")[0].rstrip(b"/")
    own = below(home, b"gems/" + path.rpartition(b"/")[2].removesuffix(b".gemspec"))

    def files(tree: Tree) -> Mapping[bytes, str]:
        return {path: ""}

    yield Package("gem", plain(name[1]), plain(version[1]), home, path, tops=(own,), files=files)


@reader("**/Gemfile.lock", "**/gems.locked", outermost=True)
def locked(path: bytes, tree: Tree) -> Iterator[Package]:
    """What Bundler resolved."""
    for name, version in _LOCKED.findall(text(tree.read(path))):
        yield Package("gem", name, version, parent(path), path, kind=Kind.LOCKED)
