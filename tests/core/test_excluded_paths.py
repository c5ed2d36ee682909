"""Exclusion rules as an object: what is kept of a line, and which rule decides. git is the oracle in properties/."""

from __future__ import annotations

import pytest

from gitsnap.core import exclusion
from gitsnap.core.errors import UsageError
from gitsnap.core.exclusion import Exclusions


def rules(*lines: bytes) -> Exclusions:
    return Exclusions.parse(("x", b"\n".join(lines)))


def test_the_last_rule_that_matches_decides() -> None:
    found = rules(b"*.log", b"!keep.log", b"/a/keep.log")
    assert found.excludes(b"x.log", False)
    assert not found.excludes(b"keep.log", False)
    assert not found.excludes(b"b/keep.log", False)
    assert found.excludes(b"a/keep.log", False)


def test_a_directory_alone() -> None:
    found = rules(b"build/")
    assert found.excludes(b"build", True)
    assert not found.excludes(b"build", False)
    assert found.excludes(b"a/build", True)
    assert rules(b"build").excludes(b"build", False)


def test_what_lies_below_is_covered_and_not_named() -> None:
    found = rules(b"/a", b"!/a/b")
    assert not found.excludes(b"a/b", False)
    assert found.covers(b"a/b", False)
    assert found.covers(b"a/b/c", True)
    assert not found.covers(b"b/a", False)
    # Asked again, and of a neighbour, the same.
    assert found.covers(b"a/c/d", False)
    assert not found.covers(b"b/a/d", False)
    assert not found.covers(b"b/a/d", False)


def test_a_file_of_the_name_covers_nothing() -> None:
    found = rules(b"x/")
    assert not found.covers(b"x", False)
    assert found.covers(b"x/y", False)
    assert not found.covers(b"x", False)


def test_the_root_is_never_left_out() -> None:
    found = rules(b"*", b"/")
    assert not found.excludes(b"", True)
    assert found.excludes(b"a", True)


def test_a_slash_anchors() -> None:
    found = rules(b"/top", b"mid/dle", b"any")
    assert found.excludes(b"top", False)
    assert not found.excludes(b"a/top", False)
    assert found.excludes(b"mid/dle", False)
    assert not found.excludes(b"a/mid/dle", False)
    assert found.excludes(b"a/b/any", False)


def test_names_may_hold_newlines() -> None:
    found = rules(b"a?b", b"c*")
    assert found.excludes(b"a\nb", False)
    assert found.excludes(b"c\n", False)
    assert not rules(b"c").excludes(b"c\n", False)
    assert rules(b"a/**").excludes(b"a/b\nc", False)
    assert rules(b"a/**/e").excludes(b"a/x\ny/e", False)


def test_what_is_kept_of_the_lines() -> None:
    text = b"\xef\xbb\xbf# no\r\n\r\n  \na \\ \nb  \r\n#c\n\\#d\n"
    found = Exclusions.parse(("one", text), ("two", b"e"))
    assert found.rules == (b"a \\ ", b"b  ", b"\\#d", b"e")
    assert found
    assert found.excludes(b"b", False)
    assert found.excludes(b"a  ", False)
    assert found.excludes(b"#d", False)


def test_a_space_at_the_end_stays_behind_a_backslash_that_is_not_itself_escaped() -> None:
    assert rules(b"a\\\\ ").excludes(b"a\\", False)
    assert not rules(b"a\\\\ ").excludes(b"a\\ ", False)
    assert rules(b"a\\ ").excludes(b"a ", False)
    assert rules(b"a\\\\\\  ").excludes(b"a\\ ", False)


@pytest.mark.parametrize("line", [b"a\r\r", b"\xef\xbb\xbf\xef\xbb\xbfa", b"\xef\xbb\xbfa/b", b"a\\ ", b" a", b"\\!a"])
def test_they_are_the_same_when_they_are_read_again_on_another_line(line: bytes) -> None:
    # Behind a mark at the beginning of the file, and not.
    first = Exclusions.parse(("x", b"z\n" + line))
    again = Exclusions.parse(("x", b"\n".join(first.rules)))
    below = Exclusions.parse(("x", b"\n".join(reversed(first.rules))))
    assert again == first
    for path in (
        b"a",
        b"a\r",
        b"a\r\r",
        b"a ",
        b" a",
        b"!a",
        b"\xef\xbb\xbfa",
        b"\xef\xbb\xbfa/b",
        b"\xef\xbb\xbf\xef\xbb\xbfa",
    ):
        assert below.excludes(path, False) == again.excludes(path, False) == first.excludes(path, False), path


def test_no_rules() -> None:
    assert not Exclusions.parse(("x", b"\n# a\n"))
    assert not Exclusions.parse().excludes(b"a", True)
    assert not exclusion.nothing_excluded(b"a", True)


@pytest.mark.parametrize("line, why", [(b"a\0b", "NUL"), (b"a" * 16_385, "more than 16384 bytes")])
def test_what_is_refused_is_named(line: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=f"mine, line 3: .*{why}"):
        Exclusions.parse(("other", b"a"), ("mine", b"# x\n\n" + line))
    assert rules(b"a" * 16_384).excludes(b"a" * 16_384, False)
