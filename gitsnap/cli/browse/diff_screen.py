"""What differs between two sides, and the patch of one path."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from textual.binding import Binding, BindingType

from gitsnap.cli.browse.base_screen import RowsScreen
from gitsnap.cli.browse.navigation import Navigation
from gitsnap.cli.browse.rows import ListRow, Rows
from gitsnap.cli.browse.widgets import Sheet, keys
from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import words
from gitsnap.cli.render.diff import change_line
from gitsnap.core.comparison import Change, Status
from gitsnap.core.generated_files import generated_kind
from gitsnap.core.settings import Settings
from gitsnap.ops.compare import masking
from gitsnap.ops.compare.diff import NOW, Contents, Difference, diff
from gitsnap.sidecar.repository import Sidecar

_STYLES = {Status.ADDED: "added", Status.REMOVED: "removed", Status.METADATA: "dim"}
_LINES = {"+": "added", "-": "removed", "@": "place", "d": "bold"}
_MOST = 1 << 20


@dataclass(slots=True, frozen=True)
class Fold:
    """The generated files of one kind, as one row."""

    kind: str


def folded(rows: Sequence[ListRow], unfolded: Collection[str]) -> list[ListRow]:
    """The rows, those of generated files last and as one for each kind, with its files where it is unfolded."""
    out: list[ListRow] = []
    kinds: dict[str, list[ListRow]] = {}
    for row in rows:
        kind = generated_kind(row.what.path)
        if kind is None:
            out.append(row)
        else:
            kinds.setdefault(kind, []).append(row)
    for kind, found in sorted(kinds.items()):
        if len(found) == 1:
            out += found
            continue
        mark = "-" if kind in unfolded else "+"
        out.append(ListRow(f"{mark} {kind}: {formatting.many(len(found), 'file')}", Fold(kind), "dim"))
        out += found if kind in unfolded else []
    return out


class DiffScreen(RowsScreen):
    """All that differs."""

    BINDINGS: ClassVar[list[BindingType]] = keys(Binding("r", "restore", "Restore"))

    def __init__(self, old: str, new: str, path: bytes | None = None) -> None:
        super().__init__()
        self._sides, self._path = (old, new), path
        self._contents: Contents | None = None
        self._summary = ""
        self._all: list[ListRow] = []
        self._unfolded: set[str] = set()

    def on_mount(self) -> None:
        """Compare."""
        super().on_mount()
        self.title_is(f"{self._sides[0]} → {self._sides[1]}")
        self.begin(self._fetch())

    async def _fetch(self) -> None:
        (old, new), paths, progress = self._sides, () if self._path is None else (self._path,), self.worker.progress
        sheet = Sheet(self.worker.session.out)

        def compare(sidecar: Sidecar, settings: Settings) -> tuple[Difference, Contents, list[ListRow]]:
            found, contents = diff(sidecar, old, new, settings, paths=paths, observer=progress)
            changes = found.comparison.changes
            return (
                found,
                contents,
                [ListRow(change_line(sheet, c), c, _STYLES.get(c.status, "changed")) for c in changes],
            )

        found, self._contents, rows = await self.ask("comparing", compare)
        self._all = rows
        self.rows.fill(folded(rows, self._unfolded))
        named = f": {formatting.name(self._path)}" if self._path is not None else ""
        self.title_is(f"{old} → {new}{named}")
        self._summary = words(found.comparison.counts)
        unread = f"{formatting.many(len(found.partial), 'path')} could not be read" if found.partial else ""
        self.notice(unread)
        self.about(self._summary)
        if self._path is not None and len(rows) == 1:
            self._open(rows[0].what)

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Keep the sum in sight."""
        self.about(self._summary)

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """One path's patch, or the files of one kind."""
        if isinstance(event.row.what, Fold):
            at = self.rows.cursor
            self._unfolded ^= {event.row.what.kind}
            self.rows.fill(folded(self._all, self._unfolded), at)
        else:
            self._open(event.row.what)

    def _open(self, change: Change) -> None:
        # Nothing is listed, and so opened, before they are there.
        assert self._contents is not None
        self.app.push_screen(PatchScreen(self._sides[0], change, self._contents))

    def action_restore(self) -> None:
        """Bring the path back as it is on the first side."""
        if self.rows.row is not None and isinstance(self.rows.row.what, Change):
            restore(self, self._sides[0], self.rows.row.what)


class PatchScreen(RowsScreen):
    """One path's change."""

    BINDINGS: ClassVar[list[BindingType]] = keys(Binding("r", "restore", "Restore"), opens=False)
    text = True

    def __init__(self, old: str, change: Change, contents: Contents) -> None:
        super().__init__()
        self._old, self._change, self._contents = old, change, contents

    def on_mount(self) -> None:
        """Have git compare."""
        super().on_mount()
        self.title_is(formatting.name(self._change.path) or ".")
        self.begin(self._fetch())

    async def _fetch(self) -> None:
        pieces = await self.ask(
            "comparing",
            lambda *_: list(
                masking.pieces(
                    self._contents.patch([self._change]), self._contents.read, self.worker.session.out.secrets.masker
                )
            ),
        )
        data: bytes = b"".join(piece.text() for piece in pieces)
        whole = data.decode("utf-8", "surrogateescape").split("\n")[:-1]
        lines = whole if len(data) <= _MOST else data[:_MOST].decode("utf-8", "surrogateescape").split("\n")[:-1]
        self.rows.fill([ListRow(formatting.name(line.expandtabs(8)), style=_LINES.get(line[:1], "")) for line in lines])
        self.about(
            "" if len(lines) == len(whole) else f"only the first {len(lines):,} of {len(whole):,} lines are shown"
        )

    def action_restore(self) -> None:
        """Bring the path back as it is on the first side."""
        restore(self, self._old, self._change)


def restore(page: RowsScreen, side: str, change: Change) -> None:
    """Bring a changed path back as it was on the first side, where that is a snapshot that has it."""
    if side == NOW:
        page.about("The first side is the directory as it is now: there is nothing to bring back from it")
    elif change.old is None:
        page.about(f"{side} does not hold this path: a rollback removes it, a restore cannot")
    else:
        cast(Navigation, page.app).bring_back(side, (change.old.path,))
