"""Reading structured text: JSON, TOML, YAML and INI, by a file's name."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gitsnap.core import keys
from gitsnap.core.keys import shown_path
from gitsnap.core.merge import merge_data
from gitsnap.ops.compare import structured

LARGEST = 1 << 20
_TOP = "\1"
_MOST, _MOST_ALIASES, _DEEPEST = 1_000_000, 100, 100


def parse(path: bytes, data: bytes) -> Any:
    """The data in a file of a known form. ValueError where the name tells no form, or the text does not fit it."""
    reader = _READERS.get(path.rpartition(b".")[2].lower().decode("ascii", "replace"))
    if reader is None or len(data) > LARGEST:
        raise ValueError("not a form that is read key by key")
    try:
        found = reader(data.decode("utf-8-sig"))
    except (RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if _weight(found, 0, {}) > _MOST:
        raise ValueError("aliases make it too large")
    return found


def _weight(value: Any, depth: int, known: dict[int, int]) -> int:
    """How many values there are in `value`, with all that aliases repeat. ValueError where it goes too deep."""
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weight(p, depth + 1, known) for p in parts)
    return known[id(value)]


def key_changes(path: bytes, old: bytes, new: bytes) -> list[keys.KeyChange] | None:
    """The keys that differ between two versions of a file; None where it is not read key by key."""
    try:
        sides: list[Any] = [parse(path, data) for data in (old, new)]
        return keys.changes(*sides)
    except ValueError:
        return None


def _json(text: str) -> Any:
    return json.loads(text)


def _toml(text: str) -> Any:
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    # libyaml's is ten times as quick, and goes as deep as it is told to, whatever the stack bears.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    aliases = depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # Aliases can make a small text stand for a huge one.
            if aliases > _MOST_ALIASES or depth > _DEEPEST:
                raise ValueError("too many aliases, or too deep")
        documents = list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    return documents[0] if len(documents) == 1 else documents


def _ini(text: str) -> Any:
    reader = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="\0")
    reader.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        try:
            reader.read_string(text)
        except configparser.MissingSectionHeaderError:
            # Keys before any section stand for themselves.
            reader.read_string(f"[{_TOP}]\n{text}")
    except (configparser.Error, AttributeError) as error:
        # An indented line below a key without a value is more than configparser bears.
        raise ValueError(str(error)) from None
    found: dict[str, Any] = dict(reader.items(_TOP)) if reader.has_section(_TOP) else {}
    return found | {s: dict(reader.items(s)) for s in reader.sections() if s != _TOP}


_READERS: dict[str, Callable[[str], Any]] = {
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
    "yml": _yaml,
    "ini": _ini,
    "cfg": _ini,
}


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
