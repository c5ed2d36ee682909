"""Blocks as roff, for `man`: ASCII alone, with the macros that groff and mandoc share."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable

from gitsnap.cli.manual.markdown import Block, Code, Heading, Items, Paragraph, Table

_WIDTH = 78
_FIRST_COLUMN = 22
# Heads of tables that say nothing beside their section.
_EVIDENT = ("", "Code", "Option", "Variable")
_INLINE = re.compile(
    r"(?P<marks>`+) ?(?P<code>.+?) ?(?P=marks)"
    r"|\[(?P<text>(?:`[^`]*`|[^]])+)\]\((?P<target>[^)]*)\)"
    r"|\*\*(?P<bold>.+?)\*\*"
    r"|\*(?P<slanted>[^*]+)\*"
    r"|(?P<anchor><a [^>]*></a>)"
)
# What a terminal would show as another sign than the one that is typed.
_TYPED = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_PROSE = {"\\": r"\e", "^": r"\(ha", "~": r"\(ti"}

# What a link becomes, of its text and target, both in Markdown.
Link = Callable[[str, str], str | None]


def document(title: str, section: int, date: str, version: str, *parts: str) -> str:
    """A page of sections."""
    # The macros of a heading have ended the paragraph.
    text = re.sub(r"(?m)^(\.S[HS] .*\n)\.PP\n", r"\1", "".join(parts))
    heading = f'.TH "{title.upper()}" {section} {date} "gitsnap {version}" "gitsnap manual"'
    # Words that are typed are not to be parted.
    return f'.\\" Made of docs/reference and the parser: change those.\n{heading}\n.nr HY 0\n.nh\n.ad l\n{text}'


def section(title: str, *parts: str) -> str:
    """A section with its contents, which are roff; nothing where these are empty."""
    text = "".join(parts)
    capitals = re.sub("`([^`]+)`|[^`]+", lambda part: part[1] or part[0].upper(), title)
    return f'.SH "{typed(capitals)}"\n{text}' if text else ""


def subsection(title: str) -> str:
    """The heading of a part of a section."""
    return f'.SS "{typed(title)}"\n'


def synopsis(ways: Iterable[list[str]]) -> str:
    """What people type, by the parts that are not to be parted."""
    return "".join(_usage(*way) for way in ways)


def literal(lines: Iterable[str]) -> str:
    """Lines as they are."""
    text = "".join(_line(typed(line)) for line in lines)
    return f".PP\n.RS 4\n.nf\n{text}.fi\n.RE\n"


def tagged(tag: str, *texts: str, link: Link) -> str:
    """What a word means: both in Markdown, each text a paragraph of its own."""
    body = ".sp 0\n".join(_wrapped(inline(text, link)) for text in texts if text)
    return f".TP\n{_line(inline(tag, link))}{body or _line(chr(92) + '&')}"


def rows(pairs: Iterable[tuple[str, str]], link: Link) -> str:
    """A list, a line for each: both in Markdown."""
    lines = [(_line(inline(tag, link)), _wrapped(inline(text, link))) for tag, text in pairs]
    return ".PD 0\n" + "".join(f".TP {_FIRST_COLUMN}\n{tag}{text}" for tag, text in lines) + ".PD\n"


def plain(text: str) -> str:
    """A paragraph without markup."""
    return f".PP\n{_wrapped(_escaped(text, _PROSE))}"


def rendered(found: Iterable[Block], link: Link) -> str:
    """Blocks as roff."""
    return "".join(_block(block, link) for block in found)


def inline(text: str, link: Link) -> str:
    """Markdown within a line as roff; what is code is bold, as it is typed."""
    parts, at = [], 0
    for found in _INLINE.finditer(text):
        parts.append(_escaped(text[at : found.start()], _PROSE))
        at = found.end()
        if found["code"]:
            parts.append(rf"\fB{typed(found['code'])}\fR")
        elif found["text"]:
            meant = link(found["text"], found["target"])
            parts.append(inline(found["text"], link) if meant is None else meant)
        elif found["bold"]:
            parts.append(rf"\fB{inline(found['bold'], link)}\fR")
        elif found["slanted"]:
            parts.append(rf"\fI{inline(found['slanted'], link)}\fR")
    return "".join([*parts, _escaped(text[at:], _PROSE)])


def typed(text: str) -> str:
    """A text each character of which is meant as it stands, to be copied."""
    return _escaped(text, _TYPED)


def _usage(command: str, *parts: str) -> str:
    lines = (_line(typed(part).replace(" ", r"\ ")) for part in parts)
    return f".SY {typed(command)}\n{''.join(lines)}.YS\n"


def _block(block: Block, link: Link) -> str:
    match block:
        case Heading():
            return subsection(re.sub(r"[`*]", "", block.text))
        case Paragraph():
            text = inline(block.text, link)
            return f".PP\n{_wrapped(text)}" if text.strip() else ""
        case Code():
            return literal(block.lines)
        case Items():
            return "".join(_item(mark, inline(text, link)) for mark, text in block.items)
        case Table():
            head = f".PP\n{_line(inline(f'*{block.head[0]}*', link))}" if block.head[0] not in _EVIDENT else ""
            return head + "".join(_row(block.head, row, link) for row in block.rows)


def _item(mark: str, text: str) -> str:
    width = r"\(bu 2" if mark == "-" else f"{mark} 3"
    return f".IP {width}\n{_wrapped(text)}"


def _row(head: list[str], row: list[str], link: Link) -> str:
    tag, *cells = row
    if len(cells) > 1:
        pairs = zip(head[1:], cells, strict=True)
        cells = [f"{name}: {cell}" if name and name != "Meaning" else cell for name, cell in pairs if cell]
    return tagged(tag or "(none)", *cells, link=link)


def _escaped(text: str, table: dict[str, str]) -> str:
    replaced = "".join(table.get(character, character) for character in text.replace(r"\|", "|"))
    return re.sub(r"[^\x20-\x7e]", lambda found: rf"\[u{ord(found[0]):04X}]", replaced)


def _wrapped(text: str) -> str:
    # A line that ends in a full stop, and one that begins with a blank, mean something.
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(map(_line, lines))


def _line(text: str) -> str:
    """A line of text that is no request."""
    return f"{chr(92)}&{text}\n" if re.match(r"(?:\\f[BRI])*[.'\s]|$", text) else f"{text}\n"
