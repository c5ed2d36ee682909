"""The installations of a server, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.core.signature import Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from gitsnap.cli.render.terminal import Terminal
    from gitsnap.core.fleet import Row
    from gitsnap.ops.remote.fleet import Fleet

HEADINGS = ("INSTALLATION", "NEWEST SNAPSHOT", "AGE", "SNAPSHOTS", "SIZE", "VERIFIED", "SIGNED", "LAST UPGRADE")
# Those whose values stand at the right.
_RIGHT = (3, 4)
_WIDEST = 48
# So many rows are told of at length; programs get all.
_TOLD = 50


def cells(row: Row, now: datetime) -> tuple[str, ...]:
    """What a row says below each heading, escaped. Nothing stands for what is not told."""
    when, newest = row.when, row.newest
    return (
        formatting.name(row.name) if row.name is not None else "(the repository)",
        row.last,
        formatting.ago(when, now).removesuffix(" ago") if when else "",
        f"{row.snapshots:,}",
        formatting.size(newest.bytes) if newest else "",
        _verified(row),
        _signed(row),
        row.upgrade.outcome.value if row.upgrade else "",
    )


def _verified(row: Row) -> str:
    machine = row.machine
    if machine is None:
        return ""
    if not machine.verified:
        return "never"
    return "yes" if machine.verified == row.last else "an older one"


def _signed(row: Row) -> str:
    status = row.signed
    if status is Status.GOOD:
        return "by " + formatting.name(next(s.principal for s in row.signatures if s.status is Status.GOOD))
    return {None: "no", Status.NOT_CHECKED: "not checked"}.get(status, str(status).replace("-", " "))


def table(out: Terminal, found: Fleet, older_than: timedelta | None) -> None:
    """`fleet`: a line for each, then what cannot be told, then which are behind."""
    rows = [cells(row, found.now) for row in found.rows]
    # One long name, which anybody may push, does not move the others out of sight.
    wide = [min(max(map(len, column)), _WIDEST) for column in zip(HEADINGS, *rows, strict=True)]
    out.line(out.style(_line(HEADINGS, wide), "bold"))
    out.lines(_line(row, wide) for row in rows)
    problems = [(row, why) for row in found.rows for why in row.problems]
    for row, why in problems[:_TOLD]:
        out.warn(f"{called(row)}: {formatting.name(why)}")
    if len(problems) > _TOLD:
        out.warn(f"… and {len(problems) - _TOLD:,} more of which something cannot be told")
    stale = behind(found, older_than)
    for row in stale:
        out.warn(f"{called(row)}: nothing newer than {row.last}")
    where = f"{formatting.many(len(rows), 'installation')} at {formatting.name(found.url)}"
    told = [f"{len(stale):,} behind"] if older_than is not None else []
    out.remark("; ".join([where, *told]))


def called(row: Row) -> str:
    """An installation's name."""
    return formatting.name(row.name) if row.name is not None else "the repository"


def behind(found: Fleet, older_than: timedelta | None) -> list[Row]:
    """Those whose newest snapshot is older than that."""
    return [row for row in found.rows if older_than is not None and row.is_stale(found.now, older_than)]


def _line(row: tuple[str, ...], wide: list[int]) -> str:
    placed = enumerate(zip(row, wide, strict=True))
    return "  ".join(text.rjust(w) if at in _RIGHT else text.ljust(w) for at, (text, w) in placed).rstrip()
