"""The page: its parts in order of their worth to the reader, each within its share of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitsnap import __version__
from gitsnap.cli.report import chart, facts, likely_yours, sections
from gitsnap.cli.report.budget import Budget
from gitsnap.cli.report.diffs import Diffs
from gitsnap.cli.report.document import document
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.names import Names
from gitsnap.cli.report.tree import TreeView
from gitsnap.cli.report.wording import STATUSES, Commands
from gitsnap.core.secrets.masker import Masker

if TYPE_CHECKING:
    from gitsnap.core.comparison import Change
    from gitsnap.ops.report.report import Report

LARGEST = 2_000_000
# Style, script, the bar at the top and what frames the sections, the ends of their lists included.
_FRAME = 150_000
_PACKAGES, _KEYS, _OWN, _TREE, _NAMES = 180_000, 300_000, 90_000, 450_000, 600_000
_MOST_COMPONENTS = 100


@dataclass(slots=True, frozen=True)
class Page:
    """The page's bytes, and how much of the changes is on it."""

    data: bytes
    diffs: int
    diffs_left_out: int


def page(report: Report, commands: Commands, *, masker: Masker) -> Page:
    """The page for a report, of LARGEST bytes at most. The same report makes the same bytes."""
    found = chart.by_component(report.changes, report.components)
    numbers = {name: number for number, name in enumerate(found)}
    opening, checked = _opening(report, commands, masker), facts.checks(report, masker)
    fixed = (opening, _components(found), facts.integrity(report, commands), checked)
    budget = Budget(LARGEST - _FRAME - sum(part.size for part in fixed if part is not None))
    # In the order of their worth; names come before lines, because whoever looks for a file asks for its name.
    room_of_own = budget.share(_OWN)
    room = budget.share(_KEYS)
    keys = sections.configuration(report.log.likely_first(), numbers, commands, room, masker=masker)
    budget.give_back(room)
    room = budget.share(_PACKAGES)
    packages = sections.packages(report.log, room)
    budget.give_back(room)
    tree = TreeView(report.components, numbers, report.changes, _by_worth(report), _TREE)
    budget.left -= tree.used
    room = budget.share(_NAMES)
    names = Names(tree.left_over, report.components, numbers, room)
    budget.give_back(room)
    diffs = Diffs(report, numbers, commands, budget)
    parts = [
        ("verdict", "Verdict", fixed[0]),
        ("checks", "Checks", fixed[3]),
        ("yours", "Your files", likely_yours.section(report, diffs, commands, room_of_own)),
        ("configuration", "Configuration", keys),
        ("packages", "Packages", packages),
        ("components", "Components", fixed[1]),
        ("files", "Files", _files(report, tree.draw(diffs.anchors), names.draw(commands))),
        ("lines", "Line by line", diffs.section(report.log.within)),
        ("proof", "Proof", fixed[2]),
    ]
    there = [(anchor, name, part) for anchor, name, part in parts if part is not None]
    body = tag(
        "body",
        tag("a", "To the changes", href="#main", class_="skip"),
        tag("header", tag("p", "gitsnap report", class_="brand"), tag("h1", facts.title(report))),
        _tools([(a, n) for a, n, _ in there], report, list(found)[:_MOST_COMPONENTS], names.left_out),
        tag("main", *(part for _, _, part in there), id="main"),
        tag("footer", tag("p", f"Made by gitsnap {__version__}. This page holds all that it shows; it loads nothing.")),
    )
    data = document(facts.title(report), body, acts=True)
    return Page(data, len(diffs.parts), diffs.left_out)


def _tools(there: list[tuple[str, str]], report: Report, names: list[str], left_out: int) -> Html:
    """Links to the sections, and what the script makes use of: hidden where there is none."""
    links = tag("ul", *(tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name in there))
    kinds = [s for s in STATUSES if s in report.log.counts.files]
    find = tag(
        "form",
        tag("label", "Find", for_="find-text", class_="vh"),
        tag("input", type="search", id="find-text", placeholder="Find a path or key", autocomplete="off"),
        tag("label", "Kind of change", for_="find-status", class_="vh"),
        tag(
            "select",
            tag("option", "All changes", value=""),
            *(tag("option", STATUSES[s].capitalize(), value=s.value) for s in kinds),
            id="find-status",
        ),
        tag("label", "Component", for_="find-component", class_="vh"),
        tag(
            "select",
            tag("option", "All components", value="*"),
            *(tag("option", chart.called(name), value=number) for number, name in enumerate(names)),
            id="find-component",
            hidden=len(names) < 2,
        ),
        tag("button", "Open all", type="button", id="open-all"),
        tag("output", id="find-count", role="status"),
        id="find",
        role="search",
        data_left=left_out or None,
        hidden=True,
    )
    return tag("nav", links, find, aria_label="This page")


def _opening(report: Report, commands: Commands, masker: Masker) -> Html:
    return tag(
        "div",
        facts.verdict(report, masker),
        facts.facts(report, commands, masker=masker),
        facts.way_back(report, commands),
    )


def _components(found: Mapping[str, tuple[chart.Counts, int]]) -> Html | None:
    if not found:
        return None
    return tag(
        "section",
        tag("h2", "Components"),
        tag("figure", chart.picture(found), tag("figcaption", chart.legend(found))),
        chart.table(found, _MOST_COMPONENTS),
        id="components",
    )


def _by_worth(report: Report) -> list[Change]:
    """All changes: the likeliest of the user's own first, then the largest, generated files and packages last."""
    told = {f.change.path: f for f in report.log.files}

    def rank(change: Change) -> tuple[int, bool, bool, int, bytes]:
        file = told.get(change.path)
        score = file.likely.score if file is not None and file.likely is not None else 0
        made = file is None or file.generated is not None
        return -score, file is None, made, -(file.magnitude if file else 0), change.path

    return sorted(report.changes, key=rank)


def _files(report: Report, tree: Html, names: Html | None) -> Html:
    if not report.changes:
        return tag("section", tag("h2", "Files"), tag("p", "Nothing has changed."), id="files")
    return tag("section", tag("h2", "Files"), tree, names, id="files")
