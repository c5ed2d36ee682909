"""Where in one line a value follows a secret's name. Every pattern is bounded or gives nothing back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitsnap.core.secrets.kinds import Kind
from gitsnap.core.secrets.names import Strength, is_about, is_connection, is_secret_name
from gitsnap.core.secrets.quotes import Span, around, closing, nested_end, spans, word_end
from gitsnap.core.secrets.rules import Rules
from gitsnap.core.secrets.values import is_digest, is_harmless, is_login, is_random

_NAMED = re.compile(
    r"""(?:"(?P<quoted>[^"\\]{1,80})"|'(?P<single>[^'\\]{1,80})'|(?P<bare>[\w.@/-]{2,80}+(?:\ (?:key|string))?))"""
    r"""(?P<gap>(?:\\["']|\]){0,2}\s{0,40}+(?:=>|:=|\?=|\+?=(?![=~>])|:(?!:))\s*+|>|\s++)"""
)
# In quotes: no name, but text with a name and a value in it, like a header.
_HOLDS_PAIR = re.compile(r"[:=]\s*[^\s:=]")
_KEY_NAME = re.compile(r"[a-z][a-z_-]*+")
_HCL_BLOCK = re.compile(r'(?:"[^"]{0,80}"\s*)?\{\s*$')
# `unix password sync = yes`
_LONGER_NAME = re.compile(r"\w+(?:\s\w+){0,3}\s*=\s")
# `password = <<EOT`
_DOCUMENT = re.compile(r"<<[-~]?[\"']?(\w{1,40}+)[\"']?\s*")
# `<label for="password">Password</label>`
_FOR_PEOPLE = re.compile(
    r"(?i)<(?:label|input|div|span|a|button|p|li|t[dh]|h\d|form|option|select|section|fieldset|legend|small)\s[^<>]*+$"
)
_OPERATOR = re.compile(r"\d?[>|&;)\]}#]")
# No names where arguments follow; the working directory is in a variable of every shell, too.
_COMMANDS = frozenset(["pw", "pwd", "sshpass", "passwd", "htpasswd", "pass", "chpasswd"])
_ASKS_DIRECTORY = re.compile(r"""["']?(?:\$\(pwd\b|`pwd\b|\$\{?(?:OLD)?PWD\b)""")
_WORKING_DIRECTORY = re.compile(r"""["']?(?:[/~.]|\$)""")
_SCHEME = re.compile(
    r"""["']?(?:bearer|basic|digest|token|apikey|api-key|negotiate|key|aws4-hmac-sha256)\s+(?=[^\s"'`])""",
    re.IGNORECASE,
)
_OPTION = re.compile(r"--?[a-z][\w-]*(?:[=\s]|$)")
_GOES_ON = re.compile(r"""\s*[,+]?\s*(?=[^\s>|&;)\]},+#])""")
_CLOSING = re.compile(r"[\s+.,;)\]}&:%]|$")
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*+"|\'(?:[^\'\\]|\\.|\'\')*+\'|`(?:[^`\\]|\\.)*+`')
_AFTER = re.compile(r"[\s,;:)}\]>/?#]|$")
_BEGINS = re.compile(
    r"""\s*+(?:-\s++)?(?:\#+\s?|;+\s?|//\s?)?(?:(?:export|set|setx|setenv|SetEnv|ENV|ARG|env|var|let|const|my|local|declare|readonly|default)\s++(?:-\w+\s++)?)?"""
    r"""(?:\$\w{0,60}(?:\[['"]?)?|["']|[\w.\[\]"']{1,80}[.\[]["']?)?"""
)
CDATA = re.compile(r"\s*+<!\[CDATA\[")
_COMMENT_AFTER = re.compile(r"\s#(?:\s|$)")
_COMMENT = re.compile(r"\s*(?:#|;|//)")
_NO_WORD = re.compile(r"[\d_+/$!#%^*=@~-]")
_SCALAR = re.compile(
    r"""(?P<quote>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|'')*+'|[^\s,{}\[\]"':=>]++)(?P<key>\s*+(?:=>|[:=]))?"""
)
# `--set a.password=X,b.c=1`
_NEXT_OPTION = re.compile(r"(?<=.),(?=[\w.]{1,60}=)")
_ANCHORS = re.compile(r"(?:&\S++\s++)*+")
_PARTS = re.compile(
    r"""(?i)(?<=[;,&\s"'])(?:password|passwd|pwd|sharedaccesskey|accountkey|apikey|pass)="""
    r"""(?P<value>"[^"]*+"|[^;,\s"'$<{%`=&][^;,\s"'&]*+)"""
)


@dataclass(slots=True)
class Found:
    """A secret's name in a line, its value, and where the line goes on.

    `opens`: the value goes on in the lines below, `until` what ends it there.
    """

    name: str
    value: Span | None
    end: int
    opens: bool = False
    until: str = ""


def found(line: str, kind: Kind, rules: Rules) -> Iterator[Found]:
    """Each secret's name in a line, in order."""
    at = 0
    pairs: list[Span] | None = None
    while named := _next(line, at, kind, rules):
        pairs = spans(line) if pairs is None else pairs
        one = _read(line, named, kind, pairs)
        at = max(one.end, named.end("bare") if named["bare"] else named.start() + 1)
        yield _judged(line, one, rules, kind)


def _judged(line: str, one: Found, rules: Rules, kind: Kind) -> Found:
    """Without its value where that is no secret."""
    if rules.strength(one.name) is not Strength.STRONG:
        one.opens, one.until = False, ""
    if one.value is None:
        return one
    begin, end = one.value
    value = line[begin:end]
    if not is_secret(one.name, value, rules) or (
        kind is Kind.PROSE and not (_NO_WORD.search(value) or end == len(line.rstrip()))
    ):
        one.value = None
    return one


def is_wording(text: str) -> bool:
    """Whether a text is for people to read: words, and nothing that only a password or a key has."""
    return " " in text.strip() or not any(map(str.isdigit, text))


def is_key_name(name: str, text: str) -> bool:
    """Whether a value is the name of a key that has the secret: Helm's `adminPasswordKey: postgres-password`."""
    return name.endswith(("Key", "_key", "-key")) and _KEY_NAME.fullmatch(text) is not None and is_secret_name(text)


def is_secret(name: str, value: str, rules: Rules) -> bool:
    """Whether a value is a secret, by its name and its form."""
    strength = rules.strength(name)
    if strength is Strength.NONE:
        return False
    text = value.strip().strip("\"'")
    if rules.wording and is_wording(text):
        return False
    if is_key_name(name, text):
        return False
    if is_harmless(value, password="pass" in name.lower() or "pwd" in name.lower()):
        return False
    if is_connection(name) and not is_login(text):
        # The password in it is found by its form.
        return False
    if strength is Strength.STRONG:
        return True
    lowered = name.lower()
    if lowered.endswith(("pin", "code")):
        return re.fullmatch(r"\d{4,10}", text) is not None
    return is_login(text) or (is_random(text) and not is_digest(text) and len(text) >= 20)


def parts(line: str) -> Iterator[Span]:
    """The passwords in connection strings: `Server=a;Password=X`, `host=a password=X`."""
    for match in _PARTS.finditer(line):
        if not is_harmless(match["value"], password=True):
            begin, end = match.span("value")
            quoted = line[begin] == '"'
            yield (begin + 1, end - 1) if quoted else (begin, end)


def _next(line: str, at: int, kind: Kind, rules: Rules) -> re.Match[str] | None:
    while named := _NAMED.search(line, at):
        if _names(line, named, kind, rules):
            return named
        # A name may begin within what was taken for a quoted one.
        at = named.start() + 1 if named["bare"] is None else named.end("bare")
    return None


def _name(named: re.Match[str]) -> str:
    return named["quoted"] or named["single"] or named["bare"]


def _names(line: str, named: re.Match[str], kind: Kind, rules: Rules) -> bool:
    """Whether a secret may follow what looks like a name."""
    name, gap = _name(named), named["gap"]
    strength = rules.strength(name.lstrip("-") if name.startswith("-") else name)
    if strength is Strength.NONE:
        return False
    blank = gap.isspace()
    if named["bare"] is None:
        if blank:
            # `echo "bad password" >&2`, `mysql -p"$PASS" shop`
            said = (
                re.match(r"\w+=", line[named.end() :])
                or name.startswith("$")
                or _HOLDS_PAIR.search(name)
                or _OPERATOR.match(line, named.end())
                or _HCL_BLOCK.match(line, named.end())
            )
            return not said and kind is Kind.CONFIG
        if gap == ">" and _FOR_PEOPLE.search(line[: named.start()]):
            return False
        return ":" in gap or "=" in gap or _HOLDS_PAIR.search(name) is None
    option = name.startswith("-")
    if blank and (_OPTION.match(line, named.end()) or _is_variable(line, named.start())):
        return False
    if name.lower() in _COMMANDS and name.lower() != "pass":
        harmless = _WORKING_DIRECTORY if name == "PWD" else _ASKS_DIRECTORY
        return not blank and not harmless.match(line, named.end())
    if option:
        # A short one is no name of anything.
        return name.startswith("--") or not blank
    return not blank or _takes_blank(line, named, kind, strength)


def _takes_blank(line: str, named: re.Match[str], kind: Kind, strength: Strength) -> bool:
    """Whether a mere blank parts a name from its value: in directives, `requirepass X`, `set $auth_token X;`."""
    if kind is Kind.SHELL:
        # `ENV DB_PASSWORD X`, `setenv TOKEN X`
        before = line[: named.start()].strip().lower()
        return before in ("env", "arg", "setenv", "setx")
    if kind is not Kind.CONFIG or _COMMENT.match(line) or strength is not Strength.STRONG:
        return False
    if _LONGER_NAME.match(line, named.end()):
        return False
    inside = around(spans(line), named.start())
    if inside and line[inside[0] + 1 : named.start()].strip():
        # Words of a text.
        return False
    rest = line[named.end() :].split()
    return 0 < len(rest) <= 3 or line[named.end() : named.end() + 1] in ("'", '"')


def _is_variable(line: str, at: int) -> bool:
    """Whether the value of a variable stands here; nginx's `set $token X` gives it one."""
    return line[at - 1 : at] == "$" and not line[:at].rstrip("$").rstrip().endswith("set")


def _read(line: str, named: re.Match[str], kind: Kind, pairs: Sequence[Span]) -> Found:
    """The value after a secret's name."""
    name, at = _name(named).lstrip("-"), named.end()
    rest = line[at:]
    if named["gap"] == ">" and line[named.start() - 1 : named.start()] == "<":
        return _element(line, name, at)
    if not rest.strip() or _opens(rest):
        return Found(name, None, len(line), opens=not named["gap"].isspace() and named["gap"] != ">")
    if rest.strip() == "\\":
        return Found(name, None, len(line), opens=True)
    if document := _DOCUMENT.fullmatch(rest):
        return Found(name, None, len(line), until=document[1])
    if rest[:3] in ('"""', "'''"):
        end = line.find(rest[:3], at + 3)
        return Found(name, (at + 3, end if end >= 0 else len(line)), len(line), until="" if end >= 0 else rest[:3])
    scheme = _SCHEME.match(line, at) if _has_scheme(name, line, at) else None
    begin = scheme.end() if scheme else at
    quoted = _in_quotes(line, named, begin, pairs, kind)
    if quoted is not None:
        return Found(name, quoted[0], quoted[1])
    literal = _LITERAL.match(line, at)
    if literal and _AFTER.match(line, literal.end()):
        inner = scheme.end() if scheme and scheme.end() < literal.end() else at + 1
        return Found(name, (inner, literal.end() - 1), literal.end())
    if named["gap"] == ">":
        end = line.find("<", at)
        return Found(name, (at, end if end >= 0 else len(line)), end if end >= 0 else len(line))
    if rest[0] in "[{" and kind is not Kind.SHELL:
        return Found(name, None, at, opens=True, until="")
    if kind is Kind.DATA and (bare := re.compile(r'[^,}\]{\[" ]++(?=\s*[,}\]])').match(line, at)):
        return Found(name, bare.span(), bare.end())
    return _bare(line, named, name, kind, begin)


def _element(line: str, name: str, at: int) -> Found:
    """What is in an element that is called as a secret is; it may go on in the lines below."""
    cdata = CDATA.match(line, at)
    begin, stop = (cdata.end(), "]]>") if cdata else (at, "<")
    end = line.find(stop, begin)
    if end < 0:
        below = stop if cdata else f"</{name}"
        return Found(name, (begin, len(line)) if line[begin:].strip() else None, len(line), until=below)
    return Found(name, (begin, end), end)


def _opens(rest: str) -> bool:
    """Whether nothing but the beginning of a block stands there."""
    return re.fullmatch(r"\s*+(?:[&!]\S++(?:\s++|$))*+(?:[|>][-+\d]*+|[{\[(])?\s*+(?:#.*)?", rest) is not None


def _has_scheme(name: str, line: str, at: int) -> bool:
    lowered = name.lower()
    return lowered.endswith(("authorization", "token", "auth")) or "header" in lowered


def _bare(line: str, named: re.Match[str], name: str, kind: Kind, begin: int) -> Found:
    """A value without quotes: the rest of the line after a key, a word elsewhere."""
    gap, before = named["gap"], line[: named.start()]
    begins = _BEGINS.fullmatch(before) is not None and kind in (Kind.DATA, Kind.CONFIG)
    if begins and not gap.isspace():
        end = len(line.rstrip())
        # YAML's anchors and tags are none of the value.
        begin = _ANCHORS.match(line, begin).end()  # type: ignore[union-attr]
        comment = _COMMENT_AFTER.search(line, begin)
        if comment:
            end = len(line[: comment.start()].rstrip())
        text = line[begin:end]
        cut = len(text.rstrip(",;")) if gap.strip() in (":", "=", "=>") else len(text)
        return Found(name, (begin, begin + max(cut, 1)), len(line), opens=True)
    if gap.isspace() and name.endswith("auth-pass") and (master := re.compile(r"\S+\s+(?=\S)").match(line, begin)):
        # `sentinel auth-pass MASTER X`
        begin = master.end()
    ender = line[named.start() - 1 : named.start()]
    end = word_end(line, begin, "")
    for stop in {"&": "&#", "?": "&#", ";": ";", ",": ","}.get(ender, ";") + ("," if kind is Kind.PROSE else ""):
        cut = line.find(stop, begin, end)
        end = cut if cut > begin else end
    if following := _NEXT_OPTION.search(line, begin, end):
        end = following.start()
    while end - 1 > begin and line[end - 1] in ",;)\"'`":
        end -= 1
    return Found(name, (begin, end), max(end, begin + 1))


def _in_quotes(
    line: str, named: re.Match[str], at: int, pairs: Sequence[Span], kind: Kind
) -> tuple[Span | None, int] | None:
    """The value of a name in quotes with it, or of a command's option; None for others.

    It ends where the quotes do, or with its word: what comes after is something else.
    """
    begin = named.start()
    rest = line[at:]
    if rest[:2] in ('\\"', "\\'"):
        end = line.find(rest[:2], at + 2)
        return ((at + 2, end), end) if end >= 0 else None
    before = line[begin - 1 : begin] if named["bare"] else ""
    span = around(pairs, begin)
    quote = before if before in ("'", '"', "`") else line[span[0]] if span else ""
    if rest[:1] in ("'", '"', "`") and (rest[:1] != quote or not _CLOSING.match(rest, 1)):
        # What follows at once is the value's own.
        return None
    option = named["bare"] and named["bare"].startswith("-")
    if option and before != quote and (named["gap"] == "=" or named["gap"].isspace()):
        scheme = _SCHEME.match(line, at)
        start = scheme.end() if scheme else at
        end = word_end(line, start, quote)
        return (start, end), end
    closed = closing(line, at, quote) if quote else None
    if closed is None:
        return None
    end = closed
    if end == at:
        # Nothing there: `send "password:" X`.
        after = _GOES_ON.match(line, end + 1) if kind is Kind.CONFIG else None
        if not after:
            return None, at + 1
        end = word_end(line, after.end(), "")
        return (after.end(), end), end
    if not _AFTER.match(line, end + 1):
        end = word_end(line, end + 1, "")
        return (at, end), end
    prior = line[begin - 1 : begin]
    for stop in {"&": "&#", "?": "&#", ";": ";", ",": ","}.get(prior, "" if prior in "'\"`" else ";& "):
        cut = line.find(stop, at, end)
        end = cut if cut > at else end
    end = nested_end(line, span[0], at, end) if span else end
    return (at, end), end


def scalars(line: str, at: int, rules: Rules) -> Iterator[Span]:
    """The values in a list or mapping that a secret's name stands before; its keys are shown."""
    key = ""
    for match in _SCALAR.finditer(line, at):
        begin, end = match.span("quote")
        text = match["quote"].strip("\"'")
        if match["key"]:
            key = text
            continue
        if line[begin] in "\"'":
            begin, end = begin + 1, end - 1
        if (
            end > begin
            and not is_harmless(text)
            and not (key and (is_about(key) or key in ("key", "name", "id")))
            and not is_name_only(text)
        ):
            yield begin, end
        key = ""


def is_name_only(text: str) -> bool:
    """Whether an item under `secrets:` is the name of one that is kept elsewhere."""
    return re.fullmatch(r"[a-z][a-z_]*[-_][a-z_-]+", text) is not None and is_secret_name(text)
