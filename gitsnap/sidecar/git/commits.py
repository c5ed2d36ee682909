"""Commit objects as bytes: the snapshot's, the timeline's and the notes'. Written and read in one canonical form."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import NamedTuple

import dulwich.objects
from dulwich.objects import ObjectID, format_timezone

from gitsnap.core.errors import IntegrityError

IDENTITY = b"gitsnap <gitsnap@localhost>"
# Where the second line begins.
_AUTHOR = len("tree \n") + 40
_COMMIT = re.compile(
    rb"tree (?P<tree>[0-9a-f]{40})\n"
    rb"(?:parent (?P<parent>[0-9a-f]{40})\n)?"
    rb"author (?P<author>[^\n]* <[^\n>]*> (?P<time>\d{1,12}) (?P<zone>[+-]\d{4}))\n"
    rb"committer (?P<committer>[^\n]*)\n"
    rb"(?P<extra>(?:[a-z][^\n]*\n(?: [^\n]*\n)*)*)"
    rb"\n(?P<message>.*)",
    re.DOTALL,
)


class Commit(NamedTuple):
    """A parsed commit: hex ids, the author's time with its zone, the message's bytes; whether there is a signature."""

    tree: str
    parent: str | None
    created: datetime
    message: bytes
    author: bytes
    signed: bool = False


def _minutes(when: datetime) -> int:
    return int((when.utcoffset() or timedelta()).total_seconds()) // 60


def form(tree: bytes, message: bytes, when: datetime, parent: str | None = None, author: str = "") -> bytes:
    """The content of a commit object over a tree (its raw id), by gitsnap at a moment; `author` is who asked for it."""
    commit = dulwich.objects.Commit()
    commit.tree = ObjectID(tree.hex().encode())
    commit.parents = [ObjectID(parent.encode())] if parent else []
    commit.author = author.encode("utf-8", "surrogateescape") or IDENTITY
    commit.committer = IDENTITY
    commit.author_time = commit.commit_time = int(when.timestamp())
    commit.author_timezone = commit.commit_timezone = 60 * _minutes(when)
    commit.message = message
    return commit.as_raw_string()


def with_parent(data: bytes, commit: str, parent: str | None) -> bytes:
    """What form() makes of the tree, author and message of a commit without parents, and of a parent. No signature: it
    would not be over that. A commit that has no parent and gets none is itself. IntegrityError like parse()."""
    if parent is None and not data.startswith(b"parent ", _AUTHOR):
        return data
    end = data.find(b"\n", _AUTHOR)
    line = data[_AUTHOR:end]
    stamp = line[line.rfind(b">") + 1 :]
    if line.startswith(b"author ") and data.startswith(b"committer %s%s\n\n" % (IDENTITY, stamp), end + 1):
        # Commits as gitsnap writes them, which nearly all are: a timeline has a thousand of them.
        return b"%sparent %s\n%s" % (data[:_AUTHOR], parent.encode(), data[_AUTHOR:]) if parent else data
    parsed = parse(data, commit)
    stamp = parsed.author[parsed.author.rfind(b">") + 1 :]
    head = b"tree %s\n%sauthor %s\ncommitter %s%s\n\n" % (
        parsed.tree.encode(),
        b"parent %s\n" % parent.encode() if parent else b"",
        parsed.author,
        IDENTITY,
        stamp,
    )
    return head + parsed.message


def author_line(when: datetime) -> bytes:
    """gitsnap's identity at a moment, as git has it in commits and reflogs."""
    return b"%s %d %s" % (IDENTITY, int(when.timestamp()), format_timezone(60 * _minutes(when)))


def parse(data: bytes, commit: str) -> Commit:
    """Parse a commit object; IntegrityError unless it has the form that gitsnap (or a signing git) writes."""
    match = _COMMIT.fullmatch(data)
    if not match:
        raise IntegrityError(f"commit {commit} is malformed")
    tree, parent, author, seconds, zone, _, extra, message = match.groups()
    created = moment(seconds, zone, f"commit {commit}")
    signed = extra != b"" and b"gpgsig" in extra
    return Commit(tree.decode(), parent.decode() if parent else None, created, message, author, signed)


def moment(seconds: bytes, zone: bytes, what: str) -> datetime:
    """A stamp of git's; IntegrityError names `what` has one that cannot be."""
    try:
        return datetime.fromtimestamp(int(seconds), _zone(zone))
    except (ValueError, OverflowError, OSError):
        raise IntegrityError(f"{what} has an impossible date") from None


@cache
def _zone(offset: bytes) -> timezone:
    """The zone that a stamp names; ValueError for one that is no part of a day."""
    found = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
    return timezone(-found if offset.startswith(b"-") else found)
