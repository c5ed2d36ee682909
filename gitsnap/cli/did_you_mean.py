"""What somebody may have meant who typed something like it: the command to type instead."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from gitsnap.cli import registry
from gitsnap.cli.arguments import Line
from gitsnap.core.errors import UsageError

# What sh does itself, or only a shell can do.
_BUILTINS = frozenset({".", "alias", "cd", "eval", "exec", "export", "set", "source", "ulimit", "umask", "unset"})
_FOR_SHELLS = re.compile(r"[|&;<>()$`*?\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
# Of a word as long as `purge`, all letters but one: what is merely like it may do the opposite.
_ALIKE = 0.75
_BEGINNING = 3
# No version: to-2.0.
_EXTENSION = re.compile(r"\.[^\W\d]|^\.")
# Not SNAPSHOT:PATH: 04:15, 2026-11-23 04:15:20, with or without an @.
_CLOCK = re.compile(r"@?[0-9T -]*[0-9]:[0-5][0-9][0-9:.Z+-]*")
# Words for one and the same action of a command.
_ACTIONS = (
    "remove rm delete del disable stop off uninstall forget drop unset",
    "list ls show status get info",
    "add create install new enable start on",
)


@dataclass(frozen=True)
class _Typed:
    """The words of a command, options with their values apart from the others."""

    options: list[str]
    words: list[str]


def instead(line: Line, command: Any) -> str | None:
    """The command that comes close to a line which the parser, or whoever looked for a snapshot, refused."""
    if line.name is None or command is None:
        return None
    typed = _apart(line.own, command)
    if not typed.words:
        return None
    first, *rest = typed.words
    if line.name == "run":
        return _of_a_command(typed)
    if _of_paths(command):
        return path_first(line.name, first, _base(line), typed.options, rest)
    if line.name == "rollback" and is_path(first, _base(line)):
        return _gitsnap("restore", "latest", *typed.words)
    takes_none = not any(p.param_type_name == "argument" for p in command.params)
    if takes_none and not rest and os.path.isdir(first) and os.sep in first:
        return f"gitsnap -C {shlex.join([first, line.name, *typed.options])}"
    if line.name == "snapshot":
        return _instead_of_a_message(typed)
    return None


def no_such_command(word: str, names: Sequence[str]) -> UsageError:
    """The error for a word that is none of the commands: what it may be a slip of, or what does here what it says."""
    hint = what_does(word)
    near = [] if hint else alike(word, names)
    which = f". Did you mean {', '.join(map(repr, near))}?" if near else ""
    return UsageError(
        f"no such command '{word}'{which}", hint=hint or f"gitsnap {f'{near[0]} ' if len(near) == 1 else ''}--help"
    )


def no_such_option(option: str, names: Container[str]) -> str | None:
    """What is said of an option before any command that is the name of one, as other tools have them."""
    word = option.lstrip("-")
    return f"gitsnap {word} --help" if word in names else what_does(word)


def lacking(name: str | None, parameter: Any) -> str | None:
    """Where to find the SNAPSHOT that is missing; and what other tools have under the name of `log`."""
    if name == "log":
        return (
            "`gitsnap list` shows the snapshots, `gitsnap history` the upgrades; `gitsnap log PATH` is about one path"
        )
    if parameter.param_type_name == "argument" and (parameter.metavar or "").startswith("SNAPSHOT"):
        deleted = " --deleted" if name == "undelete" else ""
        return f"`gitsnap list{deleted}` shows the snapshots; gitsnap {name} --help"
    return None


def at_least(error: UsageError, line: Line) -> str:
    """What is typed next where the error itself knows nothing better."""
    if str(error.path or "").endswith(".toml"):
        return "man gitsnap.toml has all tables and their keys"
    known = line.name if line.name in registry.names() else None
    return " ".join(["gitsnap", *filter(None, [known]), "--help"])


def what_does(word: str) -> str | None:
    """What does here what the word says; None for one that no other tool is known to have."""
    from gitsnap.cli import reference

    return reference.words_of_others().get(word.lower())


def alike(word: str, names: Sequence[str]) -> list[str]:
    """The names that begin so, or else those that differ in a letter or two."""
    from difflib import get_close_matches

    word = word.lower()
    begin = [name for name in names if len(word) >= _BEGINNING and name.startswith(word)]
    return begin or get_close_matches(word, names, cutoff=_ALIKE)


def action(word: str, actions: Sequence[str]) -> str | None:
    """Which of a command's actions is meant by another word, or by a slip; None where that cannot be told."""
    from difflib import get_close_matches

    same = next((words.split() for words in _ACTIONS if word in words.split()), None)
    if same is not None:
        return next((known for known in actions if known in same), None)
    return next(iter(get_close_matches(word, actions, n=1, cutoff=_ALIKE)), None)


def _of_paths(command: Any) -> bool:
    """Whether a command takes a snapshot and then paths in it."""
    shown = [p.metavar or "" for p in command.params if p.param_type_name == "argument"]
    return len(shown) > 1 and "SNAPSHOT" in shown[0] and "PATH" in shown[1]


def path_first(name: str, word: str, base: str, options: Sequence[str] = (), rest: Sequence[str] = ()) -> str | None:
    """For a path where a snapshot is to stand, or for both as git writes them; `base` is what -C names."""
    if _CLOCK.fullmatch(word):
        return None
    snapshot, colon, path = word.partition(":")
    if colon and path:
        return _gitsnap(name, *options, snapshot or "latest", path, *rest)
    if is_path(word, base):
        return _gitsnap(name, *options, "latest", word, *rest)
    return None


def _of_a_command(typed: _Typed) -> str | None:
    """For one word that stands for several, or is a line of sh, or that only sh knows."""
    first, *rest = typed.words
    if _ASSIGNMENT.match(first):
        words = ["env", *typed.words] if rest else ["sh", "-c", first]
    elif not rest and (_FOR_SHELLS.search(first) or " " in first.strip()):
        words = _split(first) or ["sh", "-c", first]
    elif first in _BUILTINS:
        words = ["sh", "-c", shlex.join(typed.words)]
    else:
        return None
    return _gitsnap("run", *typed.options, "--", *words)


def _split(word: str) -> list[str] | None:
    """The words of a line that takes no shell; None for another."""
    if _FOR_SHELLS.search(word):
        return None
    try:
        words = shlex.split(word)
    except ValueError:
        return None
    return None if words[0] in _BUILTINS or _ASSIGNMENT.match(words[0]) else words


def _instead_of_a_message(typed: _Typed) -> str:
    """For words after `snapshot`: a message, or one that other tools have as an action of it."""
    first, *rest = typed.words
    if not rest and not typed.options and (meant := action(first, ("list", "create"))):
        return _gitsnap("list" if meant == "list" else "snapshot")
    return _with_message(typed)


def _with_message(typed: _Typed) -> str:
    options, words = list(typed.options), typed.words
    for at, option in enumerate(options):
        if option in ("-m", "--message"):
            # Somebody left out the quotes.
            words = [options[at + 1], *words]
            del options[at : at + 2]
            break
    return _gitsnap("snapshot", *options, "-m", " ".join(words))


def is_path(word: str, base: str | None = None) -> bool:
    """Whether a word looks like a path, as no id does, or is one below `base`."""
    if not word:
        return False
    if "/" in word or (_EXTENSION.search(word) and ".." not in word):
        return True
    return base is not None and os.path.lexists(os.path.join(base, word))


def _base(line: Line) -> str:
    words = line.placing
    return next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-C"), "")


def _gitsnap(*words: str) -> str:
    return f"gitsnap {shlex.join(words)}"


def _apart(own: list[str], command: Any) -> _Typed:
    takes_value = {o for p in command.params if not getattr(p, "is_flag", True) for o in p.opts}
    typed, words = _Typed([], []), iter(own)
    for word in words:
        if word == "--":
            typed.words.extend(words)
        elif word in takes_value:
            typed.options.extend([word, *([value] if (value := next(words, None)) is not None else [])])
        elif word.startswith("-") and word != "-":
            typed.options.append(word)
        else:
            typed.words.append(word)
    return typed
