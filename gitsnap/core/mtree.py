r"""The metadata of a tree, which git's trees cannot hold, as text that mtree(5) reads.

The first line names the format's version. Then one line for each entry, by its full path (`.` is the root), then what
mtree has no word for, as comments (`mtree_comments`). Paths and link targets are written as `vis` has them. Times are
seconds, rounded down, and the nanoseconds on top. What a foreign copy has not recorded has no keyword: the mode, the
owner, a directory's time. So mtree leaves these alone, too.

mtree takes a name with `*`, `?` or `[` in it for a pattern, escaped or not. Such entries and what is below them follow
all the others, so that they cannot catch their neighbours. Only where two such names in one directory match each other
(`a*b` and `a?b`) does mtree confuse them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import lt
from typing import Any

from gitsnap.core import mtree_comments
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import ROOT, Entry, Inventory, Type
from gitsnap.core.mtree_comments import OWNER_NAME, CommentReader, damaged, format_comments, plain_owner
from gitsnap.core.stored_text import Text
from gitsnap.core.vis import PLAIN, invisible, invisible_path, pattern_key, visible, visible_path

VERSION = 1

# Where the comments behind the entries stand (place_of).
COMMENTS = 3

_HEADER = "# gitsnap metadata "
_HEADER_BYTES = _HEADER.encode()
_SECOND = 1_000_000_000
_MAX_SIZE = 2**63 - 1
# Times up to here have no more than ten digits of seconds.
_ORDINARY = 10**19
_MAX_ID = 2**32 - 1

# Looked up once, because access to an enumeration's members is slow.
_FILE, _DIR, _LINK, _CHAR, _BLOCK = Type.FILE, Type.DIR, Type.LINK, Type.CHAR, Type.BLOCK

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_TEXT = rf"[{PLAIN}\\]+"
_all_plain = re.compile(b"[" + PLAIN.encode() + b"]*").fullmatch
_path = re.compile(rf"\.(?:/{_TEXT})?").fullmatch
_attributes = re.compile(
    rf"type=([a-z]+)(?: mode=0([1-7]?[0-7]{{3}}))?"
    rf"(?: uid={_NUMBER} gid={_NUMBER}(?: uname=({OWNER_NAME}))?(?: gname=({OWNER_NAME}))?)?"
).fullmatch
_facts = re.compile(
    rf"((?:0|-?[1-9][0-9]{{0,18}})\.[0-9]{{9}})(?: size={_NUMBER})?(?: (link|device)=({_TEXT}))?"
).fullmatch
_device = re.compile(rf"native,{_NUMBER},{_NUMBER}").fullmatch

# The type and the keyword it needs, the mode, the owner's ids and names, and what of these is not recorded.
_Attributes = tuple[Type, str | None, int, int, int, str, str, frozenset[str]]

# What few different ones make up a whole tree: type, mode, owner's ids and names. Most of a line is one of them.
_Combination = tuple[Type, int, int, int, str, str, frozenset[str]]

# What stands for the mode where it is not recorded: the one that git's tree has.
_UNKNOWN_MODES = {_DIR: 0o755, _LINK: 0o777}
_TIMELESS = frozenset({"time"})
_AT_ONCE = 4096

_TYPES = {kind.value: kind for kind in Type}
_KEYWORDS = {_LINK: "link", _CHAR: "device", _BLOCK: "device"}
_NO_NAME = frozenset({b"", b".", b".."})
_NO_TIME = "0.000000000"


def format_metadata(inventory: Inventory) -> bytes:
    """The metadata's text. Raises ValueError for an inventory that could not be read back.

    Extended attributes, hard links, partial and skipped paths are written sorted, whatever order they come in.
    """
    entries, lines = inventory.entries, MetadataLines()
    # A block at a time: a million lines would otherwise be in memory three times.
    blocks = [lines.of(entries[at : at + _AT_ONCE]) for at in range(0, len(entries), _AT_ONCE)]
    return b"".join([*blocks, lines.end(inventory)])


class MetadataLines:
    """Forms the text, some entries at a time. What stands behind them all is kept until the end()."""

    def __init__(self) -> None:
        self._common: dict[_Combination, str] = {}
        self._patterns: list[tuple[list[tuple[int, bytes]], str]] = []
        self._last: bytes | None = None

    def of(self, entries: Sequence[Entry]) -> bytes:
        """The next piece: the lines of entries that come after all of before. ValueError as in format_metadata()."""
        paths = [entry.path for entry in entries]
        head = ""
        if self._last is None:
            head = f"{_HEADER}{VERSION}\n"
            if paths[0] != ROOT or entries[0].type is not _DIR:
                raise ValueError(f"the first entry is {paths[0]!r}, not the root directory")
        before = paths[:-1] if self._last is None else [self._last, *paths[:-1]]
        after = paths[1:] if self._last is None else paths
        if not all(map(lt, before, after)):
            wrong = next(b for a, b in zip(before, after, strict=True) if a >= b)
            raise ValueError(f"entries are not sorted, or one occurs twice, at {wrong!r}")
        self._last = paths[-1]
        lines = _format_entries(entries, self._common)
        if _all_plain(b"/".join(paths)):
            shown = ["." if not path else "./" + path.decode("ascii") for path in paths]
        else:
            shown = [visible_path(path) for path in paths]
            keyed = {n: key for n, path in enumerate(paths) if (key := pattern_key(path))}
            self._patterns += [(key, shown[n] + lines[n]) for n, key in keyed.items()]
            lines, shown = ([x for n, x in enumerate(of) if n not in keyed] for of in (lines, shown))
        return (head + "".join([f"{path}{line}\n" for path, line in zip(shown, lines, strict=True)])).encode("ascii")

    def end(self, about: Inventory) -> bytes:
        """The last piece; `about` may lack entries that no comment is about (commented())."""
        if self._last is None:
            raise ValueError("an inventory without entries")
        rest = [*(line for _, line in sorted(self._patterns)), *format_comments(about)]
        return "".join([f"{line}\n" for line in rest]).encode("ascii")


def place_of(line: bytes) -> tuple[int, Any]:
    """Where a line stands among the others: the header, plain paths, those that are patterns, comments. IntegrityError
    for what is none."""
    if line.startswith(b"#"):
        return (0, b"") if line.startswith(_HEADER_BYTES) else (COMMENTS, mtree_comments.place_of(line))
    shown = line.partition(b" ")[0]
    if b"\\" not in shown:
        return 1, shown[2:]
    return place_of_path(invisible(shown[2:].decode("ascii", "replace")))


def place_of_path(path: bytes) -> tuple[int, Any]:
    """Where the line of an entry stands."""
    key = pattern_key(path)
    return (2, key) if key else (1, path)


def entry_lines(entries: list[Entry]) -> list[bytes]:
    """The lines of some entries, each with its newline. ValueError for what could not be read back."""
    lines = zip(entries, _format_entries(entries, {}), strict=True)
    return [f"{visible_path(entry.path)}{line}\n".encode("ascii") for entry, line in lines]


def _format_entries(entries: Sequence[Entry], known: dict[_Combination, str]) -> list[str]:
    """What stands behind the path in each entry's line. `known` are the beginnings that occurred before."""
    lines: list[str] = []
    for entry in entries:
        kind, time = entry.type, entry.mtime_ns
        combination = (kind, entry.mode, entry.uid, entry.gid, entry.uname, entry.gname, entry.unrecorded)
        common = known.get(combination)
        if common is None:
            common = known[combination] = _format_common(entry)
        if "time" in entry.unrecorded:
            if kind is not _DIR:
                raise ValueError(f"no time of {entry.path!r}")
            line = common
        elif _SECOND <= time < _ORDINARY:
            digits = str(time)
            line = f"{common}{digits[:-9]}.{digits[-9:]}"
        else:
            line = common + _format_time(entry)
        if kind is _FILE:
            if not 0 <= entry.size <= _MAX_SIZE:
                raise ValueError(f"size {entry.size} of {entry.path!r}")
            line += f" size={entry.size}"
        elif kind is not _DIR:
            line += _format_special(entry)
        lines.append(line)
    return lines


def _format_common(entry: Entry) -> str:
    if not 0 <= entry.mode <= 0o7777:
        raise ValueError(f"mode {entry.mode:o} of {entry.path!r}")
    lacking = entry.unrecorded
    mode = "" if "mode" in lacking else f" mode=0{entry.mode:03o}"
    owner = "" if "owner" in lacking else " " + _format_owner(entry.uid, entry.gid, entry.uname, entry.gname)
    return f" type={entry.type}{mode}{owner}{'' if 'time' in lacking else ' time='}"


def _format_time(entry: Entry) -> str:
    seconds, nanoseconds = divmod(entry.mtime_ns, _SECOND)
    if not -_MAX_SIZE <= seconds <= _MAX_SIZE:
        raise ValueError(f"time {entry.mtime_ns} of {entry.path!r}")
    return f"{seconds}.{nanoseconds:09d}"


def _format_special(entry: Entry) -> str:
    if entry.type is _LINK:
        if not entry.target:
            raise ValueError(f"symlink {entry.path!r} without target")
        return f" link={visible(entry.target)}"
    if entry.type is _CHAR or entry.type is _BLOCK:
        if entry.device is None:
            raise ValueError(f"device {entry.path!r} without numbers")
        return f" device=native,{entry.device[0]},{entry.device[1]}"
    return ""


def parse_metadata(data: bytes) -> Inventory:
    """Read metadata strictly: whatever `format_metadata` would not have written is an IntegrityError.

    The result has no digests, object ids and exclusions: those are the manifest's.
    """
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise damaged(data.count(b"\n", 0, error.start) + 1, "a byte beyond ASCII") from None
    if lines.pop():
        raise damaged(len(lines) + 1, "the final newline is missing")
    _check_version(lines[0] if lines else "")
    entries = _EntryReader().read(lines)
    inventory = Inventory(entries=entries)
    comments = lines[len(entries) + 1 :]
    if comments:
        CommentReader(inventory, len(entries)).read(comments, len(entries) + 2)
    return inventory


class MetadataStream:
    """Reads metadata block by block, as strictly as parse_metadata: read entries() to the end, then end()."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._after = text.find((COMMENTS,), place_of, 0, text.size)[0]
        self._comments = [*map(_text_of, text.lines(self._after))]
        words = {word for line in self._comments for word in line.split(" ")[2:] if word.startswith(".")}
        self._about = {invisible_path(word) for word in words if _path(word)} | {ROOT}
        # Those that a comment is about.
        self._kept: list[Entry] = []
        self._count = 0

    def entries(self) -> Iterator[Entry]:
        """All entries in the order of their lines, without what the comments say of them. IntegrityError for what
        format_metadata would not have written."""
        reader, head = _EntryReader(), True
        for block in self._text.blocks(0, self._after):
            lines = _text_of(block).split("\n")
            if lines.pop():
                raise damaged(self._count + 1, "the final newline is missing")
            if head:
                _check_version(lines.pop(0))
                head = False
            for line in lines:
                entry = reader.entry(line)
                if entry.path in self._about:
                    self._kept.append(replace(entry))
                self._count += 1
                yield entry

    def end(self) -> Inventory:
        """What else there is: an inventory with no more entries than comments are about."""
        if not self._count or self._text.ends() != b"\n":
            raise damaged(self._count + 2, "no entries, or the final newline is missing")
        inventory = Inventory(entries=sorted(self._kept, key=lambda e: e.path))
        if self._comments:
            CommentReader(inventory, self._count).read(self._comments, self._count + 2)
        return inventory


def _text_of(block: bytes) -> str:
    try:
        return block.decode("ascii")
    except UnicodeDecodeError:
        raise damaged(1, "a byte beyond ASCII") from None


def _format_owner(uid: int, gid: int, uname: str, gname: str) -> str:
    if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
        raise ValueError(f"owner {uid}:{gid}")
    user = f" uname={uname}" if plain_owner(uname) else ""
    group = f" gname={gname}" if plain_owner(gname) else ""
    return f"uid={uid} gid={gid}{user}{group}"


class _EntryReader:
    """Reads the lines of the entries, up to the first comment."""

    def __init__(self) -> None:
        self._dirs: set[bytes] = set()
        self._path = ROOT
        self._key: list[tuple[int, bytes]] = []
        # Few combinations make up a whole tree, and matching each but once is what makes reading quick.
        self._attributes: dict[str, _Attributes] = {}

    def read(self, lines: list[str]) -> list[Entry]:
        """The entries, sorted by path; `lines` start with the header."""
        entries: list[Entry] = []
        try:
            for line in lines[1:]:
                if line.startswith("#"):
                    break
                entries.append(self.entry(line))
            if not entries:
                raise IntegrityError("no entries")
        except IntegrityError as error:
            raise damaged(len(entries) + 2, error.message) from None
        if self._key:
            entries.sort(key=lambda entry: entry.path)
        return entries

    def entry(self, line: str) -> Entry:
        """The entry of the next line."""
        text, _, rest = line.partition(" ")
        common, timed, rest = rest.partition(" time=")
        attributes = self._attributes.get(common)
        if attributes is None:
            attributes = self._attributes[common] = _parse_attributes(common)
        kind, needed, mode, uid, gid, uname, gname, lacking = attributes
        if not timed and kind is _DIR:
            rest, lacking = _NO_TIME, lacking | _TIMELESS
        found = _facts(rest)
        if found is None or not _path(text):
            raise IntegrityError("not an entry")
        time, size, keyword, value = found.groups()
        path = invisible(text[2:]) if "\\" in text else text[2:].encode()
        self._check_order(path, pattern_key(path) if "\\" in text else [])
        self._check_place(path, kind)
        if keyword != needed or (size is None) is (kind is _FILE):
            raise IntegrityError("not the keywords that the type needs")
        length = _limited(size, _MAX_SIZE) if size else 0
        entry = Entry(path, kind, mode, uid, gid, uname, gname, _parse_time(time), length)
        if lacking:
            entry.unrecorded = lacking
        if kind is _DIR:
            self._dirs.add(path)
        elif kind is _LINK:
            entry.target = invisible(value)
        elif keyword:
            entry.device = _parse_device(value)
        return entry

    def _check_order(self, path: bytes, key: list[tuple[int, bytes]]) -> None:
        if key or self._key:
            follows = key > self._key
            self._key = key
        else:
            follows = path > self._path or not self._dirs
            self._path = path
        if not follows:
            raise IntegrityError("the paths are not sorted, or one occurs twice")

    def _check_place(self, path: bytes, kind: Type) -> None:
        """Whether `path` is a safe one in a directory that has an entry."""
        if not self._dirs:
            if path != ROOT or kind is not _DIR:
                raise IntegrityError("the first entry is not the root directory")
            return
        cut = path.rfind(b"/")
        # The directory's own path has been checked, so that the last component is all that is left to check.
        if cut == 0 or path[cut + 1 :] in _NO_NAME:
            raise IntegrityError(f"unsafe path {path!r}")
        if (path[:cut] if cut > 0 else ROOT) not in self._dirs:
            raise IntegrityError(f"{path!r} is in no directory that has an entry")


def _parse_attributes(text: str) -> _Attributes:
    found = _attributes(text)
    if found is None or found[1] not in _TYPES:
        raise IntegrityError("not an entry")
    uid, gid = _limited(found[3] or "0", _MAX_ID), _limited(found[4] or "0", _MAX_ID)
    kind = _TYPES[found[1]]
    mode = int(found[2], 8) if found[2] else _UNKNOWN_MODES.get(kind, 0o644)
    lacking = frozenset(what for what, value in (("mode", found[2]), ("owner", found[3])) if value is None)
    return kind, _KEYWORDS.get(kind), mode, uid, gid, found[5] or "", found[6] or "", lacking


def _parse_time(text: str) -> int:
    if len(text) < 28 and text[0] != "-":
        return int(text.replace(".", ""))
    seconds, _, nanoseconds = text.partition(".")
    _limited(seconds.removeprefix("-"), _MAX_SIZE)
    return int(seconds) * _SECOND + int(nanoseconds)


def _parse_device(text: str) -> tuple[int, int]:
    found = _device(text)
    if found is None:
        raise IntegrityError("malformed device")
    return _limited(found[1], _MAX_ID), _limited(found[2], _MAX_ID)


def _limited(text: str, limit: int) -> int:
    number = int(text)
    if number > limit:
        raise IntegrityError(f"{number} is out of range")
    return number


def _check_version(line: str) -> None:
    version = line.removeprefix(_HEADER)
    if not line.startswith(_HEADER) or not re.fullmatch(_NUMBER, version):
        raise damaged(1, "not gitsnap metadata")
    if int(version) > VERSION:
        raise IntegrityError(
            f"the metadata has format version {version}, this gitsnap reads {VERSION}", hint="upgrade gitsnap"
        )
    if int(version) != VERSION:
        raise damaged(1, f"there is no format version {version}")
