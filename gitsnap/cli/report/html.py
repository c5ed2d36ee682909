"""HTML that is escaped by construction: text becomes HTML here and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from gitsnap.cli.render import formatting

# They have no content and no end tag.
_VOID = frozenset({"meta", "input", "br", "col"})


@dataclass(slots=True, frozen=True)
class Html:
    """A well-formed piece of HTML. Only this module makes one out of text."""

    text: str

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self.text.encode())


Content = Html | str | None
Attribute = str | int | bool | None


def escaped(text: str | bytes) -> Html:
    """Text of any origin: markup stands for itself; control characters, direction marks and stray bytes are seen."""
    return Html(html.escape(formatting.name(text), quote=False))


def code(text: str) -> Html:
    """A line of a file: as `escaped`, but a tab stays a tab."""
    return Html(html.escape(visible(text), quote=False))


def visible(text: str) -> str:
    """The line with what cannot be seen as escapes, but for tabs. Doing so twice is the same as once."""
    return "\t".join(formatting.name(part) for part in text.split("\t"))


def join(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("".join(p.text for p in parts))


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Html:
    """An element. Strings among its contents and the values of its attributes are escaped; None is nothing.

    An attribute's name may end in an underscore (`class_`), its others stand for dashes; True is one without a value.
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{head}>")
    inner = "".join(_content(c).text for c in content if c is not None)
    return Html(f"<{head}>{inner}</{name}>")


def _content(content: Html | str) -> Html:
    return content if isinstance(content, Html) else escaped(content)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(formatting.name(str(value)))}"'


def style(rules: str) -> Html:
    """A style sheet of ours. ValueError for one that would end its element."""
    return _raw("style", rules)


def script(source: str) -> Html:
    """A script of ours. ValueError for one that would end its element."""
    return _raw("script", source)


def _raw(name: str, text: str) -> Html:
    if "</" in text or "<!--" in text:
        raise ValueError(f"this cannot stand in a {name}")
    return Html(f"<{name}>{text}</{name}>")
