"""The site: every page can be found in its navigation, and what its pages and pictures load is their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from packages.site import navigation

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _pages(nav: list[dict[str, Any]]) -> list[str]:
    found = []
    for entry in nav:
        for to in entry.values():
            found += [to] if isinstance(to, str) else _pages(to)
    return found


def test_every_page_is_in_the_navigation() -> None:
    shown = _pages(navigation((DOCS / "README.md").read_text()))
    there = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    numbered = {p for p in there if re.match(r"adr/\d", p)}
    assert sorted(shown) == sorted(there - numbered)
    assert shown[0] == "README.md"


def test_sections() -> None:
    index = "# x\n\n- [A](a.md): first\n\n## How to\n\n- [B](b.md), and [C](c.md)\n- no page\n"
    assert navigation(index) == [{"gitsnap": "README.md"}, {"A": "a.md"}, {"How to": [{"B": "b.md"}]}]


def test_pictures_load_nothing() -> None:
    pictures = sorted((DOCS / "pictures").glob("*.svg"))
    assert [p.stem for p in pictures] == ["browse", "changelog", "list"]
    for picture in pictures:
        assert re.findall(r"(?:url\(\s*[\"']?|href=[\"'])(?!#)[^\"')]+", picture.read_text()) == [], picture
