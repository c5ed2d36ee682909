"""Results as text for people: short, aligned, within 80 columns, ending with what to type next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import lines, words
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core import signature
from gitsnap.core.calendar import local
from gitsnap.core.database_servers import Running, hook, sentence
from gitsnap.core.model import Entry, Image, Kind, Problem, Snapshot, Type
from gitsnap.core.outcome import Outcome

# For annotations only, as in documents.py.
if TYPE_CHECKING:
    from gitsnap.core.retention import Decision, HeldBack
    from gitsnap.core.space import Kept
    from gitsnap.ops.capture.hooks import HookResult
    from gitsnap.ops.capture.request import Captured
    from gitsnap.ops.check.doctor import Check
    from gitsnap.ops.check.verdict import Verdict
    from gitsnap.ops.query.inspect import Shown
    from gitsnap.ops.store.collect import Collected
    from gitsnap.ops.store.locate import Initialised
    from gitsnap.ops.store.purge import Purged
    from gitsnap.ops.store.sign import Signed
    from gitsnap.sidecar.catalog import Deleted
    from gitsnap.sidecar.state.known_damage import Damage

SHOWN = 20


def initialised(out: Terminal, result: Initialised) -> None:
    """`init`."""
    out.line(f"{'Protected' if result.created else 'Protected already'}: {formatting.name(result.place.root)}")
    out.line(f"Snapshots go to {formatting.name(result.place.store)}")
    excluded = f"; {formatting.many(len(result.excluded), 'path')} excluded" if result.excluded else ""
    which = "The first one will hold" if result.created else "The next one will hold"
    out.line(f"{which} {formatting.many(result.files, 'file')}, {formatting.size(result.size)}{excluded}")
    for path in result.sockets:
        out.remark(f"the socket {formatting.name(path)} will be skipped")
    incomplete(out, result.partial, "cannot be captured: a snapshot would end with exit code 3")
    out.line("Next: " + out.command('snapshot -m "before the upgrade"'))


def taken(out: Terminal, result: Captured) -> None:
    """`snapshot`: the id alone on stdout; the rest is beside it."""
    out.line(result.snapshot.id)
    s = result.snapshot
    if result.skipped:
        out.remark("nothing has changed since this one; no new snapshot was taken")
        limits(out, result.kept)
        failed_hooks(out, result.hooks)
        return
    holds = f"{formatting.many(s.files, 'file')}, {formatting.size(s.bytes)}"
    for line in lines(f"{holds}{_changed(result)} in {formatting.duration(result.duration)}"):
        out.remark(line)
    if result.excluded:
        out.remark(f"{formatting.many(result.excluded, 'path')} excluded ({out.command('show')} names them)")
    for path in result.mounts:
        out.remark(f"another file system, mounted at {formatting.name(path)}, is included")
    if result.databases:
        named = formatting.name(result.databases[0]) + ("" if len(result.databases) == 1 else ", ...")
        out.remark(
            f"{formatting.many(len(result.databases), 'SQLite database')} in use, captured consistently: {named}"
        )
    at_work(out, result.running, hooked=any(done.ok and done.hook == "before-snapshot" for done in result.hooks))
    for path in result.sockets:
        out.remark(f"skipped the socket {formatting.name(path)}")
    pruned(out, result.pruned)
    held(out, result.held)
    limits(out, result.kept)
    incomplete(out, result.partial, "could not be captured")
    failed_hooks(out, result.hooks)


def _changed(result: Captured) -> str:
    if not result.counted:
        return ""
    return f" ({words(result.counts, 'nothing changed') if result.before or not result.counts else 'all new'})"


def at_work(out: Terminal, found: Sequence[Running], *, hooked: bool = False) -> None:
    """Databases at work whose files were copied: by name, and what to do about it, once for each sort."""
    for one in found:
        line = f"{formatting.name(sentence(one))}: its files were copied while it wrote to them"
        if hooked:
            out.remark(f"{line}; what the hook before-snapshot has written is what counts")
        else:
            out.warn(f"{line}, and may not start again")
    for database in dict.fromkeys(one.database for one in found) if not hooked else ():
        out.warn(f"  for {database}, in gitsnap.toml in the sidecar ({out.command('status')} names it):")
        for text in ("[hooks]", *hook(database)):
            out.warn(f"    {text}")


def failed_hooks(out: Terminal, results: Iterable[HookResult]) -> None:
    """Each hook that failed, with the end of what it had to say where nobody has seen it."""
    for done in results:
        if not done.ok:
            out.warn(f"the hook {done.hook} {out.told(done.problem)}")
            for line in out.secrets.text(done.output).splitlines()[-12:]:
                out.warn(f"  | {formatting.name(line)}")


def pruned(out: Terminal, gone: list[Decision]) -> None:
    """What retention removed along the way, and why."""
    for decision in gone:
        out.remark(f"retention removed {decision.snapshot.id}: {', '.join(decision.reasons)}")


def held(out: Terminal, found: HeldBack | None) -> None:
    """What retention has not removed, why, and how to tell it to."""
    if found is not None:
        from gitsnap.ops.store.retention import told

        out.warn(f"{told(found)}; nothing was removed")
        out.warn(f"  {out.command('prune -n')} shows what would go, {out.command('prune --yes')} removes it")


def limits(out: Terminal, found: Iterable[Kept], *, dry_run: bool = False) -> None:
    """What was done (or would be) to keep limits on space, and what could not be."""
    from gitsnap.core.space import told

    for kept in found:
        for line in told(kept, dry_run=dry_run):
            (out.warn if kept.short or kept.waiting else out.remark)(line)


def unread_rules(out: Terminal, noun: str | None) -> None:
    """An ignore file that is none (`noun` says what it is) does nothing, which somebody may not expect."""
    if noun:
        out.remark(f".gitsnapignore is {noun}, not a file: nothing is excluded by it")


def incomplete(out: Terminal, problems: Iterable[Problem], what: str) -> None:
    """Every path of a partial result, by name."""
    rows = list(problems)
    if rows:
        # More than one thing may be said of a path.
        out.warn(f"{formatting.many(len({p.path for p in rows}), 'path')} {what}:")
    for problem in rows:
        out.warn(f"  {formatting.name(problem.path) or '.'}: {formatting.name(problem.reason)}")


# So much of a message tells what a snapshot is about; where there is less room, columns go.
_TELLING = 16


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
        *(("signed", _by(each)) for each in result.signatures),
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


def _by(found: signature.Checked) -> str:
    return f"{formatting.name(signature.sentence(found))}, {formatting.when(found.when)}"


_RECORDED = {"mode": "modes", "owner": "owners", "time": "times", "xattr": "extended attributes"}


def untold(unrecorded: Mapping[str, int], unlisted: Sequence[bytes]) -> Iterator[str]:
    """What a foreign copy does not tell."""
    if unrecorded:
        counts = [f"{_RECORDED[what]} of {formatting.many(count, 'path')}" for what, count in unrecorded.items()]
        yield f"not recorded in the copy, and kept as they are here: {', '.join(counts)}"
    if unlisted:
        first = formatting.name(unlisted[0]) or "the top directory"
        more = (
            f" and in {formatting.many(len(unlisted) - 1, 'directory', 'directories')} more"
            if len(unlisted) > 1
            else ""
        )
        yield f"it covers what it holds only: whatever else is in {first}{more} stays, in a rollback, too"


def beyond(found: Sequence[bytes], what: str = "left alone") -> Iterator[str]:
    """What a copy does not cover."""
    if found:
        more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        yield f"{what}, as the copy does not cover it: {', '.join(map(formatting.name, found[:SHOWN]))}{more}"


def _paths(out: Terminal, title: str, found: list[bytes]) -> None:
    if found:
        out.line(f"\n{title}:")
        out.lines(f"  {formatting.name(p)}" for p in found)


TYPE_LETTERS = {Type.FILE: "-", Type.DIR: "d", Type.LINK: "l", Type.FIFO: "p", Type.CHAR: "c", Type.BLOCK: "b"}


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


def verdicts(out: Terminal, results: Iterable[Verdict], live: bool) -> None:
    """`verify`."""
    good, bad, root = ("the directory is the same", "difference", ".") if live else ("all as captured", "problem", "")
    for v in results:
        if v.ok:
            read = f"{formatting.many(v.files, 'file')}, {formatting.size(v.bytes)}"
            far = ", as far as it was read then" if v.unread else ""
            out.line(f"{out.style('ok ', 'green')}  {v.snapshot}  {read}, {good}{far}")
        else:
            out.line(f"{out.style('BAD', 'red')}  {v.snapshot}  {formatting.many(len(v.problems), bad)}")
        for each in v.signatures or ():
            if each.status is signature.Status.GOOD:
                out.line(f"  signed {_by(each)}")
        for p in v.problems:
            path = formatting.name(p.path) or root
            out.line(f"  {path + ': ' if path else ''}{formatting.name(p.problem)}")
        incomplete(out, v.unread, "could not be compared")
        for line in beyond(v.beyond, "not compared"):
            out.remark(line)


def signed(out: Terminal, done: Sequence[Signed]) -> None:
    """`sign`."""
    for each in done:
        by = f"{each.snapshot.id} by {each.key}"
        out.line(f"signed already: {by}" if each.already else f"signed {by}, {each.ref}")
    names = " ".join(each.snapshot.id for each in done)
    out.remark(f"with a file of allowed signers: {out.command(f'verify --signed --allowed-signers FILE {names}')}")


def decisions(out: Terminal, found: Iterable[Decision], *, dry_run: bool) -> None:
    """`prune`."""
    rows = list(found)
    wide = max((len(d.snapshot.id) for d in rows), default=0)
    for d in rows:
        word = ("keep" if d.keep else "remove") if dry_run else ("kept" if d.keep else "removed")
        out.line(f"{word:7}  {d.snapshot.id:{wide}}  {out.style(', '.join(d.reasons), 'dim')}")
    gone = sum(not d.keep for d in rows)
    out.line(f"{len(rows) - gone} kept, {gone} {'to remove; nothing was touched' if dry_run else 'removed'}")
    if gone and not dry_run:
        out.remark(f"their space comes back with: {out.command('gc')}")


def collected(out: Terminal, result: Collected) -> None:
    """`gc`."""
    freed = formatting.size(max(result.before - result.after, 0))
    out.line(f"{freed} freed; the sidecar takes {formatting.size(result.after)} now")
    if result.final:
        out.line(f"deleted for good: {', '.join(result.final)}")
    if result.spared:
        out.remark(f"still in the bin: {len(result.spared)} deleted; {out.command('list --deleted')}")


def purged(out: Terminal, result: Purged, *, asking: bool = True) -> None:
    """`purge`, and its question."""
    say = out.warn if asking else out.line
    names = ", ".join(formatting.name(p) for p in [*result.paths, *result.finished])
    some = formatting.many(len(result.snapshots), "snapshot")
    binned = f", {len(result.deleted)} of them in the bin" if result.deleted else ""
    what = f"{formatting.many(result.files, 'content')} of {formatting.size(result.bytes)}"
    if result.applied:
        say(f"purged {names} from {some}{binned}: {what}; {formatting.size(result.freed)} freed")
    else:
        say(f"{names}: in {some}{binned}, {what}")
        for name in result.snapshots:
            say(f"  {name}")
    if result.finished:
        out.remark(f"a purge of {', '.join(map(formatting.name, result.finished))} had been cut short")
    if result.elsewhere:
        out.warn(f"the same content lies under {formatting.many(len(result.elsewhere), 'other path')}, and stays:")
        for path in result.elsewhere:
            out.warn(f"  {formatting.name(path)}")
    for path in result.live:
        out.remark(f"{formatting.name(path)} is in the directory, and will be in the next snapshot: .gitsnapignore")
    out.remark("copies elsewhere still have it: remotes, clones, bundles, backups of the sidecar; change what leaked")
    if result.applied:
        out.remark("commit ids changed, nothing of them is verified yet: " + out.command("verify"))
    if result.unsigned:
        count = formatting.many(len(result.unsigned), "snapshot")
        say(f"signatures over what was {'are gone' if result.applied else 'go'}, of {count}")
    if result.applied and result.unsigned:
        out.remark(f"to sign again: {out.command('sign ' + ' '.join(result.unsigned))}")


def checks(out: Terminal, found: list[Check]) -> None:
    """`doctor`."""
    _answers(out, found)
    bad = sum(c.ok is False for c in found)
    out.line(f"{formatting.many(bad, 'problem')}" if bad else "no problems")


def foreseen(out: Terminal, found: list[Check]) -> None:
    """`doctor --before-upgrade`: what keeps an upgrade from starting, and what is worth knowing."""
    _answers(out, found)
    refused, noted = sum(c.refuses for c in found), sum(c.ok is None for c in found)
    if refused:
        out.line(f"an upgrade would not start: {formatting.many(refused, 'reason')} above")
    else:
        weigh = f"; {formatting.many(noted, 'thing')} to weigh" if noted else ""
        out.line(f"an upgrade can start{weigh}")
        out.line(f"Next: {out.command('run -- COMMAND')}")


def _answers(out: Terminal, found: list[Check]) -> None:
    for c in found:
        word, style = {True: ("ok", "green"), False: ("BAD", "red"), None: ("--", "yellow")}[c.ok]
        out.line(f"{out.style(f'{word:3}', style)} {c.name:12} {formatting.name(c.answer)}")
        if c.advice:
            here = c.advice.startswith("gitsnap ") and "gitsnap init" not in c.advice
            advice = out.command(c.advice.removeprefix("gitsnap ")) if here else c.advice
            out.line(f"{'':16} {formatting.name(advice)}")
