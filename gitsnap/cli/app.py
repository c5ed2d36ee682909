"""The application and its global options; the commands are in start, change, look and aliases."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from typing import Annotated, TypeVar

import typer
from typer.main import get_command_name

from gitsnap import __version__
from gitsnap.cli.arguments import command_name

_ANYWHERE = "Global options (-C, --store, --json, -q, -v, --no-color, --lock-wait) may stand here, too."

app = typer.Typer(
    name="gitsnap",
    help="The undo button for upgrades: snapshot a directory, prove it is whole, bring it back exactly.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 done but incomplete, 10 not protected, 11 locked, 12 damaged.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Selector = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="An id, the beginning of one, a commit, latest, latest~N.")
]


# What `changelog` and `report` have in common.
Sides = Annotated[list[str] | None, typer.Argument(metavar="[UPGRADE | A B]", help="Default: the latest upgrade.")]
OneComponent = Annotated[str | None, typer.Option("--component", metavar="NAME", help="Only this component.")]
ShowSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Show values of keys that look like passwords and tokens, too.")
]

Function = TypeVar("Function", bound=Callable[..., None])


def command(name: str | None = None, *, hidden: bool = False) -> Callable[[Function], Function]:
    """Register a command. Its function is a few lines: read the arguments, call one operation, render the result.

    Operations and renderers are imported in those functions: help and completion load none.
    """
    return app.command(name, epilog=_ANYWHERE, hidden=hidden)


def only(whole: typer.Typer, arguments: list[str]) -> typer.Typer:
    """The application with no command but the one that the arguments name: making all of them takes 20 ms.

    The whole where they name none, or one that there is not: help and mistakes need to know all.
    """
    name = command_name(arguments)
    found = [
        c for c in whole.registered_commands if c.callback and (c.name or get_command_name(c.callback.__name__)) == name
    ]
    if not found:
        return whole
    lean = copy(whole)
    lean.registered_commands = found
    return lean


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gitsnap {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    directory: Annotated[
        str | None,
        typer.Option(
            "-C", metavar="DIR", help="The installation. Default: the nearest protected directory at or above this one."
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="PATH", help="The sidecar, if not at its default place.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; errors as JSON on stderr.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Results only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more; a bug prints its traceback.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    lock_wait: Annotated[
        str | None,
        typer.Option("--lock-wait", metavar="SECONDS", help="How long to wait for another gitsnap. Default: 10."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """Read the options that hold for every command."""
    from gitsnap import config
    from gitsnap.cli.session import Session
    from gitsnap.config import Options

    base = config.options_from(os.environ)
    context.obj = Session(
        Options(
            directory=directory,
            store=store or base.store,
            typed_store=store,
            json=json,
            quiet=quiet,
            verbose=verbose,
            color=base.color and not no_color,
            lock_wait=config.seconds(lock_wait, "--lock-wait") if lock_wait is not None else base.lock_wait,
        ),
        os.environ,
    )
    context.obj.command = context.invoked_subcommand or context.obj.command
