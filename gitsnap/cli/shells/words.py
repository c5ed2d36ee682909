"""The words of a shell's command line that is still being typed, and words put so that a shell takes them literally."""

from __future__ import annotations

import re
from typing import NamedTuple

_ESCAPED_IN_DOUBLE = '\\"$`'
# What may stand in a word as it is, in every shell and in every place.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./=^-]+")


class Word(NamedTuple):
    """One word: what it means, and how it was `typed`. `quote` is the quotation mark that is still open, "" for none;
    `opened` is where it stands."""

    value: str
    typed: str
    quote: str = ""
    opened: int = 0


def split(line: str) -> list[Word]:
    """The words of a command line up to where it is being typed, of which the last may be empty or unfinished.

    Nothing is evaluated: `$x` is two characters.
    """
    found, at = [], 0
    while True:
        while at < len(line) and line[at] in " \t\n":
            at += 1
        word, at = _word(line, at)
        found.append(word)
        if at >= len(line):
            return found


def value(typed: str) -> str:
    """What one word that was typed so means, blanks and all."""
    return _word(typed, 0, breaks="")[0].value


def _word(line: str, start: int, breaks: str = " \t\n") -> tuple[Word, int]:
    """The word that begins at `start`, and where what follows it begins."""
    out, quote, opened, at = [], "", 0, start
    while at < len(line):
        char = line[at]
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and line[at + 1 : at + 2] and line[at + 1] in _ESCAPED_IN_DOUBLE:
                at += 1
                out.append(line[at])
            else:
                out.append(char)
        elif char in breaks:
            break
        elif char in "'\"":
            quote, opened = char, at - start
        elif char == "\\":
            at += 1
            out.append(line[at : at + 1])
        else:
            out.append(char)
        at += 1
    return Word("".join(out), line[start:at], quote, opened), at


def for_bash(word: Word, candidates: list[str], breaks: str) -> list[str]:
    """What bash is to put for the part of the word that it takes for one: it breaks words at `breaks`
    (COMP_WORDBREAKS), and leaves an open quotation mark where it is. Each candidate begins as the word does."""
    if word.quote:
        kept = len(_word(word.typed[: word.opened], 0, breaks="")[0].value)
        return [_within(word.quote, c[kept:]) for c in candidates]
    kept = len(value(word.typed[: _last_break(word.typed, breaks)]))
    return [_bare(c[kept:], first=not kept) for c in candidates]


def _last_break(typed: str, breaks: str) -> int:
    """How much of the word stands before the part that bash completes: all up to the last break that is not quoted. An
    @ belongs to that part, since readline may complete it to a host (rl_special_prefixes)."""
    found, quote, at = 0, "", 0
    while at < len(typed):
        char = typed[at]
        if char == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in breaks and not char.isspace():
            found = at + (char != "@")
        at += 1
    return found


def _within(quote: str, text: str) -> str:
    if quote == "'":
        return text.replace("'", "'\\''")
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _bare(text: str, *, first: bool) -> str:
    """Every character that is not plain with a backslash before it."""
    quoted = "".join(c if _PLAIN.fullmatch(c) or ord(c) > 127 else f"\\{c}" for c in text)
    return quoted if quoted or not first else "''"
