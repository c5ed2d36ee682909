"""Globs as regular expressions, by wildmatch.c. What stock git makes of random ones is in properties/."""

from __future__ import annotations

import re
import time

import pytest

from gitsnap.core import wildmatch


def matches(pattern: bytes, path: bytes, by_name: bool = False) -> bool:
    found = wildmatch.regex(pattern, by_name)
    return found is not None and re.fullmatch(found.encode("latin-1"), path, re.DOTALL) is not None


@pytest.mark.parametrize(
    "pattern, yes, no",
    [
        (b"a*c", b"abbc", b"ab/c"),
        (b"a?c", b"a\xffc", b"a/c"),
        (b"a/**/c", b"a/c", b"abc"),
        (b"a/**/c", b"a/x/y/c", b"a/x/yc"),
        (b"**/c", b"c", b"xc"),
        (b"a/**", b"a/b/c", b"ab/c"),
        (b"a**/b", b"a/x/b", b"cab"),
        (b"a/b**c", b"a/bxc", b"a/bx/c"),
        (b"[a-c]", b"b", b"d"),
        (b"[!a-c]", b"d", b"b"),
        (b"[^a]", b"b", b"/"),
        (b"[]a]", b"]", b"b"),
        (b"[a-c-e]", b"-", b"d"),
        (b"[a-c-e]", b"e", b"d"),
        (b"[a-]", b"-", b"b"),
        (b"[\\]]", b"]", b"\\"),
        (b"[[:digit:]x]", b"7", b"a"),
        (b"[[:upper:]]", b"A", b"a"),
        (b"[[:space:]]", b"\t", b"\v"),
        (b"[[:alpha:]]", b"z", b"\xe4"),
        (b"[[:punct:]]", b"-", b"/"),
        (b"[a-\\c]", b"b", b"\\"),
        (b"\\*", b"*", b"a"),
        (b"a b", b"a b", b"ab"),
        (b"a.b", b"a.b", b"axb"),
        (b"a+(b)|", b"a+(b)|", b"aab"),
        (b"\xe4", b"\xe4", b"\xc3\xa4"),
    ],
)
def test_what_matches(pattern: bytes, yes: bytes, no: bytes) -> None:
    assert matches(pattern, yes)
    assert not matches(pattern, no)


@pytest.mark.parametrize(
    "pattern", [b"", b"a\\", b"[a", b"[", b"[]", b"[!]", b"[[:letter:]]", b"[[:digit:", b"/a", b"a/", b"[/]"]
)
def test_what_never_matches(pattern: bytes) -> None:
    assert wildmatch.regex(pattern, False) is None


def test_by_name_two_stars_are_one() -> None:
    assert matches(b"a**c", b"abc", by_name=True)
    assert not matches(b"**", b"a/b", by_name=True)
    assert matches(b"**", b"a/b")


def test_a_reversed_range_is_where_it_begins_alone() -> None:
    assert matches(b"[z-a]", b"z")
    assert not matches(b"[z-a]", b"a")
    assert not matches(b"[z-a]", b"m")
    assert matches(b"[z-ax]", b"x")


@pytest.mark.parametrize("pattern", [b"a*" * 30 + b"b", b"**/a/" * 12 + b"b", b"a/**" * 12 + b"/b"])
def test_many_stars_take_no_time(pattern: bytes) -> None:
    path = (b"a" * 60) if b"/" not in pattern else b"/".join([b"a"] * 60)
    started = time.process_time()
    assert not matches(pattern, path + b"c")
    # Exponential, it would not end while anybody waits.
    assert time.process_time() - started < 5
