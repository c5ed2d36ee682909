"""Changed paths that have no row of their own, by name alone: a line for each directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitsnap.cli.render import formatting
from gitsnap.cli.report.budget import Budget
from gitsnap.cli.report.html import Html, tag
from gitsnap.cli.report.wording import STATUSES, Commands, letter
from gitsnap.core.comparison import Change, Status
from gitsnap.core.component import component_of
from gitsnap.core.model import Type

_LONGEST = 200
_FRAME = 160


class Names:
    """The names that there is room for, in the order of directories. `left_out` counts the others."""

    def __init__(
        self,
        changes: Iterable[Change],
        components: Mapping[str, tuple[str, ...]],
        numbers: Mapping[str, int],
        budget: Budget,
    ) -> None:
        self.left_out = 0
        self.shown = 0
        self._components, self._numbers = components, numbers
        folders: dict[bytes, dict[Status, list[Change]]] = {}
        named = list(changes)
        inside = {c.path.rpartition(b"/")[0] for c in named}
        for change in named:
            if _is_directory(change) and change.path in inside and change.status in (Status.ADDED, Status.REMOVED):
                # What is in it says so.
                continue
            folder = change.path.rpartition(b"/")[0]
            folders.setdefault(folder, {}).setdefault(change.status, []).append(change)
        self._lines = [line for at in sorted(folders) if (line := self._line(at, folders[at], budget)) is not None]

    def _line(self, folder: bytes, found: Mapping[Status, Sequence[Change]], budget: Budget) -> Html | None:
        parts: list[Html] = []
        at = tag("b", formatting.fit(formatting.name(folder), 2 * _LONGEST) + "/" if folder else "")
        for status in STATUSES:
            names: list[Html] = []
            for change in found.get(status, ()):
                name = tag("li", _name(change), class_="it")
                size = name.size + (0 if names else _FRAME) + (0 if parts or names else at.size)
                if size > budget.left:
                    self.left_out += 1
                    continue
                budget.left -= size
                names.append(name)
            if names:
                self.shown += len(names)
                number = self._numbers.get(component_of(found[status][0].path, self._components))
                parts += [letter(status), tag("ul", *names, data_s=status.value, data_c=number)]
        return tag("div", at, *parts, class_="nm") if parts else None

    def draw(self, commands: Commands) -> Html | None:
        """All of them, and how many there is no room for."""
        if not self._lines and not self.left_out:
            return None
        rest = None
        if self.left_out:
            told = f"… and {formatting.many(self.left_out, 'more path')}: "
            rest = tag("p", told, commands.diff(options="--name-status "), class_="more")
        title = tag("summary", f"{self.shown:,} more changed paths, by name")
        return tag("div", tag("details", title, *self._lines, class_="names rest"), rest)


def _name(change: Change) -> str:
    name = formatting.fit(formatting.name(change.path.rpartition(b"/")[2]) or ".", _LONGEST)
    return f"{name}/" if _is_directory(change) else name


def _is_directory(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is Type.DIR
