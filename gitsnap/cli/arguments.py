"""Arranging the command line: global options are taken before and after the command's name."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from gitsnap.core.errors import UsageError

FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "--verbose", "--no-color"})
VALUED = {"-C": "a directory", "--store": "a path", "--lock-wait": "a number of seconds"}
# What hints name as the next thing to type; not the words of a sentence, nor what is the same anywhere.
_COMMANDS = re.compile(
    r"\bgitsnap (?=(?:list|ls|show|find|status|diff|verify|doctor|snapshot|rollback|undo|recover|delete|unpin|gc"
    r"|history|changelog|report|search|log|blame)\b(?! --help))"
)
_JOINED = re.compile("-[qv]+")
# What follows these names is somebody else's command line.
_FOREIGN = frozenset({"git"})
# After these names and their own options comes somebody else's command line, with `--` before it or without.
_COMMANDS_FOLLOW = frozenset({"run"})
# After these names' `--` come paths.
_PATHS_FOLLOW = frozenset({"diff", "search"})
_VALUES_OF_RUN = frozenset(
    {"--label", "-m", "--message", "--check", "--check-timeout", "--timeout", "--on-failure", "--events"}
)


def arrange(arguments: list[str], group: Any) -> list[str]:
    """The arguments with all global options first, and the paths of `diff` and `search` after `--` as options.

    `group` is the command group; its commands' options tell which words are values and not options.
    """
    before, rest = _until_command(arguments)
    if not rest and before and before[-1] in VALUED:
        _missing(before[-1])
    if not rest or rest[0] in _FOREIGN:
        return before + rest
    name, *rest = rest
    command = group.commands.get(name)
    if command is None:
        return [*before, name, *rest]
    takes_value = {o for p in command.params if not getattr(p, "is_flag", True) for o in p.opts if o.startswith("-")}
    hoisted: list[str] = []
    kept: list[str] = []
    words = iter(rest)
    for word in words:
        if word == "--":
            tail = list(words)
            kept += [f"--path={p}" for p in tail] if name in _PATHS_FOLLOW else ["--", *tail]
        elif word in FLAGS or _JOINED.fullmatch(word):
            hoisted.append(word)
        elif word in VALUED:
            hoisted += [word, *(_next(words) or _missing(word))]
        elif word.startswith(("--store=", "--lock-wait=")) or (word.startswith("-C") and len(word) > 2):
            hoisted.append(word)
        elif word in takes_value:
            kept += [word, *_next(words)]
        elif name in _COMMANDS_FOLLOW and not word.startswith("-"):
            # The rest is that command's own, whatever its options are called.
            kept += ["--", word, *words]
        else:
            kept.append(word)
    return [*before, *hoisted, name, *kept]


def command_name(arguments: list[str]) -> str | None:
    """The command that is named, if one is."""
    rest = _until_command(arguments)[1]
    return rest[0] if rest else None


def wants_json(arguments: list[str]) -> bool:
    """Whether errors are for a program; asked when the arguments may not have parsed."""
    before, rest = _until_command(arguments)
    if rest[:1] and rest[0] in _FOREIGN:
        rest = []
    return "--json" in [*before, *_own(rest)]


def _own(words: list[str]) -> list[str]:
    """The words that are gitsnap's: those before `--`, and of `run` those before its command."""
    end = words.index("--") if "--" in words else len(words)
    if words[:1] and words[0] in _COMMANDS_FOLLOW:
        at = 1
        while at < end and words[at].startswith("-"):
            at += 2 if words[at] in VALUED or words[at] in _VALUES_OF_RUN else 1
        end = min(end, at)
    return words[:end]


def in_place(hint: str, arguments: list[str]) -> str:
    """A hint whose gitsnap commands point to the place that these arguments point to, ready to be copied."""
    import shlex

    typed = _placing(arguments)
    return _COMMANDS.sub(lambda match: f"gitsnap {shlex.join(typed)} ", hint) if typed else hint


def _placing(arguments: list[str]) -> list[str]:
    """-C and --store with their values, as they were typed."""
    before, rest = _until_command(arguments)
    own = before + _own(rest)
    found = []
    for at, word in enumerate(own):
        if word in ("-C", "--store"):
            found += own[at : at + 2]
        elif word.startswith("--store=") or (word.startswith("-C") and len(word) > 2):
            found.append(word)
    return found


def _missing(option: str) -> NoReturn:
    raise UsageError(f"{option} needs {VALUED[option]}", hint="gitsnap --help")


def _next(words: Any) -> list[str]:
    return [w for w in [next(words, None)] if w is not None]


def _until_command(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in VALUED else 1
    return arguments[:at], arguments[at:]
