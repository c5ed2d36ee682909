"""Remotes and what went to them, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitsnap.cli.render.terminal import Terminal
    from gitsnap.core.remote import Remote
    from gitsnap.ops.remote.after_snapshot import Copied
    from gitsnap.ops.remote.push import Pushed
    from gitsnap.ops.remote.remotes import Standing
    from gitsnap.ops.remote.secret_guard import Inspected
    from gitsnap.sidecar.state.allowed_secrets import Allowed


def changed(out: Terminal, remote: Remote, *, added: bool, lacking: str | None = None) -> None:
    """One was added or removed; `lacking` is what to type to make a repository that is not there."""
    if not added:
        out.line(f"{remote.name} is no remote any more; what is at {formatting.name(remote.shown)} stays there")
        return
    below = f", as {formatting.name(remote.installation)}" if remote.installation else ""
    out.line(f"{remote.name} is {formatting.name(remote.shown)}{below}")
    if lacking is not None:
        out.warn(f"there is no git repository at {formatting.name(remote.shown)} yet; to make it:  {lacking}")
    out.remark(f"Send what is here:  {out.command(f'push {remote.name}')}")


def standings(out: Terminal, found: Sequence[Standing]) -> None:
    """`remote list`."""
    wide = max((len(each.remote.name) for each in found), default=0)
    for each in found:
        out.line(f"{each.remote.name:{wide}}  {formatting.name(each.remote.shown)}")
        out.line(f"{'':{wide}}  {standing(each)}")
        for one in each.allowed:
            out.line(f"{'':{wide}}  a secret may go: {formatting.name(one.path)}: {formatting.name(one.key)}")
    if not found:
        out.remark(f"there is no remote:  {out.command('remote add NAME URL')}")


def standing(each: Standing) -> str:
    """How far a remote is, in a line."""
    at = f"{formatting.many(each.there, 'snapshot')} there"
    when = f"pushed {formatting.when(each.when)}" if each.when else "never pushed"
    lacks = f", {len(each.lacks)} to go" if each.lacks else ""
    problem = f"; the last attempt failed: {each.problem}" if each.problem else ""
    return f"{at}{lacks}, {when}{problem}"


def pushed(out: Terminal, done: Pushed) -> None:
    """`push`."""
    where = f"{done.remote} ({formatting.name(done.url)})"
    if done.lost:
        names = ", ".join(done.lost[:3]) + (", …" if len(done.lost) > 3 else "")
        out.warn(f"warning: not at {where} any more, though pushed before: {names}")
    for name in done.snapshots:
        out.line(("would send " if done.dry_run else "sent ") + name)
    for name in done.removed:
        out.line(("would remove " if done.dry_run else "removed ") + formatting.name(name))
    for name, why in done.held_back.items():
        out.warn(f"{name} stays away: {why}")
    if done.timeline.startswith("refused"):
        out.remark(
            f"the timeline over there stays as it was ({formatting.name(done.timeline)}); every snapshot is whole"
        )
    if done.audit:
        out.warn(f"warning: {done.audit}")
    secrets(out, done.inspected, done.allowed)
    for name in done.plain:
        out.warn(f"{name} there is not encrypted; what is in it stays readable for as long as it is there")
    if done.dry_run:
        out.remark(f"{where} would get {formatting.many(done.objects, 'object')}")
    elif done.refs:
        out.remark(f"{formatting.many(done.there, 'snapshot')} at {where} now; {formatting.size(done.bytes)} sent")
    else:
        out.remark(f"{where} has everything: {formatting.many(done.there, 'snapshot')}")
    if done.doubt:
        again = out.command(f"push {done.remote} --verify")
        out.warn(f"warning: what is there did not come back as it is here ({formatting.name(done.doubt)}); {again}")
    if done.read_back is not None:
        back = done.read_back
        count = f"{formatting.many(len(back.snapshots), 'snapshot')}, {formatting.many(back.objects, 'object')}"
        out.remark(f"read back from there, all as it is here: {count}, {formatting.size(back.bytes)}")


def secrets(out: Terminal, found: Inspected, allowed: Sequence[Allowed]) -> None:
    """What went since somebody said so, and what was not looked at."""
    for one in allowed:
        out.line(f"a secret may go from now on: {formatting.name(one.path)}: {formatting.name(one.key)}")
    not_looked = [
        f"{number:,} {what}"
        for number, what in ((found.binary, "binary"), (found.large, "too large"), (found.brought, "of packages"))
        if number
    ]
    if not_looked:
        many = formatting.many(found.binary + found.large + found.brought, "file")
        out.remark(f"not looked through for secrets: {many} ({', '.join(not_looked)})")


def copied(out: Terminal, found: Sequence[Copied]) -> None:
    """What went of itself after a snapshot; the snapshot stands."""
    for each in found:
        if each.problem is not None:
            out.warn(f"warning: no copy went to {each.remote.name}: {each.problem}")
            named = formatting.named_secrets(each.problem)
            for line in named:
                out.warn(f"    {line}")
            then = "it says what to do" if named else "the next one makes up for it, or"
            out.warn(f"  the snapshot stands; {then}: {out.command(f'push {each.remote.name}')}")
        elif each.pushed is not None and each.pushed.snapshots:
            out.remark(f"copied to {each.remote.name}: {formatting.size(each.pushed.bytes)} sent")
