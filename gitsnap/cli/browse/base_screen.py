"""What all screens have in common: a title, rows, a filter, a line about what is under the cursor, and the keys."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Input

from gitsnap.cli.browse.navigation import Navigation
from gitsnap.cli.browse.rows import Rows
from gitsnap.cli.browse.widgets import Line, measured, sentences
from gitsnap.cli.browse.worker import BackgroundWorker, Work
from gitsnap.cli.render import formatting
from gitsnap.core.errors import GitsnapError


class Filter(Input):
    """Where the text is typed that rows must hold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "To the lines", key_display="Enter"),
        Binding("escape", "screen.unfilter", "Show all", key_display="Esc"),
        Binding("down", "submit", show=False),
    ]


class RowsScreen(Screen[None]):
    """A screen of rows. What it shows is fetched by `fetch`, in the worker's thread."""

    BINDINGS: ClassVar[list[BindingType]] = []
    text = False

    def compose(self) -> ComposeResult:
        """Title, rows, filter, a line about the row, keys."""
        yield Line("title")
        yield Line("notice")
        yield Rows(text=self.text)
        yield Filter(placeholder="only lines with this text", id="filter", compact=True)
        yield Line("about")
        yield Footer(show_command_palette=False, compact=True)

    def __init__(self) -> None:
        super().__init__()
        self._noticed = ""

    def on_mount(self) -> None:
        """Begin with the rows."""
        self.query_one("#filter").display = False
        self.query_one("#notice").display = False
        self.rows.focus()

    @property
    def worker(self) -> BackgroundWorker:
        """Where work is done."""
        return cast(Navigation, self.app).worker

    @property
    def rows(self) -> Rows:
        """The list."""
        return self.query_one(Rows)

    @property
    def filtered(self) -> bool:
        """Whether a filter is open."""
        return bool(self.query_one("#filter").display)

    def title_is(self, text: str) -> None:
        """What this screen is about."""
        self.query_one("#title", Line).say(text, "bold")

    def notice(self, text: str) -> None:
        """A line under the title for what must not be missed; none for no text."""
        self._noticed = text
        self._tell(text)

    def _tell(self, text: str) -> None:
        line = self.query_one("#notice", Line)
        line.display = bool(text)
        line.say(text, "bold")

    def about(self, text: str) -> None:
        """A line about what is under the cursor."""
        self.query_one("#about", Line).say(text, "dim")

    def begin(self, doing: Any) -> None:
        """Run a coroutine beside the interface; what fails is told on a screen of its own."""
        self.run_worker(self._guarded(doing), exit_on_error=True, exclusive=True)

    async def _guarded(self, doing: Any) -> None:
        try:
            await doing
        except (GitsnapError, OSError) as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Tell what went wrong, in the command's words."""
        from gitsnap.cli.browse.dialog import Notice

        self.about("")
        self.app.push_screen(Notice("It did not work", sentences(error, self.worker.session.options)))

    async def ask(self, what: str, work: Work[Any]) -> Any:
        """Have something done, and say meanwhile how far it is."""
        progress = self.worker.progress
        timer = self.set_interval(0.1, lambda: self.about(f"{what} … {measured(progress)}"))
        self.about(f"{what} …")
        try:
            return await self.worker.ask(work)
        finally:
            timer.stop()
            self.about("")

    def action_back(self) -> None:
        """To where this came from."""
        if self.filtered:
            self.unfilter()
        elif len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def action_close(self) -> None:
        """Close a text."""
        self.app.pop_screen()

    def on_rows_left(self) -> None:
        """One level up."""
        self.action_left()

    def action_left(self) -> None:
        """To where this came from; nowhere from the first screen."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def action_open(self) -> None:
        """Open what the cursor is on."""
        self.rows.open()

    def action_filter(self) -> None:
        """Ask for a text that rows must hold."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self.unfilter()

    def unfilter(self) -> None:
        """Show all rows again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self._tell(self._noticed)
        self.rows.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self.rows.filter(event.value)
        shown, there = self.rows.counts
        self._tell(f"{shown:,} of {formatting.many(there, 'line')}" if event.value else self._noticed)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the rows that are left."""
        if event.value:
            self.rows.focus()
        else:
            self.unfilter()

    def action_help(self) -> None:
        """Show the keys."""
        from gitsnap.cli.browse.dialog import Notice

        self.app.push_screen(Notice("Keys", HELP.splitlines()))


HELP = """\
Arrows, Page Up, Page Down, Home, End   move; the wheel scrolls
Enter, or a second click                open what the cursor is on
Left                                    one level up; Right opens. In a text
                                        they move along long lines first
Esc                                     go back; ends a filter first
/                                       only lines with a text in them
q                                       close a text; from a list, quit
Ctrl-C                                  quit

Among snapshots
  Enter   its files; of an upgrade, what it changed
  m       mark a snapshot (or now); m again takes the mark away
  d       what differs: from the mark to this one, or from it to now
  b       bring the whole directory back to this one
  F5      read everything afresh

Among files
  Enter   a directory, or a file's content
  d       what differs in this path: from the mark to here, or from here
          to now
  r       bring this path back as it is here

Among changes
  Enter   the change of this one path, as a patch
  r       bring this path back as it was on the first side
  Files that programs generate are one line for each kind: Enter unfolds it

Whatever changes the directory shows its plan first, asks (y or n), takes a
safety snapshot, and checks the result. `gitsnap undo` reverses it.

In a list of changes: A added, D removed, M modified, R renamed, T became
something else, m other metadata."""
