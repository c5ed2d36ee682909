"""How much of a corpus of real configuration is hidden rightly: what was missed, and what was masked without need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gitsnap.core.keys import ABSENT, changes, masked
from gitsnap.core.secrets.masker import DOTS, Masker, Unmaskable
from gitsnap.ops.compare import structured

CORPUS = Path(__file__).parent / "corpus"
HELD_OUT = Path(__file__).parent / "held_out"
_MARKED = re.compile("«(.*?)»")


@dataclass
class Figures:
    """Lines and keys that were looked at, the secrets in them, and what was wrong."""

    looked_at: int = 0
    secrets: int = 0
    missed: list[str] = field(default_factory=list)
    masked_wrongly: list[str] = field(default_factory=list)

    @property
    def false_rate(self) -> float:
        """Of the lines and keys, how many had something masked that is no secret."""
        return len(self.masked_wrongly) / max(self.looked_at, 1)

    def __str__(self) -> str:
        return (
            f"{self.looked_at:,} lines and keys, {self.secrets:,} secrets: {len(self.missed)} missed, "
            f"{len(self.masked_wrongly)} masked without need ({self.false_rate:.1%})"
        )


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """The path and the marked text of each file of a corpus."""
    for source in sorted(folder.glob("*.txt")):
        for part in re.split(r"^=== ", source.read_text(), flags=re.MULTILINE)[1:]:
            path, _, text = part.partition("\n")
            yield path, text


def measure(folder: Path) -> Figures:
    """The figures of a corpus."""
    found = Figures()
    for path, marked in files(folder):
        text = marked.replace("«", "").replace("»", "")
        _lines(found, path, marked, text)
        if text.count("\n") > 1 and "\n{" in text[1:]:
            # One document a line.
            for line in text.splitlines():
                _keys(found, path, line, _MARKED.findall(marked))
        else:
            _keys(found, path, text, _MARKED.findall(marked))
    return found


def _lines(found: Figures, path: str, marked: str, text: str) -> None:
    try:
        shown = Masker().lines(path.encode(), text, _parsed(path, text))
    except Unmaskable:
        found.masked_wrongly.append(f"{path}: all of it")
        return
    for line, whole in zip(shown, marked.splitlines(), strict=True):
        found.looked_at += 1
        wanted = _MARKED.findall(whole)
        found.secrets += len(wanted)
        expected = _MARKED.sub(lambda m: DOTS if m[1] else "", whole)
        if line == expected:
            continue
        # Whatever is left of a secret in its place counts as missed, and of all else as masked.
        pieces = [re.escape(piece) for piece in _MARKED.split(whole)[::2]]
        if re.fullmatch(re.escape(DOTS).join(pieces), line):
            continue
        missed = [v for v in wanted if (len(v) > 4 and v in line) or re.search(rf"(?<!\w){re.escape(v)}(?!\w)", line)]
        if missed:
            found.missed.append(f"{path}: {whole} -> {line}")
        else:
            found.masked_wrongly.append(f"{path}: {whole} -> {line}")


def _keys(found: Figures, path: str, text: str, secrets: list[str]) -> None:
    data = _parsed(path, text)
    if not isinstance(data, dict):
        return
    # A mark stands in the text, where a line's end is an escape.
    secrets = [*secrets, *(s.replace("\\n", "\n") for s in secrets if "\\n" in s)]
    for change in changes({}, data):
        found.looked_at += 1
        shown = masked(change, Masker(), path.encode())
        before, after = str(change.new), str(shown.new) if shown.new is not ABSENT else ""
        holds = [s for s in secrets if len(s) > 2 and s in before]
        if any(s in after for s in holds):
            found.missed.append(f"{path}: key {shown.key}: {before} -> {after}")
        elif not holds and shown.masked and not any(before.strip() == s or s in before for s in secrets):
            found.masked_wrongly.append(f"{path}: key {shown.key}: {before} -> {after}")


def _parsed(path: str, text: str) -> object:
    try:
        return structured.parse(path.encode(), text.encode())
    except ValueError:
        return None
