"""Syntax highlighting: the lines of a file as HTML, coloured by Pygments where it knows the language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.report.html import Html, code, join, tag, visible
from gitsnap.core.textdiff import Span

if TYPE_CHECKING:
    from pygments.lexer import Lexer

# Only these, by the file's name: lexers differ in how well they bear hostile text.
_LANGUAGES = {
    "json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini", "cfg": "ini", "conf": "ini",
    "properties": "ini", "service": "ini", "env": "bash", "sh": "bash", "bash": "bash", "py": "python",
    "js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript", "ts": "typescript",
    "css": "css", "html": "html", "htm": "html", "xml": "xml", "svg": "xml", "c": "c", "h": "c", "cpp": "cpp",
    "java": "java", "go": "go", "rs": "rust", "rb": "ruby", "php": "php", "sql": "sql",
}  # fmt: skip
_LARGEST_FILE = 200_000
# The first part of a token's type that stands here decides its colour.
_CLASSES = {
    "Comment": "hc", "Keyword": "hk", "String": "hs", "Number": "hn", "Tag": "hk", "Attribute": "ha",
    "Function": "hf", "Class": "hf", "Builtin": "hf", "Heading": "hk",
}  # fmt: skip

Piece = tuple[str, str]


def pieces(path: bytes, lines: Sequence[str]) -> list[list[Piece]]:
    """Each line as (class, text) pieces; the class is empty for plain text."""
    shown = [visible(line) for line in lines]
    plain = [[("", line)] for line in shown]
    lexer = _lexer(path)
    if lexer is None or sum(map(len, shown)) > _LARGEST_FILE:
        return plain
    out: list[list[Piece]] = [[]]
    for kind, text in lexer.get_tokens("\n".join(shown)):
        name = next((_CLASSES[part] for part in kind if part in _CLASSES), "")
        first, *rest = text.split("\n")
        if out[-1] and out[-1][-1][0] == name:
            first = out[-1].pop()[1] + first
        out[-1].append((name, first))
        out += [[(name, line)] for line in rest]
    out = out[: len(shown)]
    return out if ["".join(text for _, text in line) for line in out] == shown else plain


def _lexer(path: bytes) -> Lexer | None:
    language = _LANGUAGES.get(path.rpartition(b"/")[2].rpartition(b".")[2].lower().decode("ascii", "replace"))
    if language is None:
        return None
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def line(parts: Sequence[Piece], marks: Sequence[Span], mark: str) -> Html:
    """One line; what lies in `marks` becomes elements named `mark`."""
    out: list[Html] = []
    at = 0
    for name, text in parts:
        inner = join(_marked(text, at, marks, mark))
        out.append(tag("span", inner, class_=name) if name and text else inner)
        at += len(text)
    return join(out)


def _marked(text: str, at: int, marks: Sequence[Span], mark: str) -> list[Html]:
    """The text, which begins at `at` in its line, with the parts that are marked."""
    out: list[Html] = []
    done = 0
    for first, last in marks:
        start, end = max(first - at, done), min(last - at, len(text))
        if start < end:
            out += [code(text[done:start]), tag(mark, code(text[start:end]))]
            done = end
    return [*out, code(text[done:])]
