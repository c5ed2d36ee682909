"""Pairs of a name and a value that stand beside each other: `{"k": "password", "v": "X"}`, in either order, over lines.

A pair's two halves are in one scope: a pair of braces, an XML tag, an item of a YAML list, or lines that are indented
alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gitsnap.core.secrets import hints
from gitsnap.core.secrets.quotes import Span
from gitsnap.core.secrets.rules import Rules
from gitsnap.core.secrets.values import is_harmless

_OF = r"(?:option|param|parameter|setting|config|meta|var|variable|attr|attribute|prop|property|field|env|header)"
_NAME = (
    r"(?:id|name|key|k|path|field|attr|attribute|property|prop|variable|var|param|option|setting|header"
    rf"|{_OF}[_-]?(?:name|key|id))"
)
_VALUE = (
    r"(?:value|values|val|v|content|contents|data|default|text|secret|current|default_?value"
    rf"|{_OF}[_-]?(?:value|val|content|data))"
)
_NAME_KEY = re.compile(_NAME, re.IGNORECASE)
_VALUE_KEY = re.compile(_VALUE, re.IGNORECASE)
# Whatever the name of a pair is, its value is a secret: `type = "SecureString"`, `sensitive = true`.
_SAYS = re.compile(r"(?i)type|kind|sensitive|secret")
_SAID = {"type": ("securestring", "password"), "kind": ("password",), "sensitive": ("true",), "secret": ("true",)}
_HALF = (
    r"""(?:"(?P<d>(?:[^"\\]|\\.)*+)"|'(?P<s>(?:[^'\\]|\\.)*+)'|`(?P<t>[^`]*+)`"""
    r"""|(?P<b>[^\s,{}\[\]<>"'`=:/][^\s,{}\[\]<>"']*+))"""
)
_TOKEN = re.compile(
    rf"""(?<![\w.$-])["']?(?P<key>{_NAME}|{_VALUE}|type|kind|sensitive)["']?\s{{0,9}}(?:=>|[:=])\s{{0,9}}{_HALF}"""
    r"""|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'(?!\w)|`[^`]*+`"""
    r"""|(?P<open>[{\[(])|(?P<close>[}\])])|(?<!<)<(?P<tag>[A-Za-z][\w:.-]*+)(?=\s|$)|(?P<end>>)""",
    re.IGNORECASE,
)
# Whether there is anything to look for: a pair's key before a secret's name.
_NAMED = re.compile(
    rf"""(?<![\w.$-])["']?(?:{_NAME})["']?\s{{0,9}}(?:=>|[:=])\s{{0,9}}["'`]?(?P<name>[\w .:/-]{{1,80}}+)"""
    r"""|\btype["']?\s*[=:]\s*["']?password|\bsensitive["']?\s*[=:]\s*["']?true|\bSecureString\b""",
    re.IGNORECASE,
)
_LABELS = re.compile(r"""\s*+variable\s++["']?(?P<name>[\w.-]{1,80}+)["']?\s*+\{""")
_YAML = re.compile(r"(?P<indent>\s*+)(?P<dash>(?:-\s++)*+)(?P<key>[\w.-]{1,40}+)\s*+[:=]\s++(?P<rest>[^\s\"'{\[&|>].*)")
_OPENS = {"}": "{", "]": "[", ")": "(", ">": "<"}
_SECTION = re.compile(r"\s*+\[++[\w.\s\"'-]{1,100}\]++\s*+(?:[#;].*)?")
_DOCUMENT = re.compile(r"(?<![\w.-])(?P<key>\w{1,40})\s{0,20}=\s{0,9}<<[-~]?(?P<word>\w{1,40})\s*$")
# Elements whose text is what an attribute names; in `<label id="password">` it is for people.
_HOLDERS = hints.words(
    "entry param property setting prop env env-entry variable const item config parameter init-param arg attribute"
    " field string data add"
)
_INSIDE = re.compile(r"<(?:value|string|data|content|default)(?:\s[^<>]*+)?>|<!\[CDATA\[")
_COMMENT = re.compile(r"\s+#(?:\s|$)")


def is_name(key: str) -> bool:
    """Whether a key names what another key beside it holds: `name`, `k`, `field`, `ParameterKey`."""
    return _NAME_KEY.fullmatch(key) is not None


def is_value(key: str) -> bool:
    """Whether a key holds what another key beside it names."""
    return _VALUE_KEY.fullmatch(key) is not None


def says_secret(key: str, value: object) -> bool:
    """Whether this beside a value says that it is a secret: `sensitive: true`, `Type: SecureString`."""
    return str(value).lower() in _SAID.get(key.lower(), ())


@dataclass(slots=True)
class _Scope:
    """What is known of a scope so far; `indent` is that of its lines, -1 for one in brackets."""

    indent: int = -1
    bracket: str = ""
    tag: str = ""
    secret: bool = False
    values: list[tuple[int, Span]] = field(default_factory=list)


def found(lines: Sequence[str], rules: Rules, sieve: hints.Sieve) -> dict[int, list[Span]]:
    """Where the values are whose names beside them say that they are secret, by the number of the line from 0."""
    if not any(line and _may_name(line, rules, sieve) for line in lines):
        return {}
    reader = _Reader(rules)
    for number, line in enumerate(lines):
        reader.read(number, line)
    reader.close_all()
    return reader.out


def _may_name(line: str, rules: Rules, sieve: hints.Sieve) -> bool:
    if not rules.names and not sieve.is_named(line) and "ensitive" not in line and "SecureString" not in line:
        return False
    if _LABELS.match(line):
        return True
    return any(m["name"] is None or rules.strength(m["name"].strip()) > 1 for m in _NAMED.finditer(line))


class _Reader:
    def __init__(self, rules: Rules) -> None:
        self.out: dict[int, list[Span]] = {}
        self._rules = rules
        self._scopes: list[_Scope] = []
        self._until = ""
        self._element = False

    def read(self, number: int, line: str) -> None:
        """The tokens of the next line."""
        if self._until:
            self._in_document(number, line)
            return
        if self._element:
            self._text(number, line, 0)
        if _SECTION.fullmatch(line):
            while self._scopes and self._scopes[-1].indent >= 0:
                self._leave(self._scopes.pop())
            return
        if line.strip():
            self._indented(line)
        at = 0
        if label := _LABELS.match(line):
            secret = self._rules.strength(label["name"]) > 1
            self._scopes.append(_Scope(bracket="{", secret=secret))
            at = label.end()
        elif (plain := _YAML.fullmatch(line)) and self._scopes[-1].indent >= 0:
            self._plain(number, plain)
            return
        for token in _TOKEN.finditer(line, at):
            if token["key"]:
                group = next(g for g in "dstb" if token[g] is not None)
                self._pair(number, token["key"], token[group], token.span(group))
            elif token["open"]:
                self._scopes.append(_Scope(bracket=token["open"]))
            elif token["tag"]:
                self._scopes.append(_Scope(bracket="<", tag=token["tag"].lower()))
            elif token["close"] or token["end"]:
                closed = self._close(_OPENS[token[0]])
                if closed and closed.secret and closed.tag in _HOLDERS and line[token.start() - 1] != "/":
                    self._element = True
                    self._text(number, line, token.end())
        if (document := _DOCUMENT.search(line)) and is_value(document["key"]):
            self._until = document["word"]

    def _in_document(self, number: int, line: str) -> None:
        """`<<EOT` of HCL."""
        if line.strip() == self._until:
            self._until = ""
        elif line.strip() and self._scopes:
            self._scopes[-1].values.append((number, (len(line) - len(line.lstrip()), len(line.rstrip()))))

    def _text(self, number: int, line: str, at: int) -> None:
        """The text of an element whose attributes say that it is a secret, or of a `<value>` in it."""
        while at < len(line):
            tag = line.find("<", at)
            stop = tag if tag >= 0 else len(line)
            text = line[at:stop].removesuffix("]]>")
            if text.strip() and not is_harmless(text, password=True):
                begin = at + len(text) - len(text.lstrip())
                self.out.setdefault(number, []).append((begin, begin + len(text.strip())))
            if tag < 0:
                return
            inside = _INSIDE.match(line, tag)
            if not inside:
                self._element = False
                return
            at = inside.end()

    def close_all(self) -> None:
        """What ends with the file."""
        while self._scopes:
            self._leave(self._scopes.pop())

    def _indented(self, line: str) -> None:
        """The scope of a line that no bracket is open around, by its indentation."""
        if self._scopes and self._scopes[-1].indent < 0:
            return
        stripped = line.lstrip()
        dash = re.match(r"(?:-\s+)+", stripped)
        begin = len(line) - len(stripped)
        indent = begin + (dash.end() if dash else 0)
        while self._scopes and self._scopes[-1].indent >= 0 and self._scopes[-1].indent > (begin if dash else indent):
            self._leave(self._scopes.pop())
        if dash or not self._scopes or self._scopes[-1].indent != indent:
            self._scopes.append(_Scope(indent))

    def _plain(self, number: int, found: re.Match[str]) -> None:
        """`k: X` of YAML: all of the line is the value."""
        begin, text = found.start("rest"), found["rest"]
        comment = _COMMENT.search(text)
        text = (text[: comment.start()] if comment else text).rstrip()
        self._pair(number, found["key"], text, (begin, begin + len(text)))

    def _pair(self, number: int, key: str, value: str, span: Span) -> None:
        scope = self._scopes[-1] if self._scopes else _Scope()
        if says_secret(key, value) or (is_name(key) and self._rules.strength(value.strip()) > 1):
            scope.secret = True
        elif is_value(key) and not is_harmless(value, password=True):
            scope.values.append((number, span))

    def _close(self, bracket: str) -> _Scope | None:
        """The innermost scope that this ends, if any; what was not closed in it ends with it."""
        depth = next((n for n in range(len(self._scopes) - 1, -1, -1) if self._scopes[n].bracket == bracket), None)
        if depth is None or (bracket == "<" and depth < len(self._scopes) - 1):
            return None
        closed = self._scopes[depth]
        for scope in self._scopes[depth:]:
            self._leave(scope)
        del self._scopes[depth:]
        return closed

    def _leave(self, scope: _Scope) -> None:
        if scope.secret:
            for number, span in scope.values:
                self.out.setdefault(number, []).append(span)


def named_secret(parts: Sequence[tuple[str, object]], rules: Rules) -> Iterator[str]:
    """The keys of a mapping that say that what is beside them is a secret."""
    for key, value in parts:
        if says_secret(key, value) or (is_name(key) and isinstance(value, str) and rules.strength(value) > 1):
            yield key
