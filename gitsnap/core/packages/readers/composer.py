"""Composer: `vendor/composer/installed.json`, and `composer.lock`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import below, joined, json_data, json_object, parent, plain
from gitsnap.core.packages.versions import semver

order("composer", semver)


@reader("**/composer/installed.json")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """What composer installed. Its first version wrote a list, its second an object."""
    here = parent(path)
    found = json_data(tree.read(path))
    for said in found["packages"] if isinstance(found, dict) else found:
        name = plain(said["name"])
        own = said.get("install-path")
        # A package without files (a metapackage) has no place.
        at = joined(here, own.encode()) if own else below(parent(here), name.encode())
        tops = (at,) if at and tree.has(at) else ()
        yield Package("composer", name, _version(said), at or parent(here), path, tops=tops, base=parent(here))


@reader("**/composer.lock", outermost=True)
def locked(path: bytes, tree: Tree) -> Iterator[Package]:
    """What is to be installed."""
    found = json_object(tree.read(path))
    for said in [*(found.get("packages") or []), *(found.get("packages-dev") or [])]:
        yield Package("composer", plain(said["name"]), _version(said), parent(path), path, kind=Kind.LOCKED)


def _version(said: dict[str, Any]) -> str:
    """The version; of a branch, the commit as well."""
    version = plain(said["version"])
    reference = (said.get("source") or said.get("dist") or {}).get("reference")
    branch = version.startswith("dev-") or version.endswith("-dev")
    return f"{version}#{reference[:7]}" if branch and reference else version
