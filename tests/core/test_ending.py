"""What is recorded of an upgrade: its text, and which upgrades' work a directory holds after rollbacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.counts import Counts, Status
from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_ending, parse_ending
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.upgrade import in_force, upgrades

COUNTS = st.dictionaries(st.sampled_from(Status), st.integers(1, 10**9))
WORDS = st.text(st.characters(codec="utf-8"))


@given(
    st.builds(
        Ending,
        st.just("2026-03-01T00-00-00Z-npm"),
        st.sampled_from(Outcome),
        st.none() | st.integers(-64, 255),
        WORDS,
        WORDS,
        WORDS,
        duration=st.none() | st.integers(0, 10**9).map(lambda n: n / 1000),
        changes=st.none() | st.builds(Counts, COUNTS, COUNTS),
    )
)
def test_a_record_is_read_as_it_was_written(ending: Ending) -> None:
    text = format_ending(ending)
    assert parse_ending(text) == ending
    # git's own reading of trailers needs one a line, in the last paragraph.
    assert text.count(b"\n\n") == 1


@pytest.mark.parametrize(
    "damage", [(b"kept", b"lost"), (b"Gitsnap-Outcome: kept\n", b""), (b"Gitsnap-", b"gitsnap-"), (b"npm:", b"yarn:")]
)
def test_what_nobody_wrote_is_refused(damage: tuple[bytes, bytes]) -> None:
    text = format_ending(Ending("2026-03-01T00-00-00Z-npm", Outcome.KEPT, 0))
    with pytest.raises(IntegrityError):
        parse_ending(text.replace(*damage))


def test_a_record_of_before_has_neither_duration_nor_counts() -> None:
    """As it was written until now, to the byte; and one that has a part of the counts is nobody's."""
    old = b"upgrade U: kept\n\nGitsnap-Upgrade: U\nGitsnap-Outcome: kept\nGitsnap-Exit-Code: 0\n"
    read = parse_ending(old)
    assert (read.outcome, read.duration, read.changes) == (Outcome.KEPT, None, None)
    for line in (b"Gitsnap-Changed-Files: 1 added\n", b"Gitsnap-Duration: 1\n", b"Gitsnap-Duration: nan\n"):
        with pytest.raises(IntegrityError):
            parse_ending(old + line)


def test_an_upgrade_took_what_is_recorded(pair: list[Snapshot]) -> None:
    """However long the commits lie apart, and whatever the clock did meanwhile."""
    pre, post = pair
    assert [u.seconds for u in upgrades([pre, post])] == [60.0]
    told = replace(pre, ending=Ending("A", Outcome.KEPT, 0, duration=2.5))
    early = replace(post, created=pre.created - timedelta(hours=1))
    assert [u.seconds for u in upgrades([told, early])] == [2.5]


@pytest.fixture
def pair() -> list[Snapshot]:
    return snapshots(("a0", Kind.PRE, "A", None), ("a1", Kind.POST, "A", None))


def snapshots(*what: tuple[str, Kind, str | None, str | None]) -> list[Snapshot]:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        Snapshot(name, name, "", when + timedelta(minutes=n), kind, "", "", 1, 1, "", "", upgrade=of, command=command)
        for n, (name, kind, of, command) in enumerate(what)
    ]


def test_whose_work_is_there() -> None:
    known = snapshots(
        ("old", Kind.MANUAL, None, None),
        ("a0", Kind.PRE, "A", None),
        ("a1", Kind.POST, "A", None),
        ("b0", Kind.PRE, "B", None),
        ("b1", Kind.POST, "B", None),
        # Back to before both, by a snapshot that is no upgrade's.
        ("s1", Kind.SAFETY, None, "gitsnap rollback old"),
        ("mid", Kind.MANUAL, None, None),
        # Undone: both are there again.
        ("s2", Kind.SAFETY, None, "gitsnap rollback s1"),
        # Some paths leave an upgrade what it is.
        ("s3", Kind.SAFETY, None, "gitsnap restore a0 -- file"),
    )
    held, now = in_force(known)
    assert {name: "".join(sorted(found)) for name, found in held.items()} == {
        "old": "",
        "a0": "",
        "a1": "A",
        "b0": "A",
        "b1": "AB",
        "s1": "AB",
        "mid": "",
        "s2": "",
        "s3": "AB",
    }
    assert now == {"A", "B"}


def test_a_rollback_that_came_to_nothing_took_nothing_away() -> None:
    known = snapshots(
        ("a0", Kind.PRE, "A", None),
        ("a1", Kind.POST, "A", None),
        ("s1", Kind.SAFETY, "A", "gitsnap rollback a0"),
        ("mid", Kind.MANUAL, None, None),
    )
    known[0] = replace(known[0], ending=Ending("A", Outcome.ROLLBACK_FAILED))
    held, now = in_force(known)
    assert (held["mid"], now) == ({"A"}, {"A"})


def test_without_a_record_snapshots_tell_as_ever() -> None:
    known = snapshots(
        ("a0", Kind.PRE, "A", None), ("a1", Kind.POST, "A", None), ("s", Kind.SAFETY, "A", "gitsnap rollback a0")
    )
    assert [u.outcome for u in upgrades(known)] == [Outcome.ROLLED_BACK]
    assert [u.outcome for u in upgrades(known[:2])] == [Outcome.KEPT]
    assert [u.outcome for u in upgrades(known[:1])] == [None]
