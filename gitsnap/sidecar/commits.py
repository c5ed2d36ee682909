"""Commit objects as bytes: the snapshot's, the timeline's and the notes'. Written and read in one canonical form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from gitsnap.core.errors import IntegrityError

IDENTITY = b"gitsnap <gitsnap@localhost>"
_COMMIT = re.compile(
    rb"tree (?P<tree>[0-9a-f]{40})\n"
    rb"(?:parent (?P<parent>[0-9a-f]{40})\n)?"
    rb"author (?P<author>[^\n]* <[^\n>]*> (?P<time>\d{1,12}) (?P<zone>[+-]\d{4}))\n"
    rb"committer (?P<committer>[^\n]*)\n"
    rb"(?P<extra>(?:[a-z][^\n]*\n(?: [^\n]*\n)*)*)"
    rb"\n(?P<message>.*)",
    re.DOTALL,
)


@dataclass(slots=True, frozen=True)
class Commit:
    """A parsed commit: hex ids, the author's time with its zone, the message's bytes."""

    tree: str
    parent: str | None
    created: datetime
    message: bytes
    author: bytes


def stamp(when: datetime) -> bytes:
    """git's form of a moment: seconds and the zone's offset."""
    offset = when.utcoffset() or timedelta()
    minutes = int(offset.total_seconds()) // 60
    sign = b"-" if minutes < 0 else b"+"
    return b"%d %s%02d%02d" % (int(when.timestamp()), sign, *divmod(abs(minutes), 60))


def form(tree: bytes, message: bytes, author: bytes, parent: str | None = None) -> bytes:
    """The commit object's content. `author` is an identity with a stamp; the committer is the same."""
    parents = b"parent %s\n" % parent.encode() if parent else b""
    return b"tree %s\n%sauthor %s\ncommitter %s\n\n%s" % (tree.hex().encode(), parents, author, author, message)


def author_line(when: datetime) -> bytes:
    """gitsnap's identity at a moment."""
    return IDENTITY + b" " + stamp(when)


def parse(data: bytes, commit: str) -> Commit:
    """Parse a commit object; IntegrityError unless it has the form that gitsnap (or a signing git) writes."""
    match = _COMMIT.fullmatch(data)
    if not match:
        raise IntegrityError(f"commit {commit} is malformed")
    zone, seconds = match["zone"].decode(), int(match["time"])
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
    try:
        created = datetime.fromtimestamp(seconds, UTC).astimezone(timezone(offset))
    except (ValueError, OverflowError, OSError):
        raise IntegrityError(f"commit {commit} has an impossible date") from None
    parent = match["parent"]
    return Commit(
        match["tree"].decode(), parent.decode() if parent else None, created, match["message"], match["author"]
    )
