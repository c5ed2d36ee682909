"""npm, and what lays out `node_modules` as it does: yarn, bun, and pnpm with its `node_modules/.pnpm`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitsnap.core.packages.model import Kind, Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import below, json_object, parent, plain, pnpm_packages, text
from gitsnap.core.packages.versions import semver

_PLACE = re.compile(rb"(?P<base>(?:.*/)?node_modules)/(?P<name>(?:@[^/]+/)?[^/]+)/package\.json", re.DOTALL)
# A store of links: node_modules/.pnpm/NAME@VERSION/node_modules/NAME, and npm's own linked strategy.
_STORE = re.compile(rb"(?P<store>(?:.*/)?node_modules/\.(?:pnpm|store|bun))/[^/]+/(?:[^/]+/)?node_modules", re.DOTALL)
_HOLDER = re.compile(rb".*(?<![^/])node_modules/((?:@[^/]+/)?[^/]+)/.*", re.DOTALL)

order("npm", semver)


@reader("**/node_modules/*/package.json", "**/node_modules/@*/*/package.json")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """The package in whose directory this package.json lies."""
    place = _PLACE.fullmatch(path)
    if place is None or place["name"].startswith(b"."):
        return
    base, name = place["base"], text(place["name"])
    store = _STORE.fullmatch(base)
    if store and tree.has(store["store"] + b"/lock.yaml"):
        # pnpm keeps for some days what it replaced; its own list says what is in use.
        return
    holder = None if store else _HOLDER.fullmatch(base)
    yield Package(
        "npm",
        name,
        plain(json_object(tree.read(path)).get("version")),
        parent(path),
        path,
        tops=(parent(path),),
        kind=Kind.VENDORED if holder else Kind.INSTALLED,
        holder=text(holder[1]) if holder else "",
        base=store["store"] if store else base,
    )


@reader("**/node_modules/.pnpm/lock.yaml")
def in_store(path: bytes, tree: Tree) -> Iterator[Package]:
    """The packages in pnpm's store: NAME@VERSION, perhaps with what they are beside (`_react@18`), `/` as `+`."""
    store = parent(path)
    places: dict[bytes, list[bytes]] = {}
    for found in tree.names(store):
        # A scope begins with the same sign.
        name_of, at, rest = found[1:].partition(b"@")
        places.setdefault(found[:1] + name_of + at + re.split(rb"[_(]", rest)[0], []).append(found)
    for name, version in pnpm_packages(tree.read(path)):
        dirs = places.get(f"{name.replace('/', '+')}@{version}".encode(), ())
        if dirs:
            tops = tuple(below(store, d) for d in dirs)
            where = below(tops[0], b"node_modules/" + name.encode())
            yield Package("npm", plain(name), plain(version), where, path, tops=tops, base=store)
