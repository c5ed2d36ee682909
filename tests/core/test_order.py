"""The order of snapshots: as they were taken, whatever the clock said."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import following, in_order, newest, taken_by

START = datetime(2026, 3, 1, tzinfo=UTC)


def made(name: str, hour: float, sequence: int | None, kind: Kind = Kind.MANUAL) -> Snapshot:
    when = START + timedelta(hours=hour)
    return Snapshot(f"{when:%Y-%m-%dT%H-%M-%SZ}-{name}", "", "", when, kind, name, "", 0, 0, "", "", sequence=sequence)


def shuffled(*snapshots: Snapshot) -> list[str]:
    mixed = [*snapshots]
    random.Random(7).shuffle(mixed)
    return [s.label for s in in_order(mixed)]


def test_the_number_decides_and_not_the_clock() -> None:
    assert shuffled(made("a", 5, 1), made("b", 1, 2), made("c", 3, 3)) == ["a", "b", "c"]


def test_those_without_a_number_come_first_by_their_time() -> None:
    assert shuffled(made("old2", 9, None), made("old1", 8, None), made("new", 1, 1)) == ["old1", "old2", "new"]


def test_clones_that_went_on_apart_are_told_by_time() -> None:
    assert shuffled(made("a", 1, 1), made("here", 3, 2), made("there", 2, 2)) == ["a", "there", "here"]


def test_a_copy_stands_where_its_time_puts_it() -> None:
    taken = [made("a", 10, 1), made("b", 12, 2)]
    for hour, where in ((9, 0), (11, 1), (12, 2), (99, 2)):
        copy = made("copy", hour, None, Kind.IMPORTED)
        assert shuffled(*taken, copy).index("copy") == where
    assert newest(in_order([*taken, copy])) == taken[1]
    assert newest([copy]) is copy
    assert newest([]) is None


def test_one_wrong_clock_moves_no_copy() -> None:
    copy = made("copy", 11.5, None, Kind.IMPORTED)
    ahead = [made("a", 10, 1), made("wrong", 20, 2), made("b", 11, 3), made("c", 12, 4)]
    assert shuffled(*ahead, copy) == ["a", "wrong", "b", "copy", "c"]
    behind = [made("a", 10, 1), made("b", 11, 2), made("wrong", 1, 3), made("c", 12, 4)]
    assert shuffled(*behind, copy) == ["a", "b", "wrong", "copy", "c"]
    assert shuffled(*behind, made("copy", 5, None, Kind.IMPORTED))[0] == "copy"


def test_copies_keep_their_own_order() -> None:
    copies = [made(f"copy{n}", n, None, Kind.IMPORTED) for n in (1, 5, 30)]
    assert shuffled(made("a", 3, 1), *copies) == ["copy1", "a", "copy5", "copy30"]
    assert shuffled(*copies) == ["copy1", "copy5", "copy30"]


def test_the_next_number_is_greater_than_all_that_are_known() -> None:
    assert following([]) == 1
    assert following([made("a", 1, 4), made("old", 9, None)], [7]) == 8
    assert following([made("forged", 1, 10**18 - 1)]) == 10**18 - 1


def by(hour: float, *snapshots: Snapshot, now: float = 99) -> list[str]:
    return [s.label for s in taken_by(in_order(snapshots), START + timedelta(hours=hour), START + timedelta(hours=now))]


def test_what_was_taken_by_a_time() -> None:
    taken = [made("a", 1, 1), made("b", 2, 2), made("copy", 2.5, None, Kind.IMPORTED), made("c", 3, 3)]
    assert by(0.9, *taken) == []
    assert by(1, *taken) == ["a"]
    assert by(2.9, *taken) == ["a", "b", "copy"]
    assert by(50, *taken) == by(3, *taken) == ["a", "b", "copy", "c"]
    assert by(50, taken[2]) == ["copy"]


def test_a_clock_that_was_wrong_once_does_not_say_what_was_there_then() -> None:
    # Behind: what was taken after hour 10 is never what was there at hour 9.
    behind = [made("a", 8, 1), made("b", 9, 2), made("c", 10, 3), made("reset", -400, 4), made("d", 12, 5)]
    assert by(9, *behind) == ["a", "b"]
    assert by(11, *behind) == ["a", "b", "c", "reset"]
    assert by(5, *behind) == []
    # Ahead: those after it count all the same, and it does not itself.
    ahead = [made("a", 1, 1), made("wrong", 50, 2), made("b", 3, 3), made("c", 4, 4), made("d", 5, 5)]
    assert by(4, *ahead) == ["a", "b", "c"]
    assert by(60, *ahead) == ["a", "wrong", "b", "c", "d"]
    # Yet to come, it is wrong for certain.
    assert by(3, *ahead[:3], now=40) == ["a", "b"]
    assert by(40, *ahead[:3], now=40) == ["a", "wrong", "b"]


def test_of_two_that_contradict_each_other_neither_is_named_as_older() -> None:
    assert by(5, made("a", 10, 1), made("b", 4, 2)) == []
    assert by(5, made("z", 1, 1), made("a", 10, 2), made("b", 4, 3)) == ["z"]
