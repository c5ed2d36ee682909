"""Where on a command line one stands, and what that place takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, get_args

from gitsnap.cli.app import app
from gitsnap.cli.arguments import AFTER_DASHES, FLAGS, VALUED
from gitsnap.cli.parameters import Takes

_WORD = re.compile(r"[A-Za-z][A-Za-z-]*")
# The value of a global option, as a parameter's own annotation would have it.
_GLOBAL = {
    "-C": "DIR",
    "--store": "DIR",
    "--show-completion": "bash|zsh|fish",
    "--install-completion": "bash|zsh|fish",
}


@dataclass
class Position:
    """What may stand where one is typing.

    takes: what is taken there: words in capitals are the nouns of the help (SNAPSHOT, PATH, ...), others are themselves
    what may be typed. options: whether options may stand there. prefix: what of the word is an option with its `=`.
    given: the words that stand for the command's arguments so far, by their names. command_line: after so many words
    another command's line begins, which one stands in; 0 where that is not so.
    """

    command: Any = None
    before: list[str] = field(default_factory=list)
    takes: tuple[str, ...] = ()
    options: bool = False
    prefix: str = ""
    given: dict[str, list[str]] = field(default_factory=dict)
    command_line: int = 0


def name_at(words: list[str]) -> int | None:
    """Which of the words before the one being typed is the command's name."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in VALUED else 1
    return at if at < len(words) else None


def position(words: list[str], current: str, command: Any) -> Position:
    """Where one stands that has typed these words and is typing `current`. `command` is the parser's, where one is
    named."""
    name = name_at(words)
    found = Position(command)
    parameters = [] if command is None else command.params
    settings = getattr(command, "context_settings", {})
    valued = {o: p for p in parameters if not getattr(p, "is_flag", True) for o in p.opts}
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    if settings.get("ignore_unknown_options") and name is not None:
        # Somebody else's words, all of them.
        found.takes = ("FILE",)
        return found
    waiting, values, dashes = "", 0, False
    for at, word in enumerate(words):
        if waiting:
            if waiting in VALUED:
                found.before += [waiting, word]
            waiting = ""
        elif at == name:
            pass
        elif dashes or not word.startswith("-") or word == "-":
            if settings.get("allow_interspersed_args") is False:
                found.command_line = at
                break
            _give(found, arguments, values, word)
            values += 1
        elif word == "--":
            dashes = True
            if settings.get("allow_interspersed_args") is False:
                found.command_line = at + 1
                break
        elif word in VALUED or (name is not None and at > name and word in valued):
            waiting = word
        else:
            found.before += [word] if word in FLAGS or word.startswith(("--store=", "-C")) else []
    if found.command_line:
        return found
    option, equals, _ = current.partition("=")
    if waiting or (equals and (option in valued or option in VALUED) and not dashes):
        found.prefix = "" if waiting else f"{option}="
        option = waiting or option
        found.takes = _nouns(_GLOBAL.get(option, "")) if option in VALUED else taken_by(command, valued[option])
    elif name is None:
        found.options = True
    elif dashes and any(AFTER_DASHES in p.opts for p in parameters):
        found.takes = ("PATH",)
    else:
        found.options = not dashes
        argument = _argument(arguments, values)
        if argument is not None:
            found.takes = taken_by(command, argument)
        if arguments and settings.get("allow_interspersed_args") is False and not current.startswith("-"):
            found.command_line = len(words)
    return found


def taken_by(command: Any, parameter: Any) -> tuple[str, ...]:
    """What a parameter takes: what its annotation says by `Takes`, else the words of its metavar."""
    callback = next((c.callback for c in app.registered_commands if c.name == command.name), None)
    annotation = getattr(callback, "__annotations__", {}).get(parameter.name)
    said = next((t for t in get_args(annotation) if isinstance(t, Takes)), None)
    return said.words if said else _nouns(parameter.metavar or "")


def _nouns(metavar: str) -> tuple[str, ...]:
    return tuple(w for w in _WORD.findall(metavar.partition("--")[0]) if w)


def _argument(arguments: list[Any], number: int) -> Any:
    """The one that the word of this number is for."""
    if number < len(arguments):
        return arguments[number]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _give(found: Position, arguments: list[Any], number: int, word: str) -> None:
    argument = _argument(arguments, number)
    if argument is not None:
        found.given.setdefault(argument.name, []).append(word)
