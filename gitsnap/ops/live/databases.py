"""Which databases are captured, and compared, as consistent images."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from gitsnap.core.model import Inventory
from gitsnap.core.settings import Settings
from gitsnap.core.sqlite import LIVE
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.sidecar.repository import Sidecar


def capturing(sidecar: Sidecar, settings: Settings, known: Collection[bytes] = ()) -> Databases | None:
    """As the settings have it: for a snapshot. `known` are those that are images in what is to be brought back."""
    return Databases(lambda: sidecar.scratch, known=known) if settings.sqlite else None


def comparing(sidecar: Sidecar, with_: Inventory, *, sqlite: bool) -> Databases:
    """As a stored tree has it, so that what it holds is compared with the like; what it does not tell, as the settings.

    A tree that has a database's journals as files of their own has read the database as any file.
    """

    @cache
    def names() -> frozenset[bytes]:
        return frozenset(e.path for e in with_.entries if e.path.endswith(LIVE))

    def raw(path: bytes) -> bool:
        if path in with_.images:
            return False
        return not sqlite or any(path + suffix in names() for suffix in LIVE)

    return Databases(lambda: sidecar.scratch, raw, with_.images.keys())
