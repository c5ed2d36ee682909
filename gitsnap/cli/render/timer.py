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
from gitsnap.core.schedule import Schedule, Timed

if TYPE_CHECKING:
    from gitsnap.ops.timers.timer import Standing


class Shown(NamedTuple):
    """What is to be written: `texts` by path, and rules of retention."""

    timed: Timed
    scheduler: str
    texts: Mapping[str, str]
    rules: Mapping[str, int]


def shown(what: Shown) -> Iterator[str]:
    """Each text below the path that it goes to, as `systemctl cat` shows them."""
    for path, text in what.texts.items():
        yield f"# {formatting.name(path)}"
        yield from text.splitlines()
        yield ""
    if what.rules:
        yield f"# {formatting.name(os.path.join(what.timed.store, 'gitsnap.toml'))}"
        yield "[retention]"
        yield from (f"{key} = {count}" for key, count in what.rules.items())
        yield ""


def shown_document(what: Shown) -> Document:
    """The same for a program."""
    files = [{"path": path, "text": text} for path, text in what.texts.items()]
    return {
        "name": what.timed.name,
        "installation": what.timed.installation,
        "store": what.timed.store,
        "every": what.timed.every,
        "scheduler": what.scheduler,
        "files": files,
        "retention": dict(what.rules),
    }


def installed(out: Terminal, there: Sequence[Standing]) -> None:
    """`timer install`."""
    for one in there:
        when = f", the next one {formatting.when(one.next)}" if one.next else ""
        out.line(f"installed: {one.timed.name}, {one.timed.every}{when}")


def advice(out: Terminal, what: Shown, present: Policy | None, schedule: Schedule) -> None:
    """What is worth knowing afterwards; `present` are the rules where nobody has set any."""
    if present is not None:
        out.remark(f"retention as nobody has set it: {describe(present)}; what would suit:")
        out.remark(f"  {describe(schedule.rules)}")
        out.remark(f"  to write that: {out.command('timer install --retention')} {_option(what.timed.every)}")
    if what.scheduler == "systemd" and os.geteuid() != 0 and not os.path.exists(_lingers()):
        out.remark("it runs while you are logged in; always: loginctl enable-linger")
    out.remark(f"how it goes: {out.command('timer list')}; no more of it: {out.command('timer remove')}")


def _option(every: str) -> str:
    import shlex

    return f"--{every}" if every in ("hourly", "daily", "weekly") else f"--on-calendar {shlex.quote(every)}"


def _lingers() -> str:
    import pwd

    try:
        return f"/var/lib/systemd/linger/{pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return "/var/lib/systemd/linger/"


def standings(out: Terminal, found: Sequence[Standing], now: datetime) -> None:
    """`timer list`: a line for each, and one of how the last snapshot went."""
    if not found:
        out.line("there is no timer")
        out.remark("to have one: gitsnap timer install DIR --daily")
    for one in found:
        what = formatting.name(one.timed.installation)
        out.line(f"{what}: {one.timed.every}, by {one.scheduler}{_next(one)}")
        if one.last is not None:
            went = "" if one.exit_code is None else f", exit code {one.exit_code}"
            out.line(f"  last at work {formatting.ago(one.last, now)}{went}")
        if one.exit_code:
            out.warn(f"  why: journalctl {'--user ' * (os.geteuid() != 0)}-u '{one.timed.name}'")
        if not os.path.isdir(one.timed.installation):
            out.warn("  the directory is gone")


def _next(one: Standing) -> str:
    if one.active is False:
        return ", and STOPPED"
    return f", next {formatting.when(one.next)}" if one.next else ""


def document(one: Standing) -> Document:
    """A timer for a program."""

    return {
        "name": one.timed.name,
        "installation": one.timed.installation,
        "store": one.timed.store,
        "every": one.timed.every,
        "scheduler": one.scheduler,
        "where": one.where,
        "active": one.active,
        "next": one.next and moment(one.next),
        "last": one.last and moment(one.last),
        "exit_code": one.exit_code,
    }
