"""The application: which screen follows which, and how to get out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from gitsnap.cli.browse.diff_screen import DiffScreen
from gitsnap.cli.browse.files_screen import FilesScreen
from gitsnap.cli.browse.rollback_screen import RollbackScreen
from gitsnap.cli.browse.snapshots_screen import SnapshotsScreen
from gitsnap.cli.browse.worker import BackgroundWorker
from gitsnap.cli.session import Session
from gitsnap.ops.compare.diff import NOW
from gitsnap.ops.store.locate import Place


class Browser(App[None]):
    """A look around the snapshots of one place. `mark` is the first side of the next comparison, if one was chosen."""

    TITLE = "gitsnap"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "interrupt", show=False, priority=True),
    ]
    CSS = """
    Screen { layout: vertical; }
    Line { height: 1; width: 100%; }
    Rows { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    #filter { height: 1; border: none; }
    ModalScreen { align: center middle; }
    #frame { width: 80; max-width: 100%; border: round; padding: 0 1; }
    """

    def __init__(self, session: Session, place: Place) -> None:
        super().__init__()
        # The terminal's own colours, whichever they are.
        self.theme = "ansi-dark"
        self.worker = BackgroundWorker(session, place)
        self.mark: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_mount(self) -> None:
        """The snapshots come first."""
        self._loop = asyncio.get_running_loop()
        self.push_screen(SnapshotsScreen())

    def show_tree(self, side: str) -> None:
        """The files of a snapshot, or those there are now."""
        self.push_screen(FilesScreen(side))

    def show_difference(self, old: str, new: str, path: bytes | None = None) -> None:
        """What differs."""
        self.push_screen(DiffScreen(old, new, path))

    def compare(self, side: str, path: bytes | None = None) -> None:
        """The mark with this side; without a mark, this side with now (and now with the latest snapshot)."""
        if self.mark is not None and self.mark != side:
            self.show_difference(self.mark, side, path)
        elif side == NOW:
            self.show_difference("latest", NOW, path)
        else:
            self.show_difference(side, NOW, path)

    def bring_back(self, side: str, paths: Sequence[bytes]) -> None:
        """Roll back, or restore paths."""
        self.push_screen(RollbackScreen(side, paths))

    def action_leave(self) -> None:
        """Quit, unless a change is at work."""
        screen = self._bringing()
        if screen is None or screen.may_leave:
            self._stop_and_leave()
        else:
            self.bell()
            screen.notice("A change is at work: wait for it, or stop it between two steps with Ctrl-C")

    def action_interrupt(self) -> None:
        """Ctrl-C: quit, or ask a change to stop."""
        screen = self._bringing()
        if screen is None or screen.may_leave:
            self._stop_and_leave()
        else:
            screen.stop()
            screen.notice("Stopping between two steps …")

    def told_to_stop(self) -> None:
        """A signal, in the main thread at any moment: ask a change to stop, and leave."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop_and_leave)

    def _stop_and_leave(self) -> None:
        screen = self._bringing()
        if screen is not None:
            screen.stop()
        self.exit()

    def _bringing(self) -> RollbackScreen | None:
        return next((s for s in self.screen_stack if isinstance(s, RollbackScreen)), None)
