"""The lines of a file as they may be shown: what `changelog` hides in a key is hidden in the lines, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from gitsnap.core import keys
from gitsnap.core.secrets import Unmaskable, finder, is_secret_name, is_secret_value, mask_lines, written
from gitsnap.ops.compare import structured

__all__ = ["Unmaskable", "cut", "decode", "masked"]

_MOST = 300
_LONGEST = 300


def decode(data: bytes) -> list[str]:
    """The lines as git counts them, without their ends; what is not UTF-8 as surrogates."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def cut(line: str, length: int) -> str:
    """The beginning of a long line, and how much more there is."""
    return line if length <= _LONGEST else f"{line[:_LONGEST]} … {length - _LONGEST:,} more characters"


def masked(path: bytes, old: bytes, new: bytes) -> tuple[list[str], list[str]]:
    """The lines of both versions, with what looks secret hidden, long ones cut.

    Raises Unmaskable where the data in a file are known to hold a secret that cannot be found in its lines.
    """
    before, after = _values(path, old, new)
    out = []
    for data, own, other in ((old, before, after), (new, after, before)):
        text = data.decode("utf-8", "surrogateescape")
        forms = {form for value in own for form in written(text, value)}
        for value in other:
            with suppress(Unmaskable):
                forms |= written(text, value)
        known = finder(forms)
        lines = decode(data)
        shown = mask_lines(path, lines, known)
        out.append([cut(s, max(len(line), len(s))) for s, line in zip(shown, lines, strict=True)])
    return out[0], out[1]


def _values(path: bytes, old: bytes, new: bytes) -> tuple[set[str], set[str]]:
    """The values in each version of structured data that are secret by their place or form; none in other text."""
    parsed = [_parsed(path, data) for data in (old, new)]
    out: tuple[set[str], set[str]] = (set(), set())
    for found, data in zip(out, parsed, strict=True):
        for value in _secrets(data):
            found.add(value)
            _require_few(found)
    if None not in parsed:
        # What became a secret, or was one, is hidden on both sides.
        with suppress(keys.TooManyError):
            for change in keys.changes(*parsed):
                if change.secret:
                    for found, value in zip(out, (change.old, change.new), strict=True):
                        found.update(_secrets(value, hidden=not isinstance(value, (Mapping, list))))
                        _require_few(found)
    return out


def _require_few(values: set[str]) -> None:
    if len(values) > _MOST:
        raise Unmaskable(f"more than {_MOST} values")


def _parsed(path: bytes, data: bytes) -> Any:
    """The data; None where they are not read key by key."""
    try:
        return structured.parse(path, data)
    except ValueError:
        return None


def _secrets(data: Any, *, hidden: bool = False) -> Iterator[str]:
    # The same part may be reached in many ways (YAML's aliases): once is enough. No recursion: data may be deep.
    seen: set[tuple[int, bool]] = set()
    waiting: list[tuple[Any, bool]] = [(data, hidden)]
    while waiting:
        value, secret = waiting.pop()
        if isinstance(value, (Mapping, list, tuple)):
            if (id(value), secret) not in seen:
                seen.add((id(value), secret))
                waiting += _parts(value, secret)
        elif isinstance(value, str):
            if value and (secret or is_secret_value(value)):
                yield value
        elif secret and value is not None and value is not keys.ABSENT and not isinstance(value, bool):
            yield str(value)


def _parts(value: Any, hidden: bool) -> Iterator[tuple[Any, bool]]:
    if not isinstance(value, Mapping):
        yield from ((item, hidden) for item in value)
        return
    named = {k for k in keys.ITEM_NAMES if isinstance(value.get(k), str) and is_secret_name(value[k])}
    for key, item in value.items():
        name = str(key)
        yield item, hidden or is_secret_name(name) or (bool(named) and name not in keys.ITEM_NAMES)
