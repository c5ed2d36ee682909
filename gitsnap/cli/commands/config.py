"""`config`: what the sidecar's configuration says, and changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes
from gitsnap.cli.render import formatting
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitsnap.cli.session import Session
    from gitsnap.ops.compare.components import Division
    from gitsnap.ops.store.configuration import Table

_ACTIONS = ("list", "set", "remove", "preset", "test")


@command(group=Group.KEEP, order=50)
def config(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(metavar="components")],
    action: Annotated[str, typer.Argument(metavar="[list|set|remove|preset|test]")] = "list",
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME [GLOB]...]", help="set NAME GLOB..., remove NAME, test [PATH]..."),
        Takes("COMPONENT"),
    ] = None,
) -> None:
    """Give parts of the directory names, as components.

    list; set NAME and GLOBs; remove NAME; preset NAME; test, perhaps with PATHs.
    """
    from gitsnap.ops.store import configuration

    session: Session = context.obj
    given = values or []
    if topic != "components":
        raise UsageError(
            f"there is nothing to configure called '{topic}'",
            hint="gitsnap config components; all else is written in gitsnap.toml (man gitsnap.toml), in the sidecar",
        )
    if action not in _ACTIONS:
        near = did_you_mean.action(action, _ACTIONS) or "list"
        raise UsageError(f"'{action}' is none of {', '.join(_ACTIONS)}", hint=f"gitsnap config components {near}")
    if action == "test":
        _test(session, given)
        return
    with session.open() as (sidecar, settings):
        if action == "list":
            table = configuration.components(sidecar)
        else:
            table = configuration.change_components(sidecar, _change(action, given), settings.lock_wait)
    _tell(session, table)


def _change(action: str, given: list[str]) -> Callable[[Table], Table]:
    from gitsnap.core.component import PRESETS

    name = given[0] if given else ""
    if not name or (action == "set" and len(given) < 2) or (action != "set" and len(given) > 1):
        raise UsageError(
            f"config components {action} needs a NAME" + (" and GLOBs" if action == "set" else ""),
            hint="gitsnap config components set web 'public/**' '*.html'",
        )
    if action == "preset" and name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'", hint=f"there are {', '.join(PRESETS)}")

    def change(table: Table) -> Table:
        if action == "preset":
            return {"preset": name}
        if action == "set":
            return table | {name: given[1:]}
        if name not in table:
            raise UsageError(f"there is no component '{name}' in the configuration")
        return {k: v for k, v in table.items() if k != name}

    return change


def _tell(session: Session, table: Table) -> None:
    if session.options.json:
        session.out.document({"components": table})
        return
    if not table:
        session.out.line("no components are set: each top-level directory is one, and the files beside them are `.`")
    wide = max((len(n) for n in table), default=0)
    for name, globs in table.items():
        session.out.line(
            f"{name:{wide}}  {globs if isinstance(globs, str) else '  '.join(map(formatting.name, globs))}"
        )
    session.out.remark(f"\nHow the files divide:  {session.out.command('config components test')}")


def _test(session: Session, paths: list[str]) -> None:
    from gitsnap.ops.compare.components import divide

    place = session.place()
    with session.open() as (sidecar, settings):
        raw = [session.inside(p, sidecar.installation) for p in paths]
        found = divide(place.root, settings, raw)
    if session.options.json:
        session.out.document(_document(found))
        return
    for path, name in found.paths:
        session.out.line(f"{formatting.name(name)}  {formatting.name(path)}")
    wide = max((len(formatting.name(n)) for n in found.components), default=0)
    for name, (files, size) in found.components.items():
        session.out.line(f"{formatting.name(name):{wide}}  {files:>7,}  {formatting.size(size):>8}")
    for name, pattern in found.idle:
        session.out.remark(f"the glob {formatting.name(pattern)} of {formatting.name(name)} matches nothing")


def _document(found: Division) -> dict[str, object]:
    from gitsnap.cli.render.json import path

    return {
        "components": {n: {"files": f, "bytes": b} for n, (f, b) in found.components.items()},
        "idle": [{"component": n, "glob": g} for n, g in found.idle],
        "paths": [path(p) | {"component": n} for p, n in found.paths],
    }
