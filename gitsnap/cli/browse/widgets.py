"""What the screens are made of: texts that scroll and wrap, and the keys that they tell of."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Static

from gitsnap.cli.arguments import in_place
from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.config.environment import Options
from gitsnap.core.errors import GitsnapError


class Line(Static):
    """Text that is never taken for markup."""

    def __init__(self, identity: str) -> None:
        super().__init__("", id=identity, markup=False)

    def say(self, text: str, style: str = "") -> None:
        """Show this."""
        self.update(Text(formatting.line(text), style=style, overflow="ellipsis", no_wrap=True))


class Sheet(Terminal):
    """A terminal that keeps what the commands would print."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal._options)
        self.secrets = terminal.secrets
        self.said: list[str] = []
        self.width = None

    def style(self, text: str, style: str) -> str:
        """Plain: a line has one style here."""
        return text

    def line(self, text: str = "") -> None:
        """Keep a line."""
        self.said += text.split("\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Keep lines."""
        for text in texts:
            self.line(text)

    def warn(self, text: str) -> None:
        """Keep a line."""
        self.line(text)


def keys(*own: Binding, opens: bool = True, back: bool = True) -> list[BindingType]:
    """A screen's own keys, and those that all have, in the order in which the footer shows them.

    In a text, where nothing `opens`, q closes it, as pagers do.
    """
    return [
        *((Binding("enter", "open", "Open", key_display="Enter"),) if opens else ()),
        *own,
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "back", "Back", show=back, key_display="Esc"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.leave", "Quit") if opens else Binding("q", "close", "Close"),
    ]


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Lines of prose, none wider than that; what continues one is indented."""
    out: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        out += textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=False, break_on_hyphens=False) or [
            ""
        ]
    return out


def measured(progress: Any) -> str:
    """How far work is, in words."""
    if not progress.phase:
        return ""
    files, size = progress.totals
    done = f"{progress.phase}: {formatting.many(progress.files, 'file')}"
    done += f" of {files:,}" if files else ""
    return f"{done}, {formatting.size(progress.size)}" + (f" of {formatting.size(size)}" if size else "")


def sentences(error: Exception, options: Options) -> list[str]:
    """An error as the command line tells it, with commands for this place."""
    known = error if isinstance(error, GitsnapError) else formatting.from_system(cast(OSError, error))
    typed = [
        w for o, v in (("-C", options.directory), ("--store", options.typed_store)) if v is not None for w in (o, v)
    ]
    known.hint = known.hint and in_place(known.hint, typed)
    return formatting.failure(known).removeprefix("gitsnap: ").splitlines()
