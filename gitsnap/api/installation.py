"""The handle that a program has of a protected directory."""

from __future__ import annotations

from gitsnap.api.bringing_back import BringingBack
from gitsnap.api.inspecting import Inspecting
from gitsnap.api.remotes import Remotes
from gitsnap.api.snapshots import Snapshots


class Installation(Snapshots, BringingBack, Inspecting, Remotes):
    """A protected directory, as `gitsnap.open` gives it.

    Methods may be called from any thread; each opens the sidecar for itself. A selector names a snapshot as on the
    command line: an id, the beginning of one, `@12`, `latest`, `latest~2`, a label, `UPGRADE@pre`, `@7d` or
    `@2026-11-23` as of then.
    """
