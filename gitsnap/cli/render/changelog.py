"""A changelog as Markdown, or as text for a terminal: the same lines, dressed differently."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting
from gitsnap.core.changelog import LOCK_FILES, FileChange, Package, folded
from gitsnap.core.comparison import Status
from gitsnap.core.keys import ABSENT, KeyChange, shown_path
from gitsnap.core.model import Type
from gitsnap.core.secrets import MASK, mask_text

if TYPE_CHECKING:
    from gitsnap.core.changelog import Changelog
    from gitsnap.ops.report.history import Episode

_SHOWN_KEYS, _SHOWN_FILES, _SHOWN_PACKAGES = 15, 25, 60
_TITLES = {
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
        wrapped = textwrap.wrap(glued, 76, break_long_words=False, break_on_hyphens=False)
        return "\n".join(f"    {line}" for line in wrapped).replace("\0", " ")

    def code(self, text: str) -> str:
        """Something literal."""
        return text

    def rows(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
        """Aligned columns."""
        wide = [max(len(r[n]) for r in (head, *rows)) for n in range(len(head))]
        for row in (head, *rows):
            yield "  " + "  ".join(f"{cell:{w}}" for cell, w in zip(row, wide, strict=True)).rstrip()


def lines(log: Changelog, episode: Episode | None, style: Markdown, *, secrets: bool) -> Iterator[str]:
    """The whole changelog."""
    yield from _head(log, episode, style, secrets)
    if log.packages:
        yield from _packages(log, style)
    own = [f for f in log.files if f.yours]
    elsewhere = log.holders().union(*(_ancestors(p.where) for p in log.packages))
    if own:
        yield style.section("Files that you had changed or made")
        yield from _files(own, elsewhere, style, secrets)
    for name, found in log.sections().items():
        told = list(_files([f for f in found if not f.yours], elsewhere, style, secrets))
        if told:
            yield style.section(formatting.name(name) if name != "." else "At the top")
            yield from told


def _ancestors(path: bytes) -> Iterator[bytes]:
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def _head(log: Changelog, episode: Episode | None, style: Markdown, secrets: bool) -> Iterator[str]:
    if episode is not None and episode.upgrade is not None:
        of = episode.upgrade
        yield style.title(f"What the upgrade {of.label} changed")
        code = of.exit_code
        told = [formatting.when(of.pre.created), f"{of.seconds:.0f} s" if of.seconds else ""]
        told += [f"exit code {code}" if code and not of.failure else "", episode.status]
        told += [formatting.name(of.failure if secrets else mask_text(of.failure))]
        shown = of.pre.command or ""
        shown = shown if secrets else mask_text(shown)
        command = f"{style.code(formatting.name(shown))}, " if shown else ""
        yield command + ", ".join(t for t in told if t)
    else:
        yield style.title(f"What changed from {log.old} to {log.new}")
    counts = [f"{n:,} {Status(s).value}" for s, n in log.summary.items() if n and s != Status.METADATA]
    metadata = log.summary.get(Status.METADATA.value, 0)
    counts += [f"{metadata:,} with other metadata"] if metadata else []
    sign = "-" if log.grown < 0 else "+"
    yield f"{', '.join(counts) or ('no files' if log.files else 'nothing')}; {sign}{formatting.size(abs(log.grown))}"


def _packages(log: Changelog, style: Markdown) -> Iterator[str]:
    groups = [
        ("updated", [p for p in log.packages if p.old and p.new]),
        ("new", [p for p in log.packages if not p.old]),
        ("gone", [p for p in log.packages if not p.new]),
    ]
    counts = ", ".join(f"{len(found):,} {word}" for word, found in groups if found)
    yield style.section(f"Packages: {counts}")
    in_them = f"{formatting.many(log.within, 'changed file')} in them" if log.within else ""
    if in_them:
        yield f"{in_them}, not listed below.\n"
    updated = groups[0][1]
    if updated:
        ordered = sorted(updated, key=lambda p: (is_nested(p), not is_major(p), p.name))
        rows = [(package_name(p), p.old or "", p.new or "", "major" if is_major(p) else "") for p in ordered]
        yield from style.rows(("Package", "Before", "After", ""), rows[:_SHOWN_PACKAGES])
        if len(rows) > _SHOWN_PACKAGES:
            yield f"… and {len(rows) - _SHOWN_PACKAGES:,} more"
    for title, found in groups[1:]:
        if found:
            yield style.group(title.capitalize())
            yield style.list([f"{package_name(p)} {p.new or p.old}" for p in found])


def is_nested(package: Package) -> bool:
    """Whether a package was installed for another one alone."""
    return package.where.count(b"node_modules/") > 1


def package_name(package: Package) -> str:
    """Its name, and which one it was installed for where there is one."""
    holder = (
        package.where.rpartition(b"/node_modules/")[0].rpartition(b"node_modules/")[2] if is_nested(package) else b""
    )
    return formatting.name(package.name) + (f" (in {formatting.name(holder)})" if holder else "")


def is_major(package: Package) -> bool:
    """Whether the first number that may break things differs: the major one, or the minor one below 1.0."""
    sides = [(v or "").lstrip("v").split(".") for v in (package.old, package.new)]
    return sides[0][0] != sides[1][0] or (sides[0][0] == "0" and sides[0][1:2] != sides[1][1:2])


def is_lock(file: FileChange) -> bool:
    """Whether a file only records which packages are there."""
    return file.change.path.rpartition(b"/")[2] in LOCK_FILES


def _files(found: list[FileChange], elsewhere: set[bytes], style: Markdown, secrets: bool) -> Iterator[str]:
    """The changes of a section; `elsewhere` are the directories with something in them that is told anyway."""
    for status, title in _TITLES.items():
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
        for file, count, size in tops[:_SHOWN_FILES]:
            yield style.item(_file_line(file, count, size, style))
            if file.keys and not is_lock(file):
                yield from key_lines(file.keys, style, secrets)
        if len(tops) > _SHOWN_FILES:
            yield style.item(f"… and {len(tops) - _SHOWN_FILES:,} more")


def _file_line(file: FileChange, count: int, size: int, style: Markdown) -> str:
    c = file.change
    entry = c.new or c.old
    assert entry is not None
    name = style.code(formatting.name(c.path) + ("/" if entry.type is Type.DIR else "") or ".")
    if c.status is Status.RENAMED:
        return f"{style.code(formatting.name(c.old_path or b''))} → {name}"
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
        return formatting.many(len(file.keys), "key") if file.keys else "the same data, written differently"
    if file.lines is not None:
        return f"+{file.lines[0]:,} −{file.lines[1]:,} lines"
    return f"{file.what}, {formatting.size(old.size)} → {formatting.size(new.size)}"


def key_lines(changes: list[KeyChange], style: Markdown, secrets: bool, most: int = _SHOWN_KEYS) -> Iterator[str]:
    """A line for each key, up to `most`."""
    for c in changes[:most]:
        path = style.code(formatting.name(shown_path(c.path)))
        old, new = (shown_value(v, hidden=c.secret and not secrets) for v in (c.old, c.new))
        if c.status == "changed":
            yield style.item(f"{path}: {_between(old, new, style)}", 1)
        else:
            value = old if c.status == "removed" else new
            yield style.item(f"{path}: {c.status}, {style.code(value)}", 1)
    if len(changes) > most:
        yield style.item(f"… and {formatting.many(len(changes) - most, 'key')} more", 1)


def _between(old: str, new: str, style: Markdown) -> str:
    if old == new == MASK:
        return f"another {MASK}"
    return f"{style.code(old)} → {style.code(new)}"


def shown_value(value: Any, *, hidden: bool) -> str:
    """A key's value as JSON, shortened, or MASK; empty where there is none."""
    import json

    if value is ABSENT:
        return ""
    if hidden:
        return MASK
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = str(value)
    return formatting.clip(formatting.name(text), 70)
