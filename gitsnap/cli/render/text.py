"""Results as text for people: short, aligned, within 80 columns, ending with what to type next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import lines, words
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core import signature
from gitsnap.core.database_servers import Running, hook, sentence
from gitsnap.core.model import Problem

# For annotations only, as in documents.py.
if TYPE_CHECKING:
    from gitsnap.core.retention import Decision, HeldBack
    from gitsnap.core.space import Kept
    from gitsnap.ops.capture.hooks import HookResult
    from gitsnap.ops.capture.request import Captured
    from gitsnap.ops.check.doctor import Check
    from gitsnap.ops.check.verdict import Verdict
    from gitsnap.ops.store.locate import Initialised
    from gitsnap.ops.store.sign import Signed

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
    if gone:
        back = out.command(f"undelete {gone[0].snapshot.id}" if len(gone) == 1 else "undelete SNAPSHOT")
        out.remark(f"  back, until a gc: {back}; what is to stay for good: {out.command('pin SNAPSHOT')}")


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
                out.line(f"  signed {signer(each)}")
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


def signer(found: signature.Checked) -> str:
    """Who signed, when, and how far that is to be believed, in a few words."""
    return f"{formatting.name(signature.sentence(found))}, {formatting.when(found.when)}"
