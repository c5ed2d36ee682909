"""The machine that pushes as one installation of many, as it says itself: a commit without a tree on a ref of its own
(docs/adr/0141). Others are told from it before they push under the same name, and a fleet is listed by it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import ID, escape, unescape

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_FORM = re.compile(
    r"machine (?P<host>[^\n]*)\n\n"
    r"Gitsnap-Machine: (?P<identity>[0-9a-f]{32})\n"
    r"Gitsnap-Host: (?P=host)\n"
    r"Gitsnap-Directory: (?P<directory>[^\n]+)\n"
    rf"(?:Gitsnap-Verified: (?P<verified>{ID.pattern}) (?P<at>{_TIME})\n)?"
)


class Machine(NamedTuple):
    """`identity` tells a machine and a directory on it from others (32 hex digits). `verified` is the newest snapshot
    that it has verified itself, empty for none, and `at` when."""

    identity: str
    host: str
    directory: str
    verified: str = ""
    at: datetime | None = None


def identity(machine: str, directory: str) -> str:
    """Of a machine's own id and a directory's real path. The id itself is not to be told (machine-id(5))."""
    text = f"gitsnap machine\0{machine}\0{directory}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def format_machine(found: Machine) -> bytes:
    """The message of the commit."""
    host = escape(found.host)
    verified = ""
    if found.verified and found.at is not None:
        verified = f"Gitsnap-Verified: {found.verified} {found.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    return (
        f"machine {host}\n\nGitsnap-Machine: {found.identity}\nGitsnap-Host: {host}\n"
        f"Gitsnap-Directory: {escape(found.directory)}\n{verified}"
    ).encode("utf-8", "surrogateescape")


def parse_machine(message: bytes) -> Machine:
    """What such a message says; IntegrityError for what `format_machine` would not have written."""
    match = _FORM.fullmatch(message.decode("utf-8", "surrogateescape"))
    try:
        if match is not None:
            at = datetime.fromisoformat(match["at"]) if match["at"] else None
            host, directory = unescape(match["host"]), unescape(match["directory"])
            found = Machine(match["identity"], host, directory, match["verified"] or "", at)
            if format_machine(found) == message:
                return found
    except ValueError:
        pass
    raise IntegrityError("the record of a machine is not one that gitsnap writes")
