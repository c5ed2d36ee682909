"""Nextcloud and ownCloud: the server by its version.php, apps by `appinfo/info.xml`; both list digests of their files.

https://docs.nextcloud.com/server/latest/admin_manual/issues/code_signing.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import below, json_object, parent, plain, text

_SERVER = re.compile(r"""^[ \t]*\$OC_VersionString[ \t]*=[ \t]*['"]([^'"\n]+)['"]""", re.MULTILINE)
_ID, _VERSION = (re.compile(rf"<{f}>\s*([^<>\s]+)\s*</{f}>") for f in ("id", "version"))
_TOPS = b"3rdparty core dist lib ocm-provider ocs ocs-provider resources themes updater".split()


@reader("**/version.php")
def server(path: bytes, tree: Tree) -> Iterator[Package]:
    """The server itself."""
    found = _SERVER.search(text(tree.read(path)))
    if found is None:
        return
    root = parent(path)
    tops = tuple(below(root, t) for t in _TOPS if tree.has(below(root, t)))
    files = _Signed(below(root, b"core/signature.json"), root, path)
    yield Package("nextcloud", "server", plain(found[1]), root, path, tops=tops, files=files, alone=True)


@reader("**/appinfo/info.xml")
def app(path: bytes, tree: Tree) -> Iterator[Package]:
    """An app."""
    said = text(tree.read(path))
    name, version = _ID.search(said), _VERSION.search(said)
    if name and version:
        own = parent(parent(path))
        files = _Signed(below(parent(path), b"signature.json"), own, path)
        yield Package("nextcloud-app", plain(name[1]), plain(version[1]), own, path, tops=(own,), files=files)


class _Signed:
    def __init__(self, signature: bytes, root: bytes, record: bytes) -> None:
        self._signature, self._root, self._record = signature, root, record

    def __call__(self, tree: Tree) -> Mapping[bytes, str]:
        found = {self._record: ""}
        try:
            hashes = json_object(tree.read(self._signature))["hashes"]
            return found | {below(self._root, n.encode()): f"sha512:{d}" for n, d in hashes.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return found
