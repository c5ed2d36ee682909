"""What differs between two stored states, read from what differs between their texts.

Nearly all lines of two manifests, and of two metadata texts, are the same, and finding the others is quick. So a large
tree costs what changed in it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import changed_paths, digests_of, path_of
from gitsnap.core.model import ROOT, Inventory, Type
from gitsnap.core.mtree import parse_metadata
from gitsnap.core.vis import visible_path

# Comments that say something of paths that no line of them names.
_WIDE = (b"\n# partial ", b"\n# unlisted ", b"\n# unrecorded ")
# In hex, of which a manifest's line has it.
_DIGEST = 64
_TIME = re.compile(rb" time=-?[0-9]+\.[0-9]+")


@dataclass(slots=True, frozen=True)
class Texts:
    """A snapshot's manifest and metadata as they are stored."""

    manifest: bytes
    metadata: bytes


def differing(old: Texts, new: Texts) -> tuple[Inventory, Inventory] | None:
    """Both states, with no more than every entry that differs, the names of its inode, and the directories above.

    To compare these is to compare the states, but for what differs in its time alone. None where that is not so: one of
    them does not tell everything. Raises IntegrityError for texts that gitsnap has not written.
    """
    if any(word in side.metadata for side in (old, new) for word in _WIDE):
        return None
    sides = [side.metadata.split(b"\n") for side in (old, new)]
    touched = {visible_path(p).encode() for p in changed_paths(old.manifest, new.manifest)}
    touched.update(*(_paths(line) for line in _differing_lines(*sides)))
    groups = [_paths(line) for side in sides for line in side if line.startswith(b"# hardlink ")]
    # A group brings in others where its names are of two groups on the other side.
    while more := {p for group in groups if not touched.isdisjoint(group) for p in group} - touched:
        touched |= more
    wanted = _with_directories(touched)
    found = [parse_metadata(b"\n".join([*_lines(side, wanted), b""])) for side in sides]
    for inventory, manifest in zip(found, (old.manifest, new.manifest), strict=True):
        with_digests(inventory, manifest)
    return found[0], found[1]


def came_and_went(old: bytes, new: bytes) -> int:
    """At least so many files came or went between two manifests that tell of all files, or became something else; those
    that may have come by another name do not count. 0 where they may only have come, or only gone."""
    sides = [{line for line in text.split(b"\n") if line and not line.startswith(b"#")} for text in (old, new)]
    before, after = sides[0] - sides[1], sides[1] - sides[0]
    names = [{path_of(line): line.removeprefix(b"\\")[:_DIGEST] for line in side} for side in (before, after)]
    gone, came = (Counter(a[path] for path in a.keys() - b.keys()) for a, b in (names, names[::-1]))
    moved = (gone & came).total()
    left = gone.total() - moved, came.total() - moved
    return sum(left) if all(left) else 0


def with_digests(inventory: Inventory, manifest: bytes) -> None:
    """Give the files their digests by the text of a manifest; IntegrityError for one that it does not name."""
    files = {e.path: e for e in inventory.entries if e.type is Type.FILE}
    digests = digests_of(manifest, files.keys())
    for path, entry in files.items():
        entry.sha256 = digests.get(path)
        if entry.sha256 is None:
            raise IntegrityError("the manifest does not name it", path=path)


def _differing_lines(old: list[bytes], new: list[bytes]) -> set[bytes]:
    """The lines that one side alone has, not counting those of which the time alone differs: these are no change."""
    before, after = set(old), set(new)
    # Whoever unpacks a tree again gives all of it new times.
    gone, came = (set(_TIME.sub(b"", b"\n".join(lines)).split(b"\n")) for lines in (before - after, after - before))
    return gone ^ came


def _paths(line: bytes) -> list[bytes]:
    """The paths, as they are written, that a line of metadata is about."""
    if not line.startswith(b"#"):
        return [line.partition(b" ")[0]] if line else []
    words = line.split(b" ")
    if words[1:2] == [b"hardlink"]:
        return words[2:]
    return words[2:3] if words[1:2] != [b"gitsnap"] else []


def _with_directories(touched: set[bytes]) -> set[bytes]:
    out = {visible_path(ROOT).encode()}
    for path in touched:
        while path not in out and path:
            out.add(path)
            path = path.rpartition(b"/")[0]
    return out


def _lines(lines: list[bytes], wanted: set[bytes]) -> list[bytes]:
    """The header, and what is about the paths `wanted`; what is skipped is no entry."""
    out = lines[:1]
    for line in lines[1:]:
        if line.startswith(b"# "):
            words = line.split(b" ")
            if words[1] != b"skipped" and words[2] in wanted:
                out.append(line)
        elif line.partition(b" ")[0] in wanted:
            out.append(line)
    return out
