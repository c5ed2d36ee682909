"""A changelog as Markdown, or as text for a terminal: the same lines, dressed differently."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import lines as wrapped
from gitsnap.cli.render.counts import took, words
from gitsnap.core.changelog import LOCK_FILES, FileChange, folded, is_content
from gitsnap.core.comparison import Status
from gitsnap.core.keys import ABSENT, KeyChange, count_keys, masked
from gitsnap.core.model import Type
from gitsnap.core.packages.model import Direction, Kind, PackageChange
from gitsnap.core.secrets.masker import DOTS, Masker

if TYPE_CHECKING:
    from gitsnap.core.changelog import Changelog
    from gitsnap.ops.report.history import Episode

_SHOWN_KEYS, _WIDE = 15, 76
TITLES = {
    Status.ADDED: "New",
    Status.REMOVED: "Gone",
    Status.MODIFIED: "Changed",
    Status.RENAMED: "Renamed",
    Status.TYPE: "Of another type",
    Status.METADATA: "Other mode, owner or attributes",
}


class Markdown:
    """Lines of Markdown."""

    def title(self, text: str) -> str:
        """The heading of all."""
        return f"# {text}\n"

    def section(self, text: str) -> str:
        """The heading of a part."""
        return f"\n## {text}\n"

    def group(self, text: str) -> str:
        """The heading of a group in a part."""
        return f"\n**{text}**\n"

    def item(self, text: str, depth: int = 0) -> str:
        """One line of a list."""
        return f"{'  ' * depth}- {text}"

    def list(self, items: Sequence[str]) -> str:
        """Short things, one after the other."""
        return ", ".join(items)

    def code(self, text: str) -> str:
        """Something literal."""
        fence = "``" if "`" in text else "`"
        return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"

    def rows(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
        """A table."""
        yield "| " + " | ".join(head) + " |"
        yield "|---" * len(head) + "|"
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


class Plain(Markdown):
    """Lines of plain text."""

    def __init__(self, bold: Callable[[str], str] = str) -> None:
        self._bold = bold

    def title(self, text: str) -> str:
        """The heading of all."""
        return self._bold(text)

    def section(self, text: str) -> str:
        """The heading of a part."""
        return "\n" + self._bold(text)

    def group(self, text: str) -> str:
        """The heading of a group in a part."""
        return f"  {text}:"

    def item(self, text: str, depth: int = 0) -> str:
        """One line of a list."""
        return f"    {'  ' * depth}{text}"

    def list(self, items: Sequence[str]) -> str:
        """Short things, one after the other, in lines of some width."""
        # A version stays with its package.
        glued = ", ".join(i.replace(" ", "\0") for i in items)
        wrapped = textwrap.wrap(glued, _WIDE, break_long_words=False, break_on_hyphens=False)
        return "\n".join(f"    {line}" for line in wrapped).replace("\0", " ")

    def code(self, text: str) -> str:
        """Something literal."""
        return text

    def rows(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
        """Aligned columns."""
        wide = [max(len(r[n]) for r in (head, *rows)) for n in range(len(head))]
        for row in (head, *rows):
            yield "  " + "  ".join(f"{cell:{w}}" for cell, w in zip(row, wide, strict=True)).rstrip()


def ancestors(path: bytes) -> Iterator[bytes]:
    """The path, and all directories that it is in but for the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def head(log: Changelog, episode: Episode | None, style: Markdown, masker: Masker) -> Iterator[str]:
    """What was compared, and how much changed."""
    if episode is not None and episode.upgrade is not None:
        of = episode.upgrade
        yield style.title(f"What {of.called} changed")
        code = of.exit_code
        told = [formatting.when(of.pre.created), took(of.seconds)]
        told += [f"exit code {code}" if code and not of.failure else "", episode.status]
        told += [formatting.name(masker.text(of.failure))]
        shown = masker.text(of.pre.command or "")
        command = f"{style.code(formatting.name(shown))}, " if shown else ""
        yield command + ", ".join(t for t in told if t)
    else:
        yield style.title(f"What changed from {log.old} to {log.new}")
    sign = "-" if log.grown < 0 else "+"
    yield from wrapped(f"{words(log.counts)}; {sign}{formatting.size(abs(log.grown))}")


def package_lines(
    log: Changelog, style: Markdown, most_rows: int | None = None, most_lines: int | None = None
) -> Iterator[str]:
    """The packages: a table of `most_rows` rows for those with two versions, lists of `most_lines` for the others."""
    groups = {title: found for title, found in package_groups(log.packages) if found}
    yield style.section(f"Packages: {', '.join(f'{len(found):,} {title}' for title, found in groups.items())}")
    if log.within:
        yield f"{formatting.many(log.within, 'changed file')} in them, not listed below.\n"
    updated = [p for title, found in groups.items() if title in TABLED for p in found]
    if updated:
        rows = [(package_name(p), p.old or "", p.new or "", package_remark(p)) for p in updated]
        most = len(rows) if most_rows is None else most_rows
        yield from style.rows(("Package", "Before", "After", ""), rows[:most])
        if len(rows) > most:
            yield f"  … and {len(rows) - most:,} more of these"
    for title, found in groups.items():
        if title not in TABLED:
            yield style.group(title.capitalize())
            yield style.list(_listed([package_line(p) for p in found], most_lines))


def _listed(items: list[str], most: int | None) -> list[str]:
    """As many of these as stand in `most` lines, and how many more there are."""
    room = None if most is None else most * _WIDE - 16
    for number, item in enumerate(items):
        room = None if room is None else room - len(item) - 2
        if room is not None and room < 0 and number:
            return [*items[:number], f"… and {len(items) - number:,} more"]
    return items


# The groups whose packages have two versions to show beside each other.
TABLED = ("down", "updated")
_GROUPS = {
    "down": (Direction.DOWN,),
    "updated": (Direction.UP, Direction.CHANGED),
    "new": (Direction.NEW,),
    "gone": (Direction.GONE,),
    "moved": (Direction.MOVED,),
    "rebuilt": (Direction.REBUILT,),
}


def package_groups(packages: Sequence[PackageChange]) -> Iterator[tuple[str, list[PackageChange]]]:
    """The packages by what became of them, with a word for each group; what other packages brought comes last."""
    for title, directions in _GROUPS.items():
        found = [p for p in packages if p.direction in directions and p.kind is not Kind.VENDORED]
        # What is installed comes before what a lock file only names.
        yield title, sorted(found, key=lambda p: (p.kind is Kind.LOCKED, not is_major(p), p.name.lower(), p.where))
    yield "inside others", [p for p in packages if p.kind is Kind.VENDORED]


def package_remark(package: PackageChange) -> str:
    """What is to be known of a package's change beside the versions: down, or major."""
    if package.direction is Direction.DOWN:
        return "down"
    return "major" if is_major(package) else ""


def package_line(package: PackageChange) -> str:
    """A package and its version, or both versions."""
    versions = dict.fromkeys(v for v in (package.old, package.new) if v)
    told = f"{package_name(package)} {' → '.join(versions)}"
    if package.kind is Kind.VENDORED and package.direction in (Direction.NEW, Direction.GONE):
        return f"{told} {package.direction.value}"
    return told


def package_name(package: PackageChange) -> str:
    """Its name, and the package that it is in where there is one."""
    return formatting.name(package.name) + (f" (in {formatting.name(package.holder)})" if package.holder else "")


def is_major(package: PackageChange) -> bool:
    """Whether the first number that may break things differs: the major one, or the minor one below 1.0."""
    if package.old is None or package.new is None:
        return False
    sides = [v.lstrip("v").split(".") for v in (package.old, package.new)]
    return sides[0][0] != sides[1][0] or (sides[0][0] == "0" and sides[0][1:2] != sides[1][1:2])


def is_lock(file: FileChange) -> bool:
    """Whether a file only records which packages are there."""
    return file.change.path.rpartition(b"/")[2] in LOCK_FILES


def file_lines(
    found: list[FileChange], elsewhere: set[bytes], style: Markdown, masker: Masker, most_keys: int | None
) -> Iterator[str]:
    """The changes of a section; `elsewhere` are the directories with something in them that is told anyway."""
    for status, title in TITLES.items():
        here = [f for f in found if f.change.status is status]
        if not here:
            continue
        tops = folded(here) if status in (Status.ADDED, Status.REMOVED) else [(f, 1, 0) for f in here]
        # A directory whose files are all told with their packages or in other sections has nothing left to tell.
        tops = [t for t in tops if t[1] or t[0].change.path not in elsewhere]
        if not tops:
            continue
        yield style.group(f"{title} ({sum(max(n, 1) for _, n, _ in tops):,})")
        # What has keys to tell comes first: that is what people look for.
        tops.sort(key=lambda t: (not t[0].keys, len(t[0].keys or ())))
        for file, count, size in tops:
            yield style.item(file_line(file, count, size, style))
            if file.keys and not is_lock(file):
                yield from key_lines(file.keys, style, masker, file.change.path, most_keys)


def file_line(file: FileChange, count: int, size: int, style: Markdown) -> str:
    """One change; of what came or went whole, `count` files of `size` bytes."""
    c = file.change
    entry = c.new or c.old
    assert entry is not None
    name = style.code(formatting.name(c.path) + ("/" if entry.type is Type.DIR else "") or ".")
    if c.status is Status.RENAMED:
        edited = f": {what_changed(file)}" if is_content(c) else ""
        return f"{style.code(formatting.name(c.old_path or b''))} → {name}{edited}"
    if c.status is Status.METADATA:
        return f"{name}: {formatting.metadata(c)}"
    if c.status is Status.TYPE:
        assert c.old is not None
        return f"{name}: a {entry.type.noun}, was a {c.old.type.noun}"
    if c.status in (Status.ADDED, Status.REMOVED):
        if entry.type is Type.DIR:
            return (
                f"{name} ({formatting.many(count, 'file')}, {formatting.size(size)})" if count else f"{name} (no files)"
            )
        if entry.type is not Type.FILE:
            to = f" to {formatting.name(entry.target)}" if entry.type is Type.LINK else ""
            return f"{name} (a {entry.type.noun}{to})"
        kind = f"{file.what}, " if file.what not in ("", "text") else ""
        return f"{name} ({kind}{formatting.size(entry.size)})"
    return f"{name}: {what_changed(file)}"


def what_changed(file: FileChange) -> str:
    """What changed in a file that is there before and after, in a few words."""
    old, new = file.change.old, file.change.new
    assert old is not None
    assert new is not None
    if old.type is Type.LINK:
        return f"points to {formatting.name(new.target)}, did to {formatting.name(old.target)}"
    if file.keys is not None:
        if is_lock(file):
            return "the record of the packages"
        return formatting.many(count_keys(file.keys), "key") if file.keys else "the same data, written differently"
    if file.lines is not None:
        return f"+{file.lines[0]:,} −{file.lines[1]:,} lines"
    return f"{file.what}, {formatting.size(old.size)} → {formatting.size(new.size)}"


def key_lines(
    changes: list[KeyChange], style: Markdown, masker: Masker, file: bytes, most: int | None = _SHOWN_KEYS
) -> Iterator[str]:
    """A line for each key of a file, up to `most`."""
    most = len(changes) if most is None else most
    for change in changes[:most]:
        shown = masked(change, masker, file)
        path = style.code(formatting.name(shown.key))
        old, new = (shown_value(v) for v in (shown.old, shown.new))
        if shown.status == "changed":
            yield style.item(f"{path}: {style.code(old)} → {style.code(new)}", 1)
        else:
            value = old if shown.status == "removed" else new
            yield style.item(f"{path}: {shown.status}, {style.code(value)}", 1)
    if len(changes) > most:
        left = len(changes) - most
        yield style.item(f"… and {formatting.many(left, 'key')} more", 1)


def shown_value(value: Any) -> str:
    """A key's value as JSON, shortened; a mark as it is; empty where there is none."""
    import json

    if value is ABSENT:
        return ""
    if isinstance(value, str) and value.startswith(DOTS):
        return value
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = str(value)
    return formatting.clip(formatting.name(text), 70)
