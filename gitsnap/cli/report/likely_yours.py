"""The user's own files among those that changed: what a record shows, and what is only likely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gitsnap.cli.render import changelog, formatting
from gitsnap.cli.render.changelog_layout import LIKELY, SECTIONS, YOURS, reason_text
from gitsnap.cli.report.budget import Budget
from gitsnap.cli.report.diffs import Diffs
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.wording import STATUSES, Commands, css, letter, path
from gitsnap.core.changelog import FileChange
from gitsnap.core.comparison import Status

if TYPE_CHECKING:
    from gitsnap.ops.report.report import Report

_SHOWN = 25
_ABOUT = {
    YOURS: "They are not as their maker or package recorded them, and the upgrade has changed or removed them.",
    LIKELY: "No record says so: names, places and times do.",
}


def section(report: Report, diffs: Diffs, commands: Commands, budget: Budget) -> Html | None:
    """The files by reason, the best evidence first, each with a link to its lines or the command that shows them."""
    own = report.log.likely_yours()
    if not own:
        return None
    parts: list[Html | None] = []
    for title, reasons in SECTIONS:
        found = [(r, f) for r in reasons for f in own if f.likely is not None and f.likely.reason is r]
        if not found:
            continue
        parts += [tag("h2" if not parts else "h3", title), tag("p", _ABOUT[title], class_="c")]
        rows = list(_fitting((_row(file, reason_text(r), diffs, commands) for r, file in found), budget))
        first, rest = rows[:_SHOWN], rows[_SHOWN:]
        parts.append(tag("ul", *first, class_="own"))
        if rest:
            parts.append(tag("details", tag("summary", f"{len(rest):,} more"), tag("ul", *rest, class_="own")))
        left = len(found) - len(rows)
        parts.append(tag("p", f"… and {formatting.many(left, 'file')} more", class_="more") if left else None)
    return tag("section", *parts, id="yours")


def _fitting(parts: Iterable[Html], budget: Budget) -> Iterator[Html]:
    for part in parts:
        if not budget.takes(part):
            return
        yield part


def _row(file: FileChange, reason: str, diffs: Diffs, commands: Commands) -> Html:
    change = file.change
    anchor = diffs.anchors.get(change.path)
    shown = path(change.path)
    unshown = file.what == "text" and not anchor and change.status is Status.MODIFIED and file.keys is None
    return tag(
        "li",
        letter(change.status),
        " ",
        tag("a", shown, href=f"#{anchor}") if anchor else shown,
        " ",
        tag("span", _became(file), class_="c"),
        " ",
        tag("span", reason, class_="badge"),
        tag("span", " ", commands.diff(change.path)) if unshown else None,
        class_=f"it {css(change.status)}",
        data_s=change.status.value,
    )


def _became(file: FileChange) -> str:
    if file.change.status is Status.MODIFIED and file.change.old is not None and file.change.new is not None:
        return changelog.what_changed(file)
    return STATUSES[file.change.status]
