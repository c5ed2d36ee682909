"""Which snapshots passed, and when."""

from __future__ import annotations

from pathlib import Path

from gitsnap.sidecar.state import verifications
from tests.support.inprocess import START, Protected


def test_what_passed_is_remembered_and_what_failed_is_forgotten(protected: Protected) -> None:
    first, second = protected.take().snapshot, protected.take().snapshot
    verifications.record(protected.sidecar, [first, second], [], START, 1)
    assert verifications.load(protected.sidecar) == {first.commit: START, second.commit: START}
    verifications.record(protected.sidecar, [], [second], START, 1)
    assert verifications.load(protected.sidecar) == {first.commit: START}


def test_the_newest_that_passed(protected: Protected) -> None:
    taken = [protected.take().snapshot for _ in range(3)]
    assert verifications.newest_verified(protected.sidecar, taken, ()) is None
    verifications.record(protected.sidecar, taken[:2], [], START, 1)
    assert verifications.newest_verified(protected.sidecar, taken, ()) == taken[1].id
    assert verifications.newest_verified(protected.sidecar, taken, {taken[1].id}) == taken[0].id


def test_lines_that_do_not_parse(protected: Protected) -> None:
    path = Path(protected.sidecar.own("verified"))
    path.write_bytes(b"abc 2026-03-01T12:00:00+00:00\nabd yesterday\n\xff\nabe\n")
    assert verifications.load(protected.sidecar) == {"abc": START}
