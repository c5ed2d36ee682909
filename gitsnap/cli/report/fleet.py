"""The page of a fleet: one table, in the frame of the report."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from gitsnap import __version__
from gitsnap.cli.render import fleet as words
from gitsnap.cli.render import formatting
from gitsnap.cli.report.document import document
from gitsnap.cli.report.html import Html, tag

if TYPE_CHECKING:
    from datetime import timedelta

    from gitsnap.core.fleet import Row
    from gitsnap.ops.remote.fleet import Fleet


def page(found: Fleet, older_than: timedelta | None) -> bytes:
    """The page's bytes; the same fleet at the same moment makes the same."""
    title = f"Installations at {found.url}"
    body = tag(
        "body",
        tag("a", "To the installations", href="#main", class_="skip"),
        tag("header", tag("p", "gitsnap fleet", class_="brand"), tag("h1", title)),
        tag("main", _verdict(found, older_than), _table(found, older_than), _problems(found), id="main"),
        tag("footer", tag("p", f"Made by gitsnap {__version__}. This page holds all that it shows; it loads nothing.")),
    )
    return document(title, body)


def _verdict(found: Fleet, older_than: timedelta | None) -> Html:
    stale, doubtful = words.behind(found, older_than), [row for row in found.rows if row.problems]
    told = [formatting.many(len(found.rows), "installation")]
    if older_than is not None:
        told.append(f"{len(stale):,} behind")
    if doubtful:
        told.append(f"{len(doubtful):,} with something that cannot be told")
    mark = "bad" if stale else "warn" if doubtful else "good"
    return tag(
        "div",
        tag("h2", ", ".join(told)),
        tag("p", f"As the server had it at {found.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."),
        class_=f"verdict {mark}",
    )


def _table(found: Fleet, older_than: timedelta | None) -> Html:
    stale = {id(row) for row in words.behind(found, older_than)}
    head = tag("tr", *(tag("th", text.capitalize(), scope="col") for text in words.HEADINGS))
    rows = [_row(row, found, id(row) in stale) for row in found.rows]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="figures")
    return tag("section", tag("h2", "Installations"), tag("div", table, class_="wide"), id="installations")


def _row(row: Row, found: Fleet, stale: bool) -> Html:
    first, newest, age, *rest = words.cells(row, found.now)
    late = tag("span", "behind", class_="badge") if stale else None
    return tag(
        "tr",
        tag("th", first, scope="row"),
        tag("td", tag("code", newest)),
        tag("td", age, " " if late else None, late),
        *(tag("td", text) for text in rest),
    )


def _problems(found: Fleet) -> Html | None:
    items = [tag("li", f"{words.called(row)}: {why}") for row in found.rows for why in row.problems]
    return tag("section", tag("h2", "What cannot be told"), tag("ul", *items), id="problems") if items else None
