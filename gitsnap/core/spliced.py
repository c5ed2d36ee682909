"""The texts of a state, made of those of another one and of what differs: equal lines are equal entries.

Manifest and metadata have their lines in the order of paths. So the lines that differ are found by halving, and all
others are copied as bytes, without being read.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gitsnap.core import manifest, mtree
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.mtree_comments import format_comments, place_of
from gitsnap.core.stored_difference import Texts, with_digests
from gitsnap.core.vis import invisible, pattern_key, visible_path

# What is said of paths that have no lines, or of several at once.
_BEYOND = (b"\n# partial ", b"\n# unlisted ", b"\n# unrecorded ")
_Place = tuple[int, int]


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
    """The texts of the new state, with its number of files and their bytes. `old` and `new` are both states, with no
    more than the entries that differ and the directories above."""

    texts: Texts
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
    metadata = _Lines(old.metadata, _path_in_metadata, *_entry_lines(old.metadata))
    if any(pattern_key(path) for path in touched) or any(
        old.metadata.find(w, metadata.after - 1) >= 0 for w in _BEYOND
    ):
        return None
    named = _Lines(old.manifest, _path_in_manifest, _first_digest(old.manifest), len(old.manifest))
    comments = old.metadata[metadata.after :].split(b"\n")[:-1]
    shown = {visible_path(path).encode() for path in touched}
    if any(shown.intersection(line.split(b" ")[2:]) for line in comments if line.startswith(b"# hardlink ")):
        return None
    before = _old_entries(metadata, named, [*touched, *_above(touched)], comments)
    present = {e.path: e for e in differing.entries}
    after = {e.path: e for e in before.entries if e.path not in differing.gone} | present
    if any(_parent(path) not in after or after[_parent(path)].type is not Type.DIR for path in present if path):
        return None
    new_lines = dict(zip(present, mtree.entry_lines(differing.entries), strict=True))
    new_metadata = metadata.replaced([(path, new_lines.get(path, b"")) for path in touched])
    texts = Texts(
        b"".join([*_header(old.manifest, rules, before, differing), *_digest_lines(named, touched, present)]),
        b"".join([*new_metadata, *_new_comments(comments, shown, differing)]),
    )
    files, size = manifest.counts_of(texts.manifest)
    inventory = Inventory([after[path] for path in sorted(after)], rules=rules, excluded=list(differing.excluded))
    return Spliced(texts, files, size, before, inventory)


def left_out(texts: Texts) -> Inventory:
    """What a state leaves out: rules, excluded paths and what is skipped; no entries."""
    rules, excluded = manifest.left_out(texts.manifest)
    _, _, comments = _entry_lines(texts.metadata)
    lines = texts.metadata[comments:].split(b"\n")
    skipped = [place_of(line)[1] for line in lines if line.startswith(b"# skipped ")]
    return Inventory(rules=rules, excluded=excluded, skipped=skipped)


class _Lines:
    """The lines of a text from `start` to `end`, sorted by the paths that `path_in` finds where a line begins; and what
    stands from there up to `after`."""

    def __init__(
        self, text: bytes, path_in: Callable[[bytes, int, int], bytes], start: int, end: int, after: int | None = None
    ) -> None:
        self.text, self.start, self.end = text, start, end
        self.after = end if after is None else after
        self._path_in = path_in

    def find(self, path: bytes, low: int) -> _Place:
        """Where the line of a path begins and ends, or would, at `low` or after it."""
        text, high = self.text, self.end
        while low < high:
            middle = (low + high) // 2
            start = text.rfind(b"\n", low, middle) + 1 or low
            end = text.index(b"\n", start) + 1
            found = self._path_in(text, start, end - 1)
            if found == path:
                return start, end
            low, high = (end, high) if found < path else (low, start)
        return low, low

    def of(self, paths: Iterable[bytes]) -> list[bytes]:
        """The lines of those of these sorted paths that have one."""
        out, low = [], self.start
        for path in paths:
            start, low = self.find(path, low)
            if low > start:
                out.append(self.text[start:low])
        return out

    def replaced(self, lines: Iterable[tuple[bytes, bytes]], done: int = 0) -> list[bytes | memoryview]:
        """The text from `done` up to `after`, in pieces, with these lines of sorted paths, empty for none."""
        text, low = memoryview(self.text), self.start
        out: list[bytes | memoryview] = []
        for path, line in lines:
            start, low = self.find(path, low)
            out += [text[done:start], line]
            done = low
        return [*out, text[done : self.after]]


def _entry_lines(text: bytes) -> tuple[int, int, int]:
    """Where the entries begin, where those end that are sorted by path, and where all end."""
    start = text.index(b"\n") + 1 if b"\n" in text else 0
    comment = text.find(b"\n#", start)
    after = len(text) if comment < 0 else comment + 1
    end = after
    while end > start:
        last = text.rfind(b"\n", start, end - 1) + 1 or start
        if not pattern_key(_path_in_metadata(text, last, end - 1)):
            break
        end = last
    return start, end, after


def _path_in_metadata(text: bytes, start: int, end: int) -> bytes:
    shown = text[start : text.find(b" ", start, end)]
    if not shown.startswith(b"./"):
        return b""
    return invisible(shown[2:].decode("ascii", "replace")) if b"\\" in shown else shown[2:]


def _path_in_manifest(text: bytes, start: int, end: int) -> bytes:
    return manifest.path_of(text[start:end])


def _first_digest(text: bytes) -> int:
    at = 0
    while text.startswith(b"#", at):
        at = text.find(b"\n", at) + 1 or len(text)
    return at


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
    header = metadata.text[: metadata.start]
    found = mtree.parse_metadata(b"".join([header, *lines, *about]))
    with_digests(found, b"".join(named.of(wanted)))
    return found


def _is_general(line: bytes) -> bool:
    return line.startswith((b"# skipped ", b"# hardlink "))


def _header(text: bytes, rules: list[bytes], before: Inventory, differing: Differing) -> list[bytes]:
    files, size = manifest.counts_of(text)
    touched = {e.path for e in differing.entries} | set(differing.gone)
    for sign, entries in ((-1, [e for e in before.files() if e.path in touched]), (1, differing.entries)):
        held = [e for e in entries if e.type is Type.FILE]
        files += sign * len(held)
        size += sign * sum(e.size for e in held)
    return [manifest.format_header(files, size, rules, differing.excluded)]


def _digest_lines(named: _Lines, touched: Iterable[bytes], present: dict[bytes, Entry]) -> list[bytes | memoryview]:
    files = {path: e for path, e in present.items() if e.type is Type.FILE}
    lines = [
        (path, manifest.format_line(hexlify(files[path].sha256 or b""), path) if path in files else b"")
        for path in touched
    ]
    return named.replaced(lines, named.start)


def _new_comments(comments: list[bytes], shown: set[bytes], differing: Differing) -> list[bytes]:
    """The comments of the new state: about paths that differ they are made anew, and so are those about sockets."""
    kept = [line for line in comments if not line.startswith(b"# skipped ") and line.split(b" ")[2] not in shown]
    fresh = Inventory([replace(e, unrecorded=frozenset()) for e in differing.entries], skipped=[*differing.skipped])
    made = [line.encode("ascii") for line in format_comments(fresh)]
    lines = sorted([*kept, *made], key=place_of) if made else kept
    return [line + b"\n" for line in lines]
