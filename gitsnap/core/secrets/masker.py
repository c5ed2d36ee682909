"""Marks in the place of secrets: first the values are found, then they are masked wherever they stand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gitsnap.core.secrets import data, lines
from gitsnap.core.secrets.hints import words
from gitsnap.core.secrets.kinds import Kind, kind_of, rules_of
from gitsnap.core.secrets.names import is_secret_name
from gitsnap.core.secrets.quotes import Span
from gitsnap.core.secrets.rules import PLAIN, Rules

DOTS = "••••"
# More values than these are not looked for one by one: the file is not shown.
_MOST, _MOST_KNOWN = 300, 100
_COMMON = words(
    """
    password passwort secret token postgres postgresql mariadb mongodb wordpress nextcloud rabbitmq administrator
    homeassistant changeme default example localhost required production development minioadmin elastic
    """
)


class Unmaskable(ValueError):  # noqa: N818 - a finding, not a failure
    """A secret that is known to be there cannot be found in the text, so that it cannot be hidden in it."""


class Masker:
    """Masks secrets by the rules of the configuration.

    `key` makes marks that tell equal values from different ones, and nothing else to whoever does not have it; without
    one all marks are the same. With `shows`, everything is left as it is. What was found in one text is masked in those
    that come after it, too.
    """

    def __init__(self, rules: Rules = PLAIN, key: bytes = b"", *, shows: bool = False) -> None:
        self.rules, self.shows = rules, shows
        self._key = key
        self._known: dict[str, None] = {}

    def mark(self, value: Any) -> str:
        """What stands for a value."""
        if not self._key:
            return DOTS
        raw = str(value).strip().encode("utf-8", "surrogateescape")
        return f"{DOTS}({hashlib.blake2b(raw, key=self._key, digest_size=2).hexdigest()})"

    def text(self, text: str) -> str:
        """A command line or a message, as it may be shown."""
        if self.shows or not text:
            return text
        rows = text.split("\n")
        spans = lines.found(b"", rows, self.rules)
        self.learn(rows[n][b:e] for n, found in spans.items() for b, e in found)
        self._add(rows, spans, [v for v in self._known if v in text])
        return "\n".join(self._row(row, spans.get(n, ())) + "…" * (len(row) > lines.READ) for n, row in enumerate(rows))

    def known(self, text: str) -> str:
        """A text of our own, with marks for what was found to be secret before."""
        return self._hide(text, ()) if any(v in text for v in self._known) else text

    def learn(self, values: Iterable[str]) -> None:
        """Values that are to be masked wherever they stand from now on."""
        for value in values:
            if is_distinct(value) and len(value) <= 2_000 and len(self._known) < _MOST_KNOWN:
                self._known[value] = None

    def hides_all(self, path: bytes) -> bool:
        """Whether a file holds nothing but secrets."""
        return bool(path) and (kind_of(path) is Kind.SECRETS or self.rules.holds_secrets(path))

    def value(self, value: Any, name: str = "", *, hidden: bool = False, path: bytes = b"") -> Any:
        """A value of parsed data with marks in it, or in the place of it.

        `name` is its key's, `hidden` whether a name above that says that it is secret; `path` is the file's.
        """
        if self.shows:
            return value
        rules = rules_of(path, self.rules)
        hidden = hidden or (isinstance(value, (Mapping, list, tuple)) and data.is_strong(name, rules))
        if isinstance(value, Mapping):
            parts = data.parts(value, name, hidden, rules)
            return {
                k: self.value(*part[:2], hidden=part[2], path=path)
                for k, part in zip(map(self._key_of, value), parts, strict=True)
            }
        if isinstance(value, (list, tuple)):
            self.learn(data.arguments(value))
            return [self.value(*part[:2], hidden=part[2], path=path) for part in data.parts(value, name, hidden, rules)]
        if self.rules.strict and value is not None:
            return self.mark(value)
        secret = set(data.leaf(value, name, hidden, rules))
        self.learn(secret)
        return self._hide(value, secret)

    def _key_of(self, key: Any) -> Any:
        return self._hide(key, ()) if isinstance(key, str) else key

    def _hide(self, value: Any, secret: Collection[str]) -> Any:
        if str(value) in secret:
            return self.mark(value)
        if not isinstance(value, str):
            return value
        found = [v for v in (*secret, *(k for k in self._known if k in value)) if v in value]
        if not found:
            return value
        rows = value.split("\n")
        spans: dict[int, list[Span]] = {}
        self._add(rows, spans, found)
        return "\n".join(self._row(row, spans.get(n, ())) for n, row in enumerate(rows))

    def lines(self, path: bytes, text: str, parsed: Any = None, other: Collection[str] = ()) -> list[str]:
        """The lines of a text file as they may be shown. Of a line longer than lines.READ there is only the beginning.

        `parsed` is the data in it, where its form is known; `other` are values of another version of it. Raises
        Unmaskable where the data hold a secret that cannot be found in the lines.
        """
        rows = split(text)
        if self.shows:
            return rows
        if self.rules.strict and is_configuration(path):
            return [self._strict(row) for row in rows]
        spans = lines.found(path, rows, self.rules)
        own = self._forms(path, text, spans, parsed)
        self._add(rows, spans, [*own, *(v for v in other if v in text), *(v for v in self._known if v in text)])
        self.learn(rows[n][b:e] for n, found in spans.items() for b, e in found)
        return [self._row(row, spans.get(n, ())) for n, row in enumerate(rows)]

    def secrets(self, path: bytes, text: str, parsed: Any = None) -> set[str]:
        """The values in a text that are to be masked wherever they stand."""
        rows = split(text)
        spans = lines.found(path, rows, self.rules)
        found = {rows[n][b:e] for n, those in spans.items() for b, e in those}
        if parsed is not None:
            found.update(data.values(parsed, rules_of(path, self.rules), hidden=self.hides_all(path)))
        return {f for v in found if is_distinct(v) for f in (_forms_in(text, v) if parsed is not None else {v})}

    def pair(self, path: bytes, old: tuple[str, Any], new: tuple[str, Any]) -> tuple[list[str], list[str]]:
        """The lines of both versions (text, parsed data) of a file: what is a secret in one is hidden in both."""
        if self.shows:
            return split(old[0]), split(new[0])
        before, after = (self.secrets(path, *side) for side in (old, new))
        if old[1] is not None and new[1] is not None:
            both = set(data.by_the_other(old[1], new[1], self.rules))
            for found, (text, _) in ((before, new), (after, old)):
                found.update(form for value in both if is_distinct(value) for form in _forms_in(text, value))
        return self.lines(path, *old, other=after), self.lines(path, *new, other=before)

    def _forms(self, path: bytes, text: str, spans: Mapping[int, Sequence[Span]], parsed: Any) -> list[str]:
        """How the secrets in the data are written in the text, but for those that are found in their place already."""
        if parsed is None:
            return []
        rows, rules = split(text), rules_of(path, self.rules)
        placed = {rows[n][b:e] for n, found in spans.items() for b, e in found}
        wanted: set[str] = set()
        for value in data.values(parsed, rules, hidden=self.hides_all(path)):
            wanted.add(value)
            if len(wanted) > _MOST:
                raise Unmaskable(f"more than {_MOST} values")
        out = {form for value in wanted for form in written(text, value)}
        out |= {row for form in out if "\n" in form for row in form.split("\n")}
        return [form for form in out if is_distinct(form) or form not in placed]

    def _add(self, rows: Sequence[str], spans: dict[int, list[Span]], values: Iterable[str]) -> None:
        """Each place in the lines where one of the values stands; those that were found as a whole among them."""
        distinct = {rows[n][b:e] for n, found in spans.items() for b, e in found if is_distinct(rows[n][b:e])}
        for value in {*values, *distinct}:
            if not value or "\n" in value:
                continue
            bounded = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)") if len(value) < 8 or value.isalnum() else None
            for number, row in enumerate(rows):
                if value not in row:
                    continue
                if bounded:
                    spans.setdefault(number, []).extend(m.span() for m in bounded.finditer(row))
                else:
                    at = row.find(value)
                    while at >= 0:
                        spans.setdefault(number, []).append((at, at + len(value)))
                        at = row.find(value, at + len(value))

    def _row(self, row: str, spans: Sequence[Span]) -> str:
        row = begun(row)
        if not spans:
            return row
        out, at = [], 0
        for begin, end in merged(spans):
            if begin >= len(row):
                break
            end = min(end, len(row))
            out += [row[at:begin], self.mark(row[begin:end])]
            at = end
        return "".join(out) + row[at:]

    def _strict(self, row: str) -> str:
        text = row.strip()
        if not text or not re.search(r"\w", text):
            return row
        indent = row[: len(row) - len(row.lstrip())]
        return indent + self.mark(text)


NOTHING = Masker(shows=True)


def split(text: str) -> list[str]:
    """The lines as git counts them, without their ends."""
    found = text.split("\n")
    return found[:-1] if found[-1] == "" else found


def is_distinct(value: str) -> bool:
    """Whether a value can be nothing else where it stands: no short one, and no word that a text may have anyway."""
    text = value.strip()
    if len(text) < 6 or text.lower() in _COMMON or is_secret_name(text):
        return False
    return not (text.isalpha() and text.islower() and len(text) < 8)


def is_configuration(path: bytes) -> bool:
    """Whether a file is one of configuration, and no program or text to read."""
    name = path.rpartition(b"/")[2].lower()
    named = name.startswith((b"config", b"settings", b"wp-config", b"localsettings", b"local_settings"))
    return kind_of(path) not in (Kind.PROGRAM, Kind.PROSE) or named


_RUN = re.compile(r"""[^\s"'`]*\Z""")


def begun(row: str) -> str:
    """Of a line that is longer than anybody reads, the beginning: what ends there may be half a secret, and goes."""
    return row if len(row) <= lines.READ else _RUN.sub("", row[: lines.READ])


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same places, in order, none of which overlaps another."""
    out: list[Span] = []
    for begin, end in sorted(spans):
        if out and begin < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def written(text: str, value: str) -> set[str]:
    """How a value is written in a text: as it is, with escapes, or over several lines.

    Raises Unmaskable when it is there in no way that is known here.
    """
    found = _forms_in(text, value)
    if found or not value.strip():
        return found
    for pieces in ([line.strip() for line in value.split("\n")], value.split()):
        wanted = {p for p in pieces if p}
        if all(p in text for p in wanted):
            return wanted
    raise Unmaskable("a value is written in another way")


def _forms_in(text: str, value: str) -> set[str]:
    whole = [value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], value.replace("'", "''")]
    return {f for f in whole if f and "\n" not in f and f in text}
