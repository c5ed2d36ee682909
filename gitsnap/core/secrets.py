"""What had better not be shown: by a key's name or a value's form, in structured data and in lines of text.

It is a guess, and it errs on the side of hiding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gitsnap.core.quoted_strings import Span, around, closing, spans, word_end
from gitsnap.core.secret_options import mask_options

MASK = "(secret)"

_KEY = re.compile(
    r"pass(?:word|wd|phrase|code)?$|passw|(?<!old)pwd\d*$"
    r"|(?:(?<![a-z])|root|user|db|bind|admin|(?-i:(?<=[a-z])(?=P)))pw\d*$"
    r"|secret|token|credential|authorization|bearer|cookie|salt$|dsn$"
    r"|(?:api|private|access|encryption|signing|license)[-_. ]?key|connection[-_. ]?string",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@"
    r"|(?P<hash>\$2[aby]\$\d\d\$|\$apr1\$|\$y\$j|\$argon2(?:id?|d)\$|\$[156]\$[\w./=]{1,40}\$[\w./]{16}"
    r"|\{(?:SSHA|SHA|SMD5|CRYPT)\d{0,3}\}(?=[\w./+$]{8}))"
    r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bsk-[A-Za-z0-9_-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{10,600}\.[A-Za-z0-9_-]{10,4000}\."
)

_TAIL, _HASH_TAIL = re.compile(r"[^\s\"'`<>,;()]*"), re.compile(r"[\w./+=,$-]*")
# So much of a line is looked at, and whoever shows it need not show more: patterns must not run over a megabyte.
READ = 4_000
_RUN = re.compile(r"""[^\s"'`]*\Z""")

# In programs and prose a secret's name stands before all kinds of things; only what is literal is hidden.
_PROGRAMS = frozenset(
    b"js mjs cjs jsx ts mts tsx py rb go rs c h cc cpp hpp cs java kt swift php pl pm lua sql vue svelte"
    b" css scss less html htm md markdown rst map".split()
)
# The keys of these are followed by a colon or an equals sign, never by a mere blank.
_MARKED = frozenset(b"json yaml yml toml ini cfg".split())
_NAMING = frozenset(b"json yaml yml".split())
_SECTIONED = frozenset(b"toml ini cfg conf cnf service".split())
# A name of a user, and what he proves it with.
_ACCOUNTS = {b"htpasswd": 1, b"shadow": 1, b"htdigest": 2, b"pgpass": 4}

_NAMED = re.compile(
    r"""(?:"(?P<quoted>[^"\\]{1,80})"|'(?P<single>[^'\\]{1,80})'|(?P<bare>[\w.@/-]{2,80}(?:\ (?:key|string))?))"""
    r"""(?P<gap>(?:\\["'])?\s*(?:=>|:=|[:=])\s*|(?<=["'])\s*,\s*|>|\s+)"""
)
# In quotes: no name, but text with a name and a value in it, like a header.
_HOLDS_PAIR = re.compile(r"[:=]\s*[^\s:=]")
_OPERATOR = re.compile(r"\d?[>|&;)\]}#]")
# No names where arguments follow; the working directory is in a variable of every shell, too.
_COMMANDS = frozenset(["pw", "pwd", "sshpass"])
_WORKING_DIRECTORY = re.compile(r"""["']?(?:[/~.]|\$)""")
_ASKS_DIRECTORY = re.compile(r"""["']?(?:\$\(pwd\b|`pwd\b|\$\{?(?:OLD)?PWD\b)""")
_SCHEME = re.compile(r"""(?:bearer|basic|digest|token|apikey|negotiate)\s+(?=[^\s"'`])""", re.IGNORECASE)
_OPTION = re.compile(r"--[a-z][a-z-]*(?:[=\s]|$)")
_GOES_ON = re.compile(r"""\s*[,+]?\s*(?=[^\s>|&;)\]},+#])""")
# In a literal of a program.
_INNER = re.compile(
    r"""(?:(?P<name>[\w.-]{2,80}(?:\ (?:key|string))?)(?P<mark>\\?["'`]?\s*(?:=>|[:=])\s*)"""
    r"""|(?P<option>--[\w-]{2,80})\s+)(?P<quote>\\?["'`])?"""
)
_PLACEHOLDER = re.compile(r"(?:\$?\{[^}]*\}\}?|%\(?\w+\)?s?|\$\w+|#\{[^}]*\}|<[^>]*>)[,;.&)\]}]*")
_NO_WORD = re.compile(r"[\d_+/$!#%^*=@~-]")
_CLOSING = re.compile(r"[\s+.,;)\]}&:%]|$")
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.|\'\')*\'|`(?:[^`\\]|\\.)*`')
_AFTER = re.compile(r"[\s,;:)}\]>/]|$")
_PAIR = re.compile(r"""\b(?:name|key|id)\s*[=:]\s*["']?([\w.-]+)["']?""", re.IGNORECASE)
_PAIRED = re.compile(r"""(\bvalue\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,}>]+)""", re.IGNORECASE)
_SECTION = re.compile(r"\s*\[+([^\[\]]+)\]+\s*(?:[#;].*)?$")
_OPENS_BLOCK = re.compile(r"(?:[&!]\S++(?:\s++|$))*+(?:[|>][-+\d]*+|[{\[(])?\s*+(?:#.*)?")
_CLOSES = re.compile(r"[\s})\],;]*")
_PEM_BODY = re.compile(r"[\s\"'\\\w+/=:,.-]*")
_FRONT = re.compile(r"""\s*(?:-\s+)?(?:"[^"\\]*"|'[^'\\]*'|[\w.-]+)\s*:(?:\s+|$|(?=["\[{]))""")
_INDENT = re.compile(r"\s*(?:-\s+)*")
_COMMENT = re.compile(r"\s*(?:#|;|//)")


def is_secret_name(name: str) -> bool:
    """Whether a key of this name may hold a secret."""
    return _KEY.search(name) is not None


def is_secret_value(text: str) -> bool:
    """Whether a text looks like a private key, a token, or an address with a password in it."""
    return _VALUE.search(text) is not None


class Unmaskable(ValueError):  # noqa: N818 - a finding, not a failure
    """A secret that is known to be there cannot be found in the text, so that it cannot be hidden in it."""


def written(text: str, value: str) -> set[str]:
    """How a value is written in a text: as it is, with escapes, or over several lines.

    Raises Unmaskable when it is there in no way that is known here.
    """
    whole = [value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], value.replace("'", "''")]
    found = {f for f in whole if f and "\n" not in f and _is_in(f, text)}
    if found or not value.strip():
        return found
    for pieces in ([line.strip() for line in value.split("\n")], value.split()):
        wanted = {p for p in pieces if p}
        if all(_is_in(p, text) for p in wanted):
            return wanted
    raise Unmaskable("a value is written in another way")


def finder(forms: Collection[str]) -> re.Pattern[str] | None:
    """What finds each of these in a line; None where there are none."""
    if not forms:
        return None
    return re.compile("|".join(_as_pattern(f) for f in sorted(forms, key=lambda f: (-len(f), f))))


def _is_in(form: str, text: str) -> bool:
    return form in text and re.search(_as_pattern(form), text) is not None


def _as_pattern(form: str) -> str:
    """Short ones only as words of their own: `1` is not to be hidden in 10."""
    inner = re.escape(form)
    return inner if len(form) > 5 else rf"(?<!\w){inner}(?!\w)"


@dataclass(slots=True)
class _State:
    """What lines before say about the next: inside a private key, below a secret's name, in a secret section."""

    key: bool = False
    block: int | None = None
    named: bool = False
    section: bool = False
    until: str = ""


def mask_lines(path: bytes, lines: Sequence[str], known: re.Pattern[str] | None = None) -> Iterator[str]:
    """The lines of a text file with what looks secret replaced by MASK, line for line.

    `known` finds values that are secret wherever they stand (finder). Of a line that is longer than READ there is only
    the beginning.
    """
    suffix = path.rpartition(b"/")[2].rpartition(b".")[2].lower()
    state = _State()
    for line in lines:
        begun = mask_options(_begun(known.sub(MASK, line) if known else line, len(line)), MASK)
        yield _mask_values(_mask_account(begun, suffix) if suffix in _ACCOUNTS else _mask(begun, suffix, state))


def mask_text(text: str) -> str:
    """Some text of nobody knows what kind, as it may be shown: a command line, or a message."""
    lines = text.split("\n")
    shown = mask_lines(b"", lines)
    return "\n".join(s + "…" * (len(line) > READ) for s, line in zip(shown, lines, strict=True))


def _begun(line: str, length: int) -> str:
    """Of a line that is longer than anybody reads, the beginning: what ends there may be half a secret, and goes."""
    return line if length <= READ else _RUN.sub("", line[:READ])


def _mask_account(line: str, suffix: bytes) -> str:
    parts = line.split(":", _ACCOUNTS[suffix])
    return line if len(parts) == 1 or _COMMENT.match(line) else ":".join([*parts[:-1], MASK])


def _mask(line: str, suffix: bytes, state: _State) -> str:
    if state.key:
        state.key = "-----END" not in line and _PEM_BODY.fullmatch(line) is not None
        if state.key or "-----END" in line:
            return _whole(line)
    begin = re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY", line)
    if begin:
        state.key = "-----END" not in line[begin.start() :]
        return line[: begin.start()] + MASK
    if suffix in _PROGRAMS:
        return _mask_literals(line)
    if state.until:
        if state.until in line:
            state.until = ""
        return _whole(line)
    if state.block is not None and _below(line, state):
        return line if _CLOSES.fullmatch(line) else _in_block(line, state)
    return _mask_keys(_mask_pairs(line), suffix, state)


def _whole(line: str) -> str:
    """All of it hidden but the indentation."""
    text = line.strip()
    return line[: len(line) - len(line.lstrip())] + MASK if text else line


def _in_block(line: str, state: _State) -> str:
    """All of it hidden, or all but the name in front where there are sure to be names."""
    name = _FRONT.match(line) if state.named else None
    if name is None:
        return _whole(line)
    rest = line[name.end() :]
    return line if _OPENS_BLOCK.fullmatch(rest) else name[0] + MASK + ("," if rest.rstrip().endswith(",") else "")


def _below(line: str, state: _State) -> bool:
    """Whether a line still belongs to the key above it; the state is brought up to date."""
    text = line.strip()
    assert state.block is not None
    if not text:
        return True
    indent = len(line) - len(line.lstrip())
    if indent > state.block or (indent == state.block and (text[:2] == "- " or _CLOSES.fullmatch(line))):
        return True
    state.block = None
    return False


def _mask_literals(line: str) -> str:
    """In a program or prose: the literals that follow a secret's name, and what follows one within a literal."""
    line = _mask_within(line)
    pairs = spans(line)
    for found in _NAMED.finditer(line):
        if found["gap"].isspace() or found["gap"] == ">" or not _names(line, found) or _is_within(line, found, pairs):
            continue
        rest = _LITERAL.sub(lambda m: m[0][0] + MASK + m[0][0] if len(m[0]) > 2 else m[0], line[found.end() :])
        bare = re.match(r"[\w+/=.@-]*\d[\w+/=.@-]*(?=[\s,;]*$)", rest)
        return line[: found.end()] + (MASK + rest[bare.end() :] if bare else rest)
    return line


def _is_within(line: str, found: re.Match[str], pairs: Sequence[Span]) -> bool:
    """Whether a name and what follows it are words of one literal: what comes after that is no value of theirs."""
    span = around(pairs, found.start()) if found["bare"] else None
    if span is None:
        return False
    # Where quotes were told wrongly, what seems to close them opens the value.
    return found.end() < span[1] or (found.end() == span[1] and _CLOSING.match(line, span[1] + 1) is not None)


def _mask_within(line: str) -> str:
    """`"Authorization: Bearer X"`, `"Server=a;Password=X"`, `"mysql --password X"`."""
    out, done = "", 0
    for opened, closed in spans(line):
        at = opened + 1
        while found := _INNER.search(line, at, closed):
            at = found.end("name") if found["name"] else found.end("option")
            if is_secret_name(found["name"] or found["option"]):
                begin, end = _inner_value(line, found, closed)
                if end > begin:
                    out, done = out + line[done:begin] + MASK, end
                at = max(at, end)
    return out + line[done:]


def _inner_value(line: str, found: re.Match[str], closed: int) -> Span:
    begin = found.end()
    quote = found["quote"]
    if quote:
        end = line.find(quote, begin, closed)
        return begin, end if end >= 0 else closed
    scheme = _SCHEME.match(line, begin, closed)
    begin = scheme.end() if scheme else begin
    blank = re.compile(r"\S*").match(line, begin, closed)
    end = blank.end() if blank else closed
    value = line[begin:end]
    # `password: too short` is prose, `Password=…` and the only word after a colon are not.
    sure = scheme or "=" in (found["mark"] or "=") or end == closed or _NO_WORD.search(value)
    return (begin, end) if sure and not _PLACEHOLDER.fullmatch(value) else (begin, begin)


def _mask_pairs(line: str) -> str:
    """`name="API_TOKEN" value="…"`."""
    if any(is_secret_name(m[1]) for m in _PAIR.finditer(line)):
        return _PAIRED.sub(lambda m: m[1] + MASK, line)
    return line


def _mask_keys(line: str, suffix: bytes, state: _State) -> str:
    """In configuration: whatever follows a secret's name, and what stands below it."""
    section = _SECTION.fullmatch(line) if suffix in _SECTIONED else None
    if section:
        state.section = is_secret_name(section[1].strip())
        return line
    if state.section and line.strip() and not _COMMENT.match(line):
        mark = re.search(r"[:=]\s*", line)
        return line[: mark.end()] + MASK if mark else _whole(line)
    out, at = "", 0
    pairs: list[Span] | None = None
    while found := _next_secret(line, at, suffix):
        pairs = spans(line) if pairs is None else pairs
        out += line[at : found.end()]
        shown, end = _mask_value(line, found, suffix, state, pairs)
        out, at = out + shown, end
    return out + line[at:]


def _next_secret(line: str, at: int, suffix: bytes) -> re.Match[str] | None:
    blank_counts = suffix not in _MARKED and not _COMMENT.match(line)
    while found := _NAMED.search(line, at):
        option = (found["bare"] or "").startswith("--")
        if (blank_counts or option or not found["gap"].isspace()) and _names(line, found):
            return found
        # A name may begin within what was taken for a quoted one.
        at = found.start() + 1 if found["bare"] is None else found.end("bare")
    return None


def _names(line: str, found: re.Match[str]) -> bool:
    """Whether a secret follows what looks like a name."""
    name, gap = _name(found), found["gap"]
    if name == MASK or not is_secret_name(name):
        return False
    if found["bare"] is None:
        if "," in gap and name.lower() in _COMMANDS:
            return False
        if gap.isspace():
            # `echo "bad password" >&2`, `mysql -p"$PASS" shop`
            said = name.startswith("$") or _HOLDS_PAIR.search(name) or _OPERATOR.match(line, found.end())
            return not said
        return ":" in gap or "=" in gap or _HOLDS_PAIR.search(name) is None
    if gap.isspace() and (_OPTION.match(line, found.end()) or _is_variable(line, found.start())):
        return False
    if name.lower() in _COMMANDS:
        harmless = _WORKING_DIRECTORY if name == "PWD" else _ASKS_DIRECTORY
        return not gap.isspace() and not harmless.match(line, found.end())
    return True


def _is_variable(line: str, at: int) -> bool:
    """Whether the value of a variable stands here; nginx's `set $token X` gives it one."""
    return line[at - 1 : at] == "$" and not line[:at].rstrip("$").rstrip().endswith("set")


def _name(found: re.Match[str]) -> str:
    return found["quoted"] or found["single"] or found["bare"]


def _mask_value(
    line: str, found: re.Match[str], suffix: bytes, state: _State, pairs: Sequence[Span]
) -> tuple[str, int]:
    """What is shown of the value after a secret's name, and where the line goes on."""
    at = found.end()
    rest = line[at:]
    indent = _INDENT.match(line)
    depth = indent.end() if indent else 0
    if _OPENS_BLOCK.fullmatch(rest):
        state.block = None if found["gap"].isspace() else depth
        state.named = suffix in _NAMING and rest.lstrip()[:1] not in ("|", ">")
        return rest, len(line)
    if rest.strip() == "\\":
        state.block, state.named = depth, False
        return rest, len(line)
    triple = rest[:3]
    if triple in ('"""', "'''"):
        state.until = "" if triple in rest[3:] else triple
        return MASK, len(line)
    inner = _mask_quoted(line, found, pairs)
    if inner is not None:
        return inner
    literal = _LITERAL.match(rest)
    if literal and _AFTER.match(rest, literal.end()):
        return rest[0] + MASK + rest[0], at + literal.end()
    if found["gap"] == ">":
        end = rest.find("<")
        return MASK, at + end if end >= 0 else len(line)
    if suffix == b"json" and (bare := re.match(r"[^,}\]{\[\"]+", rest)):
        return MASK, at + bare.end()
    # A value may go on in the lines below, deeper: it is hidden with them.
    state.block, state.named = depth, False
    text = rest.rstrip()
    comma = text[-1:] if text[-1:] in (",", ";") else ""
    return _scheme(line, found) + MASK + comma + rest[len(text) :], len(line)


def _mask_quoted(line: str, found: re.Match[str], pairs: Sequence[Span]) -> tuple[str, int] | None:
    """As _mask_value, for a name in quotes with its value, and for a command's option; None for others.

    The value ends where the quotes do, or with its word: what comes after is something else.
    """
    at, begin = found.end(), found.start()
    rest = line[at:]
    if rest[:2] in ('\\"', "\\'"):
        end = line.find(rest[:2], at + 2)
        return (rest[:2] + MASK, end) if end >= 0 else None
    before = line[begin - 1 : begin] if found["bare"] else ""
    span = around(pairs, begin)
    quote = before if before in ("'", '"', "`") else line[span[0]] if span else ""
    if rest[:1] in ("'", '"', "`") and (rest[:1] != quote or not _CLOSING.match(rest, 1)):
        # What follows at once is the value's own.
        return None
    if (
        found["bare"]
        and found["bare"].startswith("-")
        and before != quote
        and (found["gap"] == "=" or found["gap"].isspace())
    ):
        scheme = _SCHEME.match(line, at)
        return (scheme[0] if scheme else "") + MASK, word_end(line, scheme.end() if scheme else at, quote)
    closed = closing(line, at, quote) if quote else None
    if closed is None:
        return None
    end = closed
    if end == at:
        # Nothing there: `send "password:" X`.
        after = _GOES_ON.match(line, end + 1)
        return (line[at : after.end()] + MASK, word_end(line, after.end(), "")) if after else ("", at)
    if not _AFTER.match(line, end + 1):
        end = word_end(line, end + 1, "")
    return _scheme(line, found) + MASK, end


def _scheme(line: str, found: re.Match[str]) -> str:
    """How somebody is to prove who he is, which is no secret: the value begins after it."""
    scheme = _SCHEME.match(line, found.end()) if _name(found).lower().endswith("authorization") else None
    return scheme[0] if scheme else ""


def _mask_values(line: str) -> str:
    """Whatever looks like a key, token or address with a password, up to the next blank or quote."""
    at, out = 0, ""
    while found := _VALUE.search(line, at):
        begin = found.start()
        while not found["hash"] and begin > at and line[begin - 1] not in " \t\"'`<>=,;()":
            begin -= 1
        tail = (_HASH_TAIL if found["hash"] else _TAIL).match(line, found.end())
        end = tail.end() if tail else found.end()
        out += line[at:begin] + MASK
        at = max(end, found.end())
    return out + line[at:]
