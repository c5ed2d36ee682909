"""Commands that take snapshots, bring them back, and remove them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitsnap.cli.app import Selector, command
from gitsnap.cli.render import terminal
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.model import Snapshot
    from gitsnap.core.plan import RestorePlan
    from gitsnap.core.retention import HeldBack
    from gitsnap.ops.restore.rollback import Restored


@command()
def init(context: typer.Context, directory: Annotated[str | None, typer.Argument(metavar="[DIR]")] = None) -> None:
    """Protect a directory: create its sidecar. Says where, and what a first snapshot will hold."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.capture import estimate
    from gitsnap.ops.live import exclusions

    session: Session = context.obj
    place, created = session.protect(directory)
    result = estimate.survey(place, created, session.settings(place))
    if session.options.json:
        session.out.document(json.initialised(result))
    else:
        text.initialised(session.out, result)
        text.unread_rules(session.out, exclusions.unused(place.root))


@command()
def snapshot(
    context: typer.Context,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="What this is about.")] = "",
    label: Annotated[str, typer.Option("--label", metavar="L", help="The end of its id. Default: manual.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="A tag; may be repeated.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it until it is unpinned.")] = False,
    skip_unchanged: Annotated[
        bool, typer.Option("--skip-unchanged", help="Take none when nothing has changed.")
    ] = False,
) -> None:
    """Take a snapshot. Prints its id."""
    from gitsnap.ops.capture.request import Request

    request = Request(message=message, label=label, tags=tuple(tag or ()), pin=pin, skip_unchanged=skip_unchanged)
    take_snapshot(context.obj, request)


def take_snapshot(session: Session, request: Any) -> None:
    """Take one snapshot, protecting the directory first where it is not protected yet."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.capture.snapshot import take
    from gitsnap.ops.live import exclusions
    from gitsnap.ops.store.locate import open_sidecar

    place, created = session.place_to_snapshot()
    if created:
        session.tell_of_sidecar(place)
    with open_sidecar(place) as sidecar:
        result = take(sidecar, request, session.settings(place), now=session.now, observer=session.out.progress())
        terminal.work_is_done()
        session.warn_of_damage(sidecar)
    if session.options.json:
        session.out.document(json.taken(result))
    else:
        text.taken(session.out, result)
        text.unread_rules(session.out, exclusions.unused(place.root))
    if result.partial or not all(done.ok for done in result.hooks):
        raise typer.Exit(3)


@command()
def rollback(
    context: typer.Context,
    snapshot: Annotated[
        str | None, typer.Argument(metavar="[SNAPSHOT]", help="Default: before the last upgrade, else the latest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Print the plan, touch nothing.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    component: Annotated[
        str | None, typer.Option("--component", metavar="NAME", help="Only this component; all else stays.")
    ] = None,
    keep_edits: Annotated[
        bool, typer.Option("--keep-edits", help="Undo an upgrade, and keep what was changed since.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", hidden=True)] = False,
) -> None:
    """Bring the whole directory back to a snapshot, exactly. A safety snapshot is taken first."""
    # As the old coordinator called it.
    yes = yes or force
    if keep_edits:
        from gitsnap.cli.commands.merge import undo_upgrade

        if component is not None:
            raise UsageError("--keep-edits does not go with --component")
        undo_upgrade(context.obj, snapshot, dry_run=dry_run, yes=yes)
        return
    _bring_back(context.obj, snapshot, [], dry_run=dry_run, yes=yes, component=component)


@command()
def restore(
    context: typer.Context,
    snapshot: Selector,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Relative to where you stand, or to DIR of -C.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DIR", help="Into this empty or new directory.")] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Print the plan, touch nothing.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    component: Annotated[
        str | None, typer.Option("--component", metavar="NAME", help="Only this component; all else stays.")
    ] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="With --to: everything that is whole of a damaged snapshot.")
    ] = False,
) -> None:
    """Bring paths or a component back, or into another directory."""
    from gitsnap.ops.restore.export import copy_out

    session: Session = context.obj
    if paths and not all(paths):
        # Most likely an unset variable; it must not stand for everything.
        raise UsageError("a PATH is empty", hint="`.` means the whole directory")
    if component is not None and (paths or to is not None):
        raise UsageError("--component goes with neither a PATH nor --to")
    if component is not None:
        _bring_back(session, snapshot, [], dry_run=dry_run, yes=True, component=component)
        return
    if salvage and to is None:
        raise UsageError(
            "--salvage needs --to DIR: what is not whole must not take the place of anything",
            hint="look through DIR, and copy from there",
        )
    if to is None and not paths:
        raise UsageError(
            "restore needs a SNAPSHOT and then a PATH, or --to DIR",
            hint="gitsnap rollback brings the whole directory back",
        )
    if to is None:
        _bring_back(session, snapshot, paths or [], dry_run=dry_run, yes=True)
        return
    if dry_run:
        raise UsageError("--dry-run does not go with --to")
    with session.open() as (sidecar, settings):
        raw = [session.inside(p, sidecar.installation) for p in paths or []]
        destination = os.path.abspath(to)
        result = copy_out(
            sidecar, snapshot, raw, destination, settings, salvaging=salvage, observer=session.out.progress()
        )
    report(session, result, paths or [], destination)


def _bring_back(
    session: Session,
    snapshot: str | None,
    paths: list[str],
    *,
    dry_run: bool,
    yes: bool,
    component: str | None = None,
) -> None:
    from gitsnap.cli.interrupts import Signals
    from gitsnap.ops.compare import components
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.rollback import rollback as operation
    from gitsnap.sidecar import catalog

    asked = not yes and not dry_run
    if asked and not session.out.interactive:
        with session.open(gone=True) as (sidecar, _):
            # What is wrong with the request itself comes first.
            known = catalog.snapshots(sidecar)
            _ = catalog.default_target(known) if snapshot is None else catalog.choose(sidecar, snapshot, known)
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
            settings,
            now=session.now,
            paths=raw,
            dry_run=dry_run,
            confirm=confirmation(session, sidecar.installation, snapshot) if asked else None,
            observer=session.out.progress(),
            interrupts=Signals(),
            part=components.part(sidecar, snapshot, component, settings) if component is not None else None,
        )
        if result.verified and not paths and component is None:
            in_progress.settle(sidecar)
    if snapshot is not None and snapshot.startswith("latest") and not asked:
        _mention_before(session, result.target)
    report(session, result, [component] if component is not None else paths, dry_run=dry_run)


def _mention_before(session: Session, target: Snapshot) -> None:
    """Who types `latest` right after an upgrade may well mean the state before it."""
    from gitsnap.core.model import Kind

    if target.kind is Kind.POST and target.upgrade:
        before = session.out.command(f"rollback {target.upgrade}@pre")
        session.out.remark(f"latest is what the upgrade left; before it: {before}")


def confirmation(
    session: Session, directory: str, selector: str | None = None
) -> Callable[[Snapshot, RestorePlan], bool]:
    """Shows a plan and asks whether to go ahead with it: in which directory, to which snapshot."""
    from gitsnap.cli.render import formatting, text

    def confirm(target: Snapshot, plan: RestorePlan) -> bool:
        if not plan.steps:
            return True
        text.plan(session.out, target, plan)
        if selector is not None and selector.startswith("latest"):
            _mention_before(session, target)
        session.out.warn(f"{formatting.name(directory)} goes back to {target.id}.")
        return session.out.ask("Go ahead?")

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
    from gitsnap.cli.render import json, text

    terminal.work_is_done(answer_counts=not result.applied)
    if not dry_run and not result.applied:
        session.out.warn("Nothing was touched.")
        raise typer.Exit(1)
    if session.options.json:
        session.out.document(json.restored(result, steps=not result.applied))
    elif result.applied:
        text.restored(session.out, result, paths, destination)
    else:
        text.steps(session.out, result)
    if result.applied and not result.verified and not result.salvaged:
        raise typer.Exit(1)
    if result.applied and (result.incomplete or not result.verified):
        raise typer.Exit(3)


@command()
def prune(
    context: typer.Context,
    keep_last: Annotated[int | None, typer.Option("--keep-last", metavar="N", help="The last N.")] = None,
    keep_within: Annotated[
        str | None, typer.Option("--keep-within", metavar="TIME", help="Younger than 30d, 2w, 12h ...")
    ] = None,
    keep_hourly: Annotated[
        int, typer.Option("--keep-hourly", metavar="N", help="The last of each of N hours.", show_default=False)
    ] = 0,
    keep_daily: Annotated[
        int, typer.Option("--keep-daily", metavar="N", help="The last of each of N days.", show_default=False)
    ] = 0,
    keep_weekly: Annotated[
        int, typer.Option("--keep-weekly", metavar="N", help="The last of each of N weeks.", show_default=False)
    ] = 0,
    keep_monthly: Annotated[
        int, typer.Option("--keep-monthly", metavar="N", help="The last of each of N months.", show_default=False)
    ] = 0,
    keep_yearly: Annotated[
        int, typer.Option("--keep-yearly", metavar="N", help="The last of each of N years.", show_default=False)
    ] = 0,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Even if the rules have changed or gone.")] = False,
) -> None:
    """Remove snapshots that no rule keeps. Without rules, those of the configuration."""
    from gitsnap.cli.render import json, text
    from gitsnap.core.retention import Policy, parse_duration
    from gitsnap.ops.store import retention

    session: Session = context.obj
    within: timedelta | None = parse_duration(keep_within) if keep_within else None
    counts = (keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)
    given = keep_last is not None or within is not None or any(counts)
    with session.open(changing=not dry_run) as (sidecar, settings):
        policy = Policy(keep_last, within, *counts) if given else None

        def agreed(held: HeldBack) -> bool:
            if not yes and session.out.interactive:
                session.out.warn(retention.told(held))
                return session.out.ask("Remove them?")
            return yes

        found = retention.prune(sidecar, policy, settings, now=session.now, dry_run=dry_run, agreed=agreed)
    if session.options.json:
        session.out.document(json.decisions(found, dry_run=dry_run))
    else:
        text.decisions(session.out, found, dry_run=dry_run)


@command()
def delete(context: typer.Context, snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT...")]) -> None:
    """Remove named snapshots."""
    from gitsnap.ops.store import retention

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        gone = retention.delete(sidecar, snapshots, settings, now=session.now)
    if session.options.json:
        session.out.document({"deleted": gone})
    else:
        session.out.lines(f"deleted {name}" for name in gone)
        session.out.remark(f"their space comes back with: {session.out.command('gc')}")


@command()
def pin(context: typer.Context, snapshot: Selector) -> None:
    """Keep a snapshot whatever retention says."""
    from gitsnap.ops.store import retention

    _pinned(context.obj, retention.pin, snapshot, "pinned")


@command()
def unpin(context: typer.Context, snapshot: Selector) -> None:
    """Let retention have a snapshot again."""
    from gitsnap.ops.store import retention

    _pinned(context.obj, retention.unpin, snapshot, "unpinned")


def _pinned(session: Session, operation: Any, selector: str, word: str) -> None:
    from gitsnap.cli.render import json

    with session.open(changing=True) as (sidecar, settings):
        changed = operation(sidecar, selector, settings)
    if session.options.json:
        session.out.document({"snapshot": json.snapshot(changed)})
    else:
        session.out.line(f"{word} {changed.id}")


@command()
def gc(context: typer.Context) -> None:
    """Give back the space of what no snapshot needs."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.store import retention

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        result = retention.collect(sidecar, settings)
    if session.options.json:
        session.out.document(json.collected(result))
    else:
        text.collected(session.out, result)
