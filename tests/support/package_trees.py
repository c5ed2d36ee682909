"""States of an installation as names and contents, to compare their packages without a sidecar."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gitsnap.core.comparison import compare
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.packages.model import PackageChange, Rule
from gitsnap.ops.compare import packages

Files = Mapping[str, str | bytes]


def entries(files: Files) -> list[Entry]:
    """The files, programs executable, and the directories that they are in."""
    found = {b"": Entry(b"", Type.DIR, 0o755)}
    for name in files:
        at = name.encode()
        while at := at.rpartition(b"/")[0]:
            found[at] = Entry(at, Type.DIR, 0o755)
    for name, content in files.items():
        data = raw(content)
        mode = 0o755 if data.startswith(b"\x7fELF") else 0o644
        digest = hashlib.sha256(data).digest()
        found[name.encode()] = Entry(name.encode(), Type.FILE, mode, size=len(data), sha256=digest)
    return [found[path] for path in sorted(found)]


def compared(old: Files, new: Files, rules: Sequence[Rule] = ()) -> packages.Packages:
    """What became of the packages between two states."""
    sides = entries(old), entries(new)

    def read(side: int, entry: Entry) -> Iterator[bytes]:
        yield raw((old, new)[side][entry.path.decode()])

    return packages.compare(sides, compare(Inventory(sides[0]), Inventory(sides[1])).changes, read, rules)


def told(changes: Iterable[PackageChange]) -> list[str]:
    """The changes in short: `python foo 1.0 > 1.1 up`; a `-` where it is not there."""
    return [
        f"{p.ecosystem} {p.name} {p.old or '-'} > {p.new or '-'} {p.direction}"
        + (f" {p.kind}" if p.kind != "installed" else "")
        + (f" in {p.holder}" if p.holder else "")
        for p in changes
    ]


def raw(content: str | bytes) -> bytes:
    """The bytes of a content."""
    return content.encode() if isinstance(content, str) else content


def distribution(
    name: str, version: str, files: Files, site: str = "lib/python3.11/site-packages/"
) -> dict[str, str | bytes]:
    """An installed Python distribution, with a RECORD as pip writes it; paths count from the site."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    held: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n",
    }
    rows = [f"{path},{digest(content)},{len(raw(content))}" for path, content in held.items()]
    held[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    return {site + path: content for path, content in held.items()}


def digest(content: str | bytes) -> str:
    """A content's digest as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(raw(content)).digest()).rstrip(b"=").decode()
