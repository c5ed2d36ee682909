"""One file from three: JSON key by key, other text by lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gitsnap.core.keys import shown_path
from gitsnap.core.merge import merge_data
from gitsnap.ops.compare import structured


@dataclass(slots=True, frozen=True)
class Merged:
    """The merged bytes. With a `conflict` (in a few words) they have marks where both sides changed the same."""

    data: bytes
    conflict: str = ""


def merge_content(path: bytes, base: bytes, ours: bytes, theirs: bytes, names: tuple[str, str]) -> Merged | None:
    """Three versions as one. `names` are those of ours and theirs, for the marks. None for what is no text."""
    if any(b"\0" in side or len(side) > structured.LARGEST for side in (base, ours, theirs)):
        return None
    by_lines = _merge_lines(base, ours, theirs, names)
    if not path.lower().endswith(b".json"):
        return by_lines
    return _merge_json(base, ours, theirs, by_lines) or by_lines


def _merge_lines(base: bytes, ours: bytes, theirs: bytes, names: tuple[str, str]) -> Merged:
    from merge3 import Merge3

    out: list[bytes] = []
    conflicts = 0
    was, mine, other = (side.splitlines(keepends=True) for side in (base, ours, theirs))
    for kind, *groups in Merge3(was, mine, other).merge_groups():
        if kind != "conflict":
            out += groups[0]
            continue
        conflicts += 1
        _, here, there = groups
        out += [b"<<<<<<< " + names[0].encode() + b"\n", *_ended(here), b"=======\n"]
        out += [*_ended(there), b">>>>>>> " + names[1].encode() + b"\n"]
    places = "one place" if conflicts == 1 else f"{conflicts} places"
    return Merged(b"".join(out), f"both sides changed the same lines, in {places}" if conflicts else "")


def _ended(lines: Sequence[bytes]) -> list[bytes]:
    """The lines, the last one with an end, so that it does not run into a mark."""
    return [line if line.endswith((b"\n", b"\r")) else line + b"\n" for line in lines]


def _merge_json(base: bytes, ours: bytes, theirs: bytes, by_lines: Merged) -> Merged | None:
    """Merged by key; None where one side is no JSON."""
    try:
        was, here, there = (structured.parse(b".json", side or b"{}") for side in (base, ours, theirs))
    except ValueError:
        return None
    found, conflicts = merge_data(was, here, there)
    if conflicts:
        named = ", ".join(map(shown_path, conflicts[:3])) + (" …" if len(conflicts) > 3 else "")
        return Merged(by_lines.data, f"both sides changed {named}")
    if not by_lines.conflict:
        try:
            if structured.parse(b".json", by_lines.data) == found:
                # The same, and nothing is formatted anew.
                return by_lines
        except ValueError:
            pass
    return Merged(_written_like(ours, found))


def _written_like(sample: bytes, data: object) -> bytes:
    """JSON with the indentation and the line end of a sample."""
    match = re.search(rb"^[\[{]\r?\n([ \t]+)", sample.lstrip())
    indent = match[1].decode() if match else None
    separators = (",", ": ") if indent else (", ", ": ") if b": " in sample else (",", ":")
    text = json.dumps(data, ensure_ascii=False, indent=indent, separators=separators)
    return text.encode() + (b"\n" if sample.endswith(b"\n") else b"")
