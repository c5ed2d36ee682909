"""What settles an interrupted rollback at boot, before the services that work on the directory: a unit, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitsnap.core.errors import UsageError
from gitsnap.core.units import SECTION, escaped, facts, quoted, run

# What Debian's package calls its template: whoever names the unit of a directory finds this one.
PREFIX = "gitsnap-recover@"
_SAYS = "Recover="
_ENDING = re.compile(r".+\.(service|socket|target|timer|path)")
# A template, with nothing behind its @, is no unit that could wait.
_NAME = re.compile(r"[A-Za-z0-9:_\\][A-Za-z0-9:_.\\-]*(@[A-Za-z0-9:_\\-][A-Za-z0-9:_.\\@-]*)?")
_LONGEST = 255
_OF_GLOB = re.compile(r"([\\*?\[\]{},~])")


@dataclass(slots=True, frozen=True)
class AtBoot:
    """A directory in which an interrupted rollback is settled at boot: its sidecar, `before` which units, the words
    that do it, and the file of the `program`.

    `marks` are paths of which one is there while something is interrupted; an asterisk at the end stands for anything.
    """

    installation: str
    store: str
    before: tuple[str, ...]
    command: tuple[str, ...] = ()
    program: str = ""
    marks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the unit, without the ending; the directory's alone, and always the same."""
        return unit_name(self.installation)


def unit_name(installation: str) -> str:
    """What the unit of a directory is called."""
    return PREFIX + escaped(installation)


def services(names: Sequence[str]) -> tuple[str, ...]:
    """Units by what somebody calls them, each once; a service needs no ending. UsageError for what none is called."""
    found: dict[str, None] = {}
    for name in names:
        whole = name if _ENDING.fullmatch(name) else f"{name}.service"
        if not _NAME.fullmatch(whole) or len(whole) > _LONGEST:
            raise UsageError(
                f"--before: no unit of systemd is called '{name}'", hint="for example: --before app.service"
            )
        found[whole] = None
    return tuple(found)


def unit(wanted: AtBoot, environ: Mapping[str, str], *, user: bool) -> str:
    """Its text, for the machine's systemd or a user's. UsageError for a path that no unit can hold."""
    what = quoted(wanted.installation)[1:-1]
    before = "".join(f"Before={name}\n" for name in wanted.before)
    required = "".join(f"RequiredBy={name}\n" for name in wanted.before)
    there = "".join(f"{_condition(mark)}\n" for mark in wanted.marks)
    return f"""\
[Unit]
Description=Settle an interrupted rollback of {what}
Documentation=man:gitsnap-recover(1)
RequiresMountsFor={quoted(wanted.installation)} {quoted(wanted.store)}
# One of these has to be: where gitsnap is gone, and nothing is interrupted, what waits starts without it.
ConditionPathExists=|{_specified(wanted.program)}
{there}{before}
[Service]
Type=oneshot
RemainAfterExit=yes
{run(wanted.command, environ)}

[Install]
WantedBy={"default" if user else "multi-user"}.target
{required}
{SECTION}
{_SAYS}{_said(wanted)}
"""


def _condition(mark: str) -> str:
    if not mark.endswith("*"):
        return f"ConditionPathExists=|{_specified(mark)}"
    pattern = _OF_GLOB.sub(r"\\\1", mark[:-1])
    return f"ConditionPathExistsGlob=|{_specified(pattern)}*"


def _specified(path: str) -> str:
    """A path where systemd takes no quotes. UsageError."""
    quoted(path)
    return path.replace("%", "%%")


def told(text: str) -> AtBoot | None:
    """What a unit says of itself; None for one that is not ours."""
    found = next((line.removeprefix(_SAYS) for line in text.splitlines() if line.startswith(_SAYS)), None)
    said = facts(found)
    installation, store, before = (said.get(name) for name in ("installation", "store", "before"))
    if not isinstance(installation, str) or not isinstance(store, str) or not isinstance(before, list):
        return None
    return AtBoot(installation, store, tuple(name for name in before if isinstance(name, str)))


def _said(wanted: AtBoot) -> str:
    return json.dumps({"installation": wanted.installation, "store": wanted.store, "before": list(wanted.before)})
