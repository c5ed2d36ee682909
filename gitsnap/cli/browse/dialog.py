"""A few lines to be read, over whatever is there: help, an error, a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gitsnap.cli.browse.rows import ListRow, Rows
from gitsnap.cli.browse.widgets import Line, wrapped


class Notice(ModalScreen[None]):
    """Lines in a frame; any of a few keys takes it away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "leave", "Close"),
    ]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title, self._lines = title, lines

    def compose(self) -> ComposeResult:
        """Title, lines, and how to get away."""
        with Vertical(id="frame"):
            yield Line("title")
            yield Rows(text=True)
            yield Line("about")

    def on_mount(self) -> None:
        """Show the lines."""
        self.query_one("#title", Line).say(self._title, "bold")
        self.query_one("#about", Line).say("Esc closes", "dim")
        lines = wrapped(self._lines, max(min(self.app.size.width, 80) - 5, 20))
        self.query_one("#frame").styles.height = min(len(lines) + 4, max(self.app.size.height - 2, 6))
        rows = self.query_one(Rows)
        rows.fill([ListRow(line) for line in lines])
        rows.focus()

    def action_leave(self) -> None:
        """Take it away."""
        self.dismiss()

    def on_click(self) -> None:
        """A click does, too."""
        self.dismiss()
