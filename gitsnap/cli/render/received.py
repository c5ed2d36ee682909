"""What `clone`, `adopt` and `pull` have taken in, as text for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.cli.render.text import SHOWN

# For annotations only.
if TYPE_CHECKING:
    from gitsnap.ops.check.verdict import Verdict
    from gitsnap.ops.remote.adopt import Adopted
    from gitsnap.ops.remote.pull import Pulled
    from gitsnap.ops.remote.receive import Received
    from gitsnap.ops.store.retention import Pruned
    from gitsnap.sidecar.state.clone_mark import Cloning


def adopted(out: Terminal, result: Adopted) -> None:
    """The sidecar that was made, and what it does not have."""
    received, place = result.received, result.place
    root, store = formatting.name(place.root), formatting.name(place.store)
    if result.dry_run:
        what = formatting.many(result.there, "snapshot")
        out.line(f"{what} in {formatting.name(received.source)}; the sidecar of {root} would be {store}")
        _ignored(out, received)
        return
    count = formatting.many(len(received.snapshots), "snapshot")
    if result.resumed:
        out.line(f"{count}, verified when they came, in {store}")
    else:
        proven = "all verified" if not received.damaged else f"{len(received.whole):,} verified"
        out.line(f"{count} from {formatting.name(received.source)}, {proven}, in {store}")
    damaged(out, received.damaged)
    if result.replaced:
        out.warn(f"what stood in the sidecar's place is {formatting.name(result.replaced)} now")
    _not_carried(out, result)
    _ignored(out, received)
    for one in result.strangers[:SHOWN]:
        out.warn(f"{one.kind} {formatting.name(one.name)} is not here: what is theirs has the number {one.number}")
    if len(result.strangers) > SHOWN:
        out.warn(f"… and {len(result.strangers) - SHOWN:,} more owners that are not here")


def no_copy(out: Terminal, result: Adopted, url: str | None) -> None:
    """Where copies went before is not taken over: what to type."""
    words = ["gitsnap", "-C", result.place.root, "remote", "add", "NAME", url or "URL"]
    if url is not None and result.received.installation is not None:
        words += ["--installation", result.received.installation]
    out.remark(f"nothing goes elsewhere from here yet; for that:  {formatting.name(shlex.join(words))}")


def leaving(out: Terminal, root: str, found: Pruned) -> None:
    """What of that which came will not stay for ever, and how to look at it and to keep it."""
    here = f"gitsnap -C {formatting.name(shlex.quote(root))}"
    if found.held:
        count = formatting.many(len(found.held.snapshots), "snapshot")
        out.remark(
            f"{count} wait for `prune`, as it is not known here by which rules they were kept: "
            f"{here} prune -n shows them, {here} pin SNAPSHOT keeps one"
        )
    elif found.gone:
        ids = [d.snapshot.id for d in found.gone]
        out.remark(f"retention removes {', '.join(ids)} with the next snapshot; to keep: {here} pin {' '.join(ids)}")


def cut_short(out: Terminal, root: str, mark: Cloning | None) -> None:
    """What stands after a clone that was interrupted, and what to type."""
    out.warn(f"cloning into {formatting.name(root)} was interrupted before the directory was whole")
    if mark is not None:
        typed = shlex.join(["gitsnap", "clone", mark.source, root])
        out.warn(f"  to go on: {formatting.name(typed)}")


def damaged(out: Terminal, found: Sequence[Verdict]) -> None:
    """Snapshots that are not whole, by what is wrong with them."""
    for verdict in found[:SHOWN]:
        problem = verdict.problems[0]
        path = f"{formatting.name(problem.path)}: " if problem.path else ""
        more = f", and {len(verdict.problems) - 1:,} more" if len(verdict.problems) > 1 else ""
        bad = out.style("BAD", "red")
        out.warn(f"{bad}  {formatting.name(verdict.snapshot)}  {path}{formatting.name(problem.problem)}{more}")
    if len(found) > SHOWN:
        out.warn(f"{out.style('BAD', 'red')}  … and {len(found) - SHOWN:,} more")


def pulled(out: Terminal, done: Pulled) -> None:
    """`pull`."""
    for name in done.coming:
        out.line(f"{'would bring' if done.dry_run else 'brought'} {name}")
    for name in done.pinned:
        if name not in done.coming:
            out.line(f"{'would pin' if done.dry_run else 'pinned'} {name}")
    for name in done.described:
        out.line(f"{'would describe' if done.dry_run else 'described'} {name}")
    damaged(out, done.damaged)
    for name in done.conflicts:
        out.warn(f"{formatting.name(name)} is another snapshot there than here: ours stays, theirs does not come")
    where = f"{done.remote} ({formatting.name(done.url)})"
    if done.removed:
        count = formatting.many(len(done.removed), "snapshot")
        out.remark(f"left there, as removed here: {count}; {out.command(f'pull {done.remote} --removed')} brings them")
    if not (done.coming or done.pinned or done.described or done.damaged or done.conflicts):
        out.remark(f"{where} has nothing that is not here: {formatting.many(done.there, 'snapshot')}")
    if done.short_lived:
        out.remark(
            f"retention will remove {len(done.short_lived):,} of them at the next snapshot; to keep what matters:"
        )
        out.remark(f"  {out.command('pin ' + ' '.join(done.short_lived))}")


def _not_carried(out: Terminal, result: Adopted) -> None:
    told, source = result.received.copied, formatting.name(result.received.source)
    if told.rollback:
        out.warn(
            "a rollback had been interrupted when the copy was made; nothing of it is taken over. A directory that was "
            "copied meanwhile is made whole by a rollback"
        )
    if told.upgrade:
        out.warn("an upgrade was under way when the copy was made, and is taken for over")
    if told.service:
        out.warn("the service was stopped when the copy was made; it is not started from here")
    if told.settings:
        settings = formatting.name(shlex.quote(f"{result.received.source}/gitsnap.toml"))
        out.remark(f"its settings (gitsnap.toml) are not taken over, since they name programs: look at {settings}")
    elif not result.resumed:
        out.remark(f"settings (gitsnap.toml) and the stat cache are not in {source}: defaults hold here")
    if (log := result.received.log) is not None:
        for problem in log.problems:
            out.warn(f"audit log: {formatting.name(problem)}")
    if result.received.deleted:
        out.remark(f"in the bin, as there: {formatting.many(result.received.deleted, 'deleted snapshot')}")
    if told.installation and told.installation != result.place.root:
        out.remark(
            f"they were taken of {formatting.name(told.installation)}; what is taken there from now on stays there"
        )


def _ignored(out: Terminal, received: Received) -> None:
    if received.ignored:
        names = ", ".join(formatting.name(name) for name in sorted(received.ignored)[:3])
        more = f" and {len(received.ignored) - 3:,} more" if len(received.ignored) > 3 else ""
        out.remark(f"left there, as it is not of these snapshots: {names}{more}")
