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
# What is long enough, and letters and digits in it, side by side but for other characters.
_RUN = re.compile(r"""[^\x00-\x20"'`()<>,;]{8,}+""")
_DRAWN = re.compile(r"[A-Za-z][^A-Za-z\d]*+\d|\d[^A-Za-z\d]*+[A-Za-z]")
# What of a line in a program is no code, or may be none, with the rest of the line: quotes, elements, options, a login,
# and what nothing ends, in a text of many lines. Several, as each is quick by itself.
_LITERAL = tuple(re.compile(begin + ".*+") for begin in ('"', "'", "`", "</", " --?[a-zDP]", "asic "))
_ENDS = re.compile(r"[=:][ \t]{0,9}[\w+/=.@-]{8,}+[ \t\r]*+$", re.MULTILINE)
# Languages whose literals end with their line.
_OF_ONE_LINE = (b".c", b".h", b".cc", b".cpp", b".cs", b".S", b".s", b".dts", b".dtsi", b".dtso", b".lds")
# No form is shorter, with what goes before it.
_LEAST = 12


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
    name = path.rpartition(b"/")[2]
    # Files of patterns have names of secrets in them, and words behind.
    plain = is_configuration(path) and name != b".gitattributes" and not name.endswith(b"ignore")
    if plain and not whole and kind not in _OWN_KINDS and not rules.names and not _may_hold(text):
        return []
    if kind is Kind.WHOLE:
        content = text.strip()
        none = is_harmless(content, password=True) or not is_distinct(content)
        return [] if none else [Leaving(WHOLE_FILE, content)]
    told: dict[str, Leaving] = {}
    if plain or "PRIVATE KEY" in text:
        rows = split(text)
    elif not (rows := _drawn(path, text, rules)):
        return []
    for one in (*_in_lines(path, rows, rules), *_in_data(text, parsed, rules, whole or kind is Kind.SECRETS)):
        if is_distinct(one.value) and (plain or one.key == PRIVATE_KEY or _looks_drawn(one.value)):
            told.setdefault(one.value, one)
    return [*told.values()]


def _drawn(path: bytes, text: str, rules: Rules) -> list[str]:
    """The rows of a text, but for those that cannot hold what looks drawn beside a hint: most of a program, and reading
    them is what takes the time. None where there is no other."""
    drawn: dict[int, str] = {}
    end = -1
    code = kind_of(path) is Kind.PROGRAM
    for at in sorted(_code(text, whole=path.endswith(_OF_ONE_LINE)) if code else _runs(text)):
        if at > end:
            begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            end = end if end >= 0 else len(text)
            row = text[begin:end]
            if any(map(_DRAWN.search, _RUN.findall(row))):
                drawn[begin] = row
    sieve = hints.Sieve("\n".join(drawn.values()))
    kept = {begin: row for begin, row in drawn.items() if rules.names or sieve.may_hold(row)}
    rows = [""] * (text.count("\n") + 1) if kept else []
    number = at = 0
    for begin, row in kept.items():
        number, at = number + text.count("\n", at, begin), begin
        rows[number] = row
    return rows


def _runs(text: str) -> Iterator[int]:
    return (run.start() for run in _RUN.finditer(text))


def _code(text: str, *, whole: bool) -> Iterator[int]:
    """Where in a program a value can be that is no word of its: in quotes, between elements, behind an option, or of
    a form that tells it. With `whole` no literal has more than one line."""
    for pattern in _LITERAL if whole else (*_LITERAL, _ENDS):
        yield from (found.start() for found in pattern.finditer(text))
    long = {word for word in text.split() if len(word) >= _LEAST}
    sieve = hints.Sieve("\n".join(long))
    for word in filter(sieve.has_form, long if sieve.has_forms() else ()):
        at = text.find(word)
        while at >= 0:
            yield at
            at = text.find(word, at + len(word))


def _may_hold(text: str) -> bool:
    return "PRIVATE KEY" in text or "Static key" in text or hints.may_hold(text)


def _in_lines(path: bytes, rows: list[str], rules: Rules) -> Iterator[Leaving]:
    within: list[str] = []
    spans = lines.found(path, rows, rules)
    for number, row in enumerate(rows) if spans else ():
        if not within and number not in spans:
            continue
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
