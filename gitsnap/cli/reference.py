"""The reference of commands, docs/reference/commands.md: help, manual pages and what is said of words that are no
command are made of it. Read for nothing else.

A section has the command's synopsis as its first indented lines, its examples in a block of `sh`, and a paragraph
"Exit codes: CODE what it means; CODE what it means. Anything else." Words of other tools stand in a table of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_EXITS = re.compile(r"(?ms)^Exit codes: (.+?)$(?=\n\n|\n?\Z)")
_EXAMPLES = re.compile(r"(?ms)^```sh\n(.+?)\n```$")
_SYNOPSIS = re.compile(r"\A\n*((?:    .*\n)+)")
# What stands in one pair of brackets, with one pair in it at most, is one part.
_PART = re.compile(r"\[[^][]*(?:\[[^][]*\][^][]*)*\](?:\.\.\.)?|\S+")
_AS_FOR = re.compile(r"as for `([a-z-]+)`")
_OTHERS = "Words of other tools"
_ANSWER = re.compile(r"(?m)^\| (`.+?`) \| (.+) \|$")
_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")


@dataclass(frozen=True)
class Exits:
    """What a command's exit codes mean, in Markdown: by code, and what is to be said besides."""

    codes: dict[int, str]
    besides: str = ""


@dataclass(frozen=True)
class Section:
    """What the reference says under one heading, in Markdown."""

    title: str
    body: str

    def synopsis(self, command: str = "") -> list[list[str]]:
        """What people type, each way of it by its parts: `gitsnap`, `run`, `[--check CMD]...`. Of one command alone."""
        found = _SYNOPSIS.match(self.body)
        ways = found[1].replace("\n     ", " ").splitlines() if found else []
        of_another = re.compile(rf"gitsnap (?!{command}\b)[a-z]")
        return [_PART.findall(way) for way in ways if not (command and of_another.match(way.strip()))]

    @property
    def examples(self) -> list[str]:
        """Lines for a shell, with comments that say what each is for."""
        return [line for block in _EXAMPLES.findall(self.body) for line in block.splitlines()]

    @property
    def exits(self) -> Exits:
        """Its exit codes, those that it shares with another command among them."""
        found = _EXITS.search(self.body)
        return _exits(" ".join(found[1].split())) if found else Exits({})

    @property
    def prose(self) -> str:
        """All but synopsis, examples and exit codes."""
        return _EXITS.sub("", _EXAMPLES.sub("", _SYNOPSIS.sub("", self.body)))


@cache
def page(name: str) -> str:
    """A page of the reference, as Markdown."""
    return resources.files("gitsnap.cli").joinpath("reference_pages", name).read_text("utf-8")


@cache
def sections() -> list[Section]:
    """The reference of commands by its headings; what stands before the first has no title."""
    opening, *parts = re.split(r"(?m)^## (.+)\n", page("commands.md"))
    titled = [Section(title, body) for title, body in zip(parts[::2], parts[1::2], strict=True)]
    return [Section("", opening.partition("\n")[2]), *titled]


def section(command: str) -> Section | None:
    """The one about a command; None where nothing is said of it. Two commands may share one: "pin and unpin"."""
    return next((s for s in sections() if command in s.title.split(" and ")), None)


@cache
def words_of_others() -> dict[str, str]:
    """By each word that is a command of other tools: what does that here, as a sentence without an end."""
    rows = _ANSWER.findall(next(s.body for s in sections() if s.title == _OTHERS))
    return {word: plain(answer) for words, answer in rows for word in re.findall("`([^`]+)`", words)}


def plain(markdown: str) -> str:
    """A line as text: links by what they are called. What is code keeps its marks."""
    return _LINK.sub(r"\1", markdown).replace("**", "").replace(r"\|", "|")


def _exits(text: str) -> Exits:
    listed, stop, besides = re.sub(r"\.$", "", text).partition(". ")
    codes: dict[int, str] = {}
    said = []
    for entry in re.split(r"; (?=\d)", listed):
        code, meaning = _taken_apart(entry)
        shared = _AS_FOR.fullmatch(entry)
        other = section(shared[1]) if shared else None
        if other is not None:
            codes |= other.exits.codes
        elif code is None:
            said.append(entry)
        else:
            codes[code] = f"{codes[code]}; {meaning}" if code in codes else meaning
    said += [besides + "."] if stop else []
    return Exits(dict(sorted(codes.items())), ". ".join(said))


def _taken_apart(entry: str) -> tuple[int | None, str]:
    found = re.match(r"(\d+)(.*)\Z", entry)
    if not found:
        return None, entry
    # "0" and "0, also when" stand for "0 done" and so on.
    meaning = found[2] if found[2][:1] == " " else f"done{found[2]}"
    return int(found[1]), meaning.strip()
