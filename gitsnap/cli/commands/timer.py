"""`timer`: snapshots by the clock, and recovery at boot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes, Yes
from gitsnap.core.errors import GitsnapError, StopRequestedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitsnap.cli.session import Session
    from gitsnap.core.schedule import Schedule
    from gitsnap.core.settings import Settings
    from gitsnap.ops.timers.at_boot import AtBootUnits
    from gitsnap.ops.timers.crontab import Crontab
    from gitsnap.ops.timers.setup import Setup
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
    at_boot: Annotated[
        bool,
        typer.Option(
            "--recover-at-boot",
            help="Have systemd settle an interrupted rollback at boot. Without a time, only that.",
        ),
    ] = False,
    before: Annotated[
        list[str] | None,
        typer.Option("--before", metavar="UNIT", help="With that: what waits for it to start; may be repeated."),
    ] = None,
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
    options = any((*given, retention, only_print, at_boot, before))
    _require(action, sum(given), directory=directory, options=options)
    if before and not at_boot:
        raise UsageError("--before says what waits for --recover-at-boot", hint=f"add that, or leave it out: {_TRY}")
    session.act.noted.looks = action == "list" or only_print
    if directory is not None:
        session.turn_to(os.path.join(session.cwd, directory))
    if action == "list":
        _list(session, scheduler)
    elif action == "remove":
        _remove(session, scheduler)
    else:
        by_clock = any(given) or retention or not at_boot
        schedule = _schedule(hourly=hourly, weekly=weekly, calendar=calendar) if by_clock else None
        asked = _Asked(schedule, tuple(before or ()) if at_boot else None, retention, only_print, yes)
        with session.open() as (sidecar, settings):
            setup = _setup(session, sidecar, scheduler or _present(session), asked)
            _install(session, sidecar, settings, setup, asked)


@dataclass(slots=True, frozen=True)
class _Asked:
    """What is to be installed: a timer where there is a `schedule`, recovery at boot where it is said `before` what."""

    schedule: Schedule | None
    before: tuple[str, ...] | None
    retention: bool
    shows: bool
    yes: bool


def _require(action: str, schedules: int, *, directory: str | None, options: bool) -> None:
    if action not in _ACTIONS:
        near = did_you_mean.action(action, _ACTIONS)
        hint = f"gitsnap timer {near}" if near else "gitsnap timer --help"
        raise UsageError(f"'{action}' is none of {', '.join(_ACTIONS)}", hint=hint)
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


def _at_boot(session: Session, scheduler: str | None) -> AtBootUnits | None:
    """What keeps recovery at boot; None where cron is named."""
    from gitsnap.config import environment
    from gitsnap.ops.timers.at_boot import AtBootUnits

    return None if scheduler == "cron" else AtBootUnits(*environment.units(session.environ), session.environ)


def _list(session: Session, scheduler: str | None) -> None:
    from gitsnap.cli.render import timer as render

    found = [one for keeper in _keepers(session, scheduler) for one in keeper.standing()]
    units = _at_boot(session, scheduler)
    at_boot = units.standing() if units else []
    if session.options.json:
        session.out.document(render.documents(found, at_boot))
    else:
        render.standings(session.out, found, at_boot, session.now)


def _remove(session: Session, scheduler: str | None) -> None:
    from gitsnap.cli.render import formatting
    from gitsnap.ops.timers.at_boot import AtBootUnits

    # By its path alone: the directory, and its sidecar, may be gone.
    root = session.root_to_snapshot()
    keepers: list[Units | Crontab | AtBootUnits] = [*_keepers(session, scheduler)]
    keepers += [units] if (units := _at_boot(session, scheduler)) else []
    there = [(keeper, one) for keeper in keepers for one in keeper.standing() if one.installation == root]
    if not there:
        raise GitsnapError(f"there is no timer for {formatting.name(root)}", hint="gitsnap timer list", kind="timer")
    for keeper, one in there:
        said = keeper.remove(one.name)
        if said is not None:
            session.out.warn(f"its units are gone, but systemd could not be told: {formatting.name(said)}")
    if session.options.json:
        removed = [{"name": one.name, "scheduler": keeper.scheduler} for keeper, one in there]
        session.out.document({"removed": removed})
    else:
        for _, one in there:
            session.out.line(f"removed: {one.name}")
        if any(not isinstance(keeper, AtBootUnits) for keeper, _ in there):
            session.out.remark("the snapshots that it took stay")


def _setup(session: Session, sidecar: Sidecar, scheduler: str, asked: _Asked) -> Setup:
    from gitsnap.ops.timers.at_boot import at_boot
    from gitsnap.ops.timers.setup import ByClock, Settling, Setup
    from gitsnap.ops.timers.timer import timed

    by_clock = settling = None
    if asked.schedule is not None:
        wanted = timed(sidecar.installation, sidecar.path, asked.schedule.name)
        by_clock = ByClock(_keepers(session, scheduler)[0], wanted, asked.schedule)
    if asked.before is not None:
        units = _at_boot(session, scheduler)
        if units is None:
            raise UsageError(
                "--recover-at-boot takes systemd: cron starts nothing before a service",
                hint=f"have what starts the service run this first: {session.out.command('recover --at-boot')}",
            )
        settling = Settling(units, at_boot(sidecar, asked.before))
    return Setup(by_clock, settling)


def _install(session: Session, sidecar: Sidecar, settings: Settings, setup: Setup, asked: _Asked) -> None:
    from gitsnap.cli.render import timer as render
    from gitsnap.core.retention import SOURCES
    from gitsnap.core.schedule import rules_table
    from gitsnap.ops.store import configuration

    ruled = settings.retention_from != SOURCES[0]
    if asked.retention and ruled:
        raise UsageError(
            f"there are retention rules already, in the configuration of the {settings.retention_from}",
            hint="gitsnap status shows them",
        )
    rules = rules_table(asked.schedule.rules) if asked.schedule and asked.retention else {}
    shown = render.Shown(setup, sidecar, rules)
    if asked.shows:
        if session.options.json:
            session.out.document(render.shown_document(shown))
        else:
            session.out.lines(render.shown(shown))
        return
    if not asked.yes:
        _agree(session, render.shown(shown), starts=setup.by_clock is not None)
    setup.check()
    setup.install()
    if not session.options.json:
        render.installed(session.out, setup)
    if rules:
        configuration.add_retention(sidecar, rules, settings.lock_wait)
    if session.options.json:
        session.out.document(render.installed_document(setup, rules))
    else:
        render.advice(session.out, shown, None if ruled or rules else settings.retention)


def _agree(session: Session, shown: Iterable[str], *, starts: bool) -> None:
    if not session.out.interactive:
        raise UsageError(
            "it asks before anything is written, and there is no terminal to ask on",
            hint="add --yes, or --print to see what would be written",
        )
    for line in shown:
        session.out.warn(line)
    if not session.out.ask("Write this, and start it?" if starts else "Write this, and have it run at each boot?"):
        raise StopRequestedError("nothing was written")
