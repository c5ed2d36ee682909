"""The first screen: the directory as it is, and its snapshots, those of an upgrade together, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, cast

from textual.binding import Binding, BindingType

from gitsnap.cli.browse.base_screen import RowsScreen
from gitsnap.cli.browse.navigation import Navigation
from gitsnap.cli.browse.rows import ListRow, Rows
from gitsnap.cli.browse.widgets import keys
from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.upgrade import Stored
from gitsnap.ops.compare.diff import NOW
from gitsnap.ops.query.browse import Group, Overview, overview


class SnapshotsScreen(RowsScreen):
    """All there is to browse."""

    BINDINGS: ClassVar[list[BindingType]] = keys(
        Binding("m", "mark", "Mark"),
        Binding("d", "differ", "Diff"),
        Binding("b", "back_to", "Roll back"),
        Binding("f5", "fetch", "Afresh", show=False),
        # This is where it began.
        back=False,
    )

    def __init__(self) -> None:
        super().__init__()
        self._found: Overview | None = None

    def on_mount(self) -> None:
        """Read the snapshots."""
        super().on_mount()
        self.title_is(formatting.name(self.worker.place.root))
        self.action_fetch()

    def action_fetch(self) -> None:
        """Read them again."""
        self.begin(self._fetch())

    async def _fetch(self) -> None:
        found: Overview = await self.ask("reading the snapshots", lambda sidecar, _: overview(sidecar))
        self._found = found
        self._draw()
        count = sum(len(g.snapshots) for g in found.groups)
        self.title_is(f"{formatting.name(self.worker.place.root)}   {formatting.many(count, 'snapshot')}")
        self.notice(self._warning(found))

    def _warning(self, found: Overview) -> str:
        out = self.worker.session.out
        if found.pending is not None:
            return f"A rollback was interrupted. Leave, and type: {out.command('recover')}"
        if found.at_work:
            return "A rollback is at work in this directory: what is there now may be half old, half new"
        if found.cut_short is not None:
            upgrade = formatting.name(found.cut_short.upgrade)
            return f"The upgrade {upgrade} was cut short: {out.command('status')} tells more"
        if found.damaged:
            names = ", ".join(name for name, _ in found.damaged)
            return f"Damaged, and not shown: {names}. {out.command('verify --all')} tells more"
        return ""

    def _draw(self) -> None:
        if self._found is not None:
            here, rows = (
                self._here(),
                list(_rows(self._found, cast(Navigation, self.app).mark, self.worker.session.out)),
            )
            # New ones come in above: the cursor stays on what it was on.
            same = (n for n, row in enumerate(rows) if self.rows.row and row.what == self.rows.row.what)
            self.rows.fill(rows, next(same, self.rows.cursor) if here is not None else 0)

    def on_screen_resume(self) -> None:
        """Whatever was done meanwhile shows."""
        if self._found is not None:
            self.action_fetch()

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Say what the commands call it."""
        what = event.row.what if event.row else None
        if isinstance(what, Snapshot):
            subject = self.worker.session.out.told(what.message.partition("\n")[0])
            self.about(f"{what.id}  {subject}")
        elif isinstance(what, Stored):
            self.about(f"{formatting.name(what.id)}  {self.worker.session.out.told(what.pre.command)}")
        else:
            self.about("the directory as it is now" if event.row else "")

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A snapshot's files, or what an upgrade changed."""
        browser, what = cast(Navigation, self.app), event.row.what
        if isinstance(what, Stored):
            browser.show_difference(what.pre.id, what.post.id if what.post else NOW)
        else:
            browser.show_tree(_side(what))

    def action_mark(self) -> None:
        """Mark what is under the cursor as the first side of the next comparison, or take its mark away."""
        browser, side = cast(Navigation, self.app), self._here()
        browser.mark = None if browser.mark == side else side
        self._draw()

    def action_differ(self) -> None:
        """Compare."""
        browser, side = cast(Navigation, self.app), self._here()
        if side is not None:
            browser.compare(side)

    def action_back_to(self) -> None:
        """Roll back, after the plan was shown and agreed to."""
        side = self._here()
        if side == NOW:
            self.about("This is the directory as it is now: choose a snapshot to go back to")
        elif side is not None:
            cast(Navigation, self.app).bring_back(side, ())

    def _here(self) -> str | None:
        row = self.rows.row
        return _side(row.what) if row else None


def _side(what: Snapshot | Stored | None) -> str:
    """What a row is called by operations; an upgrade stands for the snapshot before it."""
    return NOW if what is None else what.pre.id if isinstance(what, Stored) else what.id


def _rows(found: Overview, mark: str | None, out: Terminal) -> Iterator[ListRow]:
    yield ListRow(f"{_star(NOW, mark)} now               the directory as it is", None, "bold")
    for group in found.groups:
        if group.upgrade is not None:
            yield _upgrade(group.upgrade, out)
        for number, snapshot in enumerate(group.snapshots):
            yield _snapshot(snapshot, group, number, mark, out)


def _upgrade(upgrade: Stored, out: Terminal) -> ListRow:
    called, command = formatting.name(upgrade.called.removeprefix("the ")), out.told(upgrade.pre.command)
    outcome = upgrade.outcome.value if upgrade.outcome else "not finished"
    return ListRow(f"  {formatting.when(upgrade.pre.created)[:16]}  {called}, {outcome}: {command}", upgrade, "bold")


def _snapshot(s: Snapshot, group: Group, number: int, mark: str | None, out: Terminal) -> ListRow:
    branch = "" if group.upgrade is None else "└ " if number == len(group.snapshots) - 1 else "├ "
    marks = "".join(
        f"[{m}] " for m in (*(("pinned",) if s.pinned else ()), *(("partial",) if s.partial else ()), *s.tags)
    )
    # What the command of an upgrade was stands above already.
    subject = "" if group.upgrade is not None and s.kind is not Kind.SAFETY else s.message.partition("\n")[0]
    text = (
        f"{_star(s.id, mark)} {formatting.when(s.created)[:16]}  {branch + s.kind.value:9}{s.files:>8,} files"
        f"  {formatting.size(s.bytes):>8}  {formatting.name(marks)}{out.told(subject)}"
    )
    return ListRow(text.rstrip(), s, "dim" if s.kind is Kind.SAFETY else "")


def _star(side: str, mark: str | None) -> str:
    return "*" if side == mark else " "
