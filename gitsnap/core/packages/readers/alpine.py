"""Alpine: apk's database of installed packages, which lists their files with SHA-1.

https://wiki.alpinelinux.org/wiki/Apk_spec
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import below, parent, plain, text
from gitsnap.core.packages.versions import apk

order("alpine", apk)


@reader("**/lib/apk/db/installed")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """The packages of a system whose root is where `lib/apk` is."""
    root = parent(parent(parent(parent(path)))).removesuffix(b"usr").rstrip(b"/")
    for block in tree.read(path).split(b"\n\n"):
        said = dict(line.split(b":", 1) for line in block.splitlines() if line[1:2] == b":")
        if b"P" in said:
            name, version = plain(text(said[b"P"])), plain(text(said[b"V"]))
            yield Package("alpine", name, version, root, path, files=_Files(root, block))


class _Files:
    def __init__(self, root: bytes, block: bytes) -> None:
        self._root, self._block = root, block

    def __call__(self, tree: Tree) -> Mapping[bytes, str]:
        found: dict[bytes, str] = {}
        folder = path = self._root
        for line in self._block.splitlines():
            field, _, value = line.partition(b":")
            if field == b"F":
                folder = below(self._root, value) if value else self._root
            elif field == b"R":
                path = below(folder, value)
                found[path] = ""
            elif field == b"Z" and value.startswith(b"Q1") and path in found:
                found[path] = _sha1(value[2:])
        return found


def _sha1(value: bytes) -> str:
    try:
        return "sha1:" + base64.b64decode(value).hex()
    except binascii.Error:
        return ""
