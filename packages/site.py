"""The hooks of MkDocs: the navigation of the site is the list of pages in docs/README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_SECTION = re.compile(r"## (.+)")
_PAGE = re.compile(r"- \[([^\]]+)\]\(([^)#]+)\)")


def navigation(index: str) -> list[dict[str, Any]]:
    """What MkDocs calls nav: the pages of the index, those below a heading as a section."""
    pages: list[dict[str, Any]] = [{"gitsnap": "README.md"}]
    into = pages
    for line in index.splitlines():
        page = _PAGE.match(line)
        if page:
            into.append({page[1]: page[2]})
        elif section := _SECTION.fullmatch(line):
            into = []
            pages.append({section[1]: into})
    return pages


def on_config(config: Any) -> Any:
    """MkDocs calls this with what it read from mkdocs.yml."""
    config.nav = navigation((Path(config.docs_dir) / "README.md").read_text(encoding="utf-8"))
    return config
