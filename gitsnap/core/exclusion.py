"""Exclusion rules: which paths a snapshot leaves out, in the words of `.gitignore` and with git's very meaning.

The oracle is `git check-ignore` of git 2.39 with one `.gitignore` at the root. Patterns are read token by token,
as git's dir.c and wildmatch.c read them (core/wildmatch.py), and the regular expressions are evaluated here: a path
wrongly excluded is lost data. What cannot be translated faithfully is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Self

from gitsnap.core.errors import UsageError

_BOM = b"\xef\xbb\xbf"
# Far more than a path can be long; longer lines are accidents such as a binary file, and slow to compile.
_LONGEST_RULE = 16_384

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
        # A backslash would end the literal beginning, which decides how git reads a `**` after it (see `wildmatch`).
        line = (b"/" if b"/" in _trim(line)[:-1] else b"\\") + line
    return line + b"\r" if line.endswith(b"\r") else line


def _trim(line: bytes) -> bytes:
    """Without trailing spaces, except for those behind a backslash."""
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return line[: len(kept) + 1] if backslashes % 2 else kept


def _parse_rule(line: bytes) -> _Rule | None:
    """The rule on a line, or None when git would never let it match. Raises ValueError for what is refused."""
    # Most installations have no rules.
    from gitsnap.core import wildmatch

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
    regex = wildmatch.regex(pattern.removeprefix(b"/"), by_name)
    return None if regex is None else _Rule(negative, only_dirs, by_name, regex)


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
