"""Snapshots in a list, one of them whole, and what is in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.calendar import local
from gitsnap.core.model import Entry, Image, Kind, Snapshot, Type
from gitsnap.core.outcome import Outcome

# For annotations only, as in documents.py.
if TYPE_CHECKING:
    from gitsnap.ops.query.inspect import Shown
    from gitsnap.sidecar.catalog import Deleted
    from gitsnap.sidecar.state.known_damage import Damage
from gitsnap.cli.render.text import incomplete, signer, untold

# So much of a message tells what a snapshot is about; where there is less room, columns go.
_TELLING = 16
TYPE_LETTERS = {Type.FILE: "-", Type.DIR: "d", Type.LINK: "l", Type.FIFO: "p", Type.CHAR: "c", Type.BLOCK: "b"}


def listing(
    out: Terminal,
    snapshots: list[Snapshot],
    known: Mapping[str, Damage],
    tagged: Collection[str] = (),
    now: datetime | None = None,
) -> None:
    """`list`, oldest first. `tagged` are the ids of those that were signed later, `now` what their age counts from."""
    if not snapshots:
        out.line(f"no snapshots yet; `{out.command('snapshot')}` takes the first one")
        return
    now = now or datetime.now(UTC)
    columns = {
        "NO": ("<", [f"@{s.sequence}" if s.sequence else "" for s in snapshots]),
        "ID": ("<", [s.id for s in snapshots]),
        "TAKEN": ("<", [formatting.short_when(s.created, now) for s in snapshots]),
        "AGE": (">", [formatting.age(s.created, now) for s in snapshots]),
        "FILES": (">", [f"{s.files:,}" for s in snapshots]),
        "SIZE": (">", [formatting.size(s.bytes) for s in snapshots]),
    }
    widths = {name: max(map(len, (name, *cells))) for name, (_, cells) in columns.items()}
    # The age of what was just taken and what was not is of the same width.
    widths["AGE"] = max(widths["AGE"], 4)
    for least in ("FILES", "TAKEN"):
        if out.width is not None and out.width - sum(widths.values()) - 2 * len(widths) < _TELLING:
            del widths[least]
    room = None if out.width is None else out.width - sum(widths.values()) - 2 * len(widths)
    out.line(
        out.style("".join(f"{name:{columns[name][0]}{wide}}  " for name, wide in widths.items()) + "MESSAGE", "bold")
    )
    for at, s in enumerate(snapshots):
        signed = _signed(s, s.id in tagged, key=out.verbose)
        marks = "".join(f"[{mark}] " for mark in (*_marks(s, known.get(s.id)), *signed))
        row = "".join(f"{columns[name][1][at]:{columns[name][0]}{wide}}  " for name, wide in widths.items())
        out.line(row + formatting.clip(marks + out.told(s.message.partition("\n")[0]), room))


def bin_listing(out: Terminal, found: Sequence[Deleted]) -> None:
    """`list --deleted`, oldest first."""
    if not found:
        out.line("nothing that was deleted can be brought back")
        return
    wide = max(len(d.snapshot.id) for d in found)
    out.line(out.style(f"{'ID':{wide}}  {'DELETED':<19}  {'FILES':>7}  {'SIZE':>8}  MESSAGE", "bold"))
    for s, when in found:
        room = out.width - wide - 42 if out.width else None
        at = formatting.when(when) if when else ""
        row = f"{s.id:{wide}}  {at:<19}  {s.files:>7,}  {formatting.size(s.bytes):>8}  "
        out.line(row + formatting.clip(formatting.name(s.message.partition("\n")[0]), room))
    out.remark(f"one comes back with: {out.command(f'undelete {found[-1].snapshot.id}')}")


def _signed(s: Snapshot, tagged: bool, *, key: bool) -> Iterable[str]:
    """Whether there are signatures, and perhaps of which key; nobody has checked them."""
    if not key and (s.signed_by or tagged):
        yield "signed"
    if key and s.signed_by:
        yield f"signed by {s.signed_by}, not checked"
    if key and tagged:
        yield "signed by a tag, not checked"


def _marks(s: Snapshot, known: Damage | None) -> Iterable[str]:
    if known is not None:
        yield f"damaged, found {formatting.when(known.found)}"
    if s.pinned:
        yield "pinned"
    if s.partial:
        yield "partial"
    if s.running:
        yield "database running"
    if s.ending and s.kind is not Kind.SAFETY and s.ending.outcome is not Outcome.KEPT:
        yield s.ending.outcome.value
    yield from s.tags


def described(out: Terminal, s: Snapshot) -> None:
    """`describe`."""
    tags = f"  [{', '.join(s.tags)}]" if s.tags else ""
    out.line(f"{s.id}: {out.told(s.message.partition(chr(10))[0])}{tags}")


def shown(out: Terminal, result: Shown) -> None:
    """`show`."""
    s = result.snapshot
    rows = [
        ("snapshot", out.style(s.id, "bold")),
        ("taken", f"{formatting.when(s.created)} {s.created.astimezone():%Z}"),
        ("kind", s.kind.value),
        ("running", formatting.name("; ".join(s.running))),
        ("tags", ", ".join(s.tags)),
        ("pinned", "yes" if s.pinned else ""),
        ("upgrade", s.upgrade or ""),
        ("outcome", s.ending.outcome.value if s.ending else ""),
        ("because", out.told(s.ending.failure) if s.ending else ""),
        ("command", out.told(s.command)),
        ("holds", f"{formatting.many(s.files, 'file')}, {formatting.size(s.bytes)}"),
        ("commit", s.commit),
        ("manifest", s.manifest_sha256),
        ("verified", formatting.when(result.verified) if result.verified else "never"),
        *(("signed", signer(each)) for each in result.signatures),
        ("drilled", f"{formatting.when(result.drill.when)}: {result.drill.outcome}" if result.drill else ""),
        (
            "damaged",
            f"found {formatting.when(result.damage.found)} by {formatting.name(result.damage.by)}"
            if result.damage
            else "",
        ),
    ]
    out.lines(f"{key:9} {value}" for key, value in rows if value)
    out.line()
    out.lines("    " + formatting.name(line) for line in out.secrets.text(s.message).split("\n"))
    if s.taken is not None:
        out.line()
        tags = f" [{', '.join(s.taken.tags)}]:" if s.taken.tags != s.tags and s.taken.tags else ":"
        out.line(f"described {formatting.when(s.taken.described)}; it was taken with{tags}")
        out.lines("    " + formatting.name(line) for line in out.secrets.text(s.taken.message).split("\n"))
    if result.components:
        out.line()
        wide = max(len(formatting.name(n)) for n in result.components)
        for component, (files, size) in result.components.items():
            out.line(f"{formatting.name(component):{wide}}  {files:>7,}  {formatting.size(size):>8}")
    _paths(out, "excluded", result.excluded)
    _paths(out, "sockets, not captured", result.sockets)
    images(out, result.images)
    if result.unrecorded or result.unlisted:
        out.line()
        out.lines(untold(result.unrecorded, result.unlisted))
    incomplete(out, result.partial, "could not be captured")
    if result.damage:
        incomplete(out, result.damage.problems, "known to be damaged")


def images(out: Terminal, found: Mapping[bytes, Image]) -> None:
    """Databases that one file stands for, and the files that it makes up for."""
    if found:
        out.line("\nSQLite databases in use, each captured as one consistent file:")
    for path, image in sorted(found.items()):
        beside = ", ".join(formatting.name(e.path.rpartition(b"/")[2]) for e in image.beside)
        out.line(f"  {formatting.name(path)} (with {beside})")


def entries(out: Terminal, found: list[Entry], images: Collection[bytes]) -> None:
    """`ls`, as ls -l lists."""
    owners = ["? ?" if "owner" in e.unrecorded else f"{e.uname or e.uid} {e.gname or e.gid}" for e in found]
    wide = max((len(o) for o in owners), default=0)
    for e, owner in zip(found, owners, strict=True):
        moment = local(e.mtime_ns // 10**9)
        target = f" -> {formatting.name(e.target)}" if e.type is Type.LINK else ""
        suffix = "/" if e.type is Type.DIR else "  (SQLite, consistent)" if e.path in images else ""
        bits = "?" * 9 if "mode" in e.unrecorded else permissions(e.mode)
        named = f"{formatting.name(e.path)}{suffix}{target}"
        out.line(f"{TYPE_LETTERS[e.type]}{bits} {owner:{wide}} {e.size:>12,} {moment} {named}")


def permissions(mode: int) -> str:
    """The 12 mode bits as ls -l shows them."""
    text = ["r", "w", "x"] * 3
    letters = [letter if mode & (0o400 >> i) else "-" for i, letter in enumerate(text)]
    for bit, place, letter in ((0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t")):
        if mode & bit:
            letters[place] = letter if letters[place] == "x" else letter.upper()
    return "".join(letters)


def _paths(out: Terminal, title: str, found: list[bytes]) -> None:
    if found:
        out.line(f"\n{title}:")
        out.lines(f"  {formatting.name(p)}" for p in found)
