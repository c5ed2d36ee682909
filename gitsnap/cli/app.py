"""The application, its global options, and how a command is registered."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from enum import Enum, auto
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from gitsnap import __version__
from gitsnap.cli import registry
from gitsnap.cli.arguments import Line, command_name, take_apart
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.reference import Section

_ANYWHERE = "Global options (-C, --store, --json, -q, -v, --no-color, --lock-wait) may stand here, too."
# The first column of a list, for codes of three digits.
_CODE = 3


class Group(Enum):
    """What commands are for, in the order of the help."""

    UPGRADE = "To upgrade"
    KEEP = "To keep"
    BRING_BACK = "To bring back"
    LOOK = "To look"
    COPY = "To have copies elsewhere"
    TIDY_UP = "To tidy up"
    CHECK = "To check"


class Follows(Enum):
    """What may come after a command's name."""

    # Its options and arguments, in any order.
    OWN = auto()
    # Its options, then somebody else's command line.
    COMMAND_LINE = auto()
    # Somebody else's words alone, `--help` among them.
    FOREIGN = auto()

    @property
    def settings(self) -> dict[str, Any]:
        """The same, for the parser."""
        if self is Follows.OWN:
            return {}
        foreign = {"ignore_unknown_options": True, "help_option_names": []} if self is Follows.FOREIGN else {}
        return {"allow_interspersed_args": False, **foreign}


class _Command(TyperCommand):
    """A command, whose help has what the reference says of it."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        from textwrap import wrap

        from gitsnap.cli import reference

        found = reference.section(self.name or "")
        if found is None:
            super().format_usage(ctx, formatter)
            return
        for number, way in enumerate(found.synopsis(self.name or "")):
            indent = " " * len(f"Usage: {way[0]} ")
            # The blanks in a part are none at which a line may end.
            parts = " ".join(part.replace(" ", "\0") for part in way)
            lines = wrap(
                parts,
                formatter.width,
                initial_indent="       " if number else "Usage: ",
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            formatter.write("\n".join(lines).replace("\0", " ") + "\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from gitsnap.cli import reference

        found = reference.section(self.name or "")
        if found is not None:
            _format_examples(found, formatter)
            with formatter.section("Exit codes"):
                rows = [(f"{code:{_CODE}}", reference.plain(said)) for code, said in found.exits.codes.items()]
                formatter.write_dl(rows)
                if found.exits.besides:
                    formatter.write_text(reference.plain(found.exits.besides))
        super().format_epilog(ctx, formatter)


class _Commands(TyperGroup):
    """The commands, which the help shows in their groups."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and args[0] not in self.commands:
            from gitsnap.cli import did_you_mean

            raise did_you_mean.no_such_command(args[0], [name for name, c in self.commands.items() if not c.hidden])
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from gitsnap.cli import reference

        super().format_epilog(ctx, formatter)
        _format_examples(reference.sections()[0], formatter)
        formatter.write_paragraph()
        formatter.write_text("gitsnap help COMMAND explains one; man gitsnap tells all.")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        grouped = groups(self.commands)
        wide = max((len(name) for names in grouped.values() for name in names), default=0)
        limit = formatter.width - 6 - wide
        for title, names in grouped.items():
            with formatter.section(title):
                formatter.write_dl([(f"{n:{wide}}", self.commands[n].get_short_help_str(limit)) for n in names])


def groups(commands: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the commands that are shown, by what they are for, in order."""
    names = [(group, name) for group in Group for name in commands if _places[name][0] is group]
    return {group.value: [name for of, name in names if of is group] for group, _ in names}


def _format_examples(section: Section, formatter: Any) -> None:
    with formatter.section("Examples"):
        for line in section.examples:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")


app = typer.Typer(
    name="gitsnap",
    cls=_Commands,
    help="Undo upgrades: snapshot a directory, prove it is whole, bring it back exactly.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 done but incomplete, 10 not protected, 11 locked, 12 damaged, "
    "13 conflicts, 14 an interrupted rollback waits for recover, 15 a remote refused or is away, 20 rolled back, "
    "21 rolling back failed, 130 interrupted, 141 nobody reads the answer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Function = TypeVar("Function", bound=Callable[..., None])
# Where each command that was loaded stands in the help.
_places: dict[str, tuple[Group | None, int]] = {}
_recorded: set[str] = set()
_several: set[str] = set()


def command(
    group: Group | None,
    order: int = 0,
    *,
    name: str | None = None,
    follows: Follows = Follows.OWN,
    recorded: bool = False,
    several: bool = False,
) -> Callable[[Function], Function]:
    """Register a command. Its function is a few lines: read the arguments, call one operation, render the result.

    Operations and renderers are imported in those functions: help and completion load none.

    group, order: its place in the help, most used first; None for one that works and is not shown.
    name: only where it is not that of its module.
    recorded: whether the audit log tells of it although it may have changed nothing in the sidecar: what it refused,
    or found. What changes the sidecar is there anyway.
    several: whether it takes several directories, by -C or as a set.
    """

    def register(function: Function) -> Function:
        typed = name or registry.name_of(function.__module__)
        _places[typed] = group, order
        if recorded:
            _recorded.add(typed)
        if several:
            _several.add(typed)
        own = follows is not Follows.FOREIGN
        return app.command(
            typed,
            cls=_Command,
            epilog=_ANYWHERE if own else None,
            hidden=group is None,
            add_help_option=own,
            context_settings=follows.settings,
        )(_evaluated(function))

    return register


def _evaluated(function: Function) -> Function:
    """The same with its annotations as what they stand for. The parser compiles each that is text five times over."""
    function.__annotations__ = get_annotations(function, eval_str=True)
    return function


def parse(arguments: list[str]) -> tuple[Any, Line]:
    """The application as the parser takes it, and the arguments taken apart for it.

    It has no command but the one that is named: making all of them takes 20 ms. Where none is named, or one that there
    is not, it has all: help and mistakes need to know them.
    """
    name = command_name(arguments)
    group = whole() if name is None else only(name) or whole()
    return group, take_apart(arguments, group.commands.get(name))


@cache
def whole() -> Any:
    """The application as the parser takes it, with all commands in the order of the help."""
    registry.load_all()
    groups = list(Group)

    def place(name: str) -> tuple[int, int]:
        group, order = _places[name]
        return (len(groups) if group is None else groups.index(group)), order

    return with_commands(sorted(app.registered_commands, key=lambda c: place(c.name or "")))


@cache
def only(name: str) -> Any:
    """The application with this one command; None where there is no such one."""
    registry.load(name)
    found = [c for c in app.registered_commands if c.name == name]
    return with_commands(found) if found else None


def with_commands(commands: list[Any]) -> Any:
    """The application as the parser takes it, with these commands."""
    lean = copy(app)
    lean.registered_commands = commands
    return typer.main.get_command(lean)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gitsnap {__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell is not None:
        from gitsnap.cli.shells import scripts

        print(scripts.script(shell), end="")
        raise typer.Exit


def _install_completion(shell: str | None) -> None:
    if shell is not None:
        from gitsnap.cli.render import formatting
        from gitsnap.cli.shells import scripts

        done = scripts.install(shell, os.environ)
        print(f"wrote {formatting.name(done.path)}; it counts from the next {shell} on")
        if done.to_do:
            print(f"still to do: {formatting.name(done.to_do)}")
        raise typer.Exit


@app.callback()
@_evaluated
def options(
    context: typer.Context,
    directory: Annotated[
        list[str] | None,
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
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="A bug of gitsnap itself prints its traceback.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    lock_wait: Annotated[
        str | None,
        typer.Option("--lock-wait", metavar="SECONDS", help="How long to wait for another gitsnap. Default: 10."),
    ] = None,
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
    show_completion: Annotated[
        str | None,
        typer.Option(
            "--show-completion",
            metavar="SHELL",
            callback=_show_completion,
            is_eager=True,
            help="Print the completion script for bash, zsh or fish.",
        ),
    ] = None,
    install_completion: Annotated[
        str | None,
        typer.Option(
            "--install-completion",
            metavar="SHELL",
            callback=_install_completion,
            is_eager=True,
            help="Write it where that shell looks, and say where.",
        ),
    ] = None,
) -> None:
    """Read the options that hold for every command."""
    from gitsnap.cli import session
    from gitsnap.cli.session import Session
    from gitsnap.config import environment
    from gitsnap.config.environment import Options

    base, named = environment.options_from(os.environ), tuple(directory or ())
    # Whoever started this has handed over what was typed.
    typed = context.obj or ()
    context.obj = session.current = Session(
        Options(
            directory=named[0] if len(named) == 1 else None,
            directories=named,
            store=store or base.store,
            typed_store=store,
            json=json,
            quiet=quiet,
            verbose=verbose,
            color=base.color and not no_color,
            lock_wait=environment.seconds(lock_wait, "--lock-wait") if lock_wait is not None else base.lock_wait,
        ),
        os.environ,
        typed,
    )
    name = context.invoked_subcommand
    if name is not None:
        context.obj.command = context.obj.act.action = name
        context.obj.act.recorded = name in _recorded
        if len(named) > 1 and name not in _several:
            raise UsageError(
                f"`{name}` is about one directory, and -C names {len(named)}", hint=f"gitsnap -C DIR {name}, for each"
            )
