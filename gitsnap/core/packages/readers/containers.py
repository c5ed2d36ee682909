"""The images that a compose file names, with their tags.

https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import below, parent, plain, text

_IMAGE = re.compile(r"""^[ \t-]*image:[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)
_LONGEST = 500
_VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?+]([^}]*))?\}|\$(\w+)")
_ASSIGNED = re.compile(r"""^(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*["']?([^\s"'#]*)""", re.MULTILINE)


@reader("**/docker-compose*.yml", "**/docker-compose*.yaml", "**/compose*.yml", "**/compose*.yaml", outermost=True)
def compose(path: bytes, tree: Tree) -> Iterator[Package]:
    """Each image by its name; its version is the tag, or the digest where that is what it names."""
    known = dict(_ASSIGNED.findall(text(tree.read(below(parent(path), b".env")))))
    for image in _IMAGE.findall(text(tree.read(path))):
        if len(image) > _LONGEST:
            continue
        name, version = _parts(_filled(image, known))
        if name and "$" not in name:
            yield Package("container", plain(name), plain(version), parent(path), path, kind=Kind.LOCKED)


def _filled(image: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda m: known.get(m[1] or m[3]) or m[2] or m[0], image)


def _parts(image: str) -> tuple[str, str]:
    named, _, digest = image.partition("@")
    name, colon, tag = named.rpartition(":")
    # A colon before a slash is a port of the registry.
    if not colon or "/" in tag:
        name, tag = named, ""
    return name, tag or digest[:19] or "latest"
