"""Three versions made into one, by `rollback --keep-edits` and `carry`: what they ask, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from gitsnap.cli.render import formatting, terminal
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.merge import Plan
    from gitsnap.ops.restore.merge import MergeOptions, MergeResult

_SHOWN = 10


def options(session: Session, *, dry_run: bool, yes: bool) -> MergeOptions:
    """How a merge is to be done here."""
    from gitsnap.ops.restore.merge import MergeOptions

    confirm = _asking(session, dry_run=dry_run, yes=yes)
    return MergeOptions(session.now, dry_run=dry_run, confirm=confirm, observer=session.out.progress())


def _asking(session: Session, *, dry_run: bool, yes: bool) -> Callable[[Plan], bool] | None:
    """What shows a plan and asks whether to go ahead; None where nobody is to be asked."""
    if yes or dry_run:
        return None
    if not session.out.interactive:
        raise UsageError(
            "this asks first, and there is no terminal to ask on", hint="add --yes, or --dry-run to see the plan"
        )

    def confirm(plan: Plan) -> bool:
        for line in _lines(plan, _SHOWN):
            session.out.warn(line)
        session.out.warn("A safety snapshot is taken first: `gitsnap undo` undoes this.")
        agreed = session.out.ask("Go ahead?")
        session.act.noted.declined = not agreed
        return agreed

    return confirm


def _lines(plan: Plan, most: int | None = None) -> Iterable[str]:
    for word, paths in (("take", plan.taken), ("remove", plan.removed), ("merge", plan.merged)):
        for path in paths[:most]:
            yield f"{word:8} {formatting.name(path)}"
        if most is not None and len(paths) > most:
            yield f"{word:8} … and {len(paths) - most:,} more"
    for problem in plan.kept:
        yield f"keep     {formatting.name(problem.path)} ({formatting.name(problem.reason)})"
    for conflict in plan.conflicts:
        beside = f"; see {formatting.name(conflict.beside)}" if conflict.beside else ""
        yield f"conflict {formatting.name(conflict.path)}: {formatting.name(conflict.reason)}{beside}"


def report(session: Session, done: MergeResult, *, dry_run: bool) -> None:
    """Tell what was made of the versions, and leave with the exit code that says so."""
    terminal.work_is_done(answer_counts=done.restored is None)
    if session.options.json:
        session.out.document(_document(done, dry_run))
    elif done.plan.empty:
        session.out.line(f"nothing to do: all that {done.upgrade} is about is here as it should be")
    elif dry_run:
        session.out.lines(_lines(done.plan))
        session.out.line(f"{_counts(done)}; nothing was touched")
    elif done.restored is None:
        session.out.warn("Nothing was touched.")
    else:
        _tell(session, done)
    if done.restored is None and not done.plan.empty and not dry_run:
        raise typer.Exit(1)
    if done.restored is not None and not done.restored.verified:
        raise typer.Exit(1)
    if done.plan.conflicts:
        raise typer.Exit(13)
    if done.plan.unknown or (done.restored is not None and done.restored.incomplete):
        raise typer.Exit(3)


def _counts(done: MergeResult) -> str:
    plan = done.plan
    pairs = ((plan.taken, "taken"), (plan.removed, "removed"), (plan.merged, "merged"), (plan.conflicts, "in conflict"))
    return ", ".join(f"{len(found):,} {word}" for found, word in pairs if found)


def _tell(session: Session, done: MergeResult) -> None:
    from gitsnap.cli.render import restore, text

    restored = done.restored
    assert restored is not None
    session.out.line(
        f"{_counts(done)}, in {formatting.duration(done.duration)}, {'' if restored.verified else 'NOT '}verified"
    )
    for path in done.plan.merged:
        session.out.line(f"merged   {formatting.name(path)}")
    for line in _lines(type(done.plan)(conflicts=done.plan.conflicts)):
        session.out.warn(line)
    text.incomplete(session.out, [*done.plan.unknown, *restored.incomplete], "could not be brought back exactly")
    restore.in_use(session.out, restored)
    text.pruned(session.out, restored.pruned)
    text.held(session.out, restored.held)
    if restored.safety:
        session.out.line(f"\nTo undo: {session.out.command('undo')}")


def _document(done: MergeResult, dry_run: bool) -> dict[str, object]:
    from gitsnap.cli.render.json import path, paths, problems

    plan, restored = done.plan, done.restored
    return {
        "upgrade": done.upgrade,
        "dry_run": dry_run,
        "taken": paths(plan.taken),
        "removed": paths(plan.removed),
        "merged": paths(plan.merged),
        "conflicts": [
            path(c.path) | {"reason": c.reason} | (path(c.beside, "beside") if c.beside else {"beside": None})
            for c in plan.conflicts
        ],
        "snapshot": done.snapshot.id if done.snapshot else None,
        "safety_snapshot": restored.safety.id if restored and restored.safety else None,
        "verified": restored.verified if restored else False,
        "incomplete": problems([*plan.unknown, *(restored.incomplete if restored else plan.kept)]),
        "in_use": paths(sorted({*restored.in_use, *restored.left_alone}) if restored else []),
        "left_alone": paths(restored.left_alone if restored else []),
        "duration": round(done.duration, 3),
    }
