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

_VENDORED = re.compile(r"^# (\S{1,300}) (v\d\S*)", re.MULTILINE)
_WRITTEN = re.compile(r"""-X[ =]\\?["']?[\w./-]*[vV]ersion=(v?\d[^\s"'\\]*)""")
_REVISION = re.compile(r"^build\tvcs\.revision=([0-9a-f]{12})", re.MULTILINE)
# So much of a build's settings is looked through.
_SETTINGS = 16 << 10
_MAGIC = b"\xff Go buildinf:"
# The strings lie inline, after a header of 32 bytes.
_INLINE, _HEADER = 2, 32

order("go", semver)


@reader("**/go.mod", outermost=True)
def required(path: bytes, tree: Tree) -> Iterator[Package]:
    """The modules that are required, in lines of their own or in a block."""
    block = ""
    for line in text(tree.read(path)).splitlines():
        words = line.partition("//")[0].split()
        if words[1:] == ["("]:
            block = words[0]
        elif words == [")"]:
            block = ""
        elif len(words) > 1:
            word, *said = [block, *words] if block else words
            if word == "require" and len(said) == 2:
                yield Package("go", plain(said[0]), plain(said[1]), parent(path), path, kind=Kind.LOCKED)


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
    program = next((line for kind in ("mod", "path") for line in lines if line[0] == kind and len(line) > 1), None)
    version = _version(program, info) if program else None
    if program is None or version is None:
        return

    def files(tree: Tree) -> Mapping[bytes, str]:
        return {path: ""}

    name = plain(program[1])
    yield Package("go", name, plain(version), parent(path), path, files=files)
    for line in lines:
        if line[0] == "dep" and len(line) > 2:
            yield Package(
                "go", plain(line[1]), plain(line[2]), parent(path), path, kind=Kind.VENDORED, holder=name, base=path
            )


def _version(program: list[str], info: str) -> str | None:
    """The module's version; of one that was built in its own checkout, what its makers wrote into it, or the commit."""
    if program[0] == "mod" and len(program) > 2 and program[2] != "(devel)":
        return program[2]
    written = _WRITTEN.search(info[:_SETTINGS]) or _REVISION.search(info)
    return written[1] if written else None


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
