"""How much of a term has passed, by clocks that jump and over restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.deadline import Reading, Term

BEGAN = Reading("one", 1000.0, 1_700_000_000.0)
SECONDS = st.floats(0, 1e6)


@given(SECONDS, st.floats(-1e9, 1e9))
def test_in_one_boot_the_wall_clock_is_of_no_consequence(passed: float, jump: float) -> None:
    now = Reading("one", BEGAN.ticks + passed, BEGAN.wall + jump)
    assert abs(Term(BEGAN).passed(now) - passed) < 1e-6


@given(SECONDS, SECONDS, st.floats(-1e9, 0))
def test_after_a_restart_a_clock_that_went_back_hides_nothing_that_has_surely_passed(
    seen: float, up: float, jump: float
) -> None:
    assert Term(BEGAN, seen).passed(Reading("two", up, BEGAN.wall + jump)) == seen + up


def test_after_a_restart_the_wall_clock_tells_how_long_the_machine_was_off() -> None:
    term = Term(BEGAN, seen=60.0)
    assert term.passed(Reading("two", 300.0, BEGAN.wall + 7200)) == 7200


def test_a_clock_that_is_ahead_at_boot_is_not_believed_until_it_could_be_set() -> None:
    term = Term(BEGAN, seen=60.0)
    assert term.passed(Reading("two", 30.0, BEGAN.wall + 7200)) == 90
    assert term.passed(Reading("two", 130.0, BEGAN.wall + 200)) == 200


def test_it_never_goes_back_below_nothing() -> None:
    assert Term(BEGAN).passed(Reading("one", BEGAN.ticks - 5, BEGAN.wall)) == 0
