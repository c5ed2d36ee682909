"""What differs between two stored states, read from what differs between their texts.

Nearly all lines of two manifests, and of two metadata texts, are the same, and finding the others is quick. So a large
tree costs what changed in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import changed_paths, digests_of, path_of
from gitsnap.core.manifest import place_of as place_in_manifest
from gitsnap.core.model import ROOT, Inventory, Type
from gitsnap.core.mtree import COMMENTS, parse_metadata, place_of, place_of_path
from gitsnap.core.stored_text import Text, blocks_about, differing_blocks, lines_of
from gitsnap.core.vis import invisible_path, visible_path

# How comments begin that say something of paths that no line of them names.
WIDE = (b"# partial ", b"# unlisted ", b"# unrecorded ")
# In hex, of which a manifest's line has it.
_DIGEST = 64
_TIME = re.compile(rb" time=-?[0-9]+\.[0-9]+")


@dataclass(slots=True, frozen=True)
class Texts:
    """A snapshot's manifest and metadata as they are stored."""

    manifest: Text
    metadata: Text


def differing(old: Texts, new: Texts, *, times: bool = False) -> tuple[Inventory, Inventory] | None:
    """Both states, with no more than every entry that differs, the names of its inode, and the directories above.

    To compare these is to compare the states, but, without `times`, for what differs in its time alone. None where that
    is not so: one of them does not tell everything. Raises IntegrityError for texts that gitsnap has not written.
    """
    sides = (old, new)
    groups: list[list[bytes]] = []
    for side in sides:
        for line in comments_of(side.metadata):
            if line.startswith(WIDE):
                return None
            if line.startswith(b"# hardlink "):
                groups.append(_paths(line))
    touched = {visible_path(p).encode() for p in changed_paths(old.manifest, new.manifest)}
    touched |= _differing_paths(old.metadata, new.metadata, times=times)
    # A group brings in others where its names are of two groups on the other side.
    while more := {p for group in groups if not touched.isdisjoint(group) for p in group} - touched:
        touched |= more
    wanted = _with_directories(touched)
    found = [parse_metadata(b"\n".join([*_lines(side.metadata, wanted), b""])) for side in sides]
    for inventory, side in zip(found, sides, strict=True):
        with_digests(inventory, side.manifest)
    return found[0], found[1]


def came_and_went(old: Text, new: Text) -> int:
    """At least so many files came or went between two manifests that tell of all files, or became something else; those
    that may have come by another name do not count. 0 where they may only have come, or only gone."""
    sides: tuple[set[bytes], set[bytes]] = set(), set()
    for blocks in differing_blocks(old, new, place_in_manifest):
        for side, block in zip(sides, blocks, strict=True):
            side.update([line for line in lines_of(block) if not line.startswith(b"#")])
    before, after = sides[0] - sides[1], sides[1] - sides[0]
    names = [{path_of(line): line.removeprefix(b"\\")[:_DIGEST] for line in side} for side in (before, after)]
    gone, came = (Counter(a[path] for path in a.keys() - b.keys()) for a, b in (names, names[::-1]))
    moved = (gone & came).total()
    left = gone.total() - moved, came.total() - moved
    return sum(left) if all(left) else 0


def with_digests(inventory: Inventory, manifest: Text) -> None:
    """Give the files their digests by the text of a manifest; IntegrityError for one that it does not name."""
    files = {e.path: e for e in inventory.entries if e.type is Type.FILE}
    digests = digests_of(manifest, files.keys())
    for path, entry in files.items():
        entry.sha256 = digests.get(path)
        if entry.sha256 is None:
            raise IntegrityError("the manifest does not name it", path=path)


def comments_from(metadata: Text) -> int:
    """Where the comments behind the entries begin."""
    return metadata.find((COMMENTS,), place_of, 0, metadata.size)[0]


def comments_of(metadata: Text) -> Iterator[bytes]:
    """The comments behind the entries. IntegrityError for what has not at least the three words of one."""
    for line in metadata.lines(comments_from(metadata)):
        if not line.startswith(b"# ") or line.count(b" ") < 2:
            raise IntegrityError("an unknown comment, or an entry after the comments")
        yield line


def _differing_paths(old: Text, new: Text, *, times: bool) -> set[bytes]:
    """The paths, as they are written, of lines that one side alone has; without `times` not counting those of which the
    time alone differs: these are no change."""
    found: set[bytes] = set()
    for blocks in differing_blocks(old, new, place_of):
        before, after = (set(lines_of(block)) for block in blocks)
        gone, came = before - after, after - before
        if not times:
            # Whoever unpacks a tree again gives all of it new times.
            gone, came = (set(_TIME.sub(b"", b"\n".join(lines)).split(b"\n")) for lines in (gone, came))
        found.update([path for line in gone ^ came for path in _paths(line)])
    return found


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


def _lines(metadata: Text, wanted: set[bytes]) -> Iterator[bytes]:
    """The header, and what is about the paths `wanted`; what is skipped is no entry."""
    yield metadata.line_over(0, 0, metadata.size)[1].removesuffix(b"\n")
    # What is no ASCII is no path as it is written.
    places = sorted([place_of_path(invisible_path(shown.decode("ascii", "replace"))) for shown in wanted])
    for block in blocks_about(metadata, places, place_of, comments_from(metadata)):
        yield from [line for line in lines_of(block) if line.partition(b" ")[0] in wanted]
    for line in comments_of(metadata):
        words = line.split(b" ", 3)
        if words[1] != b"skipped" and words[2] in wanted:
            yield line
