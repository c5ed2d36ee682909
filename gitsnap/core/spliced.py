"""The texts of a state, made of those of another one and of what differs: equal lines are equal entries.

Manifest and metadata have their lines in the order of paths. So the lines that differ are found by halving, and all
others are copied as bytes, without being read. The new texts are pieces, formed as they are asked for.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from gitsnap.core import manifest, mtree
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.mtree_comments import format_comments, place_of
from gitsnap.core.stored_difference import WIDE, Texts, comments_from, comments_of, with_digests
from gitsnap.core.stored_text import Place, Text
from gitsnap.core.vis import pattern_key, visible_path


@dataclass(slots=True)
class Differing:
    """What a tree has that a stored state has not: `entries` are new or differ, sorted by path, and `gone` are the
    paths that are not there any more, all of them. `skipped` and `excluded` are all that there are now, sorted."""

    entries: list[Entry]
    gone: Sequence[bytes] = ()
    excluded: Sequence[bytes] = ()
    skipped: Sequence[bytes] = ()


@dataclass(slots=True)
class Spliced:
    """The texts of the new state, in pieces that are given once, with its number of files and their bytes. `old` and
    `new` are both states, with no more than the entries that differ and the directories above."""

    manifest: Iterator[bytes]
    metadata: Iterator[bytes]
    files: int
    bytes: int
    old: Inventory
    new: Inventory


def splice(old: Texts, rules: list[bytes], differing: Differing) -> Spliced | None:
    """What format_manifest and format_metadata would say of the tree. `rules` are the exclusions that apply, as in the
    old state.

    None where lines alone do not tell: names that are patterns, hard links of what differs, a state that is not known
    as a whole. Raises IntegrityError for texts that gitsnap has not written.
    """
    touched = sorted({e.path for e in differing.entries} | set(differing.gone))
    if any(e.type is Type.FILE and e.sha256 is None for e in differing.entries):
        return None
    metadata = _entries_of(old.metadata)
    comments = list(comments_of(old.metadata))
    if any(pattern_key(path) for path in touched) or any(line.startswith(WIDE) for line in comments):
        return None
    named = _digests_of(old.manifest)
    shown = {visible_path(path).encode() for path in touched}
    if any(shown.intersection(line.split(b" ")[2:]) for line in comments if line.startswith(b"# hardlink ")):
        return None
    before = _old_entries(metadata, named, [*touched, *_above(touched)], comments)
    present = {e.path: e for e in differing.entries}
    after = {e.path: e for e in before.entries if e.path not in differing.gone} | present
    if any(_parent(path) not in after or after[_parent(path)].type is not Type.DIR for path in present if path):
        return None
    new_lines = dict(zip(present, mtree.entry_lines(differing.entries), strict=True))
    files, size = _counts(old.manifest, before, differing)
    inventory = Inventory([after[path] for path in sorted(after)], rules=rules, excluded=list(differing.excluded))
    return Spliced(
        chain(
            [manifest.format_header(files, size, rules, differing.excluded)],
            named.replaced(_digest_lines(touched, present), named.start),
        ),
        chain(
            metadata.replaced([(path, new_lines.get(path, b"")) for path in touched], 0),
            _new_comments(comments, shown, differing),
        ),
        files,
        size,
        before,
        inventory,
    )


def left_out(texts: Texts) -> Inventory:
    """What a state leaves out: rules, excluded paths and what is skipped; no entries."""
    rules, excluded = manifest.left_out(b"".join(texts.manifest.pieces(0, _digests_of(texts.manifest).start)))
    skipped = [place_of(line)[1] for line in comments_of(texts.metadata) if line.startswith(b"# skipped ")]
    return Inventory(rules=rules, excluded=excluded, skipped=skipped)


class _Lines:
    """The lines of a text from `start` to `end`, sorted by paths, in the `place` that plain ones have; and what stands
    from there up to `after`."""

    def __init__(self, text: Text, place: Place, start: int, end: int, after: int) -> None:
        self.text, self.start, self.end, self.after = text, start, end, after
        self._place = place

    def _found(self, paths: Iterable[bytes]) -> Iterator[tuple[int, int]]:
        """Where the lines of these sorted paths begin and end, or would."""
        low = self.start
        for path in paths:
            start, low = self.text.find((1, path), self._place, low, self.end)
            yield start, low

    def of(self, paths: Iterable[bytes]) -> list[bytes]:
        """The lines of those of these sorted paths that have one."""
        return [b"".join(self.text.pieces(start, end)) for start, end in self._found(paths) if end > start]

    def replaced(self, lines: Sequence[tuple[bytes, bytes]], done: int) -> Iterator[bytes]:
        """The text from `done` up to `after`, in pieces, with these lines of sorted paths, empty for none."""
        for (start, end), (_, line) in zip(self._found([path for path, _ in lines]), lines, strict=True):
            yield from self.text.pieces(done, start)
            yield line
            done = end
        yield from self.text.pieces(done, self.after)


def _entries_of(metadata: Text) -> _Lines:
    """The entries; those that are patterns stand behind the others."""
    start, after = len(metadata.line_over(0, 0, metadata.size)[1]), comments_from(metadata)
    end = metadata.find((2,), mtree.place_of, start, after)[0]
    return _Lines(metadata, mtree.place_of, start, end, after)


def _digests_of(text: Text) -> _Lines:
    start = text.find((1,), manifest.place_of, 0, text.size)[0]
    return _Lines(text, manifest.place_of, start, text.size, text.size)


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _above(paths: Iterable[bytes]) -> set[bytes]:
    out = {b""}
    for path in paths:
        while (path := _parent(path)) not in out:
            out.add(path)
    return out


def _old_entries(metadata: _Lines, named: _Lines, paths: Iterable[bytes], comments: list[bytes]) -> Inventory:
    """The old state, with no more than these paths, read as strictly as all of it would be."""
    wanted = sorted(set(paths))
    lines = metadata.of(wanted)
    shown = {visible_path(path).encode() for path in wanted}
    about = [line + b"\n" for line in comments if line.split(b" ")[2] in shown and not _is_general(line)]
    header = b"".join(metadata.text.pieces(0, metadata.start))
    found = mtree.parse_metadata(b"".join([header, *lines, *about]))
    with_digests(found, Text.of(b"".join(named.of(wanted))))
    return found


def _is_general(line: bytes) -> bool:
    return line.startswith((b"# skipped ", b"# hardlink "))


def _counts(text: Text, before: Inventory, differing: Differing) -> tuple[int, int]:
    """How many files there are now, and of how many bytes."""
    files, size = manifest.counts_of(next(text.blocks(), b""))
    touched = {e.path for e in differing.entries} | set(differing.gone)
    for sign, entries in ((-1, [e for e in before.files() if e.path in touched]), (1, differing.entries)):
        held = [e for e in entries if e.type is Type.FILE]
        files += sign * len(held)
        size += sign * sum(e.size for e in held)
    return files, size


def _digest_lines(touched: Iterable[bytes], present: dict[bytes, Entry]) -> list[tuple[bytes, bytes]]:
    files = {path: e for path, e in present.items() if e.type is Type.FILE}
    return [
        (path, manifest.format_line(hexlify(files[path].sha256 or b""), path) if path in files else b"")
        for path in touched
    ]


def _new_comments(comments: list[bytes], shown: set[bytes], differing: Differing) -> list[bytes]:
    """The comments of the new state: about paths that differ they are made anew, and so are those about sockets."""
    kept = [line for line in comments if not line.startswith(b"# skipped ") and line.split(b" ")[2] not in shown]
    fresh = Inventory([replace(e, unrecorded=frozenset()) for e in differing.entries], skipped=[*differing.skipped])
    made = [line.encode("ascii") for line in format_comments(fresh)]
    lines = sorted([*kept, *made], key=place_of) if made else kept
    return [line + b"\n" for line in lines]
