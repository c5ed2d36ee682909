"""A tree, a directory at a time, and the content of one file."""

from __future__ import annotations

from typing import ClassVar, cast

from textual.binding import Binding, BindingType

from gitsnap.cli.browse.base_screen import RowsScreen
from gitsnap.cli.browse.navigation import Navigation
from gitsnap.cli.browse.rows import ListRow, Rows
from gitsnap.cli.browse.widgets import keys
from gitsnap.cli.render import formatting, snapshots
from gitsnap.cli.report import highlight
from gitsnap.core.calendar import local
from gitsnap.core.filetype import file_type
from gitsnap.core.model import Entry, Type
from gitsnap.ops.compare.diff import NOW
from gitsnap.ops.query.browse import beginning

_MOST = 256 << 10
_DUMPED = 512


class FilesScreen(RowsScreen):
    """One directory of a tree."""

    BINDINGS: ClassVar[list[BindingType]] = keys(
        Binding("d", "differ", "Diff"),
        Binding("r", "restore", "Restore"),
        Binding("backspace", "up", show=False),
    )

    def __init__(self, side: str) -> None:
        super().__init__()
        self._side, self._folder = side, b""
        self._read = False

    def on_mount(self) -> None:
        """Begin at the top."""
        super().on_mount()
        self._show(b"")

    def on_screen_resume(self) -> None:
        """The directory as it is may be another one by now."""
        if self._side == NOW and self._read:
            self._show(self._folder, self.rows.row.what.path if self.rows.row else None)

    def _show(self, folder: bytes, on: bytes | None = None) -> None:
        self.title_is(f"{self._side}: {formatting.name(folder) or '.'}/")
        self.begin(self._fetch(folder, on))

    async def _fetch(self, folder: bytes, on: bytes | None) -> None:
        worker, side = self.worker, self._side
        rows: list[ListRow] = await self.ask(
            "reading the tree", lambda sidecar, _: [_row(e) for e in worker.tree(sidecar, side).below(folder)]
        )
        if self.filtered and folder != self._folder:
            self.unfilter()
        self._folder, self._read = folder, True
        self.rows.fill(rows, next((n for n, row in enumerate(rows) if row.what.path == on), 0))
        if not rows:
            self.about("an empty directory")

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Say the whole path, and the target of a symlink."""
        if event.row is not None:
            entry: Entry = event.row.what
            target = f" -> {formatting.name(entry.target)}" if entry.type is Type.LINK else ""
            self.about(formatting.name(entry.path) + target)

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """Into a directory, or a file's content."""
        entry: Entry = event.row.what
        if entry.type is Type.DIR:
            self._show(entry.path)
        else:
            self.app.push_screen(ContentScreen(self._side, entry))

    def action_back(self) -> None:
        """One directory up, and from the top to the snapshots."""
        if self._folder and not self.filtered:
            self.action_up()
        else:
            super().action_back()

    def action_left(self) -> None:
        """One directory up, and from the top to the snapshots."""
        if self._folder:
            self.action_up()
        else:
            super().action_left()

    def action_up(self) -> None:
        """One directory up."""
        if self._folder:
            self._show(self._folder.rpartition(b"/")[0], self._folder)

    def action_differ(self) -> None:
        """What differs in the path under the cursor."""
        if self.rows.row is not None:
            cast(Navigation, self.app).compare(self._side, self.rows.row.what.path)

    def action_restore(self) -> None:
        """Bring the path under the cursor back, after the plan was shown and agreed to."""
        if self._side == NOW:
            self.about("These are the files as they are now: open a snapshot to bring one of its files back")
        elif self.rows.row is not None:
            cast(Navigation, self.app).bring_back(self._side, (self.rows.row.what.path,))


def _row(e: Entry) -> ListRow:
    name = formatting.name(e.path.rpartition(b"/")[2])
    size = formatting.size(e.size) if e.type is Type.FILE else "-"
    mark = {Type.DIR: "/", Type.LINK: f" -> {formatting.name(e.target)}"}.get(e.type, "")
    when = local(e.mtime_ns // 10**9)[:-3]
    line = f"{snapshots.TYPE_LETTERS[e.type]}{snapshots.permissions(e.mode)} {size:>8}  {when}  {name}{mark}"
    return ListRow(line, e, "place" if e.type is Type.DIR else "")


class ContentScreen(RowsScreen):
    """The beginning of a file."""

    BINDINGS: ClassVar[list[BindingType]] = keys(
        Binding("d", "differ", "Diff"),
        Binding("r", "restore", "Restore"),
        opens=False,
    )
    text = True

    def __init__(self, side: str, entry: Entry) -> None:
        super().__init__()
        self._side, self._entry = side, entry

    def on_mount(self) -> None:
        """Read it."""
        super().on_mount()
        self.title_is(f"{self._side}: {formatting.name(self._entry.path)}")
        self.begin(self._fetch())

    async def _fetch(self) -> None:
        side, entry = self._side, self._entry
        if entry.type not in (Type.FILE, Type.LINK):
            self.rows.fill([ListRow(f"a {entry.type.noun}: there is no content to show")])
            return
        data: bytes = await self.ask("reading", lambda sidecar, _: beginning(sidecar, side, entry, _MOST))
        lines, about = shown(data, entry)
        self.rows.fill(_numbered(lines, entry.path) if is_text(data, entry) else [ListRow(line) for line in lines])
        self.about(about)

    def action_differ(self) -> None:
        """What differs in it."""
        cast(Navigation, self.app).compare(self._side, self._entry.path)

    def action_restore(self) -> None:
        """Bring it back."""
        if self._side == NOW:
            self.about("This is the file as it is now: open a snapshot to bring its file back")
        else:
            cast(Navigation, self.app).bring_back(self._side, (self._entry.path,))


def is_text(data: bytes, entry: Entry) -> bool:
    """Whether a file's beginning is shown as lines of text."""
    return entry.type is Type.FILE and file_type(data) == "text"


def _numbered(lines: list[str], path: bytes) -> list[ListRow]:
    """Lines with their numbers, coloured where their language is known."""
    wide = len(str(len(lines)))
    coloured = highlight.pieces(path, lines)
    return [
        ListRow(line, number=f"{n:>{wide}}  ", pieces=pieces)
        for n, (line, pieces) in enumerate(zip(lines, coloured, strict=True), 1)
    ]


def shown(data: bytes, entry: Entry) -> tuple[list[str], str]:
    """A file's beginning as lines that are safe on a terminal, and what there is to say about it."""
    if entry.type is Type.LINK:
        return [formatting.name(data)], "a symlink"
    kind, size = file_type(data), formatting.size(entry.size)
    if kind != "text":
        first = data[:_DUMPED]
        lines = [f"{kind}, {size}; the first {formatting.many(len(first), 'byte')}:", ""]
        return lines + [_dumped(first, at) for at in range(0, len(first), 16)], f"{kind}, {size}"
    lines = [formatting.name(line.expandtabs(8)) for line in data.decode("utf-8", "surrogateescape").split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    if len(data) < entry.size:
        return lines, f"{size}: only the first {formatting.size(len(data))} are shown"
    return lines, f"{size}, {formatting.many(len(lines), 'line')}"


def _dumped(data: bytes, at: int) -> str:
    piece = data[at : at + 16]
    letters = "".join(chr(b) if 32 <= b < 127 else "." for b in piece)
    return f"{at:04x}  {piece[:8].hex(' '):23}  {piece[8:].hex(' '):23}  {letters}"
