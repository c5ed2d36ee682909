"""Packages and configuration: what changed by name and version, and by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gitsnap.cli.render import changelog, formatting
from gitsnap.cli.report.budget import Budget
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.wording import Commands, css, folded, hiding, letter, more, path
from gitsnap.core.changelog import Changelog, FileChange
from gitsnap.core.keys import MaskedChange, count_keys, masked
from gitsnap.core.packages.model import PackageChange
from gitsnap.core.secrets.masker import DOTS, Masker

# What a file costs beside its name and keys.
_FRAME = 400
# So many keys are open from the start.
_OPEN_KEYS = 60
_MOST_KEYS, _LONGEST_KEY, _SHOWN_FILES = 200, 200, 30


def packages(log: Changelog, budget: Budget) -> Html | None:
    """The packages that have another version, came, or went."""
    if not log.packages:
        return None
    groups = {title: found for title, found in changelog.package_groups(log.packages) if found}
    updated = [p for title, found in groups.items() if title in changelog.TABLED for p in found]
    told = [", ".join(f"{len(found):,} {title}" for title, found in groups.items()) + "."]
    if log.within:
        told.append(f"{formatting.many(log.within, 'changed file')} belong to them.")
    return tag(
        "section",
        tag("h2", "Packages"),
        tag("p", " ".join(told)),
        _updated(updated, budget) if updated else None,
        *(_listed(title, found, budget) for title, found in groups.items() if title not in changelog.TABLED),
        id="packages",
    )


def _updated(found: Sequence[PackageChange], budget: Budget) -> Html:
    rows = list(fitting(map(_package_row, found), budget))
    head = tag("tr", *(tag("th", h, scope="col") for h in ("Package", "Before", "After", "")))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="versions")
    left = len(found) - len(rows)
    folded = tag("div", table, class_="wide", tabindex=0)
    if len(rows) > 40:
        folded = tag("details", tag("summary", f"All {len(rows):,} updated packages"), folded, open=len(rows) <= 60)
    return tag("div", folded, more(left, "package") if left else None)


def _package_row(package: PackageChange) -> Html:
    remark = changelog.package_remark(package)
    return tag(
        "tr",
        tag("th", _clipped(changelog.package_name(package)), scope="row"),
        tag("td", _clipped(package.old or "")),
        tag("td", _clipped(package.new or "")),
        tag("td", tag("span", remark, class_="badge") if remark else None),
        class_="it",
        data_s="modified",
    )


def _listed(title: str, found: Sequence[PackageChange], budget: Budget) -> Html:
    items = (tag("li", _clipped(changelog.package_line(p))) for p in found)
    rows = list(fitting(items, budget))
    left = len(found) - len(rows)
    return tag(
        "details",
        tag("summary", f"{title.capitalize()}: {formatting.many(len(found), 'package')}"),
        tag("ul", *rows, class_="columns"),
        more(left, "package") if left else None,
    )


def fitting(parts: Iterable[Html], budget: Budget) -> Iterator[Html]:
    """The first of these, as long as there is room."""
    for part in parts:
        if not budget.takes(part):
            return
        yield part


def _clipped(text: str) -> str:
    return formatting.clip(formatting.name(text), 120)


def configuration(
    files: Sequence[FileChange], numbers: Mapping[str, int], commands: Commands, budget: Budget, *, masker: Masker
) -> Html | None:
    """The configuration files with the keys that changed in them."""
    wanted = [f for f in files if f.keys is not None and not changelog.is_lock(f)]
    if not wanted:
        return None
    wanted.sort(key=lambda f: not f.keys)
    told = [f for f in wanted if f.keys]
    same = [f for f in wanted if not f.keys]
    parts = []
    open_keys = _OPEN_KEYS
    for file in told:
        if budget.left < 2_000:
            break
        open_keys -= len(file.keys or ())
        parts.append(_file(file, numbers.get(file.component), commands, budget, opened=open_keys >= 0, masker=masker))
    left = len(told) - len(parts)
    return tag(
        "section",
        tag("h2", "Configuration"),
        tag("div", *folded(parts, _SHOWN_FILES), class_="keys"),
        more(left, "file") if left else None,
        _unchanged(same, budget),
        hiding() if any(DOTS in part.text for part in parts) else None,
        id="configuration",
    )


def _unchanged(found: Sequence[FileChange], budget: Budget) -> Html | None:
    if not found:
        return None
    rows = list(fitting((tag("li", path(f.change.path)) for f in found), budget))
    left = len(found) - len(rows)
    return tag(
        "details",
        tag("summary", f"{formatting.many(len(found), 'file')} written differently, with the same data"),
        tag("ul", *rows),
        more(left, "file") if left else None,
    )


def _file(
    file: FileChange, number: int | None, commands: Commands, budget: Budget, *, opened: bool, masker: Masker
) -> Html:
    assert file.keys is not None
    status = file.change.status
    own = tag("span", "yours", class_="badge") if file.yours else None
    count = tag("span", formatting.many(count_keys(file.keys), "key"), class_="c")
    summary = tag("summary", letter(status), " ", path(file.change.path), " ", own, " ", count)
    cut = more(len(file.keys), "key", commands.diff(file.change.path))
    # Weighed even where it would not fit: the caller has seen to it that there is some room.
    budget.left -= summary.size + cut.size + _FRAME
    rows = list(fitting((_key(masked(c, masker, file.change.path)) for c in file.keys[:_MOST_KEYS]), budget))
    left = len(file.keys) - len(rows)
    head = tag("tr", *(tag("th", h, scope="col") for h in ("Key", "Before", "After")), class_="vh")
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="keychanges")
    return tag(
        "details",
        summary,
        table,
        more(left, "key", commands.diff(file.change.path)) if left else None,
        open=opened,
        class_=f"it {css(status)}",
        data_s=status.value,
        data_c=number,
    )


def _key(change: MaskedChange) -> Html:
    old, new = (changelog.shown_value(v) for v in (change.old, change.new))
    key = formatting.fit(formatting.name(change.key), _LONGEST_KEY)
    return tag(
        "tr",
        tag("th", key, scope="row"),
        tag("td", tag("del", old) if old else tag("span", "not there", class_="none")),
        tag("td", tag("ins", new) if new else tag("span", "not there", class_="none")),
    )
