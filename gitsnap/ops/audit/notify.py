"""The hooks of the sidecar's configuration that are told of what happened: each gets the event as JSON on stdin."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitsnap.core import notification
from gitsnap.core.settings import Hooks
from gitsnap.ops.process import shell


class Failed(NamedTuple):
    """A hook that failed: its name, what is to be said of it, and the end of what it printed where that was kept."""

    name: str
    told: str
    output: str


def notify(
    hooks: Hooks, place: tuple[str, str], record: Mapping[str, Any], damaged: Sequence[Mapping[str, Any]]
) -> list[Failed]:
    """Run those that are due, one after the other. Those that failed. `place` is the installation and the sidecar."""
    failed = []
    for name in notification.due(record, damaged):
        command = hooks.told.get(name)
        if command:
            ended = _run(name, command, hooks, place, notification.event(name, record, _text(place[1]), damaged))
            if ended.problem:
                failed.append(Failed(name, f"the hook {name} {ended.problem}", ended.output))
    return failed


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _run(name: str, command: str, hooks: Hooks, place: tuple[str, str], event: Mapping[str, Any]) -> shell.Ended:
    installation, store = place
    environ = {
        **hooks.environ,
        "GITSNAP_HOOK": name,
        "GITSNAP_DIR": installation,
        "GITSNAP_STORE": store,
        "GITSNAP_UPGRADE": str(event["upgrade"] or ""),
        "GITSNAP_OUTCOME": str(event["outcome"] or ""),
    }
    # What is told of may be that it is gone.
    directory = installation if os.path.isdir(installation) else "/"
    where = shell.Surroundings(directory, environ, hooks.timeout, hooks.umask)
    feed = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    return shell.run(command, where, output=None if hooks.quiet else 2, feed=feed)
