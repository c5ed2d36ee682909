"""Annotated tags of commits as bytes, written and read in one form."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

import dulwich.objects
from dulwich.objects import ObjectID

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import commits

_TAG = re.compile(
    rb"object (?P<target>[0-9a-f]{40})\n"
    rb"type commit\n"
    rb"tag (?P<name>[^\n]+)\n"
    rb"tagger [^\n]* <[^\n>]*> (?P<time>\d{1,12}) (?P<zone>[+-]\d{4})\n"
    rb"\n(?P<message>.*)",
    re.DOTALL,
)


class Tag(NamedTuple):
    """A parsed tag: the hex id of its commit, its name, the tagger's time, the message (a signature with it), and all
    of its bytes."""

    target: str
    name: str
    created: datetime
    message: bytes
    content: bytes


def form(target: str, name: str, message: bytes, when: datetime, by: str) -> bytes:
    """The content of a tag of the commit `target`, by whom and when; without a signature."""
    tag = dulwich.objects.Tag()
    tag.object = (dulwich.objects.Commit, ObjectID(target.encode()))
    tag.name = name.encode()
    tag.tagger = by.encode("utf-8", "surrogateescape") or commits.IDENTITY
    tag.tag_time = int(when.timestamp())
    tag.tag_timezone = int((when.utcoffset() or timedelta()).total_seconds())
    tag.message = message
    return tag.as_raw_string()


def parse(data: bytes, tag: str) -> Tag:
    """Parse a tag of a commit; IntegrityError for one that has another form."""
    match = _TAG.fullmatch(data)
    if not match:
        raise IntegrityError(f"tag {tag} is malformed")
    name = match["name"].decode("utf-8", "surrogateescape")
    return Tag(
        match["target"].decode(),
        name,
        commits.moment(match["time"], match["zone"], f"tag {tag}"),
        match["message"],
        data,
    )
