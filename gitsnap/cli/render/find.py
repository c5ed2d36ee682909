"""What `find`, `log`, `blame` and `search` tell, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.model import Kind, Snapshot, Type

if TYPE_CHECKING:
    from gitsnap.ops.query.blame import Blamed
    from gitsnap.ops.query.inspect import Match
    from gitsnap.ops.query.log import Life
    from gitsnap.ops.query.search import Found, Searched
    from gitsnap.sidecar.repository import Sidecar

# A longer name than this leaves the column that the others keep to.
_WIDEST = 40


def matches(out: Terminal, found: list[Match], what: str) -> None:
    """`find`."""
    if not found:
        out.remark(f"no snapshot holds such a {what}")
    wide = max((len(formatting.name(m.path)) for m in found if len(formatting.name(m.path)) <= _WIDEST), default=0)
    for match in found:
        out.line(f"{formatting.name(match.path):{wide}}  {out.style(_where(match.snapshots), 'dim')}")


def _where(snapshots: Sequence[str]) -> str:
    if len(snapshots) == 1:
        return snapshots[0]
    return f"in {len(snapshots):,} snapshots, the last is {snapshots[-1]}"


def lives(out: Terminal, found: list[Life], sidecar: Sidecar | None) -> None:
    """`log PATH`, newest first as git log; with the sidecar, followed by what each changed."""
    wide = max((len(life.snapshot.id) for life in found), default=0)
    if sidecar is None:
        out.lines(_life(out, life, wide) for life in reversed(found))
        return
    from gitsnap.cli.render.diff import pieces
    from gitsnap.ops.compare.patch import Style
    from gitsnap.ops.query.log import patches

    for number, (life, changed) in enumerate(patches(sidecar, found[::-1], Style(), out.secrets.masker)):
        if number:
            out.line()
        out.line(_life(out, life, wide))
        pieces(out, changed)


def _life(out: Terminal, life: Life, wide: int) -> str:
    size = formatting.size(life.entry.size) if life.entry and life.entry.type is Type.FILE else ""
    same = f"(and the same in {len(life.later):,} more) " if life.later else ""
    renamed = f"from {formatting.name(life.old_path)}, " if life.old_path is not None else ""
    renamed += f"now {formatting.name(life.new_path)}, " if life.new_path is not None else ""
    by = life.snapshot.signed_by
    signed = "" if by is None else f"[signed by {by}, not checked] " if out.verbose else "[signed] "
    what = f"{renamed}{same}{signed}{_about(out, life.snapshot)}"
    text = f"{life.snapshot.id:{wide}}  {life.status:8}  {size:>8}  {what}"
    return formatting.clip(text, out.width)


def _about(out: Terminal, snapshot: Snapshot) -> str:
    """The message's first line, and the upgrade's command where it is not in that."""
    subject = snapshot.message.partition("\n")[0]
    told = snapshot.command if snapshot.kind in (Kind.PRE, Kind.POST) else None
    command = told if told and told not in subject else ""
    return out.told(subject) + (f" ({out.told(command)})" if command else "")


def blamed(out: Terminal, path: bytes, found: Sequence[Blamed]) -> None:
    """`blame`: the snapshot's id (`^` before it: there, or older), the line's number, the line."""
    wide = max((len(b.snapshot.id) for b in found), default=0) + 1
    digits = len(str(len(found)))
    last = ""
    for b in found:
        name = ("^" if b.oldest else " ") + b.snapshot.id
        # A block of lines from one snapshot is seen at a glance where only the first of them is bright.
        shown = out.style(f"{name:{wide}}", "dim" if name == last else "yellow")
        renamed = f" {formatting.name(b.path)}" if b.path != path else ""
        _say(out, f"{shown}{renamed} {b.number:{digits}}) ", b.text)
        last = name


def found(out: Terminal, those: Iterator[Found], counts: Searched) -> bool:
    """`search`: for each path where, then the lines; whether there was any."""
    there = False
    for match in those:
        there = True
        where = "in all snapshots" if len(match.snapshots) == counts.snapshots > 1 else _where(match.snapshots)
        binary = "  (binary)" if match.binary else ""
        out.line(f"{out.style(formatting.name(match.path), 'bold')}  {out.style(where, 'dim')}{binary}")
        for line in match.lines:
            _say(out, f"  {line.number}: ", line.text)
        if match.more:
            out.line(f"  … and {formatting.many(match.more, 'line')} more")
    return there


def counted(out: Terminal, counts: Searched, *, there: bool) -> None:
    """How much was searched, and whether in vain."""
    what = formatting.many(counts.contents, "content")
    where = f"{what}, {formatting.size(counts.size)}, of {formatting.many(counts.snapshots, 'snapshot')}"
    out.remark(f"searched {where}" if there else f"not found in {where}")


def _say(out: Terminal, head: str, text: bytes) -> None:
    """A line of somebody's file: safe on a terminal, as it is elsewhere."""
    if out.width is None:
        out.raw([head.encode("utf-8", "backslashreplace") + text + b"\n"])
    else:
        out.line(head + formatting.line(text))
