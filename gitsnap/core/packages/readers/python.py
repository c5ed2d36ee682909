"""Python: `*.dist-info` with its RECORD, and `*.egg-info`.

https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import below, headers, joined, parent, plain, text
from gitsnap.core.packages.versions import pep440

# Below a package of a directory of packages, or in a directory that says so.
_VENDORED = re.compile(
    rb"(?:.*/)?(?:(?:site|dist)-packages/([^/]+)(?:/.*)?|([^/]+)/(?:_?vendored|_vendor|_bundled)(?:/.*)?)", re.DOTALL
)
_SITE = re.compile(rb"(?:.*/)?(?:site|dist)-packages", re.DOTALL)

order("python", pep440)


def canonical(name: str) -> str:
    """A name as names are compared: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


@reader("**/*.dist-info/METADATA", "**/*.egg-info/PKG-INFO", "**/*.egg-info", "**/EGG-INFO/PKG-INFO")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """The distribution whose metadata lies at `path`."""
    single = path.endswith(b".egg-info")
    folder = path if single else parent(path)
    if folder.endswith(b"/EGG-INFO"):
        # An egg is a directory of its own, on the path of modules.
        folder = parent(folder)
    site = parent(folder)
    # pip moves what it replaces out of the way, under a name with a tilde.
    if folder[len(site) :].lstrip(b"/").startswith(b"~"):
        return
    said = headers(tree.read(path))
    name = plain(said.get("name"))
    holder = _holder(site, tree)

    def files(tree: Tree) -> Mapping[bytes, str]:
        return _files(folder, site, canonical(name), tree)

    yield Package(
        "python",
        name,
        plain(said.get("version")),
        site,
        path,
        tops=(folder,),
        files=files,
        kind=Kind.VENDORED if holder else Kind.INSTALLED,
        holder=text(holder),
        canonical=canonical(name),
        alone=True,
    )


def _holder(site: bytes, tree: Tree) -> bytes:
    """The package that a directory of packages is in; empty where it is in none."""
    if _SITE.fullmatch(site):
        return b""
    if vendored := _VENDORED.fullmatch(site):
        return vendored[1] or vendored[2]
    holder = b""
    while site and tree.has(below(site, b"__init__.py")):
        holder, site = site.rpartition(b"/")[2], parent(site)
    return holder


def _files(folder: bytes, site: bytes, name: str, tree: Tree) -> Mapping[bytes, str]:
    if rows := tree.read(below(folder, b"RECORD")):
        return {path: digest for row, digest in _rows(rows) if (path := _placed(row, site, tree))}
    if listed := tree.read(below(folder, b"installed-files.txt")):
        return {path: "" for line in listed.splitlines() if (path := joined(folder, line))}
    modules = tree.read(below(folder, b"top_level.txt")).split() or [name.replace("-", "_").encode()]
    return {path: "" for m in modules for path in _tree_of(below(site, m), tree)}


def _rows(data: bytes) -> Iterator[tuple[bytes, str]]:
    # An undecodable byte of a name comes back as itself.
    lines = io.StringIO(data.decode("utf-8", "surrogateescape"), newline="")
    try:
        for row in csv.reader(lines):
            if row:
                yield row[0].encode("utf-8", "surrogateescape"), row[1] if len(row) > 1 else ""
    except csv.Error:
        return


def _placed(row: bytes, site: bytes, tree: Tree) -> bytes | None:
    """Where a file of RECORD is. `pip --target` puts below the target what RECORD has beside it: scripts, data."""
    if b".." not in row and not row.startswith(b"/"):
        return below(site, row)
    path = joined(site, row)
    if row.startswith(b"../") and (path is None or not tree.has(path)):
        moved = below(site, re.sub(rb"^(?:\.\./)+", b"", row))
        return moved if tree.has(moved) else path
    return path


def _tree_of(module: bytes, tree: Tree) -> Iterator[bytes]:
    """The files of a module whose distribution lists none: a directory, or one file."""
    if tree.has(module + b".py"):
        yield module + b".py"
    waiting = [module]
    while waiting:
        at = waiting.pop()
        for name in tree.names(at):
            yield below(at, name)
            waiting.append(below(at, name))
