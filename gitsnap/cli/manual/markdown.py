"""As much of Markdown as the reference is written in, as blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ITEM = re.compile(r"(?:- |\d+\. )")
_CELLS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Heading:
    """A heading below that of the section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Lines that are filled."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines that stay as they are."""

    lines: list[str]


@dataclass(frozen=True)
class Table:
    """A table; each row has as many cells as the head."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Items:
    """A list, by its marks ("-", "1.") and texts."""

    items: list[tuple[str, str]]


Block = Heading | Paragraph | Code | Table | Items


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a text, in order. ValueError for a table without a head."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if line.startswith("```"):
            while not lines[end].startswith("```"):
                end += 1
            yield Code(lines[at + 1 : end])
            end += 1
        elif line.startswith("#"):
            yield Heading(line.lstrip("# "))
        elif line.startswith("    "):
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield Code([code[4:] for code in lines[at:end]])
        elif line.startswith("|"):
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            yield _table(lines[at:end])
        elif line.strip():
            while end < len(lines) and lines[end].strip() and not lines[end].startswith(("```", "|", "#")):
                end += 1
            yield _list(lines[at:end]) if _ITEM.match(line) else Paragraph(_filled(lines[at:end]))
        at = end


def _table(lines: list[str]) -> Table:
    head, rule, *rows = ([c.strip() for c in _CELLS.split(row)[1:-1]] for row in lines)
    if set("".join(rule)) != {"-"}:
        raise ValueError(f"no table: {lines[0]}")
    return Table(head, rows)


def _list(lines: list[str]) -> Items:
    items: list[list[str]] = []
    for line in lines:
        if _ITEM.match(line):
            items.append([line])
        else:
            items[-1].append(line)
    taken = (_filled(item).partition(" ") for item in items)
    return Items([(mark, text) for mark, _, text in taken])


def _filled(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
