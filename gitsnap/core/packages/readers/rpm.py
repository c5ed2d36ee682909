"""RPM, where it is written down as text: the manifest of small images, and lists of `rpm -qa`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitsnap.core.packages.model import Package, Tree
from gitsnap.core.packages.registry import order, reader
from gitsnap.core.packages.text import parent, plain, text
from gitsnap.core.packages.versions import rpm

_NEVRA = re.compile(
    r"(?P<name>[\w.+-]+)-(?P<epoch>\d+:)?(?P<version>[^-\s:]+-[^-\s]+)"
    r"\.(?:noarch|x86_64|i[3-6]86|aarch64|armv7hl|ppc64le|s390x|riscv64)(?:\s.*)?"
)

_LONGEST = 300

order("rpm", rpm)


@reader("**/lib/rpmmanifest/container-manifest-2")
def manifest(path: bytes, tree: Tree) -> Iterator[Package]:
    """The manifest of an image without RPM's database: name and version-release between tabs."""
    root = parent(parent(parent(parent(path))))
    for line in text(tree.read(path)).splitlines():
        name, version = line.split("\t")[:2]
        yield Package("rpm", plain(name), plain(version), root, path)


@reader("**/installed-rpms", "**/rpm-qa.txt", "**/rpm-qa", "**/rpm-list.txt")
def listed(path: bytes, tree: Tree) -> Iterator[Package]:
    """A list of `rpm -qa`."""
    for line in text(tree.read(path)).splitlines():
        if len(line) < _LONGEST and (match := _NEVRA.fullmatch(line)):
            yield Package("rpm", match["name"], (match["epoch"] or "") + match["version"], parent(path), path)
