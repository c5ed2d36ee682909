"""What screens ask of the program that holds them: where to go next, and where work is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gitsnap.cli.browse.worker import BackgroundWorker


class Navigation(Protocol):
    """The browser, as its screens know it. `mark` is the snapshot that others are compared with."""

    worker: BackgroundWorker
    mark: str | None

    def show_tree(self, side: str) -> None:
        """Show the files of a snapshot, or of the directory as it is."""

    def show_difference(self, old: str, new: str, path: bytes | None = None) -> None:
        """Show what differs between two sides, at `path` where it is given."""

    def compare(self, side: str, path: bytes | None = None) -> None:
        """Compare a side with the one that is marked, or with the directory as it is."""

    def bring_back(self, side: str, paths: Sequence[bytes]) -> None:
        """Ask, and bring back a snapshot or paths of it."""
