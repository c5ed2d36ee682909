"""Undo and redo against what an editor does: a list of states, and the place in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.retention import Policy, decide
from gitsnap.core.reversal import chains

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Directory:
    """A directory with its snapshots, of which only the state matters, beside the editor's two stacks."""

    state: str = "0"
    snapshots: list[Snapshot] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    redo: list[str] = field(default_factory=list)

    def take(self, kind: Kind, **facts: str | None) -> Snapshot:
        number = len(self.snapshots) + 1
        name = f"s{number}"
        taken = Snapshot(
            name, "", "", START + timedelta(hours=number), kind, kind.value, "", 1, 1, self.state, self.state,
            sequence=number, **facts,  # type: ignore[arg-type]
        )  # fmt: skip
        self.snapshots.append(taken)
        return taken

    def of(self, name: str) -> str:
        return next(s.manifest_sha256 for s in self.snapshots if s.id == name)

    def step(self, what: str, number: int) -> None:
        if what == "edit":
            self.state = f"edit {number}"
        elif what == "rollback":
            self.undo.append(self.state)
            self.redo.clear()
            self.take(Kind.SAFETY)
            self.state = f"back {number}"
        elif what == "undo" and self.undo:
            aim = chains(self.snapshots).undo[-1]
            assert self.of(aim.id) == self.undo[-1]
            self.redo.append(self.state)
            self.take(Kind.SAFETY, undoes=aim.id)
            self.state = self.undo.pop()
        elif what == "redo" and self.redo:
            aim = chains(self.snapshots).redo[-1]
            assert self.of(aim.id) == self.redo[-1]
            self.undo.append(self.state)
            self.take(Kind.SAFETY, redoes=aim.id)
            self.state = self.redo.pop()
        elif what in ("snapshot", "upgrade"):
            last = chains(self.snapshots).last
            there = self.of(last.undoes or last.redoes or "") if last else None
            if what == "upgrade" or self.state != there:
                self.redo.clear()
            self.take(Kind.PRE if what == "upgrade" else Kind.MANUAL)


STEPS = st.lists(st.sampled_from(["edit", "rollback", "undo", "redo", "snapshot", "upgrade"]), max_size=30)


@given(STEPS)
def test_as_in_an_editor(steps: list[str]) -> None:
    there = Directory()
    for number, what in enumerate(steps):
        there.step(what, number)
        found = chains(there.snapshots)
        assert [there.of(s.id) for s in found.undo] == there.undo
        assert [there.of(s.id) for s in found.redo] == there.redo


@given(STEPS, st.integers(1, 4))
def test_retention_keeps_the_next_step_both_ways(steps: list[str], keep: int) -> None:
    there = Directory()
    for number, what in enumerate(steps):
        there.step(what, number)
    before = chains(there.snapshots)
    decisions = decide(
        there.snapshots, Policy(keep_last=keep), now=START + timedelta(days=9), zone=UTC, newest_verified=None
    )
    kept = {d.snapshot.id for d in decisions if d.keep}
    after = chains([s for s in there.snapshots if s.id in kept])
    assert after.undo[-1:] == before.undo[-1:]
    # Where what had ended them is gone itself, there seem to be steps forward: redo asks the register, too.
    assert after.redo[-1:] == before.redo[-1:] or not before.redo
    assert {s.id for s in (*before.undo[-1:], *before.redo[-1:])} <= kept


@given(STEPS, st.sets(st.integers(1, 30)))
def test_what_is_gone_shortens_the_chain_and_no_more(steps: list[str], gone: set[int]) -> None:
    """Without some of the snapshots that rollbacks left, undo brings back what is left of what it would have."""
    there = Directory()
    for number, what in enumerate(steps):
        there.step(what, number)
    left = [s for s in there.snapshots if s.undoes or s.redoes or s.sequence not in gone]
    assert list(chains(left).undo) == [s for s in chains(there.snapshots).undo if s in left]
