"""What leaves for a limit, against counting it out: enough, in order, and no more than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import UsageError
from gitsnap.core.space import Limits, Room, Weighed, leaving, parse_free, parse_size

Objects = frozenset[bytes]
NAMES = st.frozensets(st.integers(0, 11).map(lambda n: b"%d" % n), max_size=8)
SIZES = {b"%d" % n: 1 + 7 * n % 5 + n for n in range(12)}


def total(objects: Objects) -> int:
    return sum(SIZES[o] for o in objects)


def weighed(units: list[Objects], staying: Objects, garbage: int) -> Weighed:
    last = {o: number for number, unit in enumerate(units) for o in unit}
    alone = [total(frozenset(o for o in unit - staying if last[o] == n)) for n, unit in enumerate(units)]
    return Weighed(
        garbage, alone, lambda unit, first: {o for o in units[unit] - staying if last[o] < first}, SIZES.__getitem__
    )


def freed_by(gone: list[int], units: list[Objects], staying: Objects, garbage: int) -> int:
    left = staying.union(*(u for n, u in enumerate(units) if n not in gone))
    return garbage + total(frozenset().union(*units) - left)


@given(st.lists(NAMES, max_size=7), NAMES, st.integers(0, 10), st.integers(1, 90))
def test_enough_goes_or_all_that_can_and_nothing_in_vain(
    units: list[Objects], staying: Objects, garbage: int, needed: int
) -> None:
    gone, freed = leaving(weighed(units, staying, garbage), needed)
    everything = freed_by([*range(len(units))], units, staying, garbage)
    assert freed == freed_by(gone, units, staying, garbage)
    assert freed >= min(needed, everything)
    for one in gone:
        assert freed_by([n for n in gone if n != one], units, staying, garbage) < min(needed, everything)
    # None is younger than what it takes when all older ones go.
    if gone:
        assert freed_by([*range(gone[-1])], units, staying, garbage) < min(needed, everything)


@given(st.integers(1, 10**15), st.integers(0, 10**15), st.integers(1, 10**15), st.integers(1, 99))
def test_what_exceeds_a_limit(taken: int, free: int, limit: int, share: int) -> None:
    room = Room(taken, free, 2 * 10**15)
    assert Limits(max_size=limit).excess(room) == max(0, taken - limit)
    assert Limits(min_free=limit).excess(room) == Limits(min_free=limit).lacking(room) == max(0, limit - free)
    assert Limits(min_free_share=share).lacking(room) == max(0, 2 * 10**15 * share // 100 - free)
    assert Limits(max_size=limit, min_free=limit).excess(room) == max(0, taken - limit, limit - free)


@given(st.text(max_size=12))
def test_what_is_no_size_is_told(text: str) -> None:
    for parse in (parse_size, parse_free):
        try:
            found = parse(text)
        except UsageError:
            continue
        assert found


def test_sizes_as_people_write_them() -> None:
    assert [parse_size(t) for t in ("20GB", "1.5 tb", "512MiB", "7", "3 kB")] == [
        20 * 10**9, 15 * 10**11, 512 << 20, 7, 3000,
    ]  # fmt: skip
    assert parse_free("10%").min_free_share == 10 and parse_free("5GB").min_free == 5 * 10**9
