"""Exclusion rules against their oracle, `git check-ignore`, in real repositories with real files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import gitignore_parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitsnap.core.errors import UsageError
from gitsnap.core.exclusion import Exclusions
from tests.support.examples import examples

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
_STARS_AFTER_LITERAL = re.compile(rb"[^/*\n]\*\*")
DIR, FILE, LINK = "dir", "file", "link"


class Repository:
    """A git repository with entries of known types, whose `.gitignore` changes for each question."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.kinds: dict[bytes, str] = {}
        subprocess.run(["git", "init", "-q", self.root], env=ENVIRONMENT, check=True)
        self.add(b"foobar", FILE)
        # A git that compares what stands before the first wildcard by itself reads the rest as a pattern of its own,
        # whose two stars then pass slashes. Since 2.52, none does.
        self.takes_literals_off = self.git(b"foo**/bar")[b"foobar"]
        self.clear()

    def add(self, path: bytes, kind: str) -> None:
        """Make an entry and the directories above it, unless its name or one above is taken."""
        parent = path.rpartition(b"/")[0]
        if parent:
            self.add(parent, DIR)
        if path in self.kinds or (parent and self.kinds.get(parent) != DIR):
            return
        full = os.path.join(self.root, path)
        if kind == DIR:
            os.mkdir(full)
        elif kind == LINK:
            os.symlink(b"/", full)  # to a directory
        else:
            open(full, "wb").close()
        self.kinds[path] = kind

    def clear(self) -> None:
        """Remove all entries."""
        for path, kind in self.kinds.items():
            if b"/" not in path:
                full = os.path.join(self.root, path)
                shutil.rmtree(full) if kind == DIR else os.unlink(full)
        self.kinds = {}

    def git(self, rules: bytes) -> dict[bytes, bool]:
        """What git excludes under these rules."""
        with open(os.path.join(self.root, b".gitignore"), "wb") as file:
            file.write(rules)
        done = subprocess.run(
            ["git", "check-ignore", "--no-index", "-z", "-v", "-n", "--stdin"],
            cwd=self.root,
            env=ENVIRONMENT,
            input=b"".join(b"./%s\0" % path for path in self.kinds),  # `./` because `:` would begin pathspec magic
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        fields = done.stdout.split(b"\0")[:-1]
        assert [f.removeprefix(b"./") for f in fields[3::4]] == list(self.kinds)
        return {
            path: pattern != b"" and not pattern.startswith(b"!")
            for path, pattern in zip(self.kinds, fields[2::4], strict=True)
        }

    def ours(self, exclusions: Exclusions) -> dict[bytes, bool]:
        """What we exclude under these rules."""
        return {path: exclusions.covers(path, kind == DIR) for path, kind in self.kinds.items()}

    def compare(self, rules: bytes) -> dict[bytes, bool]:
        """Git's verdicts, which are also ours, and those of our rules parsed again."""
        verdicts = self.git(rules)
        exclusions = Exclusions.parse((".gitignore", rules))
        if _STARS_AFTER_LITERAL.search(rules) and not self.takes_literals_off:
            # Here it is no oracle: what is excluded does not depend on the git that is there.
            verdicts = self.ours(exclusions)
        assert self.ours(exclusions) == verdicts, rules
        again = Exclusions.parse(("again", b"\n".join(exclusions.rules)))
        assert again == exclusions
        assert again.rules == exclusions.rules
        assert self.ours(again) == verdicts, exclusions.rules
        return verdicts


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


# Rules, the entries they exclude, the entries they keep. A name with a slash at its end is a directory, one with `@`
# at its end a symlink to a directory.
EXAMPLES: Mapping[str, tuple[bytes, list[bytes], list[bytes]]] = {
    "no rules": (b"", [], [b"a"]),
    "comment and blank lines": (b"# a\n\n   \n#b\n", [], [b"a", b"b", b"# a", b"#b", b" "]),
    "directory only": (b"foo/", [b"foo/", b"foo/x", b"s/foo/"], [b"foo2", b"t/foo"]),
    "directory only is no file": (b"foo/", [], [b"foo", b"a/foo@"]),
    "no directory is a symlink": (b"foo/\n/a/*/", [b"a/d/"], [b"foo@", b"a/l@", b"a/f"]),
    "children of an excluded directory": (b"d\n!d/keep", [b"d/", b"d/keep", b"d/e/f"], [b"keep"]),
    "all but one": (b"/*\n!/keep", [b"a", b"b/", b"b/keep"], [b"keep/", b"keep/x", b"keep/keep"]),
    "the last match wins": (b"*.log\n!b.log\nb.log\n!a.log", [b"b.log", b"c.log"], [b"a.log"]),
    "negated directory": (b"*\n!*/\n!*.py", [b"a", b"d/x"], [b"d/", b"d/y.py", b"y.py"]),
    "negated set by circumflex": (b"[^a]", [b"b", b"^"], [b"a", b"bb"]),
    "negated set by bang": (b"[!a]", [b"b", b"!"], [b"a"]),
    "negated set and slash": (b"a[!b]c", [b"axc", b"d/axc"], [b"a/c", b"abc"]),
    "negated set and slash, anchored": (b"/a[!b]c\nx/y[^z]z", [b"axc", b"x/yyz"], [b"a/c", b"x/y/z"]),
    "set with a slash": (b"a[b/]c\nx/a[b/]c", [b"abc", b"x/abc"], [b"a/c", b"x/a/c", b"y/abc"]),
    "posix classes": (b"[[:alpha:]]1\n[[:digit:][:upper:]]2", [b"a1", b"A2", b"52"], [b"11", b"a2", b"[1", b":1"]),
    "negated posix class": (b"[^[:space:]]x", [b"ax", b"\x0bx"], [b" x", b"\tx", b"\nx"]),
    "unknown posix class": (b"[[:foo:]]\n[[:foo:]a]", [], [b"f", b"o", b"a", b":]", b"[:foo:]"]),
    "dash after a posix class": (b"[a[:digit:]-z]", [b"a", b"5", b"-", b"z"], [b"m", b"["]),
    "nearly a posix class": (b"[[:]x\n[[::]y\n[[:a]z", [b"[x", b":x", b"az"], [b":y", b"[y", b"x", b"[[:]x"]),
    "unfinished posix class": (b"[[:alpha]", [b"[", b":", b"a", b"l"], [b"]", b"z", b"[]"]),
    "unclosed bracket": (b"[a\nb[\n*[\n[!\n[\\]", [], [b"[a", b"a", b"b[", b"[", b"[!", b"]", b"[\\]"]),
    "unclosed bracket before a slash": (b"[a/", [], [b"[a/", b"a/"]),
    "set that begins with its end": (b"[]ab]x\n[!]]y", [b"]x", b"ax", b"ay"], [b"[x", b"]y"]),
    "set with an escaped end": (b"[\\]]\n[a\\-c]x", [b"]", b"-x", b"ax", b"cx"], [b"\\", b"bx", b"\\]"]),
    "dash at the end of a set": (b"[a-]", [b"a", b"-"], [b"b"]),
    "dash at the beginning of a set": (b"[-a]\n[!-a]x", [b"a", b"-", b"bx"], [b"b", b"-x", b"ax"]),
    "range after a range": (b"[a-c-e]", [b"a", b"b", b"c", b"-", b"e"], [b"d"]),
    "range with escapes": (b"[\\a-\\c]\n[+--]x", [b"b", b",x", b"-x"], [b"d", b"\\", b".x"]),
    "backwards range": (b"[z-a]\n[z-ab]x", [b"z", b"zx", b"bx"], [b"a", b"b", b"m", b"ax"]),
    "range over the slash": (b"x/a[+-5]c", [b"x/a-c", b"x/a0c"], [b"x/a/c", b"x/a6c"]),
    "python's set operations": (b"[a&&b]\n[a--b]x\n[[a]y", [b"a", b"&", b"b", b"[y", b"ay"], [b"-", b"cx"]),
    "escaped star": (b"a\\*b", [b"a*b"], [b"axb", b"a\\b", b"a\\*b"]),
    "escaped plain letter": (b"\\x\na/\\y", [b"x", b"a/y"], [b"\\x", b"a/\\y"]),
    "escaped backslash": (b"a\\\\b\n\\\\/", [b"a\\b", b"\\/"], [b"ab", b"a\\\\b"]),
    "backslash at the end": (b"a\\\n\\\nb\\/", [], [b"a", b"a\\", b"\\", b"b/", b"b\\/"]),
    "escaped slash": (b"a\\/b\n\\/c\nd/**\\/e", [b"a/b", b"d/x/e", b"d/x/y/e"], [b"c", b"d/e"]),
    "leading hash and bang": (b"\\#a\n\\!b", [b"#a", b"!b"], [b"a", b"b", b"\\#a", b"\\!b"]),
    "hash and bang inside": (b" #a\nb!#\n!#c", [b" #a", b"b!#"], [b"#a", b"#c"]),
    "two bangs": (b"*\n!!a", [b"a", b"b"], [b"!a"]),
    "only a bang": (b"*\n!\n!/", [b"a", b"!"], []),
    "trailing spaces": (b"a   \nb c  \nx ", [b"a", b"b c", b"x"], [b"a ", b"a   ", b"b c  ", b"x "]),
    "escaped trailing space": (b"a\\ \nb\\   \n\\ ", [b"a ", b"b ", b" "], [b"a", b"b", b"b   ", b"a\\ "]),
    "space after a backslash pair": (b"a\\\\ \nb\\\\\\ ", [b"a\\", b"b\\ "], [b"a\\ ", b"b\\"]),
    "trailing space after a slash": (b"a/ ", [b"a/"], [b"b/a", b"a /"]),
    "leading space": (b" a", [b" a"], [b"a"]),
    "tabs stay": (b"a\t\nb\t ", [b"a\t", b"b\t"], [b"a", b"b", b"b\t "]),
    "odd white space stays": (
        b"\x0b\n/\x0c\n\x1c\n/\x85\n\xa0/",
        [b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xa0/"],
        [b"a"],
    ),
    "question mark is a byte": (b"?\nx??", [b"a", b"\xff", "xé".encode()], ["é".encode(), b"xa"]),
    "question mark and slash": (b"a?b\nx/y?z", [b"acb", b"x/yaz"], [b"a/b", b"x/y/z"]),
    "newline at the end of a name": (b"a\n*.b", [b"a", b"x.b"], [b"a\n", b"x.b\n"]),
    "stars cross newlines": (b"a*z\n/x/**/z\ny/**", [b"a\nz", b"x/\n/z", b"x/z", b"y/\n\n"], [b"a\n", b"\n"]),
    "star and slash": (b"a*b\n/x*y", [b"ab", b"acb", b"d/ab", b"xy"], [b"a/b", b"x/y", b"d/xy"]),
    "star directory": (b"*/b\na/*", [b"x/b", b"a/c", b"a/d/"], [b"b", b"x/y/b", b"a/"]),
    "star alone": (b"*", [b"a", b"b/", b".c"], []),
    "two stars alone": (b"**", [b"a", b"b/c"], []),
    "two stars in a name": (b"a**b\nx/c**d", [b"ab", b"aab", b"x/cd", b"x/cad"], [b"a/b", b"x/c/d"]),
    "leading two stars": (b"**/a\n**/b/c", [b"a", b"x/a", b"x/y/a", b"b/c", b"x/b/c"], [b"xa", b"b/x/c"]),
    "trailing two stars": (b"a/**", [b"a/b", b"a/c/d"], [b"a/", b"b/a/", b"b/a/c"]),
    "anchored two stars": (b"/**", [b"a", b"b/"], []),
    "two stars and a slash": (b"**/", [b"a/", b"b/c/"], [b"f", b"l@"]),
    "two stars in the middle": (b"a/**/b", [b"a/b", b"a/x/b", b"a/x/y/b"], [b"ab", b"a/xb", b"x/a/b"]),
    "two stars twice": (b"a/**/**/b\n**/**/c", [b"a/b", b"a/x/b", b"c", b"x/y/c"], [b"b"]),
    "three stars": (b"a/***/b\n***/c", [b"a/b", b"a/x/y/b", b"c", b"x/c"], [b"b"]),
    "two stars after a literal beginning": (b"foo**/bar", [b"foo/bar", b"foox/y/bar", b"foobar"], [b"xfoo/bar"]),
    "two stars after a set": (b"[f]oo**/bar", [b"foo/bar", b"foox/bar"], [b"foox/y/bar", b"foobar"]),
    "two stars at the end of a literal": (b"/a/foo**\n!/a/foo*", [b"a/foox/y"], [b"a/foo", b"a/foox/", b"a/fo"]),
    "slash alone": (b"/\n//\n///", [], [b"a", b"b/"]),
    "double slash": (b"//c\na//b\nd//", [], [b"c", b"a/b", b"d/"]),
    "anchored by the first slash": (b"/a\nb/c", [b"a", b"b/c"], [b"x/a", b"x/b/c", b"b/x"]),
    "byte order mark": (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [b"a", b"\xef\xbb\xbfb"], [b"\xef\xbb\xbfa", b"b"]),
    "byte order mark and comment": (b"\xef\xbb\xbf#a\n\xef\xbb\xbf#b", [b"\xef\xbb\xbf#b"], [b"#a", b"#b"]),
    "line ends": (b"a\r\nb/\r\nc\r\r\nd\r", [b"a", b"b/", b"c\r", b"d"], [b"a\r", b"c", b"d\r"]),
    "blank lines with line ends": (b"\r\n\r\r\n  \r\n", [b"\r"], [b" ", b"  "]),
    "not UTF-8": (b"\xff*\n[\xfe]x\n[^\x80-\xbf]y", [b"\xffa", b"\xfex", b"ay"], [b"a", b"\x80y", b"\xbfy"]),
    "letters are of one case": (b"abc\n[d]", [b"abc", b"d"], [b"ABC", b"Abc", b"D"]),
    "regular expressions": (
        b"a.c\n(b)\n^d\ne$\nf+\ng|h",
        [b"a.c", b"(b)", b"^d", b"e$", b"f+", b"g|h"],
        [b"abc", b"ff"],
    ),
    "wild and directory": (b"*.d/\n!b.d/", [b"a.d/", b"x/a.d/", b"a.d/f"], [b"b.d/", b"f.d"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(repository: Repository, name: str) -> None:
    rules, excluded, kept = EXAMPLES[name]
    expected = {}
    for spelled in sorted(excluded + kept):
        kind = DIR if spelled.endswith(b"/") else LINK if spelled.endswith(b"@") else FILE
        path = spelled.rstrip(b"/@")
        repository.add(path, kind)
        assert repository.kinds[path] == kind, "two examples contradict each other"
        expected[path] = spelled in excluded
    verdicts = repository.compare(rules)
    assert {path: verdicts[path] for path in expected} == expected


CLASSES = ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"]


def test_every_byte_in_every_class(repository: Repository) -> None:
    for byte in range(1, 256):
        if byte != ord("/"):
            repository.add(b"x%cy" % byte, FILE)
    for name in CLASSES:
        for rule in (f"x[[:{name}:]]y", f"x[^[:{name}:]]y", f"x[![:{name}:]-a]y", f"x[,[:{name}:]-]y"):
            repository.compare(rule.encode())
    for rule in (b"x?y", b"x*y", b"x[^a]y", b"x[\x01-\xff]y", b"x[!\x80-\xff]y", b"x[]-\\a]y", b"x[[-^]y"):
        repository.compare(rule)


PIECES = [
    *(b"a b c ab * ? / [ ] - ! # ^ \\ . 0 ~ | $ ( + { : && A".split()),
    *(b"* ** *** / /**/ **/ /** /*/ \\/ **\\/ \\\\ [!b] [^a] [] [ab] [a-c] [z-a] [a- [\\]] []-a] [--0]".split()),
    *(b"[[:alpha:]] [^[:alnum:]] [[:space:] [:punct:] [: :]".split()),
    *(b" ", b"  ", b"\\ ", b"\t", b"\r", b"\x0b", b"\x85", b"\xa0", b"\xff", "é".encode(), b"\xef\xbb\xbf"),
]
LETTERS = [*(b"a b c ab A ! # \\ [ ] * ? - ^ . 0 ~ & $ ( | + { :".split()), *PIECES[-11:], b"\n"]

line_of_pieces = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map(b"".join)
line_of_bytes = st.binary(min_size=1, max_size=6).map(lambda b: b.replace(b"\0", b"/"))
line_ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\r\n", b"  \n"])
name_of_letters = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map(b"".join)
name_of_bytes = st.binary(min_size=1, max_size=4)
names = st.one_of(name_of_letters, name_of_letters, name_of_bytes).filter(
    lambda n: n not in (b".", b"..") and not {0, ord("/")} & set(n) and not n.startswith(b".git")
)
trees = st.lists(
    st.tuples(st.lists(names, min_size=1, max_size=4).map(b"/".join), st.sampled_from([DIR, FILE, LINK])),
    min_size=1,
    max_size=8,
)


@st.composite
def lines_like(draw: st.DrawFn, paths: list[bytes]) -> bytes:
    """A pattern that has a chance to match one of the paths: the path with some bytes turned into wildcards."""
    out = []
    path = draw(st.sampled_from(paths))
    changes = draw(st.lists(st.integers(0, 30), min_size=len(path), max_size=len(path)))
    for byte, change in zip(path, changes, strict=True):
        one = bytes([byte])
        ways = [b"*", b"?", b"[%b]", b"\\%b", b"**", b"", b"%b/**", b"**/%b", b"[!%b]", b"%b*"]
        out.append(ways[change].replace(b"%b", one) if change < len(ways) else one)
    front, back = draw(st.sampled_from([b"", b"", b"/", b"**/"])), draw(st.sampled_from([b"", b"", b"/", b" ", b"/**"]))
    return front + b"".join(out) + back


def rule_files(paths: list[bytes]) -> st.SearchStrategy[bytes]:
    line = st.one_of(lines_like(paths), line_of_pieces, line_of_pieces, line_of_bytes)
    sign = st.sampled_from([b"", b"", b"", b"!"])
    lines = st.lists(st.tuples(sign, line, line_ends).map(b"".join), min_size=1, max_size=6)
    front = st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])
    return st.tuples(front, lines, st.booleans()).map(
        lambda drawn: drawn[0] + (content := b"".join(drawn[1]))[: len(content) - drawn[2]]
    )


def forest(repository: Repository) -> None:
    """Entries of every type whose names are rich in metacharacters, several levels deep."""
    rich = [b"a", b"b", b"c", b"ab", b"a b", b"a ", b" ", b"!a", b"#a", b"\\", b"\\a", b"a\\", b"[a]", b"[", b"]", b"*"]
    rich += [b"a*", b"**", b"?", b"-", b"^", b"a\n", b"\n", b"\na", b"a\r", b"\r", b"\t", b"\xff", b"\xc3", b".a", b"0"]
    rich += [b"\xef\xbb\xbfa", b"a.b", b"abc", b"A", b"~", b"a&&b", b"$", b"(a|b)", b":a", b"\x0b", b"\xa0", b"a" * 40]
    for i, name in enumerate(rich):
        repository.add(name, (DIR, FILE, LINK)[i % 3])
    for i, name in enumerate(rich):
        for j, top in enumerate((b"a", b"ab/c", b"x/a/b", b"\xff/\n/c")):
            if (i + j) % 2:
                repository.add(top + b"/" + name, (FILE, DIR, LINK)[(i + j) // 2 % 3])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    repository = Repository(tmp_path_factory.mktemp("shared"))
    yield repository
    repository.clear()


COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.hypothesis
def test_verdicts_are_gits(repository: Repository) -> None:
    forest(repository)
    number = examples(300).max_examples
    compared = excluded = 0

    @settings(COMMON, max_examples=number)
    @given(rules=rule_files(list(repository.kinds)))
    def check(rules: bytes) -> None:
        nonlocal compared, excluded
        verdicts = repository.compare(rules)
        compared += len(verdicts)
        excluded += sum(verdicts.values())

    check()
    assert compared >= 65 * number
    assert compared // 50 < excluded < compared


@settings(COMMON, max_examples=examples(150).max_examples)
@given(data=st.data(), tree=trees)
def test_verdicts_are_gits_on_any_names(shared: Repository, data: st.DataObject, tree: list[tuple[bytes, str]]) -> None:
    shared.clear()
    for path, kind in tree:
        shared.add(path, kind)
    shared.compare(data.draw(rule_files(list(shared.kinds))))


@settings(COMMON, max_examples=examples(100).max_examples)
@given(data=st.data())
def test_pruning_from_the_top_says_the_same(shared: Repository, data: st.DataObject) -> None:
    if len(shared.kinds) < 100:
        shared.clear()
        forest(shared)
    exclusions = Exclusions.parse(("rules", data.draw(rule_files(list(shared.kinds)))))
    gone: set[bytes] = set()
    for path, kind in sorted(shared.kinds.items()):
        if path.rpartition(b"/")[0] in gone or exclusions.excludes(path, kind == DIR):
            gone.add(path)
    assert gone == {path for path, covered in shared.ours(exclusions).items() if covered}


def test_sources_follow_each_other(repository: Repository) -> None:
    for name in (b"a", b"b", b"c"):
        repository.add(name, FILE)
    both = Exclusions.parse(("first", b"\xef\xbb\xbfa\nb"), ("second", b"\xef\xbb\xbf!b\r\n# no\n\nc\r\n"))
    assert both.rules == (b"a", b"b", b"!b", b"c")
    assert repository.ours(both) == repository.git(b"a\nb\n!b\nc") == {b"a": True, b"b": False, b"c": True}


def test_rules_are_the_lines_as_written() -> None:
    written = [b"a ", b"b\\ ", b"!c/", b"\\#d", b"[[:alpha:]]", b"[e", b" #"]
    assert Exclusions.parse(("x", b"# comment\n\n" + b"\r\n".join(written))).rules == tuple(written)


def test_rules_that_would_change_when_parsed_again_are_respelled(repository: Repository) -> None:
    for name in (b"\xef\xbb\xbfa", b"a", b"b\r", b"b", b"d/\xef\xbb\xbfa", b"\xef\xbb\xbfd/\xef\xbb\xbfa"):
        repository.add(name, FILE)
    for rest in (b"", b"a", b"a/", b"**/a", b"*", b"d/\xef\xbb\xbfa", b"d/ ", b"d\\/", b"//", b"/**", b"[d]/*"):
        repository.compare(b"\n\xef\xbb\xbf" + rest)
    for rules in (b"\n\xef\xbb\xbfa\nb\r\r", b"\n\xef\xbb\xbfa\r\r", b"b\r\r\n\xef\xbb\xbfa"):
        repository.compare(rules)


def test_the_longest_rules_parse_again() -> None:
    # One more byte is needed to respell the first; what was accepted once must be so for ever.
    accepted = 0
    for length in range(16_380, 16_388):
        for rule in (b"\xef\xbb\xbf".ljust(length, b"a"), b"\r".rjust(length, b"a") + b"\r"):
            try:
                rules = Exclusions.parse(("x", b"\n" + rule)).rules
            except UsageError:
                continue
            assert Exclusions.parse(("x", b"\n" + b"\n".join(rules))).rules == rules
            accepted += 1
    assert accepted


def test_no_rules() -> None:
    for sources in ([], [("a", b"")], [("a", b"# x\n\n  \r\n"), ("b", b"\xef\xbb\xbf")]):
        exclusions = Exclusions.parse(*sources)
        assert not exclusions
        assert exclusions.rules == ()
        assert not exclusions.covers(b"a/b", False)
        assert not exclusions.excludes(b"a", True)
    assert Exclusions.parse(("a", b"x"))


def test_the_root_is_never_excluded() -> None:
    for rule in (b"*", b"**", b"/**", b"**/", b"/*", b"[^a]*", b"**//"):
        exclusions = Exclusions.parse(("a", rule))
        assert not exclusions.excludes(b"", True)
        assert not exclusions.covers(b"", True)


@pytest.mark.parametrize("rule", [b"a\0b", b"\0", b"a" * 20_000])
def test_refused_rules_name_source_and_line(rule: bytes) -> None:
    with pytest.raises(UsageError, match=r"^\.gitsnapignore, line 4: ") as caught:
        Exclusions.parse(("defaults", b"x\ny\n"), (".gitsnapignore", b"a\n# \0 in a comment does no harm\n\n" + rule))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("answer", [None, gitignore_parser.rule_from_pattern("a/")])
def test_an_unexpected_answer_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    monkeypatch.setattr(gitignore_parser, "rule_from_pattern", lambda pattern: answer)
    with pytest.raises(UsageError, match="x, line 1: gitignore-parser"):
        Exclusions.parse(("x", b"*.log"))


def test_many_stars_cost_no_exponential_time(repository: Repository) -> None:
    repository.add(b"a" * 255, FILE)
    repository.add(b"a/" * 50 + b"a", FILE)
    for rule in (
        b"*a" * 30 + b"b",
        b"*a" * 30 + b"*b",
        b"/" + b"*a" * 30 + b"*",
        b"**/a/" * 5 + b"b",
        b"**/a/" * 5 + b"a",
    ):
        repository.compare(rule)
    assert not Exclusions.parse(("x", b"*a" * 30 + b"b")).excludes(b"a" * 255, False)
    assert not Exclusions.parse(("x", b"**/a/" * 30 + b"b")).excludes(b"a/" * 500 + b"a", False)
    assert Exclusions.parse(("x", b"*a" * 30 + b"/" + b"**/a/" * 30 + b"**/a")).excludes(b"a" * 99 + b"/a" * 500, False)


def test_the_library_is_imported_only_for_rules() -> None:
    program = (
        "import sys; from gitsnap.core.exclusion import Exclusions\n"
        "Exclusions.parse(('x', b'# none')).covers(b'a', False); assert 'gitignore_parser' not in sys.modules\n"
        "Exclusions.parse(('x', b'a')); assert 'gitignore_parser' in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
