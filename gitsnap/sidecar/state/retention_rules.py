"""The rules that retention followed the last time: one small private file, written when they change.

By them it is noticed that a configuration was lost. Whoever writes holds the writer's lock.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from gitsnap.core.errors import UsageError
from gitsnap.core.retention import SOURCES, Policy, Rules
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE = "retention.json"


def load(sidecar: Sidecar) -> Rules | None:
    """The rules of the last time; None where they are not known, or cannot be read."""
    data = files.read(sidecar.own(_FILE))
    if data is None:
        return None
    try:
        found = json.loads(data)
        policy: dict[str, Any] = found["policy"]
        within = policy.pop("keep_within")
        rules = Rules(Policy(keep_within=within and timedelta(seconds=within), **policy), found["source"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, UsageError):
        return None
    return rules if rules.source in SOURCES else None


def store(sidecar: Sidecar, rules: Rules) -> None:
    """Write them down, if they are not yet. A full disk keeps those of before: they are followed the longer."""
    if load(sidecar) == rules:
        return
    policy, within = asdict(rules.policy), rules.policy.keep_within
    policy["keep_within"] = within and within.total_seconds()
    text = json.dumps({"source": rules.source, "policy": policy})
    with suppress(OSError):
        files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch)
