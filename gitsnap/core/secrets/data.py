"""The secrets in parsed data: by the names of keys, of items that have names and values, and by what strings hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gitsnap.core.secrets import hints, lines, options, pairs
from gitsnap.core.secrets.assignments import is_key_name, is_name_only, is_secret, is_wording
from gitsnap.core.secrets.hints import words
from gitsnap.core.secrets.names import Strength, is_about, is_connection
from gitsnap.core.secrets.rules import PLAIN, Rules
from gitsnap.core.secrets.values import is_harmless

# What names an item of a list or a pair.
ITEM_NAMES = ("id", "name", "key", "path")
# Whose every value is one: Composer's and the container registries' credentials.
_LOGINS = words("auths http-basic github-oauth gitlab-token gitlab-oauth bitbucket-oauth bearer basic_auth stringdata")
_USERS = words("username email serveraddress login")


def values(data: Any, rules: Rules = PLAIN, *, hidden: bool = False) -> Iterator[str]:
    """Each secret in the data, once or more; parts of strings are told for themselves.

    `hidden`: all of it is secret.
    """
    # The same part may be reached in many ways (YAML's aliases): once is enough. No recursion: data may be deep.
    seen: set[tuple[int, str, bool]] = set()
    waiting: list[tuple[Any, str, bool]] = [(data, "", hidden)]
    while waiting:
        value, name, secret = waiting.pop()
        if isinstance(value, (Mapping, list, tuple)):
            if (id(value), name, secret) not in seen:
                seen.add((id(value), name, secret))
                waiting += parts(value, name, secret, rules)
                if not isinstance(value, Mapping):
                    yield from arguments(value)
        else:
            yield from leaf(value, name, secret, rules)


def by_the_other(old: Any, new: Any, rules: Rules = PLAIN) -> Iterator[str]:
    """What is a secret in one version because of what the other version says of the same key."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Any, Any, bool]] = [(old, new, False)]
    while waiting:
        before, after, secret = waiting.pop()
        if secret:
            yield from values(before, rules, hidden=True)
            yield from values(after, rules, hidden=True)
        elif (id(before), id(after)) in seen:
            continue
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            seen.add((id(before), id(after)))
            hidden = {key for side in (before, after) for key in _hidden(side, rules)}
            waiting += [(before[key], after[key], key in hidden) for key in before.keys() & after.keys()]
        elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
            seen.add((id(before), id(after)))
            waiting += [(*pair, False) for pair in zip(before, after, strict=False)]


def _hidden(value: Mapping[Any, Any], rules: Rules) -> Iterator[Any]:
    # Most mappings name no secret.
    if any(map(tells, map(str, value))) or rules.names:
        yield from (key for key, part in zip(value, parts(value, "", False, rules), strict=True) if part[2])


def leaf(value: Any, name: str, secret: bool, rules: Rules) -> Iterator[str]:
    """The secrets in one value that is no collection; `name` is its key's, `secret` whether a name above says so."""
    if value is None or isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return
    text = str(value)
    for quote in ('"""', '"', "'", "`"):
        if len(text) > 2 * len(quote) and text.startswith(quote) and text.endswith(quote):
            # As INI has it.
            text = text[len(quote) : -len(quote)]
            break
    wording = (rules.wording and is_wording(text)) or is_key_name(name, text)
    if (
        secret
        and not wording
        and not is_about(name)
        and not is_harmless(text, password=True)
        and not is_connection(name)
    ) or (name and is_secret(name, text, rules)):
        yield text
    elif isinstance(value, str):
        yield from inner(text, rules)


def inner(text: str, rules: Rules) -> Iterator[str]:
    """The secrets in a text: a command line, a header, an address, a file that another one holds."""
    if not rules.names and not hints.may_hold(text) and "ensitive" not in text and "SecureString" not in text:
        return
    rows = text.split("\n")
    for number, spans in lines.found(b"", rows, rules).items():
        for begin, end in spans:
            yield rows[number][begin:end]


@lru_cache(4096)
def tells(key: str) -> bool:
    """Whether a key can make what is beside or below it a secret."""
    return (
        pairs.is_name(key)
        or key in ("kind", "type", "Type", "sensitive")
        or key.lower() in _LOGINS
        or PLAIN.strength(key) is Strength.STRONG
    )


def parts(value: Any, name: str, secret: bool, rules: Rules) -> Iterator[tuple[Any, str, bool]]:
    """The parts of a collection, each with its name and whether a name above says that it is secret."""
    if not isinstance(value, Mapping):
        yield from _items(value, name, secret, rules)
        return
    naming = set(pairs.named_secret([(str(k), v) for k, v in value.items()], rules))
    sealed = value.get("kind") == "Secret"
    for key, item in value.items():
        own = str(key)
        if own in naming:
            yield item, "", False
            continue
        inherits = (secret or (bool(naming) and pairs.is_value(own))) and not is_about(own)
        inside = own.lower() in _LOGINS and isinstance(item, Mapping)
        if own.lower() in _USERS:
            inherits = False
        collection = isinstance(item, (Mapping, list, tuple))
        above = collection and (is_strong(own, rules) or inside or (sealed and own in ("data", "stringData")))
        yield item, own, inherits or above


def arguments(items: Sequence[Any]) -> set[str]:
    """The secrets in a command line that a list has word by word."""
    words = [i for i in items if isinstance(i, str) and len(i) < lines.READ]
    if len(words) < 2 or not any(w.startswith("-") for w in words):
        return set()
    line = json.dumps(words[:200], ensure_ascii=False)
    return {line[b:e] for b, e in options.found(line)}


def _items(items: Any, name: str, secret: bool, rules: Rules) -> Iterator[tuple[Any, str, bool]]:
    before, found = "", arguments(items)
    for item in items:
        option = before.startswith("-") and "=" not in before and is_strong(before.lstrip("-"), rules)
        if isinstance(item, str) and is_name_only(item):
            yield item, "", False
        else:
            hides = (
                secret
                or (isinstance(item, str) and item in found)
                or (option and isinstance(item, (str, int)) and not str(item).startswith("-"))
            )
            yield item, name if secret else "", hides
        before = item if isinstance(item, str) else ""


def is_strong(name: str, rules: Rules) -> bool:
    """Whether whatever has this name is a secret."""
    return rules.strength(name) is Strength.STRONG


def is_under_custom(path: tuple[str | int, ...], rules: Rules) -> bool:
    """Whether a part of a path into data has a name that the configuration names."""
    return bool(rules.names) and any(isinstance(p, str) and rules.is_own(p) for p in path)
