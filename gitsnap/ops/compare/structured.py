"""Reading structured text: JSON, TOML, YAML and INI, by a file's name."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable
from typing import Any

from gitsnap.core import keys

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
    except configparser.Error as error:
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
