"""A service and a timer of systemd that have `recover` run at boot and every minute, as text (systemd.unit(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gitsnap.core.errors import UsageError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def quoted(word: str) -> str:
    """One word of a command line or an assignment, as systemd reads it. UsageError for what it cannot hold."""
    try:
        word.encode()
    except UnicodeEncodeError:
        word = "\n"
    if _CONTROL.search(word):
        raise UsageError("a unit of systemd cannot hold a path that is not UTF-8 or has control characters in it")
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def service(installation: str, command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The unit that runs `command` once."""
    # A dollar stands for a variable in a command line, but not in an assignment.
    words = " ".join(quoted(word).replace("$", "$$") for word in command)
    variables = "".join(f"Environment={quoted(f'{name}={value}')}\n" for name, value in sorted(environ.items()))
    what = quoted(installation)[1:-1]
    return f"""\
[Unit]
Description=Go on with an upgrade of {what} that waits for what becomes of it

[Service]
Type=oneshot
{variables}ExecStart={words}
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
