"""Bundles: the heading that git reads, what a bundle says of itself, and names that sort as they are to be read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import bundle
from gitsnap.core.bundle import Heading, Label, Place
from gitsnap.core.errors import IntegrityError

_OIDS = st.text("0123456789abcdef", min_size=40, max_size=40)
_WORDS = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=20)
_REFS = st.from_regex(r"\Arefs/[a-z0-9/._-]{1,30}\Z")
_FREE = st.text(min_size=1, max_size=30)
_IDS = st.just("2026-03-01T12-00-00Z-manual")
ONE = Label("1" * 32, "/srv/app", "web-1", "2026-03-01T12-00-00Z-a")


def read(data: bytes) -> Heading:
    return bundle.read_heading(io.BytesIO(data).readline)


@given(st.dictionaries(_OIDS, _WORDS, max_size=4), st.dictionaries(_REFS, _OIDS, max_size=4))
def test_a_heading_comes_back(needs: dict[str, str], refs: dict[str, str]) -> None:
    heading = Heading({k: v.replace("\n", "") for k, v in needs.items()}, refs)
    assert read(bundle.format_heading(heading)) == heading


def test_a_heading_that_is_cut_anywhere_is_none() -> None:
    whole = bundle.format_heading(Heading({"a" * 40: "one"}, {"HEAD": "b" * 40, "refs/heads/timeline": "b" * 40}))
    for end in range(len(whole)):
        with pytest.raises(IntegrityError):
            read(whole[:end])


@pytest.mark.parametrize("line", ["-xyz one", "b" * 39 + " refs/heads/x", "b" * 40 + " ../x", "@filter=blob:none"])
def test_what_git_would_not_take_is_refused(line: str) -> None:
    with pytest.raises(IntegrityError):
        read(bundle.SIGNATURE + line.encode() + b"\n\n")


@given(
    st.builds(
        Label,
        st.text("0123456789abcdef", min_size=32, max_size=32),
        _FREE,
        _FREE,
        st.none() | _IDS,
        st.none() | _IDS,
        st.integers(0, 10**8),
        st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
        st.text("0123456789abcdef", min_size=64, max_size=64),
        st.integers(0, 10**8),
    )
)
def test_a_label_comes_back_whatever_the_directory_is_called(label: Label) -> None:
    assert bundle.parse_label(bundle.format_label(label)) == label


def test_what_stands_in_the_place_of_another_is_told() -> None:
    one = ONE._replace(number=1, cycle=2)
    two = one._replace(name="2" * 32, since=one.newest, number=2, follows=one.name)
    three = two._replace(name="3" * 32, number=3, follows=two.name)
    assert bundle.displaced(one, Place(2, 1, False), None) is None
    assert bundle.displaced(two, Place(2, 2, True), one) is None
    assert bundle.displaced(two._replace(cycle=0), Place(2, 2, True), one) is None
    assert bundle.displaced(one, Place(3, 1, False), None) == "it is bundle 1 of cycle 2"
    assert bundle.displaced(two, Place(2, 4, False), three) == "it is bundle 2 of cycle 2"
    other = two._replace(name="4" * 32)
    assert "from another one" in (bundle.displaced(three, Place(2, 3, False), other) or "")
    assert "does not say" in (bundle.displaced(None, Place(2, 1, False), None) or "")
    assert "twice" in (bundle.misplaced(two, [one, two, three]) or "")
    assert "comes after bundle 1" in (bundle.misplaced(three, [two, one]) or "")
    moved = two._replace(installation="/srv/moved", host="renamed")
    assert bundle.misplaced(three._replace(follows=moved.name), [one, moved]) is None


def test_what_is_missing_in_a_chain_is_told_by_name() -> None:
    two = ONE._replace(name="2" * 32, since=ONE.newest, number=2, follows=ONE.name)
    three = two._replace(name="3" * 32, number=3, follows=two.name)
    assert bundle.misplaced(ONE, []) is None
    assert bundle.misplaced(two, [ONE]) is None
    assert bundle.misplaced(three, [ONE, two]) is None
    assert "bundle 2 is not here" in (bundle.misplaced(three, [ONE]) or "")
    other = ONE._replace(name="9" * 32, installation="/srv/other")
    assert "/srv/other" in (bundle.misplaced(two, [other]) or "") and "/srv/app" in (
        bundle.misplaced(two, [other]) or ""
    )


@given(st.lists(st.tuples(st.integers(1, 999_999), st.integers(1, 999_999), st.booleans()), max_size=8, unique=True))
def test_names_sort_as_they_are_to_be_read(found: list[tuple[int, int, bool]]) -> None:
    places = [Place(*each) for each in found]
    assert [bundle.read_name(p.name) for p in places] == places
    assert [bundle.read_name(n) for n in sorted(p._replace(encrypted=False).name for p in places)] == sorted(
        p._replace(encrypted=False) for p in places
    )


@pytest.mark.parametrize("name", ["1-1-full.bundle", "000001-000001-more.bundle", "000001-000002-full.bundle", "x", ""])
def test_other_names_are_none(name: str) -> None:
    assert bundle.read_name(name) is None


def test_a_cycle_ends_by_number_or_when_more_was_added_than_it_began_with() -> None:
    mb = 1 << 20
    sizes = {Place(1, 1, False): 100 * mb, Place(1, 2, False): 60 * mb}
    assert not bundle.spent(sizes, at_most=3)
    assert bundle.spent(sizes, at_most=2)
    assert bundle.spent(sizes | {Place(1, 3, False): 41 * mb}, at_most=9)
    assert not bundle.spent({Place(1, 1, False): 100, Place(1, 2, False): 900}, at_most=9)
    assert not bundle.spent(sizes | {Place(1, 3, False): 41 * mb, Place(2, 1, False): 100 * mb}, at_most=9)


def test_whole_cycles_are_outlived() -> None:
    places = [Place(cycle, number, True) for cycle in (1, 2, 3) for number in (1, 2)]
    assert bundle.outlived(places, 2) == places[:2]
    assert bundle.outlived(places, 3) == bundle.outlived(places, 0) == []
