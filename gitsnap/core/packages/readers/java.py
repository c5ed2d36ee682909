"""Java archives: the version from the name, or from the manifest inside; Jenkins' plugins always from there."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import reader
from gitsnap.core.packages.text import headers, parent, plain, text

_NAMED = re.compile(r"(?P<name>.+?)-(?P<version>v?\d[\w.+-]*)\.(?:jar|war)", re.DOTALL)
_LARGEST, _LARGEST_LIST = 64 << 10, 4 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, KeyError)


@reader("**/*.jar", "**/*.war")
def archive(path: bytes, tree: Tree) -> Iterator[Package]:
    """An archive of classes."""
    name = text(path.rpartition(b"/")[2])
    if named := _NAMED.fullmatch(name):
        yield _package(path, named["name"], named["version"])
        return
    said = _manifest(tree.read(path))
    version = said.get("implementation-version") or said.get("bundle-version") or said.get("specification-version")
    if version:
        yield _package(path, name.rpartition(".")[0], version)


@reader("**/plugins/*.jpi", "**/plugins/*.hpi")
def jenkins(path: bytes, tree: Tree) -> Iterator[Package]:
    """A plugin of Jenkins."""
    said = _manifest(tree.read(path))
    # A build of somebody's own has more behind the version.
    yield _package(path, said["short-name"], said["plugin-version"].partition(" ")[0], "jenkins-plugin")


def _package(path: bytes, name: str, version: str, ecosystem: str = "java") -> Package:
    def files(tree: Tree) -> Mapping[bytes, str]:
        return {path: ""}

    return Package(ecosystem, plain(name), plain(version), parent(path), path, files=files)


def _manifest(data: bytes) -> dict[str, str]:
    # What is there is listed at the end; how long that list is, stands behind it.
    end = data.rfind(b"PK\x05\x06")
    if end < 0 or int.from_bytes(data[end + 12 : end + 16], "little") > _LARGEST_LIST:
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("META-INF/MANIFEST.MF") as file:
            said = file.read(_LARGEST)
    except _DAMAGED:
        return {}
    # Long lines are continued behind a space.
    return headers(said.replace(b"\r\n", b"\n").replace(b"\n ", b""))
