"""A sample of every kind of trouble in tests/torture; `make torture` runs all of it."""

from __future__ import annotations

import pytest

from tests.torture.kinds import Share, all_kinds

pytestmark = pytest.mark.long

# How many points of each kind a normal run takes.
SAMPLE = {
    "killed: rollback": 9,
    "killed: restore": 4,
    "killed: undo": 4,
    "killed: recover --finish": 4,
    "killed: recover --revert": 4,
    "errors: rollback": 8,
    "errors: restore": 4,
    "errors: recover --finish": 4,
    "power cut: rollback, ext4": 3,
    "power cut: rollback, xfs": 2,
    "power cut: recover, ext4": 2,
    "power cut: recover, xfs": 2,
    "killed: rollback, btrfs": 3,
    "errors: rollback, btrfs": 3,
    "killed: recover --revert, btrfs": 2,
    "power cut: rollback, btrfs": 2,
    "power cut: recover, btrfs": 2,
    "privacy: readers during rollbacks": 6,
    "privacy: rollback, killed": 3,
    "privacy: recover --finish, killed": 2,
    "privacy: recover --revert, killed": 2,
    "killed: snapshot": 8,
    "errors: snapshot": 8,
    "killed: prune and gc": 5,
    "killed: push": 6,
    "errors: prune and gc": 4,
    "killed: clone": 8,
    "errors: clone": 8,
    "killed: clone into an empty directory": 6,
    "killed: adopt": 5,
    "killed: delete": 4,
    "killed: undelete": 4,
    "killed: purge": 4,
    "killed: limits": 3,
    "errors: delete": 3,
    "errors: undelete": 3,
    "errors: purge": 3,
    "errors: limits": 3,
    "killed: audit log": 9,
    "errors: audit log": 6,
    "power cut: audit log, ext4": 3,
    "damage: fresh": 6,
    "damage: after gc": 6,
    "damage: commit-graph, loose": 6,
    "hostile sidecars: refused": 10,
    "odd sidecars: accepted": 5,
    "hostile sources: refused": 10,
    "odd sources: accepted": 4,
    "symlink races: reading": 40,
    "symlink races: writing": 8,
    "churn beside stock git": 4,
    "fuzzing: random changes": 600,
    "fuzzing: atheris": 200,
    "set: failing run, killed": 8,
    "set: run, killed": 6,
    "set: rollback, killed": 6,
    "set: recover, killed": 4,
    "set: recover --revert, killed": 4,
    "set: failing run, errors": 3,
    "set: run, errors": 3,
    "set: rollback, errors": 3,
    "set: recover, errors": 2,
    "set: failing run, power cut": 2,
    "set: rollback, power cut": 2,
    "set: recover, power cut": 2,
    "waiting: run --soak, killed": 6,
    "waiting: run --soak that fails, killed": 4,
    "waiting: run --confirm, killed": 4,
    "waiting: keep, killed": 4,
    "waiting: recover too late, killed": 4,
    "waiting: recover goes on, killed": 4,
    "waiting: recover of a command, killed": 3,
    "waiting: run --soak, errors": 4,
    "waiting: keep, errors": 3,
    "waiting: recover too late, errors": 3,
}


@pytest.mark.parametrize("name", sorted(all_kinds()))
def test_nothing_is_lost(name: str) -> None:
    tally = all_kinds()[name](Share(SAMPLE.get(name, 20)))
    if tally.note.startswith("skipped"):
        pytest.skip(tally.note)
    print(tally.line(name))
    assert tally.lost == []
    assert tally.points >= SAMPLE.get(name, 20)
