"""A list of any length, of which only what is seen is drawn: with a cursor, or (a text) without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gitsnap.cli.render import formatting

_STYLES = {
    "": Style.null(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "added": Style(color="green"),
    "removed": Style(color="red"),
    "changed": Style(color="yellow"),
    "place": Style(color="cyan"),
    # Code, by the names that the report's colours have.
    "hc": Style(dim=True, italic=True),
    "hk": Style(color="magenta"),
    "hs": Style(color="green"),
    "hn": Style(color="cyan"),
    "hf": Style(color="blue"),
    "ha": Style(color="yellow"),
}
_CURSOR = Style(reverse=True)


@dataclass(slots=True, frozen=True)
class ListRow:
    """One line: plain text (safe to show, see formatting.name), what it stands for, and one of the styles above.

    `number` stands before the line, and no filter looks at it; `pieces` are the text in parts, each with its style.
    """

    text: str
    what: Any = None
    style: str = ""
    number: str = ""
    pieces: Sequence[tuple[str, str]] = ()


class Rows(ScrollView, can_focus=True):
    """Rows to choose from, or, as a text, to read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "jump(0)", show=False),
        Binding("end,G", "jump(-1)", show=False),
        Binding("left", "sideways(-8)", show=False),
        Binding("right", "sideways(8)", show=False),
    ]

    class Opened(Message):
        """Somebody wants to see what a row stands for."""

        def __init__(self, row: ListRow) -> None:
            super().__init__()
            self.row = row

    class Left(Message):
        """Somebody wants to go to where this came from."""

    class Moved(Message):
        """The cursor is on another row (None: there are none)."""

        def __init__(self, row: ListRow | None) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, text: bool = False) -> None:
        super().__init__()
        self._text = text
        self._all: Sequence[ListRow] = ()
        self._rows: Sequence[ListRow] = ()
        self._pattern = ""
        self.cursor = 0

    @property
    def row(self) -> ListRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows are shown, and how many there are."""
        return len(self._rows), len(self._all)

    def fill(self, rows: Sequence[ListRow], cursor: int = 0) -> None:
        """Show these rows."""
        self._all = rows
        self._choose(cursor)

    def filter(self, pattern: str) -> None:
        """Show only rows with this text in them, in whatever case."""
        here = self.row
        self._pattern = pattern.casefold()
        self._choose(0)
        if here is not None and here in self._rows:
            self._go(self._rows.index(here))

    def _choose(self, cursor: int) -> None:
        wanted = self._pattern
        self._rows = [r for r in self._all if wanted in r.text.casefold()] if wanted else self._all
        wide = max((len(r.number) + cell_len(r.text) for r in self._rows), default=0) if self._text else 0
        self.virtual_size = Size(wide, len(self._rows))
        self.cursor = min(cursor, max(len(self._rows) - 1, 0))
        self.scroll_to(0, 0, animate=False)
        self._go(self.cursor)

    def _go(self, cursor: int) -> None:
        self.cursor = min(max(cursor, 0), max(len(self._rows) - 1, 0))
        height, top = max(self.size.height, 1), round(self.scroll_y)
        if not self._text and not top <= self.cursor < top + height:
            below = self.cursor >= top + height
            self.scroll_to(y=self.cursor - (height - 1 if below else 0), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved(self.row))

    def action_move(self, by: int) -> None:
        """A line up or down."""
        if self._text:
            self.scroll_to(y=self.scroll_y + by, animate=False)
        else:
            self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A screen up or down."""
        self.action_move(by * max(self.size.height - 1, 1))

    def action_jump(self, to: int) -> None:
        """The first or the last line."""
        last = len(self._rows) - 1
        if self._text:
            self.scroll_to(y=0 if to == 0 else last, animate=False)
        else:
            self._go(0 if to == 0 else last)

    def action_sideways(self, by: int) -> None:
        """A long line's other part; in a list, and from the beginning of the lines, back to where this came from."""
        if self._text and (by > 0 or self.scroll_x > 0):
            self.scroll_to(x=self.scroll_x + by, animate=False)
        elif by < 0:
            self.post_message(self.Left())
        else:
            self.open()

    def open(self) -> None:
        """Open what the cursor is on."""
        if self.row is not None and not self._text:
            self.post_message(self.Opened(self.row))

    def on_click(self, event: Click) -> None:
        """The first click goes there, another one opens it."""
        at = event.y + round(self.scroll_y)
        if self._text or at >= len(self._rows):
            return
        if at == self.cursor:
            self.open()
        else:
            self._go(at)

    def render_line(self, y: int) -> Strip:
        """One line of what is seen."""
        x, top = self.scroll_offset
        at, width = y + top, self.size.width
        if at >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[at]
        style = self.rich_style + _STYLES[row.style]
        if self._text:
            parts = [Segment(row.number, self.rich_style + _STYLES["dim"])] if row.number else []
            if row.pieces:
                parts += [Segment(formatting.name(text), style + _STYLES[name]) for name, text in row.pieces]
            else:
                parts.append(Segment(formatting.name(row.text), style))
            return Strip(parts).crop_extend(x, x + width, self.rich_style)
        here = at == self.cursor
        if here and self.has_focus:
            style += _CURSOR
        # The mark says it where there is no reverse video.
        line = ("> " if here else "  ") + formatting.clip(formatting.name(row.text), max(width - 2, 1))
        return Strip([Segment(line, style)]).crop_extend(0, width, style)
