"""What changed, as text for people: the short forms of `diff`, and the lines that `status` has from them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import lines, words
from gitsnap.cli.render.terminal import Terminal
from gitsnap.cli.render.text import beyond, incomplete
from gitsnap.core.comparison import Change, Status
from gitsnap.core.model import Type

if TYPE_CHECKING:
    from gitsnap.ops.compare.components import Tally
    from gitsnap.ops.compare.diff import Contents, Difference
    from gitsnap.ops.compare.patch import Piece, Style

_STYLES = {
    Status.ADDED: "green",
    Status.REMOVED: "red",
    Status.RENAMED: "cyan",
    Status.METADATA: "dim",
}
_SIGNS = {b"+": "green", b"-": "red"}
_REMOVED, _ADDED = re.compile(r"\[-.*?-\]"), re.compile(r"\{\+.*?\+\}")


def change_line(out: Terminal, change: Change, width: int | None = None, more: str = "") -> str:
    """One change, as git status says it, and `more` after it; paths are shortened where that is wider than `width`."""
    letter, style = change.status.letter, _STYLES.get(change.status, "yellow")
    what = (f"  ({', '.join(change.what)})" if change.what else "") + more
    entry = change.new or change.old
    slash = "/" if entry and entry.type is Type.DIR else ""
    path, was = (formatting.name(change.path) or ".") + slash, ""
    room = None if width is None else max(width - len(what) - 2, 20)
    if change.old_path is not None:
        room = None if room is None else (room - 4) // 2
        was = formatting.fit(formatting.name(change.old_path), room) + " -> "
    return f"{out.style(letter, style)} {was}{formatting.fit(path, room)}{what}"


def stat(out: Terminal, result: Difference, components: Mapping[str, tuple[str, ...]]) -> None:
    """`diff --stat`: counts by component, in the columns that have any, then the sum."""
    from gitsnap.ops.compare.components import tally

    table(out, tally(result.comparison.changes, components))
    out.line(_span(result))
    summary(out, result)


def table(out: Terminal, found: Mapping[str, Tally], most: int | None = None, indent: str = "") -> None:
    """Counts by component, a line each, at most so many."""
    shown = [s for s in Status if any(s in t.counts.files for t in found.values())]
    folders = any(t.counts.directories for t in found.values())
    columns = len(shown) + folders
    wide = min(max([len(formatting.name(name)) for name in found] + [9]), 69 - len(indent) - 9 * columns)
    if found:
        head = "".join(f"{word:>9}" for word in (*(s.value for s in shown), *(["dirs"] if folders else [])))
        out.line(indent + out.style(f"{'COMPONENT':{wide}}{head.upper()}{'SIZE':>11}", "bold"))
    # The last line says how many are left out; to say that of one takes as much room as it does.
    most = len(found) if most is None or len(found) <= most else most - 1
    for component, of in list(found.items())[:most]:
        numbers = [of.counts.files.get(s, 0) for s in shown] + [sum(of.counts.directories.values())] * folders
        row = "".join(f"{n:>9,}" if n else f"{'·':>9}" for n in numbers)
        sign = "-" if of.grown < 0 else "+"
        name = formatting.clip(formatting.name(component), wide)
        out.line(f"{indent}{name:{wide}}{row}{sign + formatting.size(abs(of.grown)):>11}")
    if most < len(found):
        out.line(f"{indent}… and {len(found) - most:,} more ({out.command('diff --stat')})")


def summary(out: Terminal, result: Difference) -> None:
    """One line that says it all."""
    out.lines(lines(words(result.comparison.counts)))
    aside(out, result, out.line)


def _span(result: Difference) -> str:
    return f"{result.old} → {result.new}"


def aside(out: Terminal, result: Difference, say: Callable[[str], None]) -> None:
    """What is no change, and what could not be looked at."""
    if result.retimed:
        many = formatting.many(len(result.retimed), "file")
        say(f"{many} written again with the same content: only the time differs")
    for line in beyond(result.beyond, "not compared"):
        say(line)
    incomplete(out, result.partial, "could not be read")


def beside(out: Terminal, result: Difference) -> None:
    """What a patch cannot say, beside it."""
    if not result.comparison.changes:
        out.remark(f"{_span(result)}: no changes")
    aside(out, result, out.remark)


def names(out: Terminal, result: Difference, *, zero: bool = False) -> None:
    """`diff --name-status`; with `zero` in git's form for programs, NULs between bytes as they are.

    A terminal is no program.
    """
    if zero and out.width is None:
        out.raw(_zero_ended(c) for c in result.comparison.changes)
    else:
        out.lines(change_line(out, c) for c in result.comparison.changes)


def _zero_ended(change: Change) -> bytes:
    letter = change.status.letter.encode()
    words_ = [letter, change.path]
    if change.old_path is not None:
        words_ = [b"%s%03d" % (letter, change.similarity), change.old_path, change.path]
    return b"\0".join([*words_, b""])


def patch(out: Terminal, result: Difference, contents: Contents, style: Style, *, semantic: bool = False) -> None:
    """`diff`: a patch as it is for programs; on a terminal in colours, with control characters made visible, and as in
    all that is for reading, without secrets."""
    told = _by_key(out, result, contents) if semantic else set()
    left = [c for c in result.comparison.changes if c.path not in told]
    found = contents.patch(left, style)
    if out.width is not None or semantic or style.words or out.secrets.masker.rules.strict:
        # No patch that a program could take, or one in which no value is to be.
        from gitsnap.ops.compare import masking

        found = masking.pieces(found, contents.read, out.secrets.masker)
    elif left and sys.stderr.isatty():
        out.remark("this is a patch, with every value as it is: passwords, keys and tokens, too")
    pieces(out, found, words_only=style.words)
    beside(out, result)


def pieces(out: Terminal, those: Iterable[Piece], *, words_only: bool = False) -> None:
    """Pieces of a patch, as they are or for a terminal."""
    if out.width is None:
        out.raw(p.text() for p in those)
    else:
        for piece in those:
            out.lines(_styled(out, piece, words_only=words_only))


def _by_key(out: Terminal, result: Difference, contents: Contents) -> set[bytes]:
    """Tell the files whose form is read key by key; which they are."""
    from gitsnap.cli.render.changelog import Plain, key_lines

    told = set()
    for change in result.comparison.changes:
        found = contents.keys(change)
        if found is None:
            continue
        told.add(change.path)
        was = f"{formatting.name(change.old_path)} -> " if change.old_path is not None else ""
        same = "" if found else ": the same data, written differently"
        out.line(out.style(f"{was}{formatting.name(change.path)}{same}", "bold"))
        out.lines(key_lines(found, Plain(), out.secrets.masker, change.path, most=len(found)))
    return told


def _styled(out: Terminal, piece: Piece, *, words_only: bool) -> Iterator[str]:
    for line in piece.head.split(b"\n")[:-1]:
        yield out.style(("# " if piece.aside else "") + formatting.line(line), "bold")
    for line in piece.hunks.split(b"\n")[:-1]:
        text = formatting.line(line)
        if line.startswith(b"@@ "):
            end = text.find(" @@", 2) + 3
            text = out.style(text[:end], "cyan") + text[end:]
        elif words_only:
            text = _REMOVED.sub(lambda m: out.style(m[0], "red"), text)
            text = _ADDED.sub(lambda m: out.style(m[0], "green"), text)
        elif line[:1] in _SIGNS:
            text = out.style(text, _SIGNS[line[:1]])
        yield ("# " if piece.aside else "") + text
    for line in piece.notes.split(b"\n")[:-1]:
        yield out.style(formatting.line(line), "yellow")


def folded(out: Terminal, changes: list[Change]) -> Iterator[str]:
    """A line for each change, but one only for a directory that came or went with all that is in it."""
    top: Change | None = None
    below = 0
    width = out.width and out.width - 2
    # With what is in it right after each directory: `a.txt` comes between `a` and `a/b` otherwise.
    for change in sorted(changes, key=lambda c: c.path.split(b"/")):
        if top is not None and change.status is top.status and change.path.startswith(top.path + b"/"):
            below += 1
            continue
        if top is not None:
            yield change_line(out, top, width, _count(below))
        entry = change.new or change.old
        folds = change.status in (Status.ADDED, Status.REMOVED) and entry is not None and entry.type is Type.DIR
        top, below = (change, 0) if folds else (None, 0)
        if not folds:
            yield change_line(out, change, width)
    if top is not None:
        yield change_line(out, top, width, _count(below))


def _count(below: int) -> str:
    return f"  (and {formatting.many(below, 'path')} in it)" if below else ""
