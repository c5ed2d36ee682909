"""When a directory is looked at by itself, what units and lines of a crontab say so, and which rules suit it.

Units are systemd's (systemd.timer(5), systemd.time(7)), lines of a crontab those of crontab(5).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gitsnap.core.errors import UsageError
from gitsnap.core.retention import Policy
from gitsnap.core.units import SECTION, escaped, facts, quoted, run

PREFIX = "gitsnap-snapshot-"
# The label of what is taken so.
LABEL = "timer"
# What comes before what a unit, or a line of a crontab, says of itself.
_SAYS = "Timer="
# What cron reads of a line; the rest would be left out.
_LONGEST_COMMAND = 990
_EXPRESSION = re.compile(r"[A-Za-z0-9 *,.:/~_+-]+")


class Schedule(NamedTuple):
    """How often: by its name, as systemd reads it, and as cron does with `{minute}` in it (None: cron cannot). `rules`
    are those of retention that suit it."""

    name: str
    calendar: str
    cron: str | None
    rules: Policy


# The last ten stay as they would without any rule: what was kept until now is kept on.
_DAYS = Policy(keep_last=10, keep_daily=14, keep_weekly=8, keep_monthly=12)
_OFTEN = replace(_DAYS, keep_hourly=48)
HOURLY = Schedule("hourly", "hourly", "{minute} * * * *", _OFTEN)
DAILY = Schedule("daily", "daily", "{minute} 0 * * *", _DAYS)
WEEKLY = Schedule("weekly", "weekly", "{minute} 0 * * 1", Policy(keep_last=10, keep_weekly=8, keep_monthly=12))


def on_calendar(expression: str) -> Schedule:
    """What an expression of systemd's says. UsageError for one that no unit can hold; systemd knows what it means."""
    if not _EXPRESSION.fullmatch(expression) or not expression.strip():
        raise UsageError(
            f"--on-calendar: '{expression}' is not an expression of systemd.time(7)", hint="for example: Mon..Fri 12:30"
        )
    return Schedule(expression.strip(), expression.strip(), None, _OFTEN)


@dataclass(slots=True, frozen=True)
class Timed:
    """A directory that a snapshot is taken of by itself, its sidecar, how often (the name of a schedule), and the words
    that do it."""

    installation: str
    store: str
    every: str
    command: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of both units, without the ending; the directory's alone, and always the same."""
        return unit_name(self.installation)


def unit_name(installation: str) -> str:
    """What the units of a directory are called."""
    return PREFIX + escaped(installation)


def units(timed: Timed, schedule: Schedule, environ: Mapping[str, str]) -> dict[str, str]:
    """The texts of both units, by the endings of their names. UsageError for a path that no unit can hold."""
    what = quoted(timed.installation)[1:-1]
    service = f"""\
[Unit]
Description=Take a snapshot of {what}
Documentation=man:gitsnap-timer(1)
RequiresMountsFor={quoted(timed.installation)} {quoted(timed.store)}

[Service]
Type=oneshot
Nice=10
{run(timed.command, environ)}

{SECTION}
{_SAYS}{_said(timed)}
"""
    timer = f"""\
[Unit]
Description=Take snapshots of {what}: {schedule.calendar}
Documentation=man:gitsnap-timer(1)

[Timer]
OnCalendar={schedule.calendar}
# One that was missed while the machine was off is made up for; many directories do not begin in one second.
Persistent=yes
RandomizedDelaySec=10min

[Install]
WantedBy=timers.target

{SECTION}
{_SAYS}{_said(timed)}
"""
    return {"service": service, "timer": timer}


def cron_lines(timed: Timed, schedule: Schedule, environ: Mapping[str, str]) -> list[str]:
    """The lines of a crontab, the first of which tells what the second is. UsageError for what cron cannot do."""
    if schedule.cron is None:
        raise UsageError(
            f"cron cannot read '{schedule.name}': it is systemd's", hint="--hourly, --daily or --weekly, by cron"
        )
    quoted(timed.installation)
    quoted(timed.store)
    # Not all in one minute, and always in the same one.
    minute = int(hashlib.sha256(timed.installation.encode()).hexdigest()[:8], 16) % 60
    words = [f"{name}={shlex.quote(value)}" for name, value in sorted(environ.items())]
    words += [shlex.quote(word) for word in timed.command]
    # A percent sign ends cron's line, with a backslash before it it does not; the shell sees the sign alone. Between
    # quotes it may follow a backslash that is the path's own.
    command = " ".join(word.replace("%", "'\\%'" if "'" in word else "\\%") for word in words)
    if len(command) > _LONGEST_COMMAND:
        raise UsageError(f"cron takes lines of {_LONGEST_COMMAND} characters, and this would have {len(command)}")
    return [f"# {timed.name} {_SAYS}{_said(timed)}", f"{schedule.cron.format(minute=minute)} {command}"]


def told(text: str) -> Timed | None:
    """What a unit, or the first line of a crontab's, says of itself; None for one that is not ours."""
    found = next((line.partition(_SAYS)[2] for line in text.splitlines() if _SAYS in line and _ours(line)), None)
    said = facts(found)
    installation, store, every = (said.get(name) for name in ("installation", "store", "every"))
    if not isinstance(installation, str) or not isinstance(store, str) or not isinstance(every, str):
        return None
    return Timed(installation, store, every)


def _ours(line: str) -> bool:
    return line.startswith((_SAYS, f"# {PREFIX}"))


def _said(timed: Timed) -> str:
    return json.dumps({"installation": timed.installation, "store": timed.store, "every": timed.every})


def without(lines: Sequence[str], name: str) -> list[str]:
    """A crontab's lines, but for those of one timer. What somebody has put in the place of its command stays."""
    left: list[str] = []
    ours = False
    for line in lines:
        begins = line.startswith(f"# {name} {_SAYS}")
        if not begins and not (ours and line.endswith(f" --label {LABEL}")):
            left.append(line)
        ours = begins
    return left


def rules_table(policy: Policy) -> dict[str, int]:
    """The policy as keys of the table [retention]."""
    counts = {
        "keep-last": policy.keep_last or 0,
        "keep-hourly": policy.keep_hourly,
        "keep-daily": policy.keep_daily,
        "keep-weekly": policy.keep_weekly,
        "keep-monthly": policy.keep_monthly,
    }
    return {key: count for key, count in counts.items() if count}
