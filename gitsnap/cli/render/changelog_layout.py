"""The order of a changelog, and how much of it is shown: the reader's own files first, two screens in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.changelog import (
    TITLES,
    Markdown,
    ancestors,
    file_line,
    file_lines,
    head,
    is_lock,
    key_lines,
    package_lines,
)
from gitsnap.core.changelog import FileChange, RepositoryChange, folded
from gitsnap.core.comparison import Status
from gitsnap.core.likely_yours import Reason, family

if TYPE_CHECKING:
    from gitsnap.core.changelog import Changelog
    from gitsnap.core.secrets.masker import Masker
    from gitsnap.ops.report.history import Episode


@dataclass(slots=True, frozen=True)
class Limits:
    """How much of a changelog is shown, in lines; None for no bound. `keys` of a file, `listed` of a list."""

    total: int | None = None
    own: int | None = None
    packages: int | None = None
    listed: int | None = None
    keys: int | None = None


EVERYTHING = Limits()
# Two screens in all, so that what is most likely the reader's is on the first.
TWO_SCREENS = Limits(total=78, own=26, packages=24, listed=3, keys=15)


def lines(
    log: Changelog, episode: Episode | None, style: Markdown, *, masker: Masker, limits: Limits = TWO_SCREENS
) -> Iterator[str]:
    """The changelog: the reader's own, packages, the rest by size of change, generated files by kind.

    Nothing is cut where all of it fits.
    """
    part = _Parts(log, episode, style, masker)
    if limits.total is None:
        yield from part.all(limits)
        return
    whole = part.all(replace(limits, own=None, packages=None, listed=None, total=None), generated=False)
    first = list(islice(whole, limits.total + 1))
    if _height(first) <= limits.total:
        yield from first
        return
    told = list(part.cut(limits))
    yield from told
    yield "\n" + f"All of it: {style.code('gitsnap changelog --all')}"


@dataclass(slots=True)
class _Parts:
    """The parts of a changelog."""

    log: Changelog
    episode: Episode | None
    style: Markdown
    masker: Masker

    def all(self, limits: Limits, *, generated: bool = True) -> Iterator[str]:
        """All of it; with `generated`, each generated file stands with those around it."""
        yield from self._top(limits)
        for name, found in self._rest(generated).items():
            told = list(file_lines(found, self._elsewhere(), self.style, self.masker, limits.keys))
            if told:
                yield self.style.section(_component(name))
                yield from told
        if not generated:
            yield from _generated(self.log, self.style)

    def cut(self, limits: Limits) -> Iterator[str]:
        """What stands within the limits."""
        top, tail = list(self._top(limits)), list(_generated(self.log, self.style))
        room = (limits.total or 0) - _height(top) - _height(tail) - 2
        yield from top
        yield from condensed(self._rest(generated=False), self._elsewhere(), self.style, max(room, _LEAST))
        yield from tail

    def _top(self, limits: Limits) -> Iterator[str]:
        yield from head(self.log, self.episode, self.style, self.masker)
        yield from _yours(self.log.likely_yours(), self.style, self.masker, limits)
        if self.log.packages:
            yield from package_lines(self.log, self.style, limits.packages, limits.listed)
        yield from _repositories(self.log, self.style, limits)

    def _rest(self, generated: bool) -> dict[str, list[FileChange]]:
        """All that is not the reader's own, by component."""
        rest = {
            name: [f for f in found if f.likely is None and (generated or f.generated is None)]
            for name, found in self.log.sections().items()
        }
        return {name: found for name, found in rest.items() if found}

    def _elsewhere(self) -> set[bytes]:
        return self.log.holders().union(*(ancestors(p.where) for p in self.log.packages))


def _height(blocks: Iterable[str]) -> int:
    return sum(block.count("\n") + 1 for block in blocks)


_REASONS = {
    Reason.EDITED: "Not as the maker shipped it",
    Reason.RECORD: "Not as the package recorded it",
    Reason.MADE: "In no package, and not in what the maker shipped",
    Reason.SINCE: "Changed or made since the upgrade before this one",
    Reason.LATER: "Written later than all around",
    Reason.ALONE: "Changed, while the rest of the package did not",
    Reason.PATCHED: "Not as the package records it, since the upgrade",
    Reason.CONFIGURATION: "Configuration, by name and place",
    Reason.TOP: "At the top",
    Reason.FEW: "Few among many",
}
YOURS = "Files that you had changed or made"
LIKELY = "Most likely yours"
_SHOWN_BY_RECORD = (Reason.EDITED, Reason.RECORD, Reason.MADE)
SECTIONS = ((YOURS, _SHOWN_BY_RECORD), (LIKELY, [r for r in Reason if r not in _SHOWN_BY_RECORD]))


def reason_text(reason: Reason) -> str:
    """Why files are thought to be the user's, as a heading."""
    return _REASONS[reason]


def _yours(own: Sequence[FileChange], style: Markdown, masker: Masker, limits: Limits) -> Iterator[str]:
    """What is the user's by a record of what was shipped, and what is most likely so, by reason."""
    most = limits.keys
    if limits.own is not None and own:
        # Rather every file with some of its keys than a few with all of them.
        most = min(most or 0, max(limits.own // len(own) - 2, 0))
    room = limits.own
    for title, reasons in SECTIONS:
        found = [(r, f) for r in reasons for f in own if f.likely is not None and f.likely.reason is r]
        last: Reason | None = None
        for number, (reason, file) in enumerate(found):
            block = [style.section(f"{title} ({len(found):,})")] if number == 0 else []
            block += [style.group(reason_text(reason))] if reason is not last else []
            block.append(style.item(_status_line(file, style)))
            if file.keys and most != 0 and not is_lock(file):
                block += key_lines(file.keys, style, masker, file.change.path, most)
            if room is not None and number and room < _height(block):
                yield style.item(f"… and {len(found) - number:,} more of these")
                break
            yield from block
            room = None if room is None else room - _height(block)
            last = reason


def _status_line(file: FileChange, style: Markdown) -> str:
    """A file's line where files of several kinds of change stand together."""
    entry = file.change.new or file.change.old
    told = file_line(file, 1, entry.size if entry else 0, style)
    word = {Status.ADDED: "new: ", Status.REMOVED: "gone: "}.get(file.change.status, "")
    return word + told


def _repositories(log: Changelog, style: Markdown, limits: Limits) -> Iterator[str]:
    if not log.repositories:
        return
    yield style.section("Repositories")
    most = len(log.repositories) if limits.listed is None else limits.listed * 2
    for repository in log.repositories[:most]:
        yield style.item(f"{style.code(formatting.name(repository.path) or '.')}: {head_moved(repository)}")
    if len(log.repositories) > most:
        yield style.item(f"… and {len(log.repositories) - most:,} more")


def head_moved(repository: RepositoryChange) -> str:
    """Where a repository's HEAD was and is, and how many commits lie between."""
    old, new = ((oid or "none")[:10] for oid in (repository.old, repository.new))
    on = f" on {formatting.name(repository.branch)}" if repository.branch else ""
    came = f", {formatting.many(repository.commits, 'commit')}" if repository.commits else ""
    return f"HEAD {old} → {new}{on}{came}"


def generated_counts(log: Changelog) -> list[tuple[str, list[FileChange]]]:
    """The generated files that are told by kind alone, the most first."""
    kinds: dict[str, list[FileChange]] = {}
    for file in log.files:
        if file.generated is not None and file.likely is None:
            kinds.setdefault(file.generated, []).append(file)
    return sorted(kinds.items(), key=lambda t: (-len(t[1]), t[0]))


def generated_line(found: Sequence[FileChange]) -> str:
    """How many generated files of one kind changed, came and went."""
    counts = Counter(f.change.status for f in found)
    told = ", ".join(f"{counts[s]:,} {TITLES[s].lower()}" for s in TITLES if counts[s])
    if len(found) == 1:
        return f"{formatting.name(found[0].change.path)} ({told[2:]})"
    return told


def _generated(log: Changelog, style: Markdown) -> Iterator[str]:
    kinds = generated_counts(log)
    if kinds:
        yield style.section("Generated files")
        for kind, found in kinds:
            yield style.item(f"{kind}: {generated_line(found)}")


def _component(name: str) -> str:
    return formatting.name(name) if name != "." else "At the top"


_LEAST, _FRAME, _MOST_ROWS = 12, 3, 20
_FEWEST_OF_A_FAMILY = 4


def condensed(parts: Mapping[str, list[FileChange]], elsewhere: set[bytes], style: Markdown, room: int) -> list[str]:
    """The largest changes of each component, the most changed first, in `room` lines; the rest as counts."""
    rows = {name: _condensed_rows(found, elsewhere, style) for name, found in parts.items()}
    ordered = sorted((n for n in rows if rows[n]), key=lambda n: (-sum(size for size, _, _ in rows[n]), n))
    told, others = ordered, []
    if len(ordered) * (_FRAME + 1) > room - 2:
        fit = max((room - 2) // (_FRAME + 1), 1)
        told, others = ordered[:fit], ordered[fit:]
        room -= 2
    # A part with little to tell leaves its room to the others.
    share: dict[str, int] = {}
    for number, name in enumerate(sorted(told, key=lambda n: len(rows[n]))):
        fair = room // (len(told) - number)
        share[name] = max(min(len(rows[name]), fair - _FRAME, _MOST_ROWS), 1)
        room -= share[name] + _FRAME
    out: list[str] = []
    for name in told:
        counts = Counter(f.change.status for f in parts[name])
        summary = ", ".join(f"{counts[s]:,} {TITLES[s].lower()}" for s in TITLES if counts[s])
        out.append(style.section(f"{_component(name)}: {summary}"))
        out += [style.item(line) for _, _, line in rows[name][: share[name]]]
        left = sum(files for _, files, _ in rows[name][share[name] :])
        if left:
            out.append(style.item(f"… and {left:,} more in {_component(name)}"))
    if others:
        left = sum(files for name in others for _, files, _ in rows[name])
        named = ", ".join(map(_component, others[:5])) + (" …" if len(others) > 5 else "")
        out.append(f"\n… and {left:,} more in {formatting.many(len(others), 'other place')}: {named}")
    return out


def _condensed_rows(found: list[FileChange], elsewhere: set[bytes], style: Markdown) -> list[tuple[int, int, str]]:
    """(size of change, files, line) of each change or family of changes, the largest first."""
    rows = []
    for status in TITLES:
        here = [f for f in found if f.change.status is status]
        tops = folded(here) if status in (Status.ADDED, Status.REMOVED) else [(f, 1, 0) for f in here]
        families: dict[tuple[bytes, bytes], list[tuple[FileChange, int, int]]] = {}
        for top in tops:
            if top[1] or top[0].change.path not in elsewhere:
                folder, _, name = top[0].change.path.rpartition(b"/")
                families.setdefault((folder, family(name)), []).append(top)
        for (folder, name), members in families.items():
            if len(members) < _FEWEST_OF_A_FAMILY:
                rows += [_condensed_row(file, count, size, style) for file, count, size in members]
                continue
            size = sum(max(file.magnitude, size) for file, _, size in members)
            many = f"{style.code(formatting.name(folder + b'/' * bool(folder) + name))}"
            line = f"{status.letter} {many}: {formatting.many(sum(n for _, n, _ in members), 'file')}"
            rows.append((size, sum(n for _, n, _ in members), line))
    return sorted(rows, key=lambda r: (-r[0], r[2]))


def _condensed_row(file: FileChange, count: int, size: int, style: Markdown) -> tuple[int, int, str]:
    line = f"{file.change.status.letter} {file_line(file, count, size, style)}"
    return max(file.magnitude, size), max(count, 1), line
