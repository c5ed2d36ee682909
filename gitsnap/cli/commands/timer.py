"""`timer`: snapshots by the clock."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes, Yes
from gitsnap.core.errors import GitsnapError, StopRequestedError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.schedule import Schedule
    from gitsnap.core.settings import Settings
    from gitsnap.ops.timers.crontab import Crontab
    from gitsnap.ops.timers.units import Units
    from gitsnap.sidecar.repository import Sidecar

_ACTIONS = ("list", "install", "remove")
_TRY = "gitsnap timer install /srv/app --daily"


@command(group=Group.KEEP, order=25, recorded=True)
def timer(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="[list|install|remove]")] = "list",
    directory: Annotated[str | None, typer.Argument(metavar="[DIR]")] = None,
    hourly: Annotated[bool, typer.Option("--hourly", help="Every hour.")] = False,
    daily: Annotated[bool, typer.Option("--daily", help="Every night. The default.")] = False,
    weekly: Annotated[bool, typer.Option("--weekly", help="In the night to every Monday.")] = False,
    calendar: Annotated[
        str | None,
        typer.Option("--on-calendar", metavar="WHEN", help="When systemd's words say: 'Mon..Fri 12:30', '*:0/15'."),
    ] = None,
    retention: Annotated[
        bool, typer.Option("--retention", help="Write retention rules that suit it into the sidecar's configuration.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="WHICH", help="systemd, or cron. Default: systemd where it runs."),
        Takes("systemd", "cron"),
    ] = None,
    only_print: Annotated[
        bool, typer.Option("-n", "--dry-run", "--print", help="Only show what would be written.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Have snapshots taken by the clock, by systemd or cron.

    list; install DIR; remove DIR.
    """
    session: Session = context.obj
    given = [hourly, daily, weekly, calendar is not None]
    _require(action, sum(given), directory=directory, options=any((*given, retention, only_print)))
    session.act.noted.looks = action == "list" or only_print
    if directory is not None:
        session.turn_to(os.path.join(session.cwd, directory))
    if action == "list":
        _list(session, scheduler)
    elif action == "remove":
        _remove(session, scheduler)
    else:
        schedule = _schedule(hourly=hourly, weekly=weekly, calendar=calendar)
        keeper = _keepers(session, scheduler or _present(session))[0]
        with session.open() as (sidecar, settings):
            _install(session, sidecar, settings, keeper, schedule, retention=retention, shows=only_print, yes=yes)


def _require(action: str, schedules: int, *, directory: str | None, options: bool) -> None:
    if action not in _ACTIONS:
        near = "remove" if action in ("rm", "delete", "del", "disable") else "install"
        near = next(iter(get_close_matches(action, _ACTIONS)), near)
        raise UsageError(f"'{action}' is none of {', '.join(_ACTIONS)}", hint=f"gitsnap timer {near}")
    if action != "install" and options:
        raise UsageError(f"timer {action} takes none of install's options", hint=_TRY)
    if action == "list" and directory is not None:
        raise UsageError("timer list takes no DIR: it tells of all of them", hint="gitsnap timer")
    if schedules > 1:
        raise UsageError("--hourly, --daily, --weekly and --on-calendar are one choice", hint=_TRY)


def _schedule(*, hourly: bool, weekly: bool, calendar: str | None) -> Schedule:
    from gitsnap.core import schedule

    if calendar is not None:
        return schedule.on_calendar(calendar)
    return schedule.HOURLY if hourly else schedule.WEEKLY if weekly else schedule.DAILY


def _present(session: Session) -> str:
    from gitsnap.ops.process import systemd

    return "systemd" if session.environ.get("GITSNAP_UNITS") or systemd.running() else "cron"


def _keepers(session: Session, scheduler: str | None) -> list[Units | Crontab]:
    """Who keeps timers: the one that is named, or both."""
    from gitsnap.config import environment
    from gitsnap.ops.timers.crontab import Crontab
    from gitsnap.ops.timers.units import Units

    if scheduler not in (None, "systemd", "cron"):
        raise UsageError(f"--scheduler: '{scheduler}' is neither systemd nor cron")
    found: list[Units | Crontab] = []
    if scheduler != "cron":
        directory, user = environment.units(session.environ)
        found.append(Units(directory, user, session.environ))
    return [*found, *([Crontab(session.environ)] if scheduler != "systemd" else [])]


def _list(session: Session, scheduler: str | None) -> None:
    from gitsnap.cli.render import timer as render

    found = [one for keeper in _keepers(session, scheduler) for one in keeper.standing()]
    if session.options.json:
        session.out.document({"timers": [render.document(one) for one in found]})
    else:
        render.standings(session.out, found, session.now)


def _remove(session: Session, scheduler: str | None) -> None:
    from gitsnap.cli.render import formatting
    from gitsnap.core.schedule import unit_name

    # By its path alone: the directory, and its sidecar, may be gone.
    root = session.root_to_snapshot()
    name = unit_name(root)
    keepers = {k.scheduler: k for k in _keepers(session, scheduler)}
    there = [one for k in keepers.values() for one in k.standing() if one.timed.installation == root]
    if not there:
        raise GitsnapError(f"there is no timer for {formatting.name(root)}", hint="gitsnap timer list", kind="timer")
    for one in there:
        said = keepers[one.scheduler].remove(name)
        if said is not None:
            session.out.warn(f"its units are gone, but systemd could not be asked to stop it: {formatting.name(said)}")
    if session.options.json:
        session.out.document({"removed": [{"name": name, "scheduler": one.scheduler} for one in there]})
    else:
        session.out.line(f"removed: {name}")
        session.out.remark("the snapshots that it took stay")


def _install(
    session: Session,
    sidecar: Sidecar,
    settings: Settings,
    keeper: Units | Crontab,
    schedule: Schedule,
    *,
    retention: bool,
    shows: bool,
    yes: bool,
) -> None:
    from gitsnap.cli.render import timer as render
    from gitsnap.core.retention import SOURCES
    from gitsnap.core.schedule import rules_table
    from gitsnap.ops.store import configuration
    from gitsnap.ops.timers.timer import timed

    wanted = timed(sidecar.installation, sidecar.path, schedule.name)
    texts = keeper.texts(wanted, schedule)
    ruled = settings.retention_from != SOURCES[0]
    if retention and ruled:
        raise UsageError(
            f"there are retention rules already, in the configuration of the {settings.retention_from}",
            hint="gitsnap status shows them",
        )
    rules = rules_table(schedule.rules) if retention else {}
    shown = render.Shown(wanted, keeper.scheduler, texts, rules)
    if shows:
        if session.options.json:
            session.out.document(render.shown_document(shown))
        else:
            session.out.lines(render.shown(shown))
        return
    if not yes:
        if not session.out.interactive:
            raise UsageError(
                "it asks before anything is written, and there is no terminal to ask on",
                hint="add --yes, or --print to see what would be written",
            )
        for line in render.shown(shown):
            session.out.warn(line)
        if not session.out.ask("Write this, and start it?"):
            raise StopRequestedError("nothing was written")
    keeper.check(wanted, schedule)
    keeper.install(wanted, schedule)
    there = [one for one in keeper.standing() if one.timed.installation == wanted.installation]
    if not session.options.json:
        render.installed(session.out, there)
    if rules:
        configuration.add_retention(sidecar, rules, settings.lock_wait)
    if session.options.json:
        session.out.document({"timers": [render.document(one) for one in there], "retention": rules})
    else:
        render.advice(session.out, shown, None if ruled or rules else settings.retention, schedule)
