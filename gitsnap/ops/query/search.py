"""Looking for a text in all snapshots: each content is read once, however many snapshots and paths have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gitsnap.core.errors import IntegrityError, NoSuchPathError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.secrets.masker import NOTHING, Masker
from gitsnap.ops.compare import masking
from gitsnap.ops.query.listing import EVERY, Filter
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.walk_snapshots import Occurrence, walk

# Of one version of a file: more lines are only counted, longer ones are cut.
MOST_LINES, LONGEST = 1_000, 500
# What has no line end for so long is searched in pieces of this size that overlap by half.
_BLOCK = 1 << 20

Finds = Callable[[bytes], bool]


@dataclass(slots=True, frozen=True)
class MatchingLine:
    """A line that matches, without its end."""

    number: int
    text: bytes


@dataclass(slots=True)
class Found:
    """Where a text stands in one path: in which snapshots (ids, oldest first), and the lines of the first of them.

    `more` lines match beside those listed. Of what is no text (`binary`), no lines are told. `oid` is the content that
    the lines are from.
    """

    path: bytes
    snapshots: list[str]
    lines: list[MatchingLine] = field(default_factory=list)
    more: int = 0
    binary: bool = False
    oid: bytes = b""


@dataclass(slots=True)
class Searched:
    """How much was looked at: snapshots, contents and their bytes, each once."""

    snapshots: int = 0
    contents: int = 0
    size: int = 0


def matcher(text: str, *, regex: bool, ignore_case: bool) -> Finds:
    """What tells whether a line (bytes) matches. UsageError for an empty text, one of several lines, a bad pattern."""
    if not text or "\n" in text or "\0" in text:
        raise UsageError("the text to look for is part of one line, and not empty", hint="gitsnap search --help")
    pattern = text if regex else re.escape(text)
    flags = re.IGNORECASE if ignore_case else 0
    try:
        if text.isascii():
            compiled = re.compile(pattern.encode(), flags)
            return lambda line: compiled.search(line) is not None
        if not regex and not ignore_case:
            needle = text.encode("utf-8", "surrogateescape")
            return lambda line: needle in line
        decoded = re.compile(pattern, flags)
        return lambda line: decoded.search(line.decode("utf-8", "surrogateescape")) is not None
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"'{text}' is no regular expression: {error}", hint="without -E it is taken literally"
        ) from None


def search(
    sidecar: Sidecar,
    finds: Finds,
    paths: Sequence[bytes],
    searched: Searched,
    *,
    literal: bytes | None = None,
    masker: Masker = NOTHING,
    observer: Observer = SILENT,
    among: Filter = EVERY,
) -> Iterator[Found]:
    """Every path in which a line matches, in order. `literal` is the text itself where nothing else can match; looked
    at are the snapshots `among` all that are so.

    `masker` hides secrets in the lines that are told.

    Counts in `searched`. Memory holds what is to be searched by its ids, and one content in pieces.
    """
    living = among.of(catalog.snapshots(sidecar))
    searched.snapshots = len(living)

    def enters(path: bytes) -> bool:
        return not paths or any(p == b"" or _within(path, p) or _within(p, path) for p in paths)

    def wanted(held: Occurrence) -> bool:
        return held.mode != trees.LINK and (not paths or any(_within(held.path, p) for p in paths))

    contents = {held.oid for held in walk(sidecar, living, enters) if wanted(held)}
    hits = _matching(sidecar, contents, finds, literal, searched, observer)
    _require_known(paths, contents, sidecar, living, enters)
    if not hits:
        return
    those = (held for held in walk(sidecar, living, enters) if held.oid in hits and wanted(held))
    for _, versions in groupby(those, key=lambda held: held.path):
        for found, numbers in _told(sidecar, list(versions), finds):
            found.snapshots = [living[n].id for n in numbers]
            if found.lines and not masker.shows:
                _mask(sidecar, found, masker)
            yield found


def _within(path: bytes, top: bytes) -> bool:
    return not top or path == top or path.startswith(top + b"/")


def _require_known(
    paths: Sequence[bytes], contents: set[bytes], sidecar: Sidecar, living: Sequence[Snapshot], enters: Finds
) -> None:
    if not paths or contents:
        return
    if not any(_within(held.path, p) for held in walk(sidecar, living, enters) for p in paths):
        raise NoSuchPathError(
            "no snapshot holds such a path", path=paths[0], hint="`gitsnap find GLOB` looks for names"
        )


def _matching(
    sidecar: Sidecar,
    contents: set[bytes],
    finds: Finds,
    literal: bytes | None,
    searched: Searched,
    observer: Observer,
) -> set[bytes]:
    """The contents in which a line matches, read in the order in which they lie on disk."""
    observer.started("searching", files=len(contents))
    hits = set()
    small, large = sidecar.objects.in_order(contents)
    for oid in (*small, *large):
        counted = _Counted(sidecar.objects.blob(oid))
        try:
            hit = _matches(counted, finds, literal)
        except IntegrityError:
            # verify names it, and whose it is; what can be searched is searched.
            continue
        searched.contents += 1
        searched.size += counted.size
        if hit:
            hits.add(oid)
        observer.advanced(1, counted.size)
    observer.finished()
    return hits


class _Counted:
    """A content in pieces, with how much of it was taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self.size = pieces, 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _matches(pieces: Iterable[bytes], finds: Finds, literal: bytes | None) -> bool:
    """Whether a line matches. All of a content is read, so that damage shows."""
    hit = False
    for _ in _lines(pieces, finds, literal):
        hit = True
    return hit


def _lines(pieces: Iterable[bytes], finds: Finds, literal: bytes | None = None) -> Iterator[MatchingLine]:
    """The lines that match, of a content in pieces. Lines without end are searched in overlapping parts."""
    rest, number = b"", 1
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK):
            block = rest + piece[start : start + _BLOCK]
            end = block.rfind(b"\n") + 1
            whole, rest = block[:end], block[end:]
            if literal is None or literal in whole:
                yield from (
                    MatchingLine(n, text) for n, text in enumerate(whole.split(b"\n")[:-1], number) if finds(text)
                )
            number += whole.count(b"\n")
            if len(rest) > 2 * _BLOCK:
                if finds(rest):
                    yield MatchingLine(number, rest)
                rest = rest[-_BLOCK:]
    if rest and finds(rest):
        yield MatchingLine(number, rest)


def _told(sidecar: Sidecar, versions: list[Occurrence], finds: Finds) -> Iterator[tuple[Found, list[int]]]:
    """Each path's versions; those in which the same lines match, wherever they stand, are told as one."""
    known: dict[tuple[bool, tuple[bytes, ...], int], tuple[Found, list[int]]] = {}
    for held in versions:
        try:
            found = _look(sidecar, held, finds)
        except IntegrityError:
            continue
        if not found.lines and not found.binary:
            continue
        key = found.binary, tuple(line.text for line in found.lines), found.more
        known.setdefault(key, (found, []))[1].extend(held.snapshots)
    for found, numbers in known.values():
        yield found, sorted(numbers)


def _mask(sidecar: Sidecar, found: Found, masker: Masker) -> None:
    """Put marks in the place of secrets, as the whole file tells where they are."""
    data, pieces = b"", sidecar.objects.blob(found.oid, None)
    for piece in pieces:
        data += piece
        if len(data) > masking.LARGEST:
            data = b""
            break
    numbers = [n.number - 1 for n in found.lines]
    shown = masking.told(found.path, data, [n.text for n in found.lines], masker, numbers)
    found.lines = [MatchingLine(n.number, text) for n, text in zip(found.lines, shown, strict=True)]


def _look(sidecar: Sidecar, held: Occurrence, finds: Finds) -> Found:
    found = Found(held.path, [], oid=held.oid)
    seen: list[int] = [0]

    def watched() -> Iterator[bytes]:
        for piece in sidecar.objects.blob(held.oid, None):
            # git looks at the first 8,000 bytes.
            if seen[0] == 0 and b"\0" in piece[:8000]:
                found.binary = True
            seen[0] += len(piece)
            yield piece

    for line in _lines(watched(), finds):
        if found.binary:
            found.lines, found.more = [], 0
            return found
        if len(found.lines) < MOST_LINES:
            found.lines.append(MatchingLine(line.number, line.text[:LONGEST].rstrip(b"\r")))
        else:
            found.more += 1
    return found
