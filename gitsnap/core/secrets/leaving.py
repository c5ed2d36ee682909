"""The secrets in a file that is to leave the machine: where each is, and under which key.

Narrower than what is masked, since each finding stops somebody: a value that any text may have anyway (`postgres`,
`changeme`) is none, and neither is what a package manager brought, which is public. In programs and in texts to read a
value has to look like a secret besides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from gitsnap.core.secrets import hints, lines
from gitsnap.core.secrets.data import values
from gitsnap.core.secrets.kinds import Kind, is_environment, kind_of, rules_of
from gitsnap.core.secrets.masker import is_configuration, is_distinct, split
from gitsnap.core.secrets.names import Strength
from gitsnap.core.secrets.rules import Rules
from gitsnap.core.secrets.values import is_digest, is_harmless

WHOLE_FILE, PRIVATE_KEY = "the whole file", "private key"
_BROUGHT = frozenset(
    b"node_modules bower_components site-packages dist-packages vendor gems jspm_packages .pnpm .yarn".split()
)
_LOCKS = frozenset(
    b"package-lock.json .package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml composer.lock poetry.lock"
    b" uv.lock pipfile.lock gemfile.lock cargo.lock go.sum flake.lock".split()
)
_OWN_KINDS = (Kind.ACCOUNTS, Kind.NETRC, Kind.SECRETS, Kind.WHOLE)
# What stands between a key and its value.
_KEY = re.compile(r"""([A-Za-z_][\w.-]{0,80})["'\])>]{0,4}\s{0,20}(?:=>|[:=,])?\s{0,20}(?:[|>][+-]?)?["'`(\[{]{0,4}$""")
_NEAR = 200
# Letters and digits side by side, in quotes or in something that is long enough.
_DRAWN = re.compile(
    r"""(?=[^\s"'`()<>,;]{8})[^\s"'`()<>,;]*?(?:[A-Za-z][^\s"'`()<>,;A-Za-z]*\d|\d[^\s"'`()<>,;\d]*[A-Za-z])"""
)


class Leaving(NamedTuple):
    """A secret: its `key`, a name or where it stands, which never tells the value."""

    key: str
    value: str


def is_brought(path: bytes) -> bool:
    """Whether a package manager brought a file, or wrote it for itself; not so where a file is of a kind that holds
    secrets."""
    if kind_of(path) in _OWN_KINDS or is_environment(path):
        return False
    *folders, name = path.split(b"/")
    return name.lower() in _LOCKS or not _BROUGHT.isdisjoint(folders)


def found(path: bytes, text: str, parsed: object, rules: Rules) -> list[Leaving]:
    """The secrets in a text, each once; `parsed` is the data in it, where its form is known."""
    rules = rules_of(path, rules)
    kind = kind_of(path)
    whole = kind is Kind.WHOLE or rules.holds_secrets(path)
    if not whole and kind not in _OWN_KINDS and not rules.names and not _may_hold(text):
        return []
    if kind is Kind.WHOLE:
        content = text.strip()
        none = is_harmless(content, password=True) or not is_distinct(content)
        return [] if none else [Leaving(WHOLE_FILE, content)]
    told: dict[str, Leaving] = {}
    rows = split(text)
    name = path.rpartition(b"/")[2]
    # Files of patterns have names of secrets in them, and words behind.
    plain = is_configuration(path) and name != b".gitattributes" and not name.endswith(b"ignore")
    if not plain and "PRIVATE KEY" not in text:
        # Most lines of a program cannot hold what looks drawn, and reading them is what takes the time.
        rows = [row if _DRAWN.search(row[: lines.READ]) and _may_hold(row) else "" for row in rows]
        if not any(rows):
            return []
    for one in (*_in_lines(path, rows, rules), *_in_data(text, parsed, rules, whole or kind is Kind.SECRETS)):
        if is_distinct(one.value) and (plain or one.key == PRIVATE_KEY or _looks_drawn(one.value)):
            told.setdefault(one.value, one)
    return [*told.values()]


def _may_hold(text: str) -> bool:
    return "PRIVATE KEY" in text or "Static key" in text or hints.may_hold(text)


def _in_lines(path: bytes, rows: list[str], rules: Rules) -> Iterator[Leaving]:
    within: list[str] = []
    spans = lines.found(path, rows, rules)
    for number, row in enumerate(rows):
        here = sorted(spans.get(number, ()))
        if within:
            # A key of many lines is one secret.
            within.append(row)
            if "-----END" not in row and here:
                continue
            yield Leaving(PRIVATE_KEY, "\n".join(within))
            within = []
            if "-----END" in row:
                continue
        at = 0
        for begin, end in here:
            if begin < at:
                continue
            value = row[begin:end]
            if value.startswith("-----BEGIN") and "-----END" not in value:
                within = [value]
            else:
                key = PRIVATE_KEY if value.startswith("-----BEGIN") else _key(row[at:begin], number, rules)
                yield Leaving(key, value)
            at = end
    if within:
        yield Leaving(PRIVATE_KEY, "\n".join(within))


def _in_data(text: str, parsed: object, rules: Rules, hidden: bool) -> Iterator[Leaving]:
    """What is told by the data alone: below a key, in a line too long to be read."""
    for value in values(parsed, rules, hidden=hidden) if parsed is not None else ():
        at = text.find(value)
        number = text.count("\n", 0, at) if at >= 0 else -1
        yield Leaving(_key(text[max(at - _NEAR, 0) : max(at, 0)], number, rules), value)


def _key(before: str, number: int, rules: Rules) -> str:
    """The name that stands before a value, if it is a secret's; else its line."""
    named = _KEY.search(before[-_NEAR:])
    if named and rules.strength(named[1]) is not Strength.NONE:
        return named[1]
    return f"line {number + 1}" if number >= 0 else "a value"


def _looks_drawn(value: str) -> bool:
    """Whether no program or text has this for a word of its own."""
    return (
        len(value) >= 8
        and not is_digest(value)
        and not any(map(str.isspace, value))
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and re.search(r"[(){}<>\[\],;]", value) is None
    )


def is_allowed(path: bytes, key: str, allowed: Collection[bytes]) -> bool:
    """Whether a secret was named: by its file or a directory above it (`.`: all), or with `:KEY` after the path."""
    for name in allowed:
        given = name.removeprefix(b"./").rstrip(b"/") or b"."
        if given in (b".", path, path + b":" + key.encode("utf-8", "surrogateescape")) or path.startswith(given + b"/"):
            return True
    return False
