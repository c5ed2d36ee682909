"""A sample of every kind of trouble in tests/torture; `make torture` runs all of it."""

from __future__ import annotations

import pytest

from tests.torture.kinds import Share, all_kinds

pytestmark = pytest.mark.long

# How many points of each kind a normal run takes.
SAMPLE = {
    "killed: rollback": 14,
    "killed: restore": 6,
    "killed: undo": 6,
    "killed: recover --finish": 6,
    "killed: recover --revert": 6,
    "errors: rollback": 12,
    "errors: restore": 6,
    "errors: recover --finish": 6,
    "power cut: rollback, ext4": 5,
    "power cut: rollback, xfs": 3,
    "power cut: recover, ext4": 3,
    "power cut: recover, xfs": 2,
    "killed: rollback, btrfs": 6,
    "errors: rollback, btrfs": 6,
    "killed: recover --revert, btrfs": 4,
    "power cut: rollback, btrfs": 3,
    "power cut: recover, btrfs": 2,
    "privacy: readers during rollbacks": 6,
    "privacy: rollback, killed": 6,
    "privacy: recover --finish, killed": 3,
    "privacy: recover --revert, killed": 3,
    "killed: snapshot": 12,
    "errors: snapshot": 10,
    "killed: prune and gc": 7,
    "errors: prune and gc": 6,
    "damage: fresh": 8,
    "damage: after gc": 8,
    "damage: commit-graph, loose": 8,
    "hostile sidecars: refused": 14,
    "odd sidecars: accepted": 5,
    "symlink races: reading": 40,
    "symlink races: writing": 8,
    "churn beside stock git": 7,
    "fuzzing: random changes": 1000,
    "fuzzing: atheris": 200,
}


@pytest.mark.parametrize("name", sorted(all_kinds()))
def test_nothing_is_lost(name: str) -> None:
    tally = all_kinds()[name](Share(SAMPLE.get(name, 20)))
    if tally.note.startswith("skipped"):
        pytest.skip(tally.note)
    print(tally.line(name))
    assert tally.lost == []
    assert tally.points >= SAMPLE.get(name, 20)
