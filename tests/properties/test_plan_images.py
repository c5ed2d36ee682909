"""Databases of which the live tree has an image: their journals go with them, before them, and never without them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.model import Entry, Image, Inventory, Problem, Type
from gitsnap.core.plan import Action, make_plan
from tests.support.examples import examples

ROOT = Entry(b"", Type.DIR, 0o755)
JOURNALS = [b"d/db-journal", b"d/db-shm", b"d/db-wal"]
KINDS = st.sampled_from([None, Type.FILE, Type.FILE, Type.LINK, Type.DIR])


def entry(path: bytes, kind: Type, content: bytes = b"", time: int = 0) -> Entry:
    found = Entry(path, kind, 0o644, mtime_ns=time, target=b"x" if kind is Type.LINK else b"")
    if kind is Type.FILE:
        found.sha256 = found.oid = content
    return found


@st.composite
def targets(draw: st.DrawFn) -> Inventory:
    """A target that has the database and its journals as anything, or not at all."""
    entries = [ROOT]
    if draw(st.integers(0, 5)):
        entries.append(Entry(b"d", Type.DIR, 0o755))
        kind = draw(KINDS)
        if kind is not None:
            entries.append(entry(b"d/db", kind, draw(st.sampled_from([b"one", b"two"])), draw(st.integers(0, 1))))
        journals = [(path, draw(KINDS)) for path in JOURNALS if draw(st.integers(0, 2)) == 0]
        entries += [entry(path, kind, b"log") for path, kind in journals if kind is not None]
    return Inventory(entries=entries)


@examples(300)
@given(
    wanted=targets(),
    beside=st.sets(st.sampled_from(JOURNALS), min_size=1),
    scope=st.sampled_from([b"", b"d/db", b"other"]),
    guarded=st.booleans(),
    ignored=st.booleans(),
    partial=st.booleans(),
)
def test_a_database_that_is_replaced_keeps_no_journal_of_before(
    wanted: Inventory, beside: set[bytes], scope: bytes, guarded: bool, ignored: bool, partial: bool
) -> None:
    live = Inventory(entries=[ROOT, Entry(b"d", Type.DIR, 0o755), entry(b"d/db", Type.FILE, b"one")])
    live.entries[2].size = 4
    live.images[b"d/db"] = Image(tuple(Entry(p, Type.FILE, 0o600) for p in sorted(beside)), 2)
    if partial:
        wanted.partial = [Problem(b"d/db", "changed while it was read")]
    on_disk = live.on_disk()
    assert [e.path for e in on_disk.entries] == [b"", b"d", b"d/db", *sorted(beside)]
    assert on_disk.entries[2].size == 2
    plan = make_plan(
        wanted,
        on_disk,
        scope=lambda path: not scope or path == scope,
        # An ignore rule for journals does not hold for these.
        protected=lambda path, _: (guarded and path == b"d/db") or (ignored and path in JOURNALS),
    )
    moves = [s for s in plan.steps if s.action is not Action.METADATA]
    at: dict[bytes, int] = {}
    for number, step in enumerate(moves):
        if step.path in {b"d/db", *beside}:
            at.setdefault(step.path, number)
    if b"d/db" not in at:
        assert not at
        return
    assert scope != b"other"
    assert not guarded
    assert not partial
    held = {e.path for e in wanted.entries}
    for path in beside:
        assert path in at
        step = moves[at[path]]
        assert (step.action is Action.REMOVE) is (path not in held or by_type(wanted, path) is Type.DIR)
        if step.action is Action.REMOVE:
            database = moves[at[b"d/db"]]
            assert at[path] < at[b"d/db"] or database.action is Action.REMOVE
    if held.isdisjoint(beside):
        by_path = wanted.by_path()
        same = b"d/db" in by_path and by_path[b"d/db"].sha256 == b"one"
        assert not same


def by_type(inventory: Inventory, path: bytes) -> Type:
    return inventory.by_path()[path].type
