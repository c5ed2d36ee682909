"""Timers as text and as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.cli.render import formatting
from gitsnap.cli.render.json import Document, moment
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.retention import Policy, describe

if TYPE_CHECKING:
    from gitsnap.ops.timers.at_boot import AtBootStanding
    from gitsnap.ops.timers.setup import Settling, Setup
    from gitsnap.ops.timers.timer import Standing
    from gitsnap.sidecar.repository import Sidecar


class Shown(NamedTuple):
    """What is to be written: a timer or recovery at boot, and rules of retention."""

    setup: Setup
    sidecar: Sidecar
    rules: Mapping[str, int]


def shown(what: Shown) -> Iterator[str]:
    """Each text below the path that it goes to, as `systemctl cat` shows them."""
    for path, text in what.setup.texts().items():
        yield f"# {formatting.name(path)}"
        yield from text.splitlines()
        yield ""
    if what.rules:
        yield f"# {formatting.name(os.path.join(what.sidecar.path, 'gitsnap.toml'))}"
        yield "[retention]"
        yield from (f"{key} = {count}" for key, count in what.rules.items())
        yield ""


def shown_document(what: Shown) -> Document:
    """The same for a program."""
    setup, by_clock = what.setup, what.setup.by_clock
    return {
        "name": setup.name,
        "installation": what.sidecar.installation,
        "store": what.sidecar.path,
        "every": by_clock.timed.every if by_clock else None,
        "before": list(setup.settling.unit.before) if setup.settling else None,
        "scheduler": by_clock.keeper.scheduler if by_clock else "systemd",
        "files": [{"path": path, "text": text} for path, text in setup.texts().items()],
        "retention": dict(what.rules),
    }


def installed(out: Terminal, setup: Setup) -> None:
    """`timer install`."""
    by_clock, settling = setup.standing()
    for one in by_clock:
        when = f", the next one {formatting.when(one.next)}" if one.next else ""
        out.line(f"installed: {one.name}, {one.timed.every}{when}")
    for unit in settling:
        out.line(f"installed: {unit.name}, from the next boot on{_before(unit)}")


def installed_document(setup: Setup, rules: Mapping[str, int]) -> Document:
    """The same for a program."""
    return documents(*setup.standing()) | {"retention": dict(rules)}


def documents(by_clock: Sequence[Standing], at_boot: Sequence[AtBootStanding]) -> Document:
    """What is there, for a program."""
    return {"timers": [document(one) for one in by_clock], "at_boot": [_at_boot_document(one) for one in at_boot]}


def _before(one: AtBootStanding) -> str:
    return f", before {', '.join(map(formatting.name, one.unit.before))}" if one.unit.before else ""


def advice(out: Terminal, what: Shown, present: Policy | None) -> None:
    """What is worth knowing afterwards; `present` are the rules where nobody has set any."""
    by_clock, settling = what.setup.by_clock, what.setup.settling
    if by_clock and present is not None:
        out.remark(f"retention as nobody has set it: {describe(present)}; what would suit:")
        out.remark(f"  {describe(by_clock.schedule.rules)}")
        out.remark(f"  to write that: {out.command('timer install --retention')} {_option(by_clock.schedule.name)}")
    if settling:
        _who_waits(out, settling)
    if (not by_clock or by_clock.keeper.scheduler == "systemd") and os.geteuid() != 0:
        if settling:
            out.remark("services of the machine wait for no unit of yours: for these, install it as root")
        if not os.path.exists(_lingers()):
            out.remark("it runs while you are logged in; always, and from boot on: loginctl enable-linger")
    out.remark(f"how it goes: {out.command('timer list')}; no more of it: {out.command('timer remove')}")


def _who_waits(out: Terminal, settling: Settling) -> None:
    if not settling.unit.before:
        out.remark("nothing waits for it to be over; for a service that does: --before app.service")
    for name in settling.units.unknown(settling.unit):
        out.warn(f"systemd knows no {formatting.name(name)}: nothing waits for this until there is one")


def _option(every: str) -> str:
    import shlex

    return f"--{every}" if every in ("hourly", "daily", "weekly") else f"--on-calendar {shlex.quote(every)}"


def _lingers() -> str:
    import pwd

    try:
        return f"/var/lib/systemd/linger/{pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return "/var/lib/systemd/linger/"


def standings(out: Terminal, found: Sequence[Standing], at_boot: Sequence[AtBootStanding], now: datetime) -> None:
    """`timer list`: a line for each, and one of how the last one went."""
    if not found and not at_boot:
        out.line("there is no timer")
        out.remark("to have one: gitsnap timer install DIR --daily")
    for one in found:
        what = formatting.name(one.installation)
        out.line(f"{what}: {one.timed.every}, by {one.scheduler}{_next(one)}")
        _went(out, one, now)
    for unit in at_boot:
        what = formatting.name(unit.installation)
        disabled = ", but DISABLED" if unit.enabled is False else ""
        out.line(f"{what}: recover at boot{_before(unit)}{disabled}")
        _went(out, unit, now)


def _went(out: Terminal, one: Standing | AtBootStanding, now: datetime) -> None:
    if one.last is not None:
        went = "" if one.exit_code is None else f", exit code {one.exit_code}"
        out.line(f"  last at work {formatting.ago(one.last, now)}{went}")
    if one.exit_code:
        out.warn(f"  why: journalctl {'--user ' * (os.geteuid() != 0)}-u '{one.name}'")
    if not os.path.isdir(one.installation):
        out.warn("  the directory is gone")


def _next(one: Standing) -> str:
    if one.active is False:
        return ", and STOPPED"
    return f", next {formatting.when(one.next)}" if one.next else ""


def document(one: Standing) -> Document:
    """A timer for a program."""
    return {
        "name": one.name,
        "installation": one.installation,
        "store": one.timed.store,
        "every": one.timed.every,
        "scheduler": one.scheduler,
        "where": one.where,
        "active": one.active,
        "next": one.next and moment(one.next),
        "last": one.last and moment(one.last),
        "exit_code": one.exit_code,
    }


def _at_boot_document(one: AtBootStanding) -> Document:
    """A unit that settles an interrupted rollback at boot, for a program."""
    return {
        "name": one.name,
        "installation": one.installation,
        "store": one.unit.store,
        "before": list(one.unit.before),
        "where": one.where,
        "enabled": one.enabled,
        "last": one.last and moment(one.last),
        "exit_code": one.exit_code,
    }
