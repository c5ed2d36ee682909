"""Cargo: `Cargo.lock`, and the crates that a binary tells of itself (cargo-auditable).

https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.elf import section
from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import executable_reader, order, reader
from gitsnap.core.packages.text import array_of_tables, json_object, parent, plain
from gitsnap.core.packages.versions import semver

_LARGEST = 8 << 20

order("cargo", semver)


@reader("**/Cargo.lock", outermost=True)
def locked(path: bytes, tree: Tree) -> Iterator[Package]:
    """What Cargo resolved."""
    for said in array_of_tables(tree.read(path), "package"):
        yield Package("cargo", plain(said["name"]), plain(said["version"]), parent(path), path, kind=Kind.LOCKED)


@executable_reader
def binary(path: bytes, tree: Tree) -> Iterator[Package]:
    """A program that was built with cargo-auditable, and the crates in it."""
    packed = section(tree.read(path), b".dep-v0")
    if not packed:
        return
    try:
        said = zlib.decompressobj().decompress(packed, _LARGEST)
    except zlib.error:
        return
    crates = json_object(said)["packages"]
    program = next(plain(c["name"]) for c in crates if c.get("root"))

    def files(tree: Tree) -> Mapping[bytes, str]:
        return {path: ""}

    for crate in crates:
        name, version = plain(crate["name"]), plain(crate["version"])
        if crate.get("root"):
            yield Package("cargo", name, version, parent(path), path, files=files)
        elif crate.get("kind") != "build":
            yield Package("cargo", name, version, parent(path), path, kind=Kind.VENDORED, holder=program, base=path)
