"""WordPress: core by its version.php, plugins and themes by their headers.

https://developer.wordpress.org/plugins/plugin-basics/header-requirements/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import below, parent, plain, text

_CORE = re.compile(r"""^[ \t]*\$wp_version[ \t]*=[ \t]*['"]([^'"\n]+)['"]""", re.MULTILINE)
# WordPress itself reads so much of a file for its header.
_HEADER = 8 << 10
_FIELD = r"^(?:[ \t]*<\?php)?[ \t/*#@]*{}:(.*)$"
_PLUGIN, _THEME, _VERSION = (
    re.compile(_FIELD.format(f), re.MULTILINE | re.IGNORECASE) for f in ("Plugin Name", "Theme Name", "Version")
)
_ROOT = re.compile(rb"wp-(?!config\.php)[\w-]+\.php|index\.php|xmlrpc\.php|license\.txt|readme\.html")
_EMPTY = (b"wp-content/index.php", b"wp-content/plugins/index.php", b"wp-content/themes/index.php")


@reader("**/wp-includes/version.php")
def core(path: bytes, tree: Tree) -> Iterator[Package]:
    """WordPress itself."""
    found = _CORE.search(text(tree.read(path)))
    if found is None:
        return
    root = parent(parent(path))

    def files(tree: Tree) -> Mapping[bytes, str]:
        own = [n for n in tree.names(root) if _ROOT.fullmatch(n)] + [n for n in _EMPTY if tree.has(below(root, n))]
        return {below(root, n): "" for n in own}

    tops = below(root, b"wp-admin"), below(root, b"wp-includes")
    yield Package("wordpress", "wordpress", plain(found[1]), root, path, tops=tops, files=files, alone=True)


@reader("**/wp-content/plugins/*/*.php")
def plugin(path: bytes, tree: Tree) -> Iterator[Package]:
    """A plugin in a directory of its own, by whose name WordPress knows it."""
    yield from _headed("wordpress-plugin", parent(path), path, _PLUGIN, tree)


@reader("**/wp-content/plugins/*.php", "**/wp-content/mu-plugins/*.php")
def single(path: bytes, tree: Tree) -> Iterator[Package]:
    """A plugin that is one file."""
    yield from _headed("wordpress-plugin", path, path, _PLUGIN, tree)


@reader("**/wp-content/themes/*/style.css")
def theme(path: bytes, tree: Tree) -> Iterator[Package]:
    """A theme, by its style sheet."""
    yield from _headed("wordpress-theme", parent(path), path, _THEME, tree)


def _headed(ecosystem: str, own: bytes, path: bytes, kind: re.Pattern[str], tree: Tree) -> Iterator[Package]:
    said = text(tree.read(path)[:_HEADER])
    version = _VERSION.search(said)
    if kind.search(said) and version:
        name = text(own.rpartition(b"/")[2].removesuffix(b".php"))
        yield Package(
            ecosystem,
            name,
            plain(version[1].strip().removesuffix("*/").removesuffix("?>")),
            own,
            path,
            tops=(own,),
            alone=True,
        )
