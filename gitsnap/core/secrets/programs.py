"""In programs and prose a secret's name stands before all kinds of things; only what is literal is a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitsnap.core.secrets.assignments import is_secret
from gitsnap.core.secrets.names import Strength
from gitsnap.core.secrets.quotes import Span, around, nested_end, spans
from gitsnap.core.secrets.rules import Rules

_NAMED = re.compile(
    r"""(?:"(?P<quoted>[^"\\]{1,80})"|'(?P<single>[^'\\]{1,80})'|(?P<bare>[\w@-]{2,80}+(?:\ (?:key|string))?))"""
    r"""(?P<gap>(?:\]){0,2}\s{0,40}+(?::\s{0,4}(?:[\w.\[\]| ]{1,60})\s{0,4}=(?!=)|=>|:=|[:=](?![=>:])|\?\?=?"""
    r"""|\|\|=?)\s*+|(?<=["'])\s{0,20}+,\s*+)"""
)
_CALLED = re.compile(r"""\b(?P<name>\w{2,80}+)\(\s{0,9}(?:"(?P<d>[^"\\]{1,400})"|'(?P<s>[^'\\]{1,400})')\s{0,9}\)""")
_LITERAL = re.compile(
    r'[rbf]?(?:"(?P<d>(?:[^"\\]|\\.)*+)"|\'(?P<s>(?:[^\'\\]|\\.|\'\')*+)\'|`(?P<t>(?:[^`\\]|\\.)*+)`)'
)
_GOES_ON = re.compile(r"\s*+(?:[.+]|\|\||\?\?|or\b)\s*+")
_NEXT_ITEM = re.compile(r"\s*+(?:[.+,]|\|\||\?\?|or\b)\s*+")
_FALLBACK = re.compile(r"""[^"'`;]{0,80}(?:\([^()]{0,80}\))?\s{0,9}(?:\|\||\?\?|\?:|\bor\b)\s{0,9}(?=["'`])""")
# `SecretStr("X")`, `ConvertTo-SecureString "X"`
_SEALED = re.compile(
    r"""(?i)(?:new\s{1,9})?(?:[\w.]{0,40}(?:secret|password|secure|credential)\w{0,40}\(|(?:base64\.)?b64decode\(b?|Buffer\.from\(|String::from\("""
    r"""|ConvertTo-SecureString\s{1,9}(?:-String\s{1,9})?)\s{0,9}(?=["'`])"""
)
_BARE = re.compile(r"[\w+/=.@-]*\d[\w+/=.@-]*(?=[\s,;]*$)")
# `VALUES (12, 'mailserver_pass', 'X')`
_ROW = re.compile(r"(?i)(?:\s*+|.{0,400}\bVALUES\s{0,9})\(\s{0,9}(?:\d{1,20}\s{0,9},\s{0,9})?$")
_CLOSING = re.compile(r"[\s+.,;)\]}&:%]|$")
_INNER = re.compile(
    r"""(?:(?P<name>[\w.-]{2,80}+(?:\ (?:key|string))?)(?P<mark>\\?["'`]?\s{0,20}+(?:=>|[:=])\s{0,20}+)"""
    r"""|(?P<option>--[\w-]{2,80}+)\s{1,20}+)(?P<quote>\\?["'`])?"""
)
_SCHEME = re.compile(r"""(?:bearer|basic|digest|token|apikey|negotiate)\s+(?=[^\s"'`])""", re.IGNORECASE)
_NO_WORD = re.compile(r"[\d_+/$!#%^*=@~-]")


def found(line: str, rules: Rules) -> Iterator[Span]:
    """The secrets in a line of a program."""
    yield from within(line, rules)
    yield from literals(line, rules)


def literals(line: str, rules: Rules) -> Iterator[Span]:
    """The literal that follows a secret's name."""
    pairs: list[Span] | None = None
    for named in _NAMED.finditer(line):
        name = named["quoted"] or named["single"] or named["bare"]
        if rules.strength(name) is Strength.NONE:
            continue
        pairs = spans(line) if pairs is None else pairs
        if _is_within(line, named, pairs) or (
            "," in named["gap"] and _is_argument(line, named) and not _ROW.match(line[: named.start()])
        ):
            continue
        yield from _values(line, named.end(), name, rules)
    for called in _CALLED.finditer(line):
        strength = rules.strength(called["name"])
        sets = strength is Strength.STRONG and called["name"].lower().startswith(("set", "with"))
        if sets or strength is Strength.WEAK:
            value = called["d"] or called["s"]
            if is_secret(called["name"], value, rules):
                yield called.span("d" if called["d"] else "s")


def _values(line: str, at: int, name: str, rules: Rules) -> Iterator[Span]:
    if line[at : at + 1] in "[({" and line[at : at + 1]:
        at += 1
        more = True
    else:
        more = False
    while literal := _LITERAL.match(line, at):
        group = literal.lastgroup or "d"
        value = literal[group]
        if is_secret(name, value, rules) and not _is_prose(value):
            scheme = _SCHEME.match(line, *literal.span(group))
            yield scheme.end() if scheme else literal.start(group), literal.end(group)
        after = (_NEXT_ITEM if more else _GOES_ON).match(line, literal.end())
        if not after:
            return
        at = after.end()
    # `process.env.X || 'fallback'`, `getenv("X") ?: "fallback"`
    fallback = _FALLBACK.match(line, at) or _SEALED.match(line, at)
    if fallback:
        yield from _values(line, fallback.end(), name, rules)
        return
    bare = _BARE.match(line, at)
    if bare and is_secret(name, bare[0], rules) and not re.fullmatch(r"[\d.]{1,5}|\w+\.\w+.*", bare[0]):
        yield bare.span()


def _is_prose(value: str) -> bool:
    """A sentence, and no passphrase: with a capital before and a full stop or the like after, or many words."""
    words = value.split()
    return len(words) > 2 and (value[-1:] in ".:!?…" or all(w.strip(".,:!?'").isalpha() for w in words))


def _is_argument(line: str, named: re.Match[str]) -> bool:
    """`t("password", "Password")`: only of `define` and its like the second argument is a value."""
    before = line[: named.start()].rstrip().lower()
    return not before.endswith(
        (
            "define(",
            "set(",
            "put(",
            "setenv(",
            "setitem(",
            "header(",
            "setheader(",
            "append(",
            "config(",
            "option(",
            "setproperty(",
            "setvalue(",
            "add(",
            "update_option(",
            "ini_set(",
            "putenv(",
            "getenv(",
            "environ.get(",
            "env(",
            "[",
            "([",
        )
    )


def _is_within(line: str, named: re.Match[str], pairs: Sequence[Span]) -> bool:
    """Whether a name and what follows it are words of one literal: what comes after that is no value of theirs."""
    span = around(pairs, named.start()) if named["bare"] else None
    if span is None:
        return False
    # Where quotes were told wrongly, what seems to close them opens the value.
    return named.end() < span[1] or (named.end() == span[1] and _CLOSING.match(line, span[1] + 1) is not None)


def within(line: str, rules: Rules) -> Iterator[Span]:
    """`"Authorization: Bearer X"`, `"Server=a;Password=X"`, `"mysql --password X"`."""
    for opened, closed in spans(line):
        at = opened + 1
        while inner := _INNER.search(line, at, closed):
            name = inner["name"] or inner["option"].lstrip("-")
            at = inner.end("name") if inner["name"] else inner.end("option")
            if rules.strength(name) is Strength.STRONG:
                begin, end = _inner_value(line, inner, opened, closed)
                if end > begin and is_secret(name, line[begin:end], rules):
                    yield begin, end
                at = max(at, end)


def _inner_value(line: str, inner: re.Match[str], opened: int, closed: int) -> Span:
    begin, quote = inner.end(), inner["quote"]
    if quote:
        end = line.find(quote, begin, closed)
        return begin, end if end >= 0 else closed
    scheme = _SCHEME.match(line, begin, closed)
    begin = scheme.end() if scheme else begin
    before = line[inner.start() - 1 : inner.start()]
    pattern = r"[^\s&#]*" if before in ("?", "&") else r"[^\s;]*" if before == ";" else r"\S*"
    word = re.compile(pattern).match(line, begin, closed)
    end = word.end() if word else closed
    if inner["name"] and inner["name"].lower() in ("cookie", "set-cookie") and ":" in inner["mark"]:
        end = closed
    end = nested_end(line, opened, begin, end)
    while end - 1 > begin and (
        line[end - 1] == ";" or (line[end - 1] in "\"'`" and line.count(line[end - 1], begin, end) % 2)
    ):
        end -= 1
    value = line[begin:end]
    # `password: too short` is prose, `Password=…` and the only word after a colon are not.
    sure = scheme or "=" in (inner["mark"] or "=") or end == closed or _NO_WORD.search(value)
    return (begin, end) if sure else (begin, begin)
