"""All changed paths as a tree that folds, with counts at every directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gitsnap.cli.render import formatting
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.wording import STATUSES, css, letter
from gitsnap.core.changelog import size_of
from gitsnap.core.comparison import Change, Status
from gitsnap.core.component import component_of
from gitsnap.core.model import Type
from gitsnap.core.quantity import size

_DEEPEST, _LONGEST, _ALL_OPEN = 30, 120, 25
# What a directory costs beside its name, its counts included.
_FRAME, _LINK = 520, 24


@dataclass(slots=True)
class Node:
    """A directory: what changed in it directly, and its directories. `counts` are of everything below it, `drawn`
    is how many of the changes get a row."""

    changes: list[Change] = field(default_factory=list)
    below: dict[bytes, Node] = field(default_factory=dict)
    counts: Counter[Status] = field(default_factory=Counter)
    drawn: int = 0


def grow(changes: Sequence[Change], drawn: Collection[bytes]) -> Node:
    """The tree of these changes. Below some depth, names keep their slashes. `drawn` are the paths that get a row."""
    root = Node()
    for change in changes:
        *folders, name = change.path.split(b"/", _DEEPEST)
        if _is_directory(change) and change.status is not Status.METADATA:
            # What is in it says that it came or went, unless there is nothing in it.
            folders, name = [*folders, name], b""
        node = root
        nodes = [root]
        for folder in folders:
            node = node.below.setdefault(folder, Node())
            nodes.append(node)
        node.changes.append(change)
        for each in nodes:
            each.drawn += change.path in drawn
        of_directory = _is_directory(change) and change.status is Status.METADATA
        if not of_directory and (name or not change.path or change.status is Status.TYPE):
            # Files, as everywhere; a directory's own mode or owner has a row, and is no file.
            for each in nodes:
                each.counts[change.status] += 1
    return root


def _is_directory(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is Type.DIR


class TreeView:
    """Draws the tree. `numbers` are those of the components.

    Rows are given out by worth, as `order` has the paths, while there is room. All other paths are `left_over`;
    `used` is what the rows cost in bytes, at most.
    """

    def __init__(
        self,
        components: Mapping[str, tuple[str, ...]],
        numbers: Mapping[str, int],
        changes: Sequence[Change],
        order: Sequence[Change],
        room: int,
    ) -> None:
        self._components, self._numbers, self._changes = components, numbers, changes
        self._anchors: Mapping[bytes, str] = {}
        self._room, self.used = room, 0
        self._drawn = self._chosen(order)
        self.left_over = [c for c in changes if c.path not in self._drawn]

    def draw(self, anchors: Mapping[bytes, str]) -> Html:
        """The list of it all; `anchors` are the ids of the diffs on the page."""
        self._open, self._anchors = len(self._changes) <= _ALL_OPEN, anchors
        return tag("ul", *self._items(grow(self._changes, self._drawn)), class_="tree")

    def _chosen(self, order: Sequence[Change]) -> set[bytes]:
        """The paths that there is room for, with the directories that they are in."""
        drawn: set[bytes] = set()
        frames: set[bytes] = set()
        for change in order:
            row = self._row(change)
            cost = row.size + _LINK if row is not None else _FRAME
            at = change.path.rpartition(b"/")[0]
            new = []
            while at and at not in frames:
                new.append(at)
                at = at.rpartition(b"/")[0]
            cost += sum(_FRAME + 6 * min(len(at.rpartition(b"/")[2]), _LONGEST) for at in new)
            if self.used + cost > self._room:
                break
            self.used += cost
            frames.update(new)
            drawn.add(change.path)
        return drawn

    def _items(self, node: Node) -> Iterator[Html]:
        for name, child in sorted(node.below.items()):
            if child.drawn:
                yield self._directory(name, child)
        left = 0
        for change in node.changes:
            if change.path not in self._drawn:
                left += 1
            elif (row := self._row(change)) is not None:
                yield row
        left += sum(max(c.counts.total(), 1) for c in node.below.values() if not c.drawn)
        if left:
            yield tag("li", f"and {left:,} that are only named below", class_="more")

    def _directory(self, name: bytes, node: Node) -> Html:
        name, node = _through(name, node)
        own = [c for c in node.changes if _is_directory(c) and c.status is not Status.METADATA]
        marks: list[Html | str] = [letter(own[0].status), " "] if own else []
        counts = [tag("span", f"{n:,} {STATUSES[s]}", class_=css(s)) for s, n in _in_order(node.counts)]
        shown = [part for count in counts for part in (" ", count)]
        label = formatting.fit(formatting.name(name), _LONGEST) + "/"
        summary = tag("summary", *marks, tag("span", label, class_="p"), tag("span", *shown, class_="c"))
        if own and not node.counts:
            return self._empty(own[0], label)
        if own and own[0].status is Status.TYPE:
            shown = [" ", _told(own[0]), *shown]
        body = tag("ul", *self._items(node))
        return tag("li", tag("details", summary, body, open=self._open))

    def _empty(self, change: Change, label: str) -> Html:
        return tag(
            "li", letter(change.status), " ", tag("span", label, class_="p"), tag("span", " empty", class_="c"),
            class_="it", data_s=change.status.value, data_c=self._number(change),
        )  # fmt: skip

    def _number(self, change: Change) -> int | None:
        return self._numbers.get(component_of(change.path, self._components))

    def _row(self, change: Change) -> Html | None:
        if _is_directory(change) and change.status is not Status.METADATA and change.path:
            # It is told in the line of the directory.
            return None
        name = change.path.split(b"/", _DEEPEST)[-1]
        shown: Html = tag("span", formatting.fit(formatting.name(name) or ".", _LONGEST), class_="p")
        anchor = self._anchors.get(change.path)
        if anchor:
            shown = tag("a", shown, href=f"#{anchor}")
        return tag(
            "li", letter(change.status), " ", shown, " ", tag("span", _told(change), class_="c"),
            class_="it", data_s=change.status.value, data_c=self._number(change),
        )  # fmt: skip


def _in_order(counts: Counter[Status]) -> list[tuple[Status, int]]:
    return [(status, counts[status]) for status in Status if counts[status]]


def _through(name: bytes, node: Node) -> tuple[bytes, Node]:
    """A chain of directories with nothing else in them is one line."""
    while len(node.below) == 1 and not node.changes:
        (more, node) = next(iter(node.below.items()))
        name += b"/" + more
    return name, node


def _told(change: Change) -> str:
    old, new = change.old, change.new
    if change.status is Status.RENAMED:
        return "was " + formatting.fit(formatting.name(change.old_path or b""), _LONGEST)
    if change.status is Status.METADATA:
        return formatting.metadata(change)
    if old is not None and new is not None and old.type is not new.type:
        return f"a {new.type.noun}, was a {old.type.noun}"
    entry = new or old
    assert entry is not None
    if entry.type is Type.LINK:
        return f"→ {formatting.fit(formatting.name(entry.target), _LONGEST)}"
    if entry.type is not Type.FILE:
        return f"a {entry.type.noun}"
    if old is not None and new is not None and old.size != new.size:
        return f"{size(old.size)} → {size(new.size)}"
    return size(size_of(entry))
