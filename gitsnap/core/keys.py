"""What changed in structured data, key by key, and which values had better not be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitsnap.core.secrets import is_secret_name, is_secret_value

# A path into nested data: names of keys, numbers of list items, or an item's own name.
KeyPath = tuple[str | int, ...]

# What names an item of a list, the first that all of them have.
ITEM_NAMES = ("id", "name", "key", "path")
_MOST = 20_000


@dataclass(slots=True, frozen=True)
class KeyChange:
    """One key that differs. `old` or `new` is ABSENT where it is not there."""

    path: KeyPath
    old: Any
    new: Any

    @property
    def status(self) -> str:
        """How it changed."""
        if self.old is ABSENT:
            return "added"
        return "removed" if self.new is ABSENT else "changed"

    @property
    def secret(self) -> bool:
        """Whether the key's name, or a value, looks like something that must not be shown."""
        named = any(isinstance(p, str) and is_secret_name(p) for p in self.path)
        return named or any(_holds_secret(v) for v in (self.old, self.new))


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


class TooManyError(ValueError):
    """The data are larger than anybody wants compared key by key."""


def changes(old: Any, new: Any) -> list[KeyChange]:
    """Every key that was added, removed or has another value, in the order of the data.

    Mappings are compared by key; lists by their items' names where all have one, otherwise as a whole when they hold
    plain values, and by position. Raises TooManyError.
    """
    out: list[KeyChange] = []
    for change in _compare((), old, new):
        out.append(change)
        if len(out) > _MOST:
            raise TooManyError
    return out


def _compare(path: KeyPath, old: Any, new: Any) -> Iterator[KeyChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _by_key(path, old, new)
    elif _is_list(old) and _is_list(new):
        yield from _lists(path, old, new)
    elif old is ABSENT and isinstance(new, Mapping) and new:
        yield from _by_key(path, {}, new)
    elif new is ABSENT and isinstance(old, Mapping) and old:
        yield from _by_key(path, old, {})
    elif type(old) is not type(new) or old != new:
        yield KeyChange(path, old, new)


def _by_key(path: KeyPath, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[KeyChange]:
    for key in dict.fromkeys([*old, *new]):
        yield from _compare((*path, str(key)), old.get(key, ABSENT), new.get(key, ABSENT))


def _lists(path: KeyPath, old: Sequence[Any], new: Sequence[Any]) -> Iterator[KeyChange]:
    name = next((n for n in ITEM_NAMES if _named(old, n) and _named(new, n)), None)
    if name is not None and old and new:
        yield from _by_key(path, {i[name]: i for i in old}, {i[name]: i for i in new})
    elif all(_plain(i) for i in (*old, *new)):
        if list(old) != list(new):
            yield KeyChange(path, list(old), list(new))
    else:
        for at in range(max(len(old), len(new))):
            pair = [side[at] if at < len(side) else ABSENT for side in (old, new)]
            yield from _compare((*path, at), *pair)


def _named(items: Sequence[Any], name: str) -> bool:
    values = [i.get(name) if isinstance(i, Mapping) else None for i in items]
    return all(isinstance(v, str) for v in values) and len(set(values)) == len(values)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _plain(value: Any) -> bool:
    return not isinstance(value, Mapping) and not _is_list(value)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, str):
        return is_secret_value(value)
    if isinstance(value, Mapping):
        return any((isinstance(k, str) and is_secret_name(k)) or _holds_secret(v) for k, v in value.items())
    return _is_list(value) and any(map(_holds_secret, value))


def shown_path(path: KeyPath) -> str:
    """The path for people: `servers[0].name`; a key that is no plain word is quoted."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif re.fullmatch(r"[\w@/:-]+", part):
            out += f".{part}" if out else part
        else:
            out += f'["{part}"]'
    return out or "(all)"
