"""Units of systemd as text (systemd.unit(5)): what all of them hold, and those that go on with an upgrade."""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from gitsnap.core.errors import UsageError

# What a unit says of itself comes after this; systemd ignores sections that begin with X-.
SECTION = "[X-Gitsnap]"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN = frozenset((string.ascii_letters + string.digits + ":_.").encode())
# A unit's name has at most 255 characters, its ending and those of drop-ins among them.
_LONGEST = 200


def escaped(path: str) -> str:
    """A directory in the name of a unit: as `systemd-escape --path` writes it; a digest at the end of one that would be
    too long."""
    stripped = path.encode("utf-8", "surrogateescape").strip(b"/")
    name = "".join(_escaped(byte, number == 0) for number, byte in enumerate(stripped)) or "-"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 13]}-{hashlib.sha256(stripped).hexdigest()[:12]}"
    return name


def _escaped(byte: int, first: bool) -> str:
    if byte == 0x2F:
        return "-"
    return chr(byte) if byte in _PLAIN and not (first and byte == 0x2E) else f"\\x{byte:02x}"


def facts(line: str | None) -> dict[str, Any]:
    """What a unit says of itself, behind the key; nothing where that is no such thing."""
    try:
        found = json.loads(line or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def quoted(word: str) -> str:
    """One word of a command line or an assignment, as systemd reads it. UsageError for what it cannot hold."""
    try:
        word.encode()
    except UnicodeEncodeError:
        word = "\n"
    if _CONTROL.search(word):
        raise UsageError("a unit of systemd cannot hold a path that is not UTF-8 or has control characters in it")
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The lines of a service that say what it runs, with these variables. UsageError."""
    # A dollar stands for a variable in a command line, but not in an assignment.
    words = " ".join(quoted(word).replace("$", "$$") for word in command)
    variables = "".join(f"Environment={quoted(f'{name}={value}')}\n" for name, value in sorted(environ.items()))
    return f"{variables}ExecStart={words}"


def service(installation: str, command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The unit that runs `command` once."""
    what = quoted(installation)[1:-1]
    return f"""\
[Unit]
Description=Go on with an upgrade of {what} that waits for what becomes of it

[Service]
Type=oneshot
{run(command, environ)}
# It may have to wait for long, and what it starts stays when it is done.
TimeoutStartSec=infinity
KillMode=process
# Somebody else sees to it, or it was told to stop while nothing is decided.
SuccessExitStatus=11 130
"""


def timer(installation: str) -> str:
    """The unit that starts the other one soon after boot, and again a minute after it is done."""
    what = quoted(installation)[1:-1]
    return f"""\
[Unit]
Description=Look after an upgrade of {what} that waits for what becomes of it

[Timer]
# Both count from what only goes forward: a wall clock that is set moves nothing.
OnBootSec=15s
OnActiveSec=1min
OnUnitInactiveSec=1min
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
