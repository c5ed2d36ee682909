"""What prune, gc and purge removed, or would remove."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal

# For annotations only, as in documents.py.
if TYPE_CHECKING:
    from gitsnap.core.retention import Decision
    from gitsnap.ops.store.gc import Collected
    from gitsnap.ops.store.purge import Purged


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
