"""The changed lines, before and after side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.report import highlight
from gitsnap.cli.report.budget import Budget
from gitsnap.cli.report.highlight import Piece
from gitsnap.cli.report.html import Html, join, tag
from gitsnap.cli.report.wording import Commands, css, folded, hiding, letter, note, path
from gitsnap.core.changelog import FileChange
from gitsnap.core.comparison import Status
from gitsnap.core.secrets.masker import DOTS
from gitsnap.core.textdiff import DiffRow, differing

if TYPE_CHECKING:
    from gitsnap.ops.report.report import Report, TextDiff

_MOST_ROWS, _MOST_WHOLE, _MOST_FILES, _SHOWN = 300, 60, 400, 50
# What a file costs before its first row, and what ends it, at most.
_FRAME = 6_000
# So much of them is open from the start: a small upgrade is read without a click.
_OPEN = 40_000
_COLUMNS = {n: tag("colgroup", *[tag("col", class_="n"), tag("col")] * n) for n in (1, 2)}


def order(files: Iterable[FileChange]) -> list[FileChange]:
    """What is most worth reading first: the likeliest of the user's own, then what changed, then what came or went."""

    def rank(file: FileChange) -> tuple[int, bool, bool, int, bytes]:
        score = file.likely.score if file.likely is not None else 0
        changed = file.change.status is Status.MODIFIED
        return -score, not changed, file.keys is None, -file.magnitude, file.change.path

    return sorted(files, key=rank)


class Diffs:
    """The section of diffs. `numbers` are those of the components.

    `anchors` are the ids of the files that are on the page, by path; `left_out` counts those that are not.
    """

    def __init__(self, report: Report, numbers: Mapping[str, int], commands: Commands, budget: Budget) -> None:
        self._numbers, self._commands, self._budget = numbers, commands, budget
        self.anchors: dict[bytes, str] = {}
        self.left_out = 0
        self._open = _OPEN
        self._hides = False
        self.parts = list(self._parts(report))

    def section(self, within: int) -> Html | None:
        """The whole of it; `within` counts the changed files of packages, which are not in it."""
        if not self.parts:
            return None
        remarks = []
        if self.left_out:
            remarks.append(
                f"{formatting.many(self.left_out, 'more text file')} changed and would make this page too large."
            )
        if within:
            remarks.append(
                f"The {formatting.many(within, 'changed file')} of installed packages are not shown by line."
            )
        rest = tag("p", " ".join(remarks), " All lines: ", self._commands.diff(), class_="more") if remarks else None
        return tag(
            "section",
            tag("h2", "Line by line"),
            tag("div", *folded(self.parts, _SHOWN), class_="diffs"),
            rest,
            hiding() if self._hides else None,
            id="lines",
        )

    def _parts(self, report: Report) -> Iterator[Html]:
        """One after the other while there is room: what does not fit is not even read."""
        wanted = [f for f in order(report.log.files) if report.texts.shows(f)]
        self.left_out = max(len(wanted) - _MOST_FILES, 0)
        for number, text in enumerate(report.texts.differences(wanted[:_MOST_FILES])):
            if self._budget.left < _FRAME * 2:
                self.left_out = len(wanted) - number
                return
            anchor = f"d{number + 1}"
            part = self._file(text, anchor)
            if self._budget.takes(part):
                self.anchors[text.file.change.path] = anchor
                self._hides = self._hides or DOTS in part.text
                yield part
            else:
                self.left_out += 1

    def _file(self, text: TextDiff, anchor: str) -> Html:
        change = text.file.change
        came, went = _counts(text)
        counts = tag("span", f"+{came:,} −{went:,}", class_="c") if not text.hidden else None
        summary = tag("summary", letter(change.status), " ", path(change.path), " ", counts)
        body = self._hidden(change.path) if text.hidden else self._table(text)
        self._open -= body.size
        return tag(
            "details", summary, body, open=self._open > 0, id=anchor,
            class_=f"it {css(change.status)}", data_s=change.status.value,
            data_c=self._numbers.get(text.file.component),
        )  # fmt: skip

    def _hidden(self, of: bytes) -> Html:
        return tag(
            "p", "It holds a secret that cannot be hidden line by line: ", self._commands.diff(of), class_="more"
        )

    def _table(self, text: TextDiff) -> Html:
        of = text.file.change.path
        one = {Status.ADDED: 1, Status.REMOVED: 0}.get(text.file.change.status)
        lines = [highlight.pieces(of, side) for side in (text.old, text.new)]
        rows = [row for number, hunk in enumerate(text.hunks) for row in ([None, *hunk] if number else hunk)]
        most, room = _MOST_ROWS if one is None else _MOST_WHOLE, self._budget.left - _FRAME
        out: list[Html] = []
        for row in rows[:most]:
            made = _gap() if row is None else _row(row, lines, one)
            room -= made.size
            if room < 0:
                break
            out.append(made)
        left = sum(row.changed for row in rows[len(out) :] if row is not None)
        names = ("Before", "After") if one is None else (("Before", "After")[one],)
        head = tag("tr", *(tag("th", n, scope="col") for name in names for n in ("Line", name)))
        head = tag("thead", head, class_="vh")
        caption = tag("caption", f"What changed in {formatting.fit(formatting.name(of), 200)}", class_="vh")
        table = tag("table", caption, _COLUMNS[len(names)], head, tag("tbody", *out), class_="diff")
        more = None
        if left:
            more = tag(
                "p", f"… and {formatting.many(left, 'more changed line')}: ", self._commands.diff(of), class_="more"
            )
        return join(p for p in (table, _endings(text), more) if p is not None)


def _counts(text: TextDiff) -> tuple[int, int]:
    changed = [row for hunk in text.hunks for row in hunk if row.changed]
    return sum(r.new is not None for r in changed), sum(r.old is not None for r in changed)


def _gap() -> Html:
    return tag("tr", tag("td", "⋯", colspan=4), class_="gap")


def _row(row: DiffRow, lines: Sequence[Sequence[Sequence[Piece]]], one: int | None) -> Html:
    """A row of the table; `one` is the side that there is alone."""
    sides = [lines[side][n - 1] if n is not None else None for side, n in enumerate((row.old, row.new))]
    marks: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    if row.changed and sides[0] is not None and sides[1] is not None:
        texts = ["".join(t for _, t in side) for side in sides if side is not None]
        marks = differing(texts[0], texts[1])
    cells = []
    for at, (number, side, mark, spans) in enumerate(
        zip((row.old, row.new), sides, ("del", "ins"), marks, strict=True)
    ):
        if one not in (None, at):
            continue
        if number is None or side is None:
            cells += [tag("td", class_="x")] * 2
            continue
        shown = highlight.line(side, spans, mark)
        cells += [tag("td", str(number)), tag("td", shown, class_=mark[0] if row.changed else None)]
    return tag("tr", *cells, class_=None if row.changed else "k")


def _endings(text: TextDiff) -> Html | None:
    old, new = text.unended
    change = text.file.change
    if old == new or change.status is not Status.MODIFIED:
        return None
    return note(f"The version {'after' if new else 'before'} has no newline at its end.")
