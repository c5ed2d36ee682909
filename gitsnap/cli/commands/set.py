"""`set`: directories that are upgraded together, by a name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

_ACTIONS = ("list", "show", "create", "remove")
_TRY = "gitsnap set create shop /opt/shop /etc/shop /var/lib/shop"
_NAME = re.compile("[a-z0-9][a-z0-9_-]*")


@command(group=Group.UPGRADE, order=20)
def set_(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="[list|show|create|remove]")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[NAME]"), Takes("SET")] = None,
    directories: Annotated[list[str] | None, typer.Argument(metavar="[DIR]...")] = None,
) -> None:
    """Name directories that are upgraded together (`run --set NAME`).

    list; show NAME; create NAME and DIRs, which `create` replaces where NAME is there already; remove NAME.
    """
    from gitsnap.config import files

    session: Session = context.obj
    given = directories or []
    if action not in _ACTIONS:
        near = did_you_mean.action(action, _ACTIONS)
        hint = f"gitsnap set {near}{f' {name}' if name else ''}" if near in ("list", "remove") else _TRY
        raise UsageError(f"'{action}' is none of {', '.join(_ACTIONS)}", hint=hint)
    if (action == "list") is (name is not None) or (action != "create" and given):
        raise UsageError(f"set {action} takes {'no more words' if action == 'list' else 'one NAME'}", hint=_TRY)
    known = files.sets(session.environ)
    if action in ("show", "remove") and name not in known:
        raise UsageError(f"there is no set '{name}'", hint=f"there are {', '.join(known)}" if known else _TRY)
    if action == "create":
        assert name is not None
        known = _change(session, known, name, _roots(session, name, given))
    elif action == "remove":
        assert name is not None
        known = _change(session, known, name, None)
    _tell(session, {name: known[name]} if name in known else {} if action == "remove" else known)


def _roots(session: Session, name: str, given: list[str]) -> tuple[str, ...]:
    from gitsnap.ops.sets.members import require_apart
    from gitsnap.ops.store import locate

    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot be the name of a set", hint="lower-case letters, digits, dash, underscore")
    if len(given) < 2:
        raise UsageError("a set has two directories or more", hint=_TRY)
    roots = tuple(locate.real_directory(path, session.cwd) for path in given)
    require_apart(roots)
    return roots


def _change(
    session: Session, known: dict[str, tuple[str, ...]], name: str, roots: tuple[str, ...] | None
) -> dict[str, tuple[str, ...]]:
    from gitsnap.cli.render import formatting
    from gitsnap.config import environment, files
    from gitsnap.ops.store import configuration

    path = environment.user_file(session.environ)
    if path is None:
        raise UsageError("this user has no place for a configuration: neither HOME nor XDG_CONFIG_HOME is set")
    configuration.change_set(path, name, roots)
    session.out.remark(f"wrote {formatting.name(path)}")
    found = files.sets(session.environ)
    if roots is None and name in found:
        raise UsageError(f"the set {name} is the system's: /etc/gitsnap/config.toml", hint="change that file")
    return found


def _tell(session: Session, sets: dict[str, tuple[str, ...]]) -> None:
    from gitsnap.cli.render import formatting
    from gitsnap.cli.render.json import place

    if session.options.json:
        told = [{"name": n, "installations": [place(r)["path"] for r in roots]} for n, roots in sets.items()]
        session.out.document({"sets": told})
        return
    wide = max((len(n) for n in sets), default=0)
    for n, roots in sets.items():
        session.out.line(f"{n:{wide}}  {'  '.join(map(formatting.name, map(os.fspath, roots)))}")
    if not sets:
        session.out.remark("no set is named: " + _TRY)
