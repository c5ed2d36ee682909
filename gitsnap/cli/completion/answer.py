"""`gitsnap __complete SHELL ...`, which the shells' scripts ask.

The first line of the answer says what it is: `words` (they follow, one a line, with a tab before what each is about),
`files`, `directories`, `command N` (another command's line begins after N words), or nothing. Nothing is ever said of
what goes wrong, and a word that holds control characters, or that is no text, is not offered: the shell would have to
put up with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from gitsnap.cli.completion.position import Position, name_at, position
from gitsnap.cli.shells.words import for_bash, split, value

# What an answer says of each at most, in characters.
_ABOUT = 60
_FILES = frozenset({"FILE", "URL", "BUNDLE"})


def complete(arguments: list[str]) -> int:
    """Answer on stdout. 0, whatever happens."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        shell, *rest = arguments
        lines = _for_bash(*rest) if shell == "bash" else _for_others(shell, rest)
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
        sys.stdout.flush()
    except Exception:  # noqa: BLE001, S110 - a prompt is no place for errors
        pass
    return 0


def _for_bash(program: str, line: str, breaks: str) -> Iterator[str]:
    words = split(line)
    start = next(at for at, word in enumerate(words) if word.typed == program)
    current = words[-1]
    found = _answer([w.value for w in words[start + 1 : -1]], current.value, tells=False)
    kind = next(found)
    yield kind[0]
    yield from for_bash(current, [word for word, _ in found], breaks)


def _for_others(shell: str, words: list[str]) -> Iterator[str]:
    # fish tells what the words mean that are typed already, zsh how they were typed.
    typed = words[:-1] if shell == "fish" else [value(w) for w in words[:-1]]
    for word, about in _answer(typed, value(words[-1]), tells=True):
        yield f"{word}\t{about}" if about else word


def _answer(words: list[str], current: str, *, tells: bool) -> Iterator[tuple[str, str]]:
    """The kind of the answer, then words with what each is about."""
    name = name_at(words)
    command = None if name is None else _command(words[name])
    if name is not None and command is None:
        return
    if name is not None and words[name] == "help" and not current.startswith("-"):
        yield "words", ""
        if len(words) == name + 1:
            yield from (found for found in _commands(tells=tells) if found[0].startswith(current))
        return
    there = position(words, current, command)
    if there.command_line:
        yield f"command {there.command_line}", ""
        return
    dashed = there.options and current.startswith("-")
    if there.takes and not dashed and not _FILES.isdisjoint(there.takes):
        yield "files", ""
        return
    if there.takes == ("DIR",) and not dashed:
        yield "directories", ""
        return
    yield "words", ""
    typed = current[len(there.prefix) :]
    seen = set()
    for word, about in _candidates(there, typed, name is None, tells=tells):
        if word.startswith(typed) and word not in seen and (there.prefix + word).isprintable():
            seen.add(word)
            yield there.prefix + word, _one_line(about)


def _candidates(there: Position, typed: str, names: bool, *, tells: bool) -> Iterator[tuple[str, str]]:
    if there.options and typed.startswith("-"):
        yield from _options(there.command)
    elif names and not there.takes:
        yield from _commands(tells=tells)
    elif there.takes:
        yield from _taken(there, typed, tells=tells)


def _taken(there: Position, typed: str, *, tells: bool) -> Iterator[tuple[str, str]]:
    from contextlib import suppress

    from gitsnap.cli.completion.candidates import Place
    from gitsnap.cli.session import Session
    from gitsnap.config import environment

    base = environment.options_from(os.environ)
    directories = [b for a, b in zip(there.before, there.before[1:], strict=False) if a == "-C"]
    stores = [b for a, b in zip(there.before, there.before[1:], strict=False) if a == "--store"]
    stores += [w.partition("=")[2] for w in there.before if w.startswith("--store=")]
    directories += [w[2:] for w in there.before if w.startswith("-C") and len(w) > 2]
    options = base._replace(
        directory=_home(directories[-1]) if directories else None,
        directories=tuple(directories),
        store=_home(stores[-1]) if stores else base.store,
    )
    session = Session(options, os.environ)
    place = Place(session, there.given, typed, tells=tells)
    already = {w for words in there.given.values() for w in words}
    for noun in there.takes:
        # What cannot be read offers nothing; the next noun may.
        with suppress(Exception):
            for word, about in place.of(noun):
                if word not in already or noun in ("PATH", "A", "B"):
                    yield word, about


def _home(path: str) -> str:
    """A directory as the shell will hand it over."""
    return os.path.expanduser(path)


def _command(name: str) -> Any:
    from gitsnap.cli.app import only

    group = only(name)
    return None if group is None else group.commands.get(name)


def _commands(*, tells: bool) -> Iterator[tuple[str, str]]:
    from gitsnap.cli.app import whole

    for name, command in whole().commands.items():
        if not command.hidden or name == "help":
            yield name, command.get_short_help_str(_ABOUT) if tells else ""


def _options(command: Any) -> Iterator[tuple[str, str]]:
    """The options of the command, then those that may stand anywhere."""
    from gitsnap.cli.app import with_commands

    group = with_commands([])
    own = [] if command is None else [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    everywhere: Iterable[Any] = [p for p in group.params if command is None or not p.is_eager]
    for parameter in [*own, *everywhere]:
        for word in (*parameter.opts, *parameter.secondary_opts):
            yield word, parameter.help or ""
    yield "--help", "What there is to say about it."


def _one_line(about: str) -> str:
    text = " ".join(about.split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _ABOUT else text[: _ABOUT - 3] + "..."
