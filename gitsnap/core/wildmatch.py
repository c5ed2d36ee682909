"""One glob of a `.gitignore` as a regular expression, with the meaning that git's wildmatch.c gives it.

gitignore-parser compiles a glob in which everything that it would misread is one opaque letter, in whose place what it
means is put afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_SLASH = ord("/")
_SPECIAL = frozenset(b"*?[\\")

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


def regex(pattern: bytes, by_name: bool) -> str | None:
    """The regular expression for a glob, without anchors; None when git would never let it match.

    `by_name` tells that it is compared with names alone, so that no star crosses a slash. Raises ValueError for what
    cannot be translated.
    """
    tokens = _tokens(pattern, by_name)
    if not tokens or _SLASH in (tokens[0], tokens[-1]) or frozenset() in tokens:
        return None
    return _compile(tokens)


def _tokens(pattern: bytes, by_name: bool) -> list[_Token] | None:
    """The pattern as wildmatch reads it, or None when it is malformed and never matches."""
    tokens: list[_Token] = []
    # git compares the literal beginning first and hands wildmatch the rest, which therefore takes the `**` of
    # `foo**/bar` for one at the beginning of a pattern: it matches `foo/x/bar` and even `foobar`. Until 2.52, that is.
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
    found: str = rule.regex if rule is not None else ""
    if not (found.startswith("^") and found.endswith("$")):
        raise ValueError("gitignore-parser reads this exclusion rule in an unexpected way")
    return re.sub(
        f"[{chr(_FIRST_OPAQUE)}-{chr(_FIRST_OPAQUE + len(opaque))}]",
        lambda letter: opaque[ord(letter[0]) - _FIRST_OPAQUE],
        found[1:-1],
    )


def _glob(tokens: list[_Token], opaque: list[str]) -> Iterator[str]:
    """The tokens as a glob; what gitignore-parser misreads becomes a letter that stands for an entry of `opaque`."""

    def hide(expression: str) -> str:
        opaque.append(expression)
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
