"""What changed by component, as a picture and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gitsnap.cli.render import formatting
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.wording import STATUSES, css, growth
from gitsnap.core.comparison import Change, Status
from gitsnap.ops.compare.components import tally

_MOST, _STEP, _BAR = 12, 46, 14
# The least that is seen of a part, in per cent of the whole width.
_LEAST = 0.6

Counts = Counter[Status]


def by_component(changes: Sequence[Change], components: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[Counts, int]]:
    """The changed files of each component by kind, and how much it has grown; the most changed first."""
    found = {n: (Counter(of.counts.files), of.grown) for n, of in tally(changes, components).items() if of.counts.files}
    return dict(sorted(found.items(), key=lambda item: (-item[1][0].total(), item[0])))


def called(name: str) -> str:
    """A component's name on the page."""
    return "(at the top)" if name == "." else formatting.clip(formatting.name(name), 60)


def picture(found: Mapping[str, tuple[Counts, int]]) -> Html:
    """Bars: one for each component, as long as it has changes."""
    shown = list(found.items())[:_MOST]
    largest = max(counts.total() for _, (counts, _) in shown)
    rows = [part for number, (name, (counts, _)) in enumerate(shown) for part in _bar(number, name, counts, largest)]
    told = "; ".join(f"{called(name)}: {_words(counts)}" for name, (counts, _) in shown)
    left = len(found) - len(shown)
    return tag(
        "svg",
        tag("title", "Changes by component", id="chart-title"),
        tag("desc", told + (f"; and {formatting.many(left, 'more component')}" if left else ""), id="chart-desc"),
        *rows,
        role="img",
        aria_labelledby="chart-title chart-desc",
        width="100%",
        height=len(shown) * _STEP,
        class_="chart",
    )


def _bar(number: int, name: str, counts: Counts, largest: int) -> list[Html]:
    top = number * _STEP
    out = [
        tag("text", called(name), x="0", y=top + 16),
        tag("text", f"{counts.total():,}", x="100%", y=top + 16, text_anchor="end", class_="n"),
        tag("rect", x="0", y=top + 22, width="100%", height=_BAR, rx=3, class_="bg"),
    ]
    at = 0.0
    parts = [(s, counts[s]) for s in STATUSES if counts[s]]
    room = 100 - _LEAST * len(parts)
    for status, count in parts:
        wide = _LEAST + room * count / largest
        out.append(tag("rect", x=f"{at:.2f}%", y=top + 22, width=f"{wide:.2f}%", height=_BAR, class_=css(status)))
        at += wide
    return out


def _words(counts: Counts) -> str:
    return ", ".join(f"{counts[s]:,} {word}" for s, word in STATUSES.items() if counts[s])


def legend(found: Mapping[str, tuple[Counts, int]]) -> Html:
    """Which colour stands for what."""
    there = [s for s in STATUSES if any(counts[s] for counts, _ in found.values())]
    return tag(
        "ul",
        *(tag("li", tag("span", class_=f"dot {css(s)}", aria_hidden="true"), STATUSES[s]) for s in there),
        class_="legend",
    )


def table(found: Mapping[str, tuple[Counts, int]], most: int) -> Html:
    """The same in figures, and with how much each has grown."""
    there = [s for s in STATUSES if any(counts[s] for counts, _ in found.values())]
    head = ["Component", *(STATUSES[s].capitalize() for s in there), "Size"]
    rows = [
        tag(
            "tr",
            tag("th", called(name), scope="row"),
            *(tag("td", f"{counts[s]:,}" if counts[s] else "·") for s in there),
            tag("td", growth(grown)),
        )
        for name, (counts, grown) in list(found.items())[:most]
    ]
    left = len(found) - len(rows)
    return tag(
        "details",
        tag("summary", "The same as a table"),
        tag(
            "div",
            tag(
                "table",
                tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
                tag("tbody", *rows),
                class_="figures",
            ),
            class_="wide",
            tabindex=0,
        ),
        tag("p", f"… and {formatting.many(left, 'more component')}", class_="more") if left else None,
    )
