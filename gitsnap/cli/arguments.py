"""Arranging the command line: global options are taken before and after the command's name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gitsnap.cli import registry
from gitsnap.core.errors import UsageError

FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "--verbose", "--no-color"})
VALUED = {
    "-C": "a directory",
    "--store": "a path",
    "--lock-wait": "a number of seconds",
    "--show-completion": "a shell: bash, zsh or fish",
    "--install-completion": "a shell: bash, zsh or fish",
}
# A command with this option has paths after `--`: each of them becomes one.
AFTER_DASHES = "--path"
_JOINED = re.compile("-[qv]+")
_HELP = frozenset({"-h", "--help"})


@dataclass
class Line:
    """A command line, taken apart. What does not parse is kept as it is: the parser says what is wrong.

    before: the global options in front of the command's name, with their values; hoisted: those behind it.
    own: the words that are the command's. missing: a global option at the end whose value is not there.
    """

    before: list[str]
    name: str | None = None
    hoisted: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    missing: str | None = None

    @property
    def json(self) -> bool:
        """Whether errors are for a program."""
        return "--json" in self.before or "--json" in self.hoisted

    @property
    def placing(self) -> list[str]:
        """-C and --store with their values, as they were typed."""
        words, found = self.before + self.hoisted, []
        for at, word in enumerate(words):
            if word in ("-C", "--store"):
                found += words[at : at + 2]
            elif word.startswith("--store=") or (word.startswith("-C") and len(word) > 2):
                found.append(word)
        return found

    def arranged(self) -> list[str]:
        """The words with all global options first. UsageError where the value of one is missing."""
        if self.missing is not None:
            raise UsageError(f"{self.missing} needs {VALUED[self.missing]}", hint="gitsnap --help")
        return [*self.before, *self.hoisted, *([] if self.name is None else [self.name]), *self.own]


def command_name(arguments: list[str]) -> str | None:
    """The command that is named; None where there is none, or where the help of all is asked for."""
    before, rest = _until_command(arguments)
    return rest[0] if rest and _HELP.isdisjoint(before) else None


def take_apart(arguments: list[str], command: Any = None) -> Line:
    """Which words are global options, and which the command's own.

    `command` is the parser's; its parameters tell which words are values, its settings what may follow them. None where
    there is no such command.
    """
    before, rest = _until_command(arguments)
    line = Line(before)
    if not rest:
        line.missing = before[-1] if before and before[-1] in VALUED else None
        return line
    line.name, *rest = rest
    settings = getattr(command, "context_settings", {})
    if settings.get("ignore_unknown_options"):
        # Somebody else's options, all of them.
        line.own = rest
        return line
    others_follow = settings.get("allow_interspersed_args") is False
    parameters = getattr(command, "params", ())
    paths_follow = any(AFTER_DASHES in p.opts for p in parameters)
    takes_value = {o for p in parameters if not getattr(p, "is_flag", True) for o in p.opts}
    words = iter(rest)
    for word in words:
        if word == "--":
            line.own += [f"{AFTER_DASHES}={p}" for p in words] if paths_follow else ["--", *words]
        elif word.partition("=")[0] in FLAGS or _JOINED.fullmatch(word):
            line.hoisted.append(word)
        elif word in VALUED:
            value = next(words, None)
            line.hoisted += [word] if value is None else [word, value]
            line.missing = word if value is None else None
        elif word.startswith(("--store=", "--lock-wait=")) or (word.startswith("-C") and len(word) > 2):
            line.hoisted.append(word)
        elif word in takes_value:
            value = next(words, None)
            line.own += [word] if value is None else [word, value]
        elif others_follow and not word.startswith("-"):
            # The rest is that command's own, whatever its options are called.
            line.own += ["--", word, *words]
        else:
            line.own.append(word)
    return line


def in_place(hint: str, placing: list[str]) -> str:
    """A hint whose gitsnap commands point to the place that these options name, ready to be copied.

    What is the same anywhere, as `--help`, stays as it is, and so does `clone`, which names its directory itself.
    """
    import shlex

    if not placing or "gitsnap " not in hint:
        return hint
    names = "|".join(re.escape(name) for name in registry.names() if name != "clone")
    commands = re.compile(rf"\bgitsnap (?=(?:{names})\b(?! --help))")
    return commands.sub(lambda _: f"gitsnap {shlex.join(placing)} ", hint)


def _until_command(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in VALUED else 1
    return arguments[:at], arguments[at:]
