"""Where in the lines of a text file the secrets are: by the names before them, their form, and the file they are in.

What is found errs on the side of hiding; what is plainly none is left (values.is_harmless).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitsnap.core.secrets import assignments, forms, hints, options, pairs, programs
from gitsnap.core.secrets.kinds import Kind, fields_before_secret, is_environment, kind_of, rules_of
from gitsnap.core.secrets.names import is_about, is_secret_name
from gitsnap.core.secrets.quotes import Span
from gitsnap.core.secrets.rules import PLAIN, Rules
from gitsnap.core.secrets.values import is_digest, is_harmless, is_random

# So much of a line is looked at, and whoever shows it need not show more: patterns must not run over a megabyte.
READ = 4_000
_ELEMENT = re.compile(r"<(?:name|key|string|id|entry)(?:\s[^<>]{0,200})?>\s*([\w .-]{1,80})\s*</", re.IGNORECASE)
_ELEMENT_VALUE = re.compile(
    r"<(?:value|string|data|default|content)(?:\s[^<>]{0,200})?>([^<]{1,2000})</", re.IGNORECASE
)
_ELEMENT_OPENS = re.compile(r"<(value|string|data|default|content)>[^<]*+$", re.IGNORECASE)
_SECTION = re.compile(r"\s*+\[++([^\[\]]{1,200})\]++\s*+(?:[#;].*)?")
_CLOSES = re.compile(r"[\s})\],;]*+")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"
    r"|-----BEGIN OpenVPN Static key V1-----"
)
_PEM_BODY = re.compile(r"[\s\"'\\\w+/=:,.#*-]*+")
_FRONT = re.compile(
    r"""\s*+(?:-\s++)?(?:"(?P<q>[^"\\]*+)"|'(?P<s>[^'\\]*+)'|(?P<b>[\w.-]++))\s*+[:=](?:\s++|$|(?=["\[{]))"""
)
_INDENT = re.compile(r"\s*+(?:-\s++)*+")
_COMMENT = re.compile(r"\s*+(?:#|;|//)")
_KEY_VALUE = re.compile(r"""\s*+(?:export\s++)?["']?(?P<name>[\w .$@/-]{1,120}?)["']?\s*+[:=]\s*+""")
_ITEM_OPTION = re.compile(r"""\s*+-\s++["']?(--?[\w-]{1,80}+)["']?\s*+""")
_ARGUMENT = re.compile(r"""["'](-{1,2}[\w-]{1,80}+)["']\s{0,9},\s{0,9}(?:"([^"]*+)"|'([^']*+)')""")
# Postfix: a destination, then user and password.
_RELAY = re.compile(r"[^\s#]\S*+\s++[^\s:]++:(\S++)")
# PgBouncer: user and password in quotes.
_USER = re.compile(r'\s*+"[^"]*+"\s++"([^"]++)"')
_ACL = re.compile(r"(?<=\s)[><#!]\S{1,400}")
_ACCOUNT = re.compile(r"(?i)\s*+(?:user|account)\s++\S++\s++(?:(?:insecure-)?password)\s++(?P<value>\S++)")

# Kinds of files in which a value's place tells that it is secret.
_BY_PLACE = (Kind.WHOLE, Kind.ACCOUNTS, Kind.NETRC, Kind.SECRETS)


@dataclass(slots=True)
class _State:
    """What lines before say about the next: inside a private key, below a secret's name, in a secret section."""

    key: bool = False
    block: int | None = None
    section: bool = False
    until: str = ""
    option: str = ""
    element: str = ""
    quiet: int | None = None


def found(path: bytes, lines: Sequence[str], rules: Rules = PLAIN) -> dict[int, list[Span]]:
    """Where the secrets are in each line that has any, by its number from 0; parts of a line may overlap."""
    rules = rules_of(path, rules)
    lines = [line[:READ] for line in lines]
    sieve = hints.Sieve("\n".join(lines))
    reader = _Reader(path, rules, sieve)
    out = {}
    beside = {} if rules.wording else pairs.found(lines, rules, sieve)
    for number, line in enumerate(lines):
        if not line:
            reader.blank()
            continue
        if number not in beside and reader.passes(line):
            continue
        spans = [s for s in (*reader.read(line), *beside.get(number, ())) if s[1] > s[0]]
        if spans:
            out[number] = spans
    return out


class _Reader:
    def __init__(self, path: bytes, rules: Rules, sieve: hints.Sieve) -> None:
        self._path, self._rules, self._sieve = path, rules, sieve
        self._kind = Kind.SECRETS if rules.holds_secrets(path) else kind_of(path)
        self._suffix = path.rpartition(b"/")[2].rpartition(b".")[2].lower()
        self._sectioned = self._suffix in (b"toml", b"ini", b"cfg", b"conf", b"cnf") or not self._suffix
        self._environment = is_environment(path)
        self._own = bool(rules.names)
        # What a line holds is told by names and forms alone.
        self._usual = not self._own and not self._environment and self._kind not in _BY_PLACE
        self._usual = self._usual and not path.endswith((b"sasl_passwd", b"userlist.txt"))
        self._state = _State()

    def passes(self, line: str) -> bool:
        """Whether the next line, like most, has nothing that read() would see, and changes nothing for those after."""
        state = self._state
        if not self._usual or state.key or state.until or state.option or state.section or state.element:
            return False
        if state.block is not None or (self._sectioned and "[" in line):
            return False
        return not self._sieve.is_named(line) and not self._sieve.has_form(line)

    def blank(self) -> None:
        """The next line is empty: nothing begins or ends with it but an option that waits for its value."""
        self._state.option = ""

    def read(self, line: str) -> Iterator[Span]:
        """The secrets of the next line."""
        state = self._state
        if state.key:
            state.key = "-----END" not in line and _PEM_BODY.fullmatch(line) is not None
            if state.key or "-----END" in line:
                yield _whole(line)
                return
        if ("PRIVATE KEY" in line or "Static key" in line) and (begin := _PEM.search(line)):
            end = line.find("-----END", begin.end())
            stop = line.find("-----", end + 8) + 5 if end >= 0 else len(line)
            state.key = end < 0
            yield begin.start(), max(stop, begin.end())
        yield from self._by_kind(line)
        if self._sieve.has_form(line):
            yield from forms.found(line)

    def _by_kind(self, line: str) -> Iterator[Span]:
        kind = self._kind
        if kind is Kind.WHOLE:
            yield _whole(line)
        elif kind is Kind.ACCOUNTS:
            yield from _account(line, fields_before_secret(self._path))
        elif kind is Kind.NETRC:
            yield from _netrc(line)
        elif kind is Kind.SECRETS:
            yield from self._secret_file(line)
        else:
            yield from self._lines(line)

    def _secret_file(self, line: str) -> Iterator[Span]:
        """Each value is secret, whatever it is called."""
        if _COMMENT.match(line) or not line.strip() or _CLOSES.fullmatch(line):
            yield from self._lines(line)
            return
        front = _KEY_VALUE.match(line)
        begin = front.end() if front else len(_INDENT.match(line)[0])  # type: ignore[index]
        rest = line[begin:]
        if not rest.strip() or re.fullmatch(r"[|>][-+\d]*\s*|[{\[]\s*", rest):
            return
        yield from _trimmed(line, begin)

    def _lines(self, line: str) -> Iterator[Span]:
        state = self._state
        if state.until.startswith("</") and re.match(r"\s*+<(?!!\[CDATA)", line):
            # Elements in the element: each is judged by its own name.
            state.until = ""
        if state.until:
            end = line.find(state.until)
            state.until = "" if end >= 0 else state.until
            cdata = assignments.CDATA.match(line)
            close = line.find("]]>") if cdata else -1
            yield from _trimmed(line, cdata.end() if cdata else 0, close if close >= 0 else end)
            return
        if state.block is not None and self._below(line):
            yield from self._in_block(line)
            return
        if state.option:
            name, state.option = state.option, ""
            item = re.match(r"""\s*-\s+["']?""", line) or re.match(r"""\s*["'](?!-)""", line)
            if item:
                yield from _trimmed(line, item.end())
                return
            del name
        if self._path.endswith(b"sasl_passwd") and (relay := _RELAY.match(line)):
            yield relay.span(1)
            return
        if self._path.endswith(b"userlist.txt") and (user := _USER.match(line)):
            yield user.span(1)
            return
        section = _SECTION.fullmatch(line) if self._sectioned else None
        if section:
            state.section = is_secret_name(section[1].strip().rpartition(".")[2])
            return
        if state.section and line.strip() and not _COMMENT.match(line):
            front = _KEY_VALUE.match(line)
            if not front or not is_about(front["name"]):
                yield from _trimmed(line, front.end() if front else 0)
            return
        if self._environment:
            yield from _random_value(line)
        elif self._own is False and not self._sieve.is_named(line) and not (state.element and "<" in line):
            return
        yield from self._named(line)

    def _named(self, line: str) -> Iterator[Span]:
        """What follows names, options and the like within one line."""
        kind, state = self._kind, self._state
        yield from options.found(line)
        if kind is not Kind.PROGRAM:
            yield from assignments.parts(line)
        yield from _arguments(line, self._rules)
        yield from self._pairs(line)
        if kind is Kind.PROGRAM:
            yield from programs.found(line, self._rules)
            return
        yield from programs.within(line, self._rules)
        if kind is Kind.PROSE:
            yield from programs.literals(line, self._rules)
        if line.lstrip().startswith("user ") and kind in (Kind.CONFIG, Kind.DATA):
            yield from (m.span() if m[0][0] in "#!" else (m.start() + 1, m.end()) for m in _ACL.finditer(line))
            if account := _ACCOUNT.match(line):
                yield account.span("value")
        option = _ITEM_OPTION.fullmatch(line) or re.fullmatch(r"""\s*["'](--?[\w-]{1,80}+)["']\s*,\s*""", line)
        if option and self._rules.strength(option[1].lstrip("-")) > 1:
            state.option = option[1]
            return
        for one in assignments.found(line, kind, self._rules):
            if one.until and not self._rules.wording:
                state.until = one.until
            if one.value is not None:
                yield one.value
            if self._rules.wording:
                continue
            rest = line[one.end :]
            if one.value is None and rest[:1] in ("{", "["):
                yield from assignments.scalars(line, one.end, self._rules)
                state.block = None if _is_closed(rest) else _depth(line)
                return
            if one.opens and kind is not Kind.PROSE and (one.value is None or kind is Kind.DATA):
                blank = _is_blank(line, one)
                if blank or self._suffix in (b"yaml", b"yml", b""):
                    state.block = _depth(line)

    def _pairs(self, line: str) -> Iterator[Span]:
        """`<name>API_TOKEN</name><value>…</value>`."""
        if "<" in line:
            for m in _ELEMENT.finditer(line):
                if self._state.element and m[0].startswith("<string"):
                    # The value of a property list's key.
                    continue
                self._state.element = m[1] if self._rules.strength(m[1]) > 1 else ""
            if self._state.element:
                for m in _ELEMENT_VALUE.finditer(line):
                    if m[1] != self._state.element and not is_harmless(m[1], password=True):
                        yield m.span(1)
                        self._state.element = ""
                if self._state.element and (opened := _ELEMENT_OPENS.search(line)):
                    self._state.element, self._state.until = "", f"</{opened[1]}"
                    yield from _trimmed(line, opened.end(1) + 1)

    def _below(self, line: str) -> bool:
        """Whether a line still belongs to the key above it; the state is brought up to date."""
        state, text = self._state, line.strip()
        assert state.block is not None
        if not text:
            return True
        indent = len(line) - len(line.lstrip())
        if state.quiet is not None and indent <= state.quiet:
            state.quiet = None
        if indent > state.block or (indent == state.block and (text[:2] == "- " or _CLOSES.fullmatch(line))):
            return True
        state.block = state.quiet = None
        return False

    def _in_block(self, line: str) -> Iterator[Span]:
        """All of it, or all but the name in front."""
        if _CLOSES.fullmatch(line) or self._state.quiet is not None:
            return
        front = _FRONT.match(line)
        if front is None and re.match(r"\s*+(?:-\s++)?[{\[].*[:=]", line):
            yield from assignments.scalars(line, 0, self._rules)
            return
        if front is None:
            item = re.match(r"\s*-\s+", line)
            begin = item.end() if item else 0
            text = line[begin:].strip()
            if not assignments.is_name_only(text.strip("\"',")):
                yield from _trimmed(line, begin)
            return
        name = front["q"] or front["s"] or front["b"] or ""
        rest = line[front.end() :]
        if is_about(name):
            if not rest.strip() or rest.strip() in ("{", "["):
                self._state.quiet = len(line) - len(line.lstrip())
            return
        if assignments.is_key_name(name, rest.strip(" \"',")):
            return
        if rest.strip() and not re.fullmatch(r"(?:[&!]\S++\s*+)*+(?:[|>][-+\d]*+|[{\[(])?\s*+(?:#.*)?", rest):
            if rest[:1] in "{[":
                yield from assignments.scalars(line, front.end(), self._rules)
            else:
                yield from _trimmed(line, front.end())


def _is_blank(line: str, one: assignments.Found) -> bool:
    return one.value is None and one.end >= len(line.rstrip())


def _is_closed(rest: str) -> bool:
    return rest.count("{") <= rest.count("}") and rest.count("[") <= rest.count("]")


def _depth(line: str) -> int:
    indent = _INDENT.match(line)
    return indent.end() if indent else 0


def _whole(line: str) -> Span:
    """All of it but the blanks around."""
    return len(line) - len(line.lstrip()), len(line.rstrip())


def _trimmed(line: str, begin: int, end: int | None = None) -> Iterator[Span]:
    """A value without blanks, a comma after it, and quotes around it; nothing where it is no secret."""
    end = len(line) if end is None or end < 0 else end
    text = line[begin:end]
    anchors = re.match(r"\s*+(?:&\S++\s++)*+", text)
    begin += anchors.end() if anchors else 0
    text = line[begin:end].strip()
    if text[-1:] in (",", ";") and len(text) > 1:
        text = text[:-1].rstrip()
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        begin, text = begin + 1, text[1:-1]
    if text and not is_harmless(text, password=True):
        yield begin, begin + len(text)


def _account(line: str, fields: int) -> Iterator[Span]:
    parts = line.split(":", fields)
    if len(parts) > fields and not _COMMENT.match(line):
        begin = len(line) - len(parts[-1])
        end = line.find(":", begin) if fields == 1 else -1
        yield begin, end if end >= 0 else len(line)


def _netrc(line: str) -> Iterator[Span]:
    for m in re.finditer(r"(?<!\S)(?:password|account)\s++(\S++)", line):
        yield m.span(1)


def _random_value(line: str) -> Iterator[Span]:
    """In a `.env`: what looks drawn, whatever it is called."""
    front = _KEY_VALUE.match(line)
    if front and not _COMMENT.match(line):
        value = line[front.end() :].strip().strip("\"'")
        if (
            is_random(value)
            and not is_digest(value)
            and len(value) >= 20
            and "://" not in value
            and not is_about(front["name"])
        ):
            begin = line.find(value, front.end())
            yield begin, begin + len(value)


def _arguments(line: str, rules: Rules) -> Iterator[Span]:
    """`["--api-key", "X"]`."""
    for m in _ARGUMENT.finditer(line):
        span = m.span(2) if m[2] is not None else m.span(3)
        value = line[span[0] : span[1]]
        named = rules.strength(m[1].lstrip("-")) > 1 and not value.startswith("-")
        if named and not is_harmless(value, password=True):
            yield span
