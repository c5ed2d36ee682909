"""Arguments and options that several commands take."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.arguments import AFTER_DASHES

if TYPE_CHECKING:
    from datetime import datetime


class Takes:
    """In an annotation: what the shells complete for a parameter whose metavar does not say it. Words in capitals are
    nouns (cli.completion), others are the choices themselves."""

    def __init__(self, *words: str) -> None:
        self.words = words


def _shows(context: typer.Context, value: bool) -> bool:
    """The session knows what may be shown before a command begins."""
    if context.obj is not None:
        context.obj.shows_secrets = value
    return value


def _strict(context: typer.Context, value: bool) -> bool:
    if context.obj is not None:
        context.obj.strict = value
    return value


# All that names a snapshot, for the help of each argument that takes one.
FORMS = "An id, or how it or a commit begins; a label; latest, latest~2; @12 by number; @7d, @2026-11-23 as of then."
Selector = Annotated[str, typer.Argument(metavar="SNAPSHOT", help=FORMS)]
Path = Annotated[str, typer.Argument(metavar="PATH", help="Relative to where you stand, or to DIR of -C.")]
# A command that takes these has paths after `--`.
PathsAfterDashes = Annotated[list[str] | None, typer.Option(AFTER_DASHES, hidden=True, help="What stands after `--`.")]
Sides = Annotated[list[str] | None, typer.Argument(metavar="[UPGRADE | A B]", help="Default: the latest upgrade.")]
OneComponent = Annotated[
    str | None, typer.Option("--component", metavar="NAME", help="Only this component."), Takes("COMPONENT")
]
OnlyComponent = Annotated[
    str | None,
    typer.Option("--component", metavar="NAME", help="Only this component; all else stays."),
    Takes("COMPONENT"),
]


def _looks(context: typer.Context, value: bool) -> bool:
    """What only says what it would do is no act."""
    if value:
        context.obj.act.noted.looks = True
    return value


PrintPlan = Annotated[bool, typer.Option("-n", "--dry-run", callback=_looks, help="Print the plan, touch nothing.")]
OnlySay = Annotated[bool, typer.Option("-n", "--dry-run", callback=_looks, help="Only say what would go.")]
OnlyTell = Annotated[bool, typer.Option("-n", "--dry-run", callback=_looks, help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
AllowSecret = Annotated[
    list[str] | None,
    typer.Option("--allow-secret", metavar="PATH[:KEY]", help="Let a secret that was found go; . for all of them."),
]
OfSet = Annotated[str | None, typer.Option("--set", metavar="NAME", help="All directories of this set."), Takes("SET")]
RunningDatabases = Annotated[
    str | None,
    typer.Option("--running-databases", metavar="WHAT", help="refuse or warn where a database's server is at work."),
    Takes("refuse", "warn"),
]
ShowSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Show passwords, keys and tokens as they are.", callback=_shows)
]
ShowSecretsOfPatch = Annotated[
    bool,
    typer.Option(
        "--show-secrets",
        help="Show passwords, keys and tokens as they are. A patch in a pipe has them anyway: it is for programs.",
        callback=_shows,
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Show no value of a configuration at all, only that it changed.", callback=_strict),
]
WithTag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Of snapshots with this tag; may be repeated."),
]
WithText = Annotated[
    str, typer.Option("--grep", metavar="TEXT", help="Of snapshots with this in their message, capitals or not.")
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Straight to the terminal.")]

FromInstallation = Annotated[
    str | None,
    typer.Option("--installation", metavar="HOST/NAME", help="Which one, where many share a repository."),
]
SignedBy = Annotated[
    str | None, typer.Option("--allowed-signers", metavar="FILE", help="Only what is signed by those in it counts.")
]
Identity = Annotated[
    str | None, typer.Option("--identity", metavar="FILE", help="The key that opens an encrypted bundle.")
]


def moment(text: str, now: datetime) -> datetime:
    """What --since says: a moment, or how long ago. UsageError."""
    from gitsnap.core import moment
    from gitsnap.core.errors import UsageError

    found = moment.moment(text, now)
    # The first years and the last have no local time in every zone.
    with suppress(ValueError, OverflowError):
        if found is not None:
            return found.astimezone()
    raise UsageError(f"--since: '{text}' is not a time", hint="for example: 2025-01-03, 2025-01-03T04:15:00Z, 12h, 7d")
