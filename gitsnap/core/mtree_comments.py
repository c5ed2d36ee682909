"""What mtree(5) has no word for, as comments after its entries, in this order:

    # xattr PATH NAME=base64
    # uname PATH NAME
    # gname PATH NAME
    # hardlink PATH PATH …
    # sparse PATH
    # partial PATH REASON
    # skipped PATH
    # unlisted PATH
    # unrecorded PATH xattr
    # unrecorded xattr

Paths, names and reasons are written as `vis` has them. Owners' names are here only where mtree could not read them in
the entry. Within a kind the comments are sorted by path, then by name or reason.

What is skipped is a socket, or a file that belongs to a database which was captured as an image: a regular file is such
a database when a journal of its name (`-journal`, `-wal`) is skipped.

What is unlisted is a directory that may have held more than the entries tell. `unrecorded` says of an entry,
or of all of them, that the extended attributes are not known; what else may lack has no keyword in the entry.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.core.sqlite import claim
from gitsnap.core.vis import invisible, invisible_path, visible, visible_path

# mtree reads the names of owners as they stand, without escapes.
OWNER_NAME = r"[!-\"$-~]+"
plain_owner = re.compile(OWNER_NAME).fullmatch

_DIRECTIVES = ("xattr", "uname", "gname", "hardlink", "sparse", "partial", "skipped", "unlisted", "unrecorded")


def damaged(number: int, why: str) -> IntegrityError:
    """The error for line `number` of the metadata."""
    return IntegrityError(f"metadata, line {number}: {why}")


def format_comments(inventory: Inventory) -> Iterator[str]:
    """The comments for `inventory`."""
    entries = inventory.entries
    for entry in entries:
        for name, value in sorted((_bytes(name), value) for name, value in entry.xattrs) if entry.xattrs else ():
            yield f"# xattr {visible_path(entry.path)} {visible(name)}={b64encode(value).decode()}"
    for directive, names in (("uname", [e.uname for e in entries]), ("gname", [e.gname for e in entries])):
        odd = {name for name in set(names) if name and not plain_owner(name)}
        for entry, owner in zip(entries, names, strict=True) if odd else ():
            if owner in odd:
                yield f"# {directive} {visible_path(entry.path)} {visible(_bytes(owner))}"
    for group in sorted(tuple(sorted(group)) for group in inventory.hardlinks):
        yield f"# hardlink {' '.join(map(visible_path, group))}"
    for entry in entries:
        if entry.sparse:
            yield f"# sparse {visible_path(entry.path)}"
    for path, reason in sorted({(problem.path, _bytes(problem.reason)) for problem in inventory.partial}):
        yield f"# partial {visible_path(path)} {visible(reason)}"
    for path in sorted({*inventory.skipped, *inventory.beside()}):
        yield f"# skipped {visible_path(path)}"
    for path in sorted(set(inventory.unlisted)):
        yield f"# unlisted {visible_path(path)}"
    without = [entry.path for entry in entries if "xattr" in entry.unrecorded]
    if without and len(without) == len(entries):
        yield "# unrecorded xattr"
    else:
        for path in without:
            yield f"# unrecorded {visible_path(path)} xattr"


def commented(entry: Entry) -> bool:
    """Whether a comment is about this entry by itself."""
    return bool(entry.xattrs or entry.sparse or entry.unrecorded) or _odd(entry.uname) or _odd(entry.gname)


@cache
def _odd(owner: str) -> bool:
    return bool(owner) and not plain_owner(owner)


def place_of(line: bytes) -> tuple[int, bytes, bytes]:
    """A comment's place among others; IntegrityError for what is none."""
    words = line.decode("ascii", "replace").split(" ")
    if len(words) < (4 if words[1:2] == ["xattr"] else 3) or words[1] not in _DIRECTIVES:
        raise IntegrityError("an unknown comment, or an entry after the comments")
    if words[1:] == ["unrecorded", "xattr"]:
        return _DIRECTIVES.index("unrecorded"), b"", b""
    detail = invisible(words[3].partition("=")[0]) if words[1] == "xattr" else b""
    return _DIRECTIVES.index(words[1]), invisible_path(words[2]), detail


class CommentReader:
    """Reads the comments after the entries, of which there are `count`, into an inventory, which may lack those that no
    comment is about."""

    def __init__(self, inventory: Inventory, count: int) -> None:
        self._inventory, self._count = inventory, count
        self._entries = inventory.by_path()
        self._linked: set[bytes] = set()
        self._single: set[bytes] = set()

    def read(self, lines: list[str], first: int) -> None:
        """Read all `lines`, of which the first has the number `first`."""
        previous: tuple[int, bytes, bytes] = (-1, b"", b"")
        for number, line in enumerate(lines, first):
            try:
                place = self._read_comment(line)
                if place <= previous:
                    raise IntegrityError("the comments are not sorted, or one occurs twice")
            except IntegrityError as error:
                raise damaged(number, error.message) from None
            previous = place
        if len(self._single) == self._count:
            raise damaged(first, "what is true of all entries is said of each")
        claim(self._inventory)

    def _read_comment(self, line: str) -> tuple[int, bytes, bytes]:
        """Take in one comment; returns its place in the order."""
        words = line.split(" ")
        if len(words) < 3 or words[0] != "#" or words[1] not in _DIRECTIVES:
            raise IntegrityError("an unknown comment, or an entry after the comments")
        if words[1:] == ["unrecorded", "xattr"]:
            self._read_unrecorded(self._inventory.entries)
            return _DIRECTIVES.index("unrecorded"), b"", b""
        directive, path, rest = words[1], invisible_path(words[2]), words[3:]
        detail = b""
        if directive == "hardlink":
            self._read_hardlink([path, *map(invisible_path, rest)])
        elif directive == "partial":
            detail = invisible(_only(rest))
            self._inventory.partial.append(Problem(path, _text(detail)))
        elif directive == "skipped":
            _none(rest)
            self._inventory.skipped.append(path)
        elif directive == "unlisted":
            _none(rest)
            self._inventory.unlisted.append(self._entry(path, Type.DIR).path)
        elif directive == "xattr":
            detail = self._read_xattr(self._entry(path), _only(rest))
        elif directive == "sparse":
            _none(rest)
            self._entry(path, Type.FILE).sparse = True
        elif directive == "unrecorded":
            if _only(rest) != "xattr":
                raise IntegrityError("an unknown comment, or an entry after the comments")
            self._read_unrecorded([self._entry(path)])
            self._single.add(path)
        else:
            self._read_owner(self._entry(path), directive, _text(invisible(_only(rest))))
        return _DIRECTIVES.index(directive), path, detail

    def _entry(self, path: bytes, kind: Type | None = None) -> Entry:
        entry = self._entries.get(path)
        if entry is None or (kind and entry.type is not kind):
            raise IntegrityError(f"{path!r} has no entry that this could be true of")
        return entry

    def _read_hardlink(self, group: list[bytes]) -> None:
        if len(group) < 2 or any(a >= b for a, b in pairwise(group)):
            raise IntegrityError("not a sorted group of two or more links")
        if any(self._entry(path).type is Type.DIR or path in self._linked for path in group):
            raise IntegrityError("a directory, or a path in two groups of links")
        self._linked.update(group)
        self._inventory.hardlinks.append(tuple(group))

    def _read_xattr(self, entry: Entry, word: str) -> bytes:
        name, equals, encoded = word.partition("=")
        try:
            value = a2b_base64(encoded, strict_mode=True)
        except Base64Error:
            value = b""
        if not name or not equals or b64encode(value).decode() != encoded:
            raise IntegrityError("not an attribute's name and its value in base64")
        raw = invisible(name)
        entry.xattrs += ((_text(raw), value),)
        return raw

    def _read_unrecorded(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.xattrs or "xattr" in entry.unrecorded:
                raise IntegrityError(f"{entry.path!r} has extended attributes that are not recorded")
            entry.unrecorded |= {"xattr"}

    def _read_owner(self, entry: Entry, directive: str, name: str) -> None:
        taken = entry.uname if directive == "uname" else entry.gname
        if taken or not name or plain_owner(name):
            raise IntegrityError("an owner's name that belongs into the entry")
        if directive == "uname":
            entry.uname = name
        else:
            entry.gname = name


def _only(words: list[str]) -> str:
    if len(words) != 1:
        raise IntegrityError("the comment has too few or too many words")
    return words[0]


def _none(words: list[str]) -> None:
    if words:
        raise IntegrityError("the comment has too many words")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
