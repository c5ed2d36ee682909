"""Debian: dpkg's status, with the lists and digests beside it.

dpkg-query(1), deb-md5sums(5), deb-conffiles(5)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import below, headers, parent, plain
from gitsnap.core.packages.versions import dpkg

_OF_A_PACKAGE = b"list md5sums conffiles preinst postinst prerm postrm triggers shlibs symbols templates config".split()
_CONFFILES = re.compile(rb"^Conffiles:\n((?: .*(?:\n|$))+)", re.MULTILINE)

order("debian", dpkg)


@reader("**/lib/dpkg/status")
def installed(path: bytes, tree: Tree) -> Iterator[Package]:
    """The packages of a system whose root is where `var/lib/dpkg` is."""
    root = parent(parent(parent(parent(path))))
    found = [(headers(block), block) for block in tree.read(path).split(b"\n\n")]
    found = [(said, block) for said, block in found if said.get("status", "").endswith(" installed")]
    many = Counter(said.get("package") for said, _ in found)
    for said, block in found:
        name = plain(said.get("package"))
        qualified = f"{name}:{said.get('architecture')}"
        yield Package(
            "debian",
            # Of several architectures, each is a package of its own.
            qualified if many[name] > 1 else name,
            plain(said.get("version")),
            root,
            path,
            files=_Files(path, root, name, qualified, block),
        )


class _Files:
    def __init__(self, path: bytes, root: bytes, name: str, qualified: str, block: bytes) -> None:
        self._info, self._root = below(parent(path), b"info"), root
        self._diversions, self._name = below(parent(path), b"diversions"), name.encode()
        self._names = qualified.encode(), name.encode()
        conffiles = _CONFFILES.search(block)
        self._conffiles = conffiles[1] if conffiles else b""

    def __call__(self, tree: Tree) -> Mapping[bytes, str]:
        base = next((b for n in self._names if tree.has((b := below(self._info, n)) + b".list")), None)
        if base is None:
            return {}
        lines = [line for line in tree.read(base + b".list").splitlines() if line.startswith(b"/")]
        directories = {parent(line) for line in lines}
        found = {self._place(line[1:], tree): "" for line in lines if line not in directories}
        for line in tree.read(base + b".md5sums").splitlines():
            digits, _, name = line.partition(b"  ")
            found[self._place(name, tree)] = "md5:" + digits.decode("ascii", "replace")
        for line in self._conffiles.splitlines():
            parts = line.split()
            if len(parts) >= 2 and len(parts[1]) == 32:
                found[self._place(parts[0].lstrip(b"/"), tree)] = "md5:" + parts[1].decode("ascii", "replace")
        own = (base + b"." + ending for ending in _OF_A_PACKAGE)
        return self._diverted(found, tree) | {path: "" for path in own if tree.has(path)}

    def _diverted(self, found: dict[bytes, str], tree: Tree) -> dict[bytes, str]:
        """With the files that another package had dpkg put elsewhere where they are: dpkg-divert(1)."""
        lines = iter(tree.read(self._diversions).splitlines())
        for from_, to, by in zip(lines, lines, lines, strict=False):
            path = self._place(from_.lstrip(b"/"), tree)
            if by != self._name and path in found:
                found[self._place(to.lstrip(b"/"), tree)] = found.pop(path)
        return found

    def _place(self, name: bytes, tree: Tree) -> bytes:
        """Where a listed file is: /bin and /lib may have been merged into /usr since."""
        path = below(self._root, name)
        merged = below(self._root, b"usr/" + name)
        return merged if not tree.has(path) and tree.has(merged) else path
