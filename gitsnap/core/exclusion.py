"""Exclusion rules: which paths a snapshot leaves out, in the words of `.gitignore` and with git's very meaning.

The oracle is `git check-ignore` of git 2.39 with one `.gitignore` at the root. Patterns are read here token by token,
as git's dir.c and wildmatch.c read them. gitignore-parser then compiles a glob in which everything that it would
misread is one opaque letter, and the regular expression that it returns is evaluated here: a path wrongly excluded
is lost data. What cannot be translated faithfully is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Self

from gitsnap.core.errors import UsageError

_BOM = b"\xef\xbb\xbf"
_SLASH = ord("/")
_SPECIAL = frozenset(b"*?[\\")

# Far more than a path can be long; longer lines are accidents such as a binary file, and slow to compile.
_LONGEST_RULE = 16_384

# git has its own ctype, free of locales: its `space` lacks \v and \f, and no class holds a byte above 127.
_DIGIT, _LOWER, _UPPER = (frozenset(range(a, b + 1)) for a, b in (b"09", b"az", b"AZ"))
_GRAPH = frozenset(range(0x21, 0x7F))
_CLASSES: dict[bytes, frozenset[int]] = {
    b"alnum": _DIGIT | _LOWER | _UPPER,
    b"alpha": _LOWER | _UPPER,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"digit": _DIGIT,
    b"graph": _GRAPH,
    b"lower": _LOWER,
    b"print": _GRAPH | {0x20},
    b"punct": _GRAPH - _DIGIT - _LOWER - _UPPER,
    b"space": frozenset(b" \t\n\r"),
    b"upper": _UPPER,
    b"xdigit": _DIGIT | frozenset(b"abcdefABCDEF"),
}
# No bracket matches a slash, and no name holds NUL.
_NAME_BYTES = frozenset(range(1, 256)) - {_SLASH}

# An int is that byte, a set any byte of it; `?`, `*`, `**` (crosses slashes) and `**/` (any number of directories).
_Token = int | frozenset[int] | str

# How each star is written when no other of its kind follows, and when one does. There the shortest match is as good
# as any, because the next star takes up what is left; so it is atomic, and `*a*a*a*b` costs no exponential time.
_STARS = {
    "*": ("[^/]*", "(?>[^/]*?"),
    "**": (".*", "(?>.*?"),
    "**/": ("(?:.*/)?", "(?>(?:.*?/)??"),
}
_FIRST_OPAQUE = 0xF0000  # a private-use plane: never part of a pattern decoded as Latin-1

_Matcher = Callable[[bytes], object]

# Whether a path, which is a directory or not, is left out.
Excludes = Callable[[bytes, bool], bool]


def nothing_excluded(path: bytes, is_dir: bool) -> bool:
    """The default: every path is captured."""
    return False


class _Rule(NamedTuple):
    """One rule that can match: the regular expression, without anchors, and how to apply it."""

    negative: bool
    only_dirs: bool
    by_name: bool
    regex: str


class _Run(NamedTuple):
    """Adjacent rules of the same sign, whose order does not matter. Matchers are indexed by `is_dir`."""

    negative: bool
    names: tuple[_Matcher | None, _Matcher | None]
    paths: tuple[_Matcher | None, _Matcher | None]

    def matches(self, path: bytes, name: bytes, is_dir: bool) -> bool:
        """Whether any rule of the run matches the path, whose last component is `name`."""
        match = self.names[is_dir]
        if match is not None and match(name) is not None:
            return True
        match = self.paths[is_dir]
        return match is not None and match(path) is not None


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Rules that leave paths out, made by `parse`; equal when their lines are.

    `rules` are the effective lines in order, without blank lines and comments, as they were written but for the line
    ends and, rarely, a byte that keeps them from changing. Joined with newlines they parse to an equal object.
    """

    rules: tuple[bytes, ...]
    _runs: tuple[_Run, ...] = field(repr=False, compare=False)
    # All rules that exclude, in one run: most paths match none of them, and this tells it at once.
    _any: _Run = field(repr=False, compare=False)
    _covered: dict[bytes, bool] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, *sources: tuple[str, bytes]) -> Self:
        """The rules of all sources (a name for messages, the content), as if they stood in one file in that order.

        Raises UsageError, naming source and line, for a rule that cannot be translated faithfully.
        """
        lines: list[bytes] = []
        rules: list[_Rule] = []
        for name, content in sources:
            for number, line in _lines(content):
                try:
                    rule = _parse_rule(line)
                except ValueError as e:
                    raise UsageError(
                        f"{name}, line {number}: {e}", hint="Correct or remove this exclusion rule."
                    ) from None
                lines.append(_respell(line))
                if rule is not None:
                    rules.append(rule)
        runs = [_run(negative, list(group)) for negative, group in groupby(rules, key=lambda r: r.negative)]
        return cls(tuple(lines), tuple(reversed(runs)), _run(False, [r for r in rules if not r.negative]))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def excludes(self, path: bytes, is_dir: bool) -> bool:
        """Whether the rules exclude this very path, as far as no parent is excluded: callers prune from the top.

        A symlink is no directory, wherever it leads. The root is never excluded.
        """
        name = path[path.rfind(b"/") + 1 :]
        if not path or not self._any.matches(path, name, is_dir):
            return False
        return next((not run.negative for run in self._runs if run.matches(path, name, is_dir)), False)

    def covers(self, path: bytes, is_dir: bool) -> bool:
        """Whether the rules exclude this path or any directory above it."""
        parent = path[: max(path.rfind(b"/"), 0)]
        return (parent != b"" and self._covers_directory(parent)) or self.excludes(path, is_dir)

    def _covers_directory(self, path: bytes) -> bool:
        covered = self._covered.get(path)
        if covered is None:
            for slash in re.finditer(b"/|\\Z", path):
                directory = path[: slash.start()]
                covered = self._covered.get(directory)
                if covered is None:
                    covered = self._covered[directory] = self.excludes(directory, True)
                if covered:
                    break
            self._covered[path] = covered = bool(covered)
        return covered


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The rule lines with their numbers; comments and blank lines are left out."""
    for number, line in enumerate(content.removeprefix(_BOM).split(b"\n"), start=1):
        if not line.startswith(b"#") and (line := line.removesuffix(b"\r")).strip(b" "):
            yield number, line


def _respell(line: bytes) -> bytes:
    """The line so that it survives being parsed again, on whichever line of a file it then stands."""
    if line.startswith(_BOM):
        # A backslash would end the literal beginning, which decides how git reads a `**` after it (see `_tokens`).
        line = (b"/" if b"/" in _trim(line)[:-1] else b"\\") + line
    return line + b"\r" if line.endswith(b"\r") else line


def _trim(line: bytes) -> bytes:
    """Without trailing spaces, except for those behind a backslash."""
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return line[: len(kept) + 1] if backslashes % 2 else kept


def _parse_rule(line: bytes) -> _Rule | None:
    """The rule on a line, or None when git would never let it match. Raises ValueError for what is refused."""
    if b"\0" in line:
        raise ValueError("a NUL byte in an exclusion rule")
    if len(_respell(line)) > _LONGEST_RULE:
        raise ValueError(f"an exclusion rule of more than {_LONGEST_RULE} bytes")
    pattern = _trim(line)
    negative = pattern.startswith(b"!")
    pattern = pattern[negative:]
    only_dirs = pattern.endswith(b"/")
    pattern = pattern[: len(pattern) - only_dirs]
    by_name = b"/" not in pattern
    # Only one slash: git never matches `//c`.
    tokens = _tokens(pattern.removeprefix(b"/"), by_name)
    if not tokens or _SLASH in (tokens[0], tokens[-1]) or frozenset() in tokens:
        return None
    return _Rule(negative, only_dirs, by_name, _compile(tokens))


def _tokens(pattern: bytes, by_name: bool) -> list[_Token] | None:
    """The pattern as wildmatch reads it, or None when it is malformed and never matches."""
    tokens: list[_Token] = []
    # git compares the literal beginning first and hands wildmatch the rest, which therefore takes the `**` of
    # `foo**/bar` for one at the beginning of a pattern: it matches `foo/x/bar` and even `foobar`.
    beginning = next((i for i, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))
    i = 0
    while i < len(pattern):
        byte = pattern[i]
        if byte == ord("*"):
            rest = pattern[i:].lstrip(b"*")
            deep = len(pattern) - len(rest) > i + 1 and not by_name
            deep = deep and (i == beginning or pattern[i - 1] == _SLASH)
            if deep and rest.startswith(b"/"):
                tokens.append("**/")
                rest = rest[1:]
            else:
                tokens.append("**" if deep and (not rest or rest.startswith(b"\\/")) else "*")
            i = len(pattern) - len(rest)
        elif byte == ord("["):
            found = _bracket(pattern, i + 1)
            if found is None:
                return None
            members, i = found
            tokens.append(members)
        else:
            if byte == ord("\\"):
                i += 1
                if i == len(pattern):
                    return None
            tokens.append("?" if byte == ord("?") else pattern[i])
            i += 1
    return tokens


def _bracket(pattern: bytes, i: int) -> tuple[frozenset[int], int] | None:
    """The bytes that a bracket expression matches and the index behind it; `i` is behind the `[`. None: malformed."""
    text = pattern + b"\0\0"  # NUL ends a C string: wildmatch may look at it, and one byte ahead of a character
    negated = text[i] in b"!^"
    i += negated
    first = i
    members: set[int] = set()
    before = 0  # the byte that could begin a range, or 0
    while i == first or text[i] != ord("]"):
        byte = text[i]
        if byte == ord("-") and before and text[i + 1] not in b"\0]":
            i += 1 + (text[i + 1] == ord("\\"))
            members.update(range(before, text[i] + 1))
            byte, before = text[i], 0
        elif text.startswith(b"[:", i) and (end := text.find(b"]", i + 2)) > i + 2 and text[end - 1] == ord(":"):
            found = _CLASSES.get(text[i + 2 : end - 1])
            if found is None:
                return None
            members |= found
            before, i = 0, end
        else:
            i += byte == ord("\\")
            byte = before = text[i]
            members.add(byte)
        if byte == 0:
            return None
        i += 1
    return (_NAME_BYTES - members if negated else _NAME_BYTES & members), i + 1


def _compile(tokens: list[_Token]) -> str:
    """The regular expression for the tokens, without anchors, by way of gitignore-parser."""
    import gitignore_parser  # 25 ms, and most installations have no rules

    opaque: list[str] = []
    glob = "/" + "".join(_glob(tokens, opaque))
    rule: Any = gitignore_parser.rule_from_pattern(glob)
    regex: str = rule.regex if rule is not None else ""
    if not (regex.startswith("^") and regex.endswith("$")):
        raise ValueError("gitignore-parser reads this exclusion rule in an unexpected way")
    return re.sub(
        f"[{chr(_FIRST_OPAQUE)}-{chr(_FIRST_OPAQUE + len(opaque))}]",
        lambda found: opaque[ord(found[0]) - _FIRST_OPAQUE],
        regex[1:-1],
    )


def _glob(tokens: list[_Token], opaque: list[str]) -> Iterator[str]:
    """The tokens as a glob; what gitignore-parser misreads becomes a letter that stands for an entry of `opaque`."""

    def hide(regex: str) -> str:
        opaque.append(regex)
        return chr(_FIRST_OPAQUE + len(opaque) - 1)

    last_star = max((i for i, t in enumerate(tokens) if t in _STARS), default=-1)
    last_deep = max((i for i, t in enumerate(tokens) if t in ("**", "**/")), default=-1)
    open_star = open_deep = False
    for i, token in enumerate(tokens):
        if isinstance(token, frozenset):
            yield hide(_class(token))
        elif isinstance(token, int):
            # The parser strips white space of any kind in places.
            plain = token not in _SPECIAL and not chr(token).isspace()
            yield chr(token) if plain else hide(f"\\x{token:02x}")
        elif token == "?":
            yield token
        else:
            deep = token != "*"
            # A single star ends at the next star. A deep one ends at the next deep one: between two of them are whole
            # components of a fixed number, so the first place where these match is the best.
            if open_star:
                yield hide(")")
            if deep and open_deep:
                yield hide(")")
            atomic = i < (last_deep if deep else last_star)
            open_star = atomic and not deep
            open_deep = atomic if deep else open_deep
            yield "*" if token == "*" and not atomic else hide(_STARS[token][atomic])


def _class(members: frozenset[int]) -> str:
    """A regular expression for one byte out of `members`."""
    starts = sorted(byte for byte in members if byte - 1 not in members)
    ends = sorted(byte for byte in members if byte + 1 not in members)
    return "[" + "".join(f"\\x{a:02x}-\\x{b:02x}" for a, b in zip(starts, ends, strict=True)) + "]"


def _run(negative: bool, rules: list[_Rule]) -> _Run:
    """The run of these rules, all of the sign `negative`."""

    def both(by_name: bool) -> tuple[_Matcher | None, _Matcher | None]:
        chosen = [rule for rule in rules if rule.by_name is by_name]
        return _matcher([r.regex for r in chosen if not r.only_dirs]), _matcher([r.regex for r in chosen])

    return _Run(negative, both(True), both(False))


def _matcher(regexes: list[str]) -> _Matcher | None:
    """A function that tells whether any of the expressions matches the whole of its argument."""
    if not regexes:
        return None
    # DOTALL and \Z because names may hold newlines, at their end too; an expression over bytes, as names are bytes.
    return re.compile(f"(?:{'|'.join(regexes)})\\Z".encode("latin-1"), re.DOTALL).match
