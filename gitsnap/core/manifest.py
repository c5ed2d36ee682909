"""The manifest: the SHA-256 of every regular file, as text that `sha256sum --strict -c` accepts as it is.

Lines that start with `#` come first: the format's version, the counts, the exclusion rules in their order, and the
paths that they left out. Then `<hex>  <path>` for each regular file, sorted by the path's bytes. Backslash, newline
and carriage return are escaped GNU sha256sum's way: in an entry a leading backslash announces the escapes, in a
comment they always apply. The same content and exclusions give the same bytes.
"""

from __future__ import annotations

import re
from binascii import hexlify, unhexlify
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Inventory
from gitsnap.core.paths import check_path
from gitsnap.core.stored_text import Text, blocks_about, differing_blocks, lines_of

VERSION = 1

_SPECIAL = re.compile(rb"[\\\n\r]")
_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r"}
_ESCAPED = re.compile(rb"\\([\\nr])")
_UNESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_LINE = re.compile(rb"(\\)?([0-9a-f]{64})  ((?(1)[^\r\0]+|[^\r\0\\]+))")
_NO_NAME = frozenset({b"", b".", b".."})

# `sha256sum -c` takes a file called `-` for its standard input; this is how it finds the real one.
_DASH = b"-"
_WRITTEN_DASH = b"./-"
_DASHES = frozenset({_DASH, _WRITTEN_DASH})


_AT_ONCE = 4096

# Inside the class, `bytes` is one of its fields.
_Bytes = bytes


@dataclass(slots=True)
class Manifest:
    """A manifest as read back; `digests` are raw SHA-256 by path, in the manifest's order."""

    files: int
    bytes: int
    rules: list[_Bytes]
    excluded: list[_Bytes]
    digests: dict[_Bytes, _Bytes]

    def require_listed(self, count: int) -> None:
        """IntegrityError where it does not list as many files as it announces."""
        if count != self.files:
            raise _damaged(2, f"{self.files} files announced, {count} listed")
        if self.bytes and not self.files:
            raise _damaged(3, "bytes without files")


def format_manifest(inventory: Inventory) -> bytes:
    """The manifest's text. Raises ValueError for a file without digest and for a path that occurs twice."""
    files = sorted(inventory.files(), key=attrgetter("path"))
    blocks = [format_header(len(files), sum([entry.size for entry in files]), inventory.rules, inventory.excluded)]
    lines = ManifestLines()
    # A block at a time: a million lines would otherwise be in memory twice.
    blocks += [lines.of(files[at : at + _AT_ONCE]) for at in range(0, len(files), _AT_ONCE)]
    return b"".join(blocks)


class ManifestLines:
    """Forms the lines of files, some at a time."""

    def __init__(self) -> None:
        self._last: bytes | None = None

    def of(self, files: Sequence[Entry]) -> bytes:
        """The lines of files that come after all of before. ValueError as in format_manifest()."""
        paths = [entry.path for entry in files]
        digests = [entry.sha256 or b"" for entry in files]
        before = paths if self._last is None else [self._last, *paths]
        twice = next((b for a, b in pairwise(before) if a >= b), None)
        if twice is not None:
            raise ValueError(f"{twice!r} occurs twice")
        if set(map(len, digests)) - {32}:
            raise ValueError(f"no SHA-256 for {next(e.path for e in files if len(e.sha256 or b'') != 32)!r}")
        self._last = paths[-1] if paths else self._last
        digits = hexlify(b"".join(digests))
        hexes = [digits[i : i + 64] for i in range(0, len(digits), 64)]
        if _DASH in paths or _SPECIAL.search(b"".join(paths)):
            return b"".join([format_line(digest, path) for digest, path in zip(hexes, paths, strict=True)])
        return b"".join([b"%b  %b\n" % pair for pair in zip(hexes, paths, strict=True)])


def format_header(files: int, size: int, rules: Iterable[bytes], excluded: Iterable[bytes]) -> bytes:
    """The comments with which a manifest begins: of so many files, of `size` bytes together."""
    lines = [b"# gitsnap manifest %d" % VERSION, b"# files %d" % files, b"# bytes %d" % size]
    lines += [b"# exclude " + _escape(rule) for rule in rules]
    lines += [b"# excluded " + _escape(path) for path in sorted(set(excluded))]
    return b"".join([line + b"\n" for line in lines])


def format_line(digest: bytes, path: bytes) -> bytes:
    """The line of a file; `digest` is in hex."""
    if _SPECIAL.search(path):
        return b"\\%b  %b\n" % (digest, _escape(path))
    return b"%b  %b\n" % (digest, path if path != _DASH else _WRITTEN_DASH)


def counts_of(text: bytes) -> tuple[int, int]:
    """How many files a manifest's text says that there are, and how many bytes; IntegrityError where it does not."""
    lines = text[:200].split(b"\n", 3)
    _check_version(lines[0])
    return _count(lines, 2, b"# files "), _count(lines, 3, b"# bytes ")


def left_out(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """The exclusion rules, and the paths that they left out, by a manifest's text."""
    at = 0
    while text.startswith(b"#", at):
        at = text.find(b"\n", at) + 1 or len(text)
    lines = text[:at].split(b"\n")
    rules, after = _comments(lines, 3, b"# exclude ")
    return rules, _comments(lines, after, b"# excluded ")[0]


def path_of(line: bytes) -> bytes:
    """The file that a line is about, without looking at its digest; IntegrityError for malformed escapes."""
    if line[:1] == b"\\":
        return _unescape(0, line[67:])
    return line[66:] if line[66:] != _WRITTEN_DASH else _DASH


def place_of(line: bytes) -> tuple[int, bytes]:
    """Where a line stands among the others: comments first, all in one place, then the files by their paths."""
    return (0, b"") if line.startswith(b"#") else (1, path_of(line))


def changed_paths(old: Text, new: Text) -> set[bytes]:
    """The files of which two manifests' texts do not say the same; IntegrityError for a line that is none."""
    changed: set[bytes] = set()
    for blocks in differing_blocks(old, new, place_of):
        a, b = map(lines_of, blocks)
        changed.update([_read_line(line)[0] for line in set(a) ^ set(b) if not line.startswith(b"#")])
    return changed


def digests_of(text: Text, paths: Collection[bytes]) -> dict[bytes, bytes]:
    """The raw SHA-256 of some files, by path, from a manifest's text."""
    found = {}
    for block in blocks_about(text, [(1, path) for path in sorted(paths)], place_of):
        for line in lines_of(block):
            # A path stands behind the digest and two spaces, as it is unless a mark says that it is escaped.
            if not line.startswith(b"#") and (line[66:] in paths or line[:1] == b"\\" or line[66:] == _WRITTEN_DASH):
                path, digest = _read_line(line)
                if path in paths:
                    found[path] = digest
    return found


def _read_line(line: bytes) -> tuple[bytes, bytes]:
    """(path, raw SHA-256) of one line."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise IntegrityError("manifest: a line is not a digest, two spaces and a path")
    mark, digest, path = found.groups()
    return (_unusual_path(0, mark, path) if mark or path in _DASHES else path), unhexlify(digest)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest strictly: whatever `format_manifest` would not have written is an IntegrityError."""
    lines = data.split(b"\n")
    if lines.pop():
        raise _damaged(len(lines) + 1, "the final newline is missing")
    head, at = _head(lines)
    head.digests = dict(_digests(lines[at:], at))
    head.require_listed(len(head.digests))
    return head


def stream_manifest(text: Text) -> tuple[Manifest, Iterator[tuple[bytes, bytes]]]:
    """What a manifest begins with, and (path, raw SHA-256) of each file, read as strictly as all of it would be: so
    this may raise IntegrityError, at the end as well. That so many are listed as were announced is left to whoever
    counts them (require_listed)."""
    start = text.find((1,), place_of, 0, text.size)[0]
    lines = [*text.lines(0, start)]
    head, at = _head(lines)
    if at != len(lines) or text.ends() != b"\n":
        raise _damaged(at + 1, "not a digest, two spaces and a path, or the final newline is missing")
    return head, _digests(text.lines(start), at)


def _head(lines: list[bytes]) -> tuple[Manifest, int]:
    """What stands before the digests, and how many lines that are."""
    _check_version(lines[0] if lines else b"")
    files = _count(lines, 2, b"# files ")
    size = _count(lines, 3, b"# bytes ")
    rules, at = _comments(lines, 3, b"# exclude ")
    excluded, at = _comments(lines, at, b"# excluded ")
    for offset, path in enumerate(excluded):
        _check_excluded(at - len(excluded) + offset + 1, path, excluded[offset - 1] if offset else b"")
    return Manifest(files=files, bytes=size, rules=rules, excluded=excluded, digests={}), at


def _digests(lines: Iterable[bytes], start: int) -> Iterator[tuple[bytes, bytes]]:
    previous = parent = b""
    match = _LINE.fullmatch
    for number, line in enumerate(lines, start + 1):
        found = match(line)
        if found is None:
            raise _damaged(number, "not a digest, two spaces and a path")
        mark, digest, path = found.groups()
        if mark or path in _DASHES:
            path = _unusual_path(number, mark, path)
        if path <= previous:
            raise _damaged(number, "the paths are not sorted, or one occurs twice")
        # A directory is checked once for all the files in it: this is the loop that every reader waits for.
        cut = path.rfind(b"/") + 1
        if path[:cut] != parent or path[cut:] in _NO_NAME:
            _check_path(number, path)
            parent = path[:cut]
        yield path, unhexlify(digest)
        previous = path


def _unusual_path(number: int, mark: bytes | None, path: bytes) -> bytes:
    if mark:
        raw = _unescape(number, path)
        if raw == path:
            raise _damaged(number, "a mark for escapes, and no escapes")
        return raw
    if path == _DASH:
        raise _damaged(number, "sha256sum would take this path for its standard input")
    return _DASH


def _check_version(line: bytes) -> None:
    prefix = b"# gitsnap manifest "
    version = line.removeprefix(prefix)
    if not line.startswith(prefix) or not _NUMBER.fullmatch(version):
        raise _damaged(1, "not a gitsnap manifest")
    if int(version) > VERSION:
        raise IntegrityError(
            f"the manifest has format version {int(version)}, this gitsnap reads {VERSION}",
            hint="upgrade gitsnap",
        )
    if int(version) != VERSION:
        raise _damaged(1, f"there is no format version {int(version)}")


def _count(lines: list[bytes], number: int, prefix: bytes) -> int:
    line = lines[number - 1] if len(lines) >= number else b""
    text = line.removeprefix(prefix)
    if not line.startswith(prefix) or not _NUMBER.fullmatch(text):
        raise _damaged(number, f"expected “{prefix.decode()}N”")
    return int(text)


def _comments(lines: list[bytes], start: int, prefix: bytes) -> tuple[list[bytes], int]:
    """The values of the run of lines with `prefix` from index `start`, and the index of the line after them."""
    values = []
    at = start
    while at < len(lines) and lines[at].startswith(prefix):
        values.append(_unescape(at + 1, lines[at].removeprefix(prefix)))
        at += 1
    return values, at


def _check_excluded(number: int, path: bytes, previous: bytes) -> None:
    _check_path(number, path.removesuffix(b"/"))
    if path <= previous:
        raise _damaged(number, "the excluded paths are not sorted, or one occurs twice")


def _check_path(number: int, path: bytes) -> None:
    try:
        check_path(path)
    except IntegrityError as error:
        raise _damaged(number, error.message) from None


def _escape(text: bytes) -> bytes:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _unescape(number: int, text: bytes) -> bytes:
    raw = _ESCAPED.sub(lambda found: _UNESCAPES[found[1]], text)
    if _escape(raw) != text:
        raise _damaged(number, "malformed escape")
    return raw


def _damaged(number: int, why: str) -> IntegrityError:
    return IntegrityError(f"manifest, line {number}: {why}")
