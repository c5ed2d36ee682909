"""A directory goes back, by `rollback`, `restore`, `undo` and `redo`: what they ask, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from gitsnap.cli.render import terminal
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.model import Snapshot
    from gitsnap.core.plan import RestorePlan
    from gitsnap.core.settings import Settings
    from gitsnap.ops.restore.result import Restored
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.sidecar.repository import Sidecar

    Reversal = Callable[[Sidecar, Settings, RollbackOptions], Restored]


def bring_back(
    session: Session,
    snapshot: str | None,
    paths: list[str],
    *,
    dry_run: bool,
    yes: bool,
    component: str | None = None,
    running_databases: str | None = None,
    plan: str | None = None,
) -> None:
    """Bring the directory, these paths of it or this component back to a snapshot, and tell of it."""
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.session import with_running
    from gitsnap.ops.compare import components
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.ops.restore.rollback import rollback as operation
    from gitsnap.sidecar import catalog, selectors

    asked = not yes and not dry_run and plan is None
    if asked and not session.out.interactive:
        with session.open(gone=True) as (sidecar, _):
            # What is wrong with the request itself comes first.
            known = catalog.snapshots(sidecar)
            _ = selectors.default_target(known) if snapshot is None else selectors.choose(sidecar, snapshot, known)
        raise UsageError(
            "a rollback asks first, and there is no terminal to ask on", hint="add --yes, or --dry-run to see the plan"
        )
    with session.open(changing=True, gone=True) as (sidecar, settings):
        raw = [session.inside(p, sidecar.installation) for p in paths]
        upgrade = in_progress.living(sidecar)
        if upgrade is not None and upgrade != session.environ.get("GITSNAP_UPGRADE"):
            session.out.warn(f"the upgrade {upgrade} is under way, and may write to what is brought back")
        result = operation(
            sidecar,
            snapshot,
            with_running(settings, running_databases),
            RollbackOptions(
                session.now,
                dry_run=dry_run,
                confirm=confirmation(session, sidecar.installation, snapshot) if asked else None,
                agreed=plan,
                observer=session.out.progress(),
                interrupts=Signals(),
            ),
            paths=raw,
            part=components.part(sidecar, snapshot, component, settings) if component is not None else None,
        )
        if result.verified and not paths and component is None:
            in_progress.settle(sidecar)
    if not paths and component is None:
        _mention_beside(session, result.target)
    if snapshot is not None and snapshot.startswith("latest") and not asked:
        _mention_before(session, result.target)
    report(session, result, [component] if component is not None else paths, dry_run=dry_run)


def reverse(
    session: Session, operation: Reversal, *, dry_run: bool, yes: bool, running_databases: str | None = None
) -> None:
    """Undo or redo, and tell of it."""
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.session import with_running
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.sidecar import catalog

    asks = not yes and not dry_run and session.out.interactive
    with session.open(changing=True, gone=True) as (sidecar, settings):
        known = catalog.snapshots(sidecar)
        result = operation(
            sidecar,
            with_running(settings, running_databases),
            RollbackOptions(
                session.now,
                dry_run=dry_run,
                confirm=confirmation(session, sidecar.installation, known=known) if asks else None,
                observer=session.out.progress(),
                interrupts=Signals(),
            ),
        )
        if result.applied and result.verified:
            in_progress.settle(sidecar)
    if not asks:
        _mention_since(session, result.target, known)
    report(session, result, dry_run=dry_run)


def _mention_since(session: Session, target: Snapshot, known: Sequence[Snapshot]) -> None:
    """Who undoes a rollback may have forgotten that there were upgrades after it."""
    from gitsnap.core.upgrade import begun_since

    if since := begun_since(known, target):
        what = (
            "an upgrade that stands, and what it"
            if len(since) == 1
            else f"{len(since)} upgrades that stand, and what they"
        )
        session.out.warn(f"{target.id} is from before {what} did goes, too: {', '.join(since)}")


def _mention_beside(session: Session, target: Snapshot) -> None:
    """Who brings back one directory of several that were upgraded together may well mean all of them."""
    if len(target.directories) > 1:
        from gitsnap.cli import sets

        part = f"{target.upgrade}@{target.kind.value}"
        all_back = sets.placed(target.directories, f"rollback {part}")
        session.out.warn(f"the upgrade {target.upgrade} was over {len(target.directories)} directories, and this is")
        session.out.warn(f"about one of them; all of them:  {all_back}")


def _mention_before(session: Session, target: Snapshot) -> None:
    """Who types `latest` right after an upgrade may well mean the state before it."""
    from gitsnap.core.model import Kind

    if target.kind is Kind.POST and target.upgrade:
        before = session.out.command(f"rollback {target.upgrade}@pre")
        session.out.remark(f"latest is what the upgrade left; before it: {before}")


def confirmation(
    session: Session, directory: str, selector: str | None = None, known: Sequence[Snapshot] = ()
) -> Callable[[Snapshot, RestorePlan], bool]:
    """Shows a plan and asks whether to go ahead with it: in which directory, to which snapshot of those that `undo` and
    `redo` know."""
    from gitsnap.cli.render import formatting, restore

    def confirm(target: Snapshot, plan: RestorePlan) -> bool:
        if not plan.steps:
            return True
        restore.plan(session.out, target, plan)
        if selector is not None and selector.startswith("latest"):
            _mention_before(session, target)
        if selector is not None or target.kind.value == "pre":
            _mention_beside(session, target)
        _mention_since(session, target, known)
        session.out.warn(f"{formatting.name(directory)} goes back to {target.id}.")
        agreed = session.out.ask("Go ahead?")
        session.act.noted.declined = not agreed
        return agreed

    return confirm


def report(
    session: Session,
    result: Restored,
    paths: Sequence[str] = (),
    destination: str | None = None,
    *,
    dry_run: bool = False,
) -> None:
    """Tell what a rollback, restore or undo has done, and leave with the exit code that says so."""
    from gitsnap.cli.render import json_restore, restore

    terminal.work_is_done(answer_counts=not result.applied)
    if not dry_run and not result.applied:
        session.out.warn("Nothing was touched.")
        raise typer.Exit(1)
    if session.options.json:
        session.out.document(json_restore.restored(result, steps=not result.applied))
    elif result.applied:
        restore.restored(session.out, result, paths, destination)
    else:
        restore.steps(session.out, result)
    if result.applied and not result.verified and not result.salvaged:
        raise typer.Exit(1)
    if result.applied and (result.incomplete or not result.verified or result.service.problem):
        raise typer.Exit(3)
