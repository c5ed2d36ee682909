"""What changed in structured data, key by key, and which values had better not be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gitsnap.core.secrets.data import ITEM_NAMES, is_under_custom, parts, tells
from gitsnap.core.secrets.masker import Masker
from gitsnap.core.secrets.rules import PLAIN

# A path into nested data: names of keys, numbers of list items, or an item's own name.
KeyPath = tuple[str | int, ...]

_MOST = 20_000


@dataclass(slots=True, frozen=True)
class KeyChange:
    """One key that differs. `old` or `new` is ABSENT where it is not there.

    `hidden` tells that a name above says that it is secret. `whole` is the key that came or went with all that is below
    it, this one among that; else the path itself.
    """

    path: KeyPath
    old: Any
    new: Any
    hidden: bool = False
    whole: KeyPath = ()

    @property
    def status(self) -> str:
        """How it changed."""
        if self.old is ABSENT:
            return "added"
        return "removed" if self.new is ABSENT else "changed"


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


def count_keys(those: Iterable[KeyChange]) -> int:
    """How many keys these are: one that came or went with all that is below it is one."""
    return len({change.whole or change.path for change in those})


def _compare(path: KeyPath, old: Any, new: Any, hidden: bool = False) -> Iterator[KeyChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _by_key(path, old, new, hidden)
    elif _is_list(old) and _is_list(new):
        yield from _lists(path, old, new, hidden)
    elif old is ABSENT and isinstance(new, Mapping) and new:
        yield from (replace(c, whole=path) for c in _by_key(path, {}, new, hidden))
    elif new is ABSENT and isinstance(old, Mapping) and old:
        yield from (replace(c, whole=path) for c in _by_key(path, old, {}, hidden))
    elif type(old) is not type(new) or old != new:
        yield KeyChange(path, old, new, hidden)


def _by_key(path: KeyPath, old: Mapping[Any, Any], new: Mapping[Any, Any], hidden: bool) -> Iterator[KeyChange]:
    # Most mappings name no secret, and a record of packages has thousands.
    telling = [side for side in (old, new) if hidden or any(map(tells, map(str, side)))]
    secret = {
        key for side in telling for key, part in zip(side, parts(side, "", hidden, PLAIN), strict=True) if part[2]
    }
    for key in dict.fromkeys([*old, *new]):
        yield from _compare((*path, str(key)), old.get(key, ABSENT), new.get(key, ABSENT), key in secret)


def _lists(path: KeyPath, old: Sequence[Any], new: Sequence[Any], hidden: bool) -> Iterator[KeyChange]:
    name = next((n for n in ITEM_NAMES if _named(old, n) and _named(new, n)), None)
    if name is not None and old and new:
        was, now = ({i[name]: i for i in side} for side in (old, new))
        for key in dict.fromkeys([*was, *now]):
            yield from _compare((*path, str(key)), was.get(key, ABSENT), now.get(key, ABSENT), hidden)
    elif all(_plain(i) for i in (*old, *new)):
        if list(old) != list(new):
            yield KeyChange(path, list(old), list(new), hidden)
    else:
        for at in range(max(len(old), len(new))):
            before, after = (side[at] if at < len(side) else ABSENT for side in (old, new))
            yield from _compare((*path, at), before, after, hidden)


def _named(items: Sequence[Any], name: str) -> bool:
    values = [i.get(name) if isinstance(i, Mapping) else None for i in items]
    return all(isinstance(v, str) for v in values) and len(set(values)) == len(values)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _plain(value: Any) -> bool:
    return not isinstance(value, Mapping) and not _is_list(value)


@dataclass(slots=True, frozen=True)
class MaskedChange:
    """A key that differs, as it may be shown. `masked` tells whether there is a mark in the place of a value."""

    key: str
    path: KeyPath
    status: str
    old: Any
    new: Any
    masked: bool = False


def masked(change: KeyChange, masker: Masker, file: bytes = b"") -> MaskedChange:
    """The change with marks for the secrets in its values, and in the names of its keys; `file` is where they are."""
    last = change.path[-1] if change.path else ""
    name = last if isinstance(last, str) else ""
    hidden = change.hidden or masker.hides_all(file) or is_under_custom(change.path, masker.rules)
    old, new = (v if v is ABSENT else masker.value(v, name, hidden=hidden, path=file) for v in (change.old, change.new))
    path = tuple(masker.text(p) if isinstance(p, str) else p for p in change.path)
    is_masked = any(a is not b and a != b for a, b in ((old, change.old), (new, change.new)))
    return MaskedChange(shown_path(path), path, change.status, old, new, is_masked)


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
