"""Go: `go.mod`, `vendor/modules.txt`, and what a binary tells of its build.

https://go.dev/ref/mod, and debug/buildinfo for binaries (of Go 1.18 and newer).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.elf import section
from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import executable_reader, order, reader
from gitsnap.core.packages.text import below, parent, plain, text
from gitsnap.core.packages.versions import semver

_REQUIRED = re.compile(r"^(?:\t|require\s+)([^\s()]+\.[^\s()]+)\s+(v\d\S*)", re.MULTILINE)
_VENDORED = re.compile(r"^# (\S+) (v\d\S*)", re.MULTILINE)
_MAGIC = b"\xff Go buildinf:"
# The strings lie inline, after a header of 32 bytes.
_INLINE, _HEADER = 2, 32

order("go", semver)


@reader("**/go.mod", outermost=True)
def required(path: bytes, tree: Tree) -> Iterator[Package]:
    """The modules that are required. `replace` has them on the left of an arrow, and does not count."""
    found = re.sub(r"(?ms)^(?:replace|exclude|retract)\s+(?:\(.*?^\)|.*?$)", "", text(tree.read(path)))
    for name, version in _REQUIRED.findall(found):
        yield Package("go", name, version, parent(path), path, kind=Kind.LOCKED)


@reader("**/vendor/modules.txt")
def vendored(path: bytes, tree: Tree) -> Iterator[Package]:
    """The modules that lie in `vendor`."""
    for name, version in _VENDORED.findall(text(tree.read(path))):
        own = below(parent(path), name.encode())
        yield Package("go", name, version, own, path, tops=(own,), base=parent(path))


@executable_reader
def binary(path: bytes, tree: Tree) -> Iterator[Package]:
    """A program, and the modules in it."""
    info = _build_info(tree.read(path))
    lines = [line.split("\t") for line in info.splitlines()]
    main = next((line for line in lines if line[0] == "mod" and len(line) > 2), None)
    if main is None:
        return

    def files(tree: Tree) -> Mapping[bytes, str]:
        return {path: ""}

    program = plain(main[1])
    yield Package("go", program, plain(main[2]), parent(path), path, files=files)
    for line in lines:
        if line[0] == "dep" and len(line) > 2:
            yield Package(
                "go", plain(line[1]), plain(line[2]), parent(path), path,
                kind=Kind.VENDORED, holder=program, base=path,
            )  # fmt: skip


def _build_info(data: bytes) -> str:
    blob = section(data, b".go.buildinfo")
    if not blob.startswith(_MAGIC) or len(blob) <= _HEADER or not blob[15] & _INLINE:
        return ""
    _, rest = _string(blob[_HEADER:])
    found, _ = _string(rest)
    # Sixteen bytes stand before it and behind, by which the linker finds it.
    return found[16:-16].decode("utf-8", "replace") if len(found) > _HEADER else ""


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string whose length stands before it as a varint, and what follows."""
    length = shift = at = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return data[at : at + length], data[at + length :]
        if shift > 63:
            raise ValueError("no length")
