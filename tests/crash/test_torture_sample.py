"""A sample of every kind of trouble in tests/torture; `make torture` runs all of it."""

from __future__ import annotations

import pytest

from tests.torture.kinds import Share, all_kinds

pytestmark = pytest.mark.long

# How many points of each kind a normal run takes; of a kind that is not named, so many.
OTHERS = 4
SAMPLE = {
    "killed: rollback": 5,
    "killed: restore": 2,
    "killed: undo": 2,
    "killed: recover --finish": 2,
    "killed: recover --revert": 2,
    "errors: rollback": 4,
    "errors: restore": 2,
    "errors: recover --finish": 2,
    "power cut: rollback, ext4": 2,
    "power cut: rollback, xfs": 2,
    "power cut: recover, ext4": 2,
    "power cut: recover, xfs": 2,
    "killed: rollback, btrfs": 2,
    "errors: rollback, btrfs": 2,
    "killed: recover --revert, btrfs": 2,
    "power cut: rollback, btrfs": 2,
    "power cut: recover, btrfs": 2,
    "privacy: readers during rollbacks": 3,
    "privacy: rollback, killed": 2,
    "privacy: recover --finish, killed": 2,
    "privacy: recover --revert, killed": 2,
    "killed: snapshot": 4,
    "errors: snapshot": 4,
    "killed: prune and gc": 3,
    "killed: gc of many packs": 2,
    "errors: gc of many packs": 2,
    "power cut: gc of many packs, ext4": 2,
    "killed: push": 3,
    "errors: push": 2,
    "killed: pull": 2,
    "errors: pull": 2,
    "killed: push into a folder": 2,
    "errors: push into a folder": 2,
    "errors: prune and gc": 2,
    "killed: clone": 4,
    "errors: clone": 4,
    "killed: clone into an empty directory": 3,
    "killed: adopt": 3,
    "errors: adopt": 2,
    "killed: delete": 2,
    "killed: undelete": 2,
    "killed: purge": 2,
    "killed: limits": 2,
    "errors: delete": 2,
    "errors: undelete": 2,
    "errors: purge": 2,
    "errors: limits": 2,
    "killed: audit log": 5,
    "errors: audit log": 3,
    "power cut: audit log, ext4": 2,
    "damage: fresh": 3,
    "damage: after gc": 3,
    "damage: commit-graph, loose": 3,
    "hostile sidecars: refused": 5,
    "odd sidecars: accepted": 3,
    "hostile sources: refused": 5,
    "odd sources: accepted": 2,
    "symlink races: reading": 20,
    "symlink races: writing": 4,
    "churn beside stock git": 2,
    "fuzzing: random changes": 300,
    "fuzzing: atheris": 100,
    "set: run whose checks go on, killed": 2,
    "set: run whose checks go on and fail, killed": 2,
    "set: failing run, killed": 2,
    "set: run, killed": 2,
    "set: rollback, killed": 2,
    "set: recover, killed": 2,
    "set: recover --revert, killed": 2,
    "set: failing run, errors": 2,
    "set: run, errors": 2,
    "set: rollback, errors": 2,
    "set: recover, errors": 2,
    "set: failing run, power cut": 2,
    "set: rollback, power cut": 2,
    "set: recover, power cut": 2,
    "waiting: run --soak, killed": 3,
    "waiting: run --soak that fails, killed": 2,
    "waiting: run --confirm, killed": 2,
    "waiting: keep, killed": 2,
    "waiting: recover too late, killed": 2,
    "waiting: recover goes on, killed": 2,
    "waiting: recover of a command, killed": 2,
    "waiting: run --soak, errors": 2,
    "waiting: keep, errors": 2,
    "waiting: recover too late, errors": 2,
}


# A point on a large tree takes seconds, and making one takes ten: those are for `make torture`.
@pytest.mark.parametrize("name", sorted(name for name in all_kinds() if not name.startswith("large: ")))
def test_nothing_is_lost(name: str) -> None:
    tally = all_kinds()[name](Share(SAMPLE.get(name, OTHERS)))
    if tally.note.startswith("skipped"):
        pytest.skip(tally.note)
    print(tally.line(name))
    assert tally.lost == []
    assert tally.points >= SAMPLE.get(name, OTHERS)
