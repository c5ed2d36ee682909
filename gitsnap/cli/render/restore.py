"""What a rollback will do, and what it, a restore, an undo or a recovery did, as text for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.cli.render.text import SHOWN, beyond, held, incomplete, pruned, untold
from gitsnap.core.database_servers import sentence
from gitsnap.core.model import Kind, Problem, Snapshot
from gitsnap.core.outcome import Outcome

# For annotations only, as in documents.py.
if TYPE_CHECKING:
    from gitsnap.core.plan import RestorePlan
    from gitsnap.ops.restore.result import Recovered, Restored


def plan(out: Terminal, target: Snapshot, steps: RestorePlan) -> None:
    """What a rollback is about to do, before it asks."""
    for line in (*plan_head(target), *plan_paths(steps), *plan_sum(steps)):
        out.warn(line)


def plan_head(target: Snapshot) -> Iterable[str]:
    """A plan's beginning: where it leads."""
    message = target.message.partition("\n")[0]
    about = "" if message in (target.label, "snapshot") else f" ({formatting.name(message)})"
    yield f"Back to {target.id}{about}:"


def plan_paths(steps: RestorePlan, most: int = SHOWN // 2) -> Iterable[str]:
    """The paths of a plan, at most so many of a sort."""
    write, remove = steps.written, steps.removed
    for word, paths in (("write", write), ("remove", remove)):
        for path in paths[:most]:
            yield f"  {word:6} {formatting.name(path)}"
        if len(paths) > most:
            yield f"  {word:6} … and {len(paths) - most:,} more"
    for problem in steps.kept:
        yield f"  keep   {formatting.name(problem.path) or '.'}: {formatting.name(problem.reason)}"
    for problem in steps.foreseen[:most]:
        yield f"  note   {formatting.name(problem.path) or '.'}: {formatting.name(problem.reason)}"
    if len(steps.foreseen) > most:
        yield f"  note   … and {len(steps.foreseen) - most:,} more that will not come back exactly"


def plan_sum(steps: RestorePlan) -> Iterable[str]:
    """The sum of a plan, and the way back from it."""
    write, remove = steps.written, steps.removed
    yield (
        f"Write {formatting.many(len(write), 'path')} ({formatting.size(steps.size())}), remove {len(remove):,}, "
        f"set mode, owner or time of {len(steps.metadata_only):,} more."
    )
    yield "A safety snapshot is taken first: gitsnap undo reverses this."


def steps(out: Terminal, result: Restored) -> None:
    """`rollback --dry-run`."""
    for step in result.plan.steps:
        out.line(f"{step.action.value:8} {formatting.name(step.path) or '.'}")
    for problem in result.plan.kept:
        out.line(f"{'keep':8} {formatting.name(problem.path) or '.'} ({formatting.name(problem.reason)})")
    for problem in result.plan.foreseen:
        out.line(f"{'note':8} {formatting.name(problem.path) or '.'} ({formatting.name(problem.reason)})")
    counts = Counter(s.action for s in result.plan.steps)
    text = ", ".join(f"{n:,} {action}" for action, n in counts.items()) or "nothing to do"
    out.line(f"{text}; nothing was touched")
    _further_back(out, result)


def restored(out: Terminal, result: Restored, paths: Sequence[str], destination: str | None) -> None:
    """`rollback`, and `restore` of named paths or into another directory."""
    target, steps = result.target.id, formatting.many(len(result.plan.steps), "step")
    if destination is not None:
        what = f"{target} into {formatting.name(destination)}"
    else:
        paths = paths or [*map(os.fsdecode, result.paths)]
        named = formatting.name(paths[0]) if len(paths) == 1 else formatting.many(len(paths), "path")
        what = f"{named if paths else result.component or 'the directory'} to {target}"
    if result.salvaged and not result.verified:
        out.line(f"salvaged {what}: what could be read in it, NOT verified by the manifest")
    elif not result.verified:
        out.line(f"restored {what} in {steps}, but it is NOT the same")
    elif not result.plan.steps:
        as_in = f"all{' else' if result.incomplete else ''} is as in {target} already, verified"
        out.line(f"nothing to do: {as_in}")
    else:
        out.line(f"restored {what}")
        out.line(f"{steps} in {formatting.duration(result.duration)}, {_verified(result.incomplete)}")
    for above in result.made[:-1]:
        out.warn(
            f"{formatting.name(above)} was gone and is made again, for its owner alone: no snapshot knows its mode"
        )
    if result.service.problem:
        out.warn(out.style(f"WARNING: {out.told(result.service.problem)}", "red"))
    if result.aside:
        out.warn(f"what stood in the directory's place is {formatting.name(result.aside)} now")
    incomplete(out, result.incomplete, "could not be brought back exactly")
    for line in (*untold(result.unrecorded, ()), *beyond(result.beyond)):
        out.remark(line)
    in_use(out, result)
    pruned(out, result.pruned)
    held(out, result.held)
    if result.safety and (result.plan.steps or result.safety.undoes):
        back = "redo" if result.safety.undoes else "undo"
        out.line(f"\nTo {back}: {out.command(back)}")
    _further_back(out, result)


def _further_back(out: Terminal, result: Restored) -> None:
    """What brings back an older state, for who has asked for the one that is there, as after an upgrade that failed."""
    if result.further_back is not None:
        ending = result.target.ending if result.target.kind is Kind.PRE else None
        undone = ending is not None and ending.outcome is Outcome.ROLLED_BACK
        already = f"{result.target.upgrade} was rolled back already. " if undone else ""
        out.line(f"\n{already}To go further back: {out.command(f'rollback {result.further_back.id}')}")


def in_use(out: Terminal, result: Restored) -> None:
    """What others were at work on while a directory was brought back."""
    for one in result.running if result.plan.steps else ():
        if not any(one.covers(p.path) for p in result.incomplete):
            out.warn(f"{formatting.name(sentence(one))}: restart it, or it goes on with the files of before")
    for path in result.in_use if result.plan.steps else ():
        out.warn(f"{formatting.name(path)} was in use: restart what has it open, it writes to the old file")
    for path in result.left_alone[:SHOWN]:
        out.remark(f"{formatting.name(path)} is in use, and was left alone")
    if len(result.left_alone) > SHOWN:
        out.remark(f"… and {len(result.left_alone) - SHOWN:,} more that are in use")


def _verified(incomplete: Sequence[Problem]) -> str:
    """What was compared and found right: everything, or everything but what is named."""
    return "all else verified" if incomplete else "verified"


def recovered(out: Terminal, result: Recovered, cut_short: str | None = None) -> None:
    """`recover`; `cut_short` is an upgrade that was killed, and is not its to settle."""
    if result.cleared:
        out.line(f"removed what had no journal: {', '.join(map(formatting.name, result.cleared))}")
        incomplete(out, result.incomplete, "kept beside the sidecar")
        out.line(
            f"\nThe directory may be between two states: {out.command('list')}, then {out.command('diff SNAPSHOT')}"
        )
        return
    if result.service.problem:
        out.warn(out.style(f"WARNING: {out.told(result.service.problem)}", "red"))
    if result.direction is None and cut_short is not None:
        out.line(f"no rollback was interrupted here; the upgrade {cut_short} was, and the directory is as that left it")
        out.line(f"To go back:            {out.command(f'rollback {cut_short}@pre')}")
        out.line(f"To keep what is here:  {out.command('snapshot')}")
        return
    if result.direction is None:
        out.line("nothing to recover: no rollback was interrupted here")
        return
    if result.direction == "give-up":
        given_up(out, result)
        return
    state = result.target if result.direction == "finish" else f"what it was before, {result.safety}"
    if result.unverified is not None:
        out.line(f"journal and stage brought the directory to {state}; that is NOT verified: {result.unverified}")
    elif not result.verified:
        out.line(f"the directory was brought to {state}, but it is NOT the same")
    elif not result.moved and result.direction == "revert":
        out.line("the interrupted rollback had changed nothing; what it left is removed, verified")
        out.line("\nTo go back after all, say the interrupted command again")
    else:
        out.line(f"the directory is {state}, {_verified(result.incomplete)}")
    incomplete(out, result.incomplete, "could not be brought back exactly")
    if result.direction == "finish":
        out.line(f"\nTo undo: {out.command('undo')}")


def given_up(out: Terminal, result: Recovered) -> None:
    """`recover --give-up`."""
    between = f" between {result.safety} and {result.target}" if result.target else ""
    out.line(
        f"given up: the directory is left as it is{between or ', between two states perhaps'}; nothing is verified"
    )
    incomplete(out, result.incomplete, "of what the rollback had staged or replaced")
    out.line(f"the journal and all that was in the stage: {formatting.name(result.kept or '')}")
    back = out.command(f"rollback {result.safety}" if result.safety else "rollback SNAPSHOT")
    out.line(f"\nTo get the state before it: {back}")
