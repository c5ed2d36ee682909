"""Every relative link in the README and the docs leads to a file that is there, and every anchor to a heading."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(p for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if p.exists())

_FENCE = re.compile(
    r"^(?P<fence> {0,3}(?P<mark>`{3,}|~{3,})).*?(?:^ {0,3}(?P=mark)[`~]*\s*$|\Z)", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINKS = (
    # [text](target "title"), images too; a target may hold one level of parentheses or stand in <>
    re.compile(r"\]\(\s*(?:<([^<>\n]*)>|((?:[^\s()]|\([^\s()]*\))*))(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"),
    # [label]: target
    re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s*(?:<([^<>\n]*)>|(\S+))", re.MULTILINE),
    re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=(?:\"([^\"]*)\"|'([^']*)')"),
)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$|^(?!\s*[->#|])(\S.*)\n {0,3}(?:=+|-{2,})\s*$", re.MULTILINE)
_ANCHOR = re.compile(r"<[a-z][^>]*?\b(?:id|name)=[\"']([^\"']+)[\"']")
_EXTERNAL = re.compile(r"(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def links(markdown: str) -> list[str]:
    """The targets of all links in a document, but for those shown as code."""
    text = _CODE.sub("`code`", _COMMENT.sub("", _FENCE.sub("", markdown)))
    return [match[1] or match[2] or "" for pattern in _LINKS for match in pattern.finditer(text)]


def anchors(markdown: str) -> set[str]:
    """What `#…` can name in a document: its headings as GitHub turns them into fragments, and explicit ids."""
    text = _COMMENT.sub("", _FENCE.sub("", markdown))
    seen: Counter[str] = Counter()
    out = set(_ANCHOR.findall(text))
    for atx, setext in _HEADING.findall(text):
        slug = _slug(atx or setext)
        out.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return out


def _slug(heading: str) -> str:
    shown = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", heading)
    shown = re.sub(r"<[^>]+>", "", shown) if "`" not in shown else shown
    shown = re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", shown)
    return re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")


def broken(document: Path, markdown: str, root: Path = ROOT) -> list[str]:
    """What is wrong with the relative links of a document, one sentence for each."""
    out = []
    for link in links(markdown):
        if _EXTERNAL.match(link):
            continue
        name, _, fragment = unquote(link).partition("#")
        target = (root / name.lstrip("/") if name.startswith("/") else document.parent / name) if name else document
        target = target.resolve()
        if not target.is_relative_to(root):
            out.append(f"{link}: outside the repository")
        elif not target.exists():
            out.append(f"{link}: no such file")
        elif fragment and (target.suffix != ".md" or fragment not in anchors(_read(target, document, markdown))):
            out.append(f"{link}: no such heading")
    return out


def _read(target: Path, document: Path, markdown: str) -> str:
    return markdown if target == document else target.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in DOCUMENTS])
def test_links_lead_somewhere(document: Path) -> None:
    assert broken(document, document.read_text(encoding="utf-8")) == []


SAMPLE = """\
# A `first` heading: with, *signs* & snake_case

Same
----
## Same
## Same
<a id="by-hand"></a>

[ok](#a-first-heading-with-signs--snake_case) [ok](#same) [ok](#same-2 "title") [ok](#by-hand)
[web](https://x.example/#y) [file](sample.md) [query](<../pyproject.toml>) [ref][r] ![image](missing.png)
`[code](nowhere.md)`
[mail](mailto:a@b.example) [bad](#same-3) [bad](../pyproject.toml#x) [bad](../../outside.md) <a href="gone.html">x</a>
[root](/Makefile) [root](/nope)
<!-- [comment](nowhere.md) -->

```sh
# not a heading
[x](nowhere.md)
```

[r]: gone%20too.md#a
"""


def test_the_checker_finds_what_is_broken_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "Makefile").touch()
    (tmp_path / "pyproject.toml").touch()
    document = tmp_path / "docs" / "sample.md"
    document.write_text(SAMPLE)
    assert sorted(broken(document, SAMPLE, tmp_path.resolve())) == [
        "#same-3: no such heading",
        "../../outside.md: outside the repository",
        "../pyproject.toml#x: no such heading",
        "/nope: no such file",
        "gone%20too.md#a: no such file",
        "gone.html: no such file",
        "missing.png: no such file",
    ]
    assert "not-a-heading" not in anchors(SAMPLE)
