"""What goes to the other side: which refs with which values, and the objects that it lacks for them.

The order of the updates is the argument, as in publish: notes first, then snapshots. Whoever sees a snapshot over there
can read its notes. Nothing is removed here; `pruned` says what would be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1, sha256
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.machine import Machine, format_machine
from gitsnap.core.model import Snapshot
from gitsnap.core.order import newest
from gitsnap.core.remote import HEADS, MACHINE, NOTES_OF, Layout, Remote, here, there
from gitsnap.sidecar import catalog, rollbacks, signatures, timeline
from gitsnap.sidecar.git import commits, notes, refs
from gitsnap.sidecar.git.new_objects import COMMIT, TREE, NewObjects
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register, verifications

NOBODY = "0" * 40
_TEXTS = (refs.MANIFESTS, refs.METADATA)
_ALONGSIDE = (refs.PINS, *refs.RECORDS)
_PRUNED = (refs.SNAPSHOTS, *_ALONGSIDE, refs.SIGNED, NOTES_OF)

Notes = Mapping[str, Mapping[str, str]]


class NotesThere(NamedTuple):
    """The notes that a ref over there holds, by commit, and the hex id of its tree: whoever wrote it may have laid it
    out in another way than we do."""

    notes: Mapping[str, str]
    tree: str


# Of a ref's name here and its value there.
FindNotes = Callable[[str, str], NotesThere]


@dataclass(slots=True)
class Local:
    """What is here: all `living` snapshots, those of them that are to be over there (`chosen`), both in order; all
    notes by ref and commit; and every commit that is or was a snapshot of this installation."""

    living: catalog.Living
    chosen: list[Snapshot]
    notes: Notes
    ours: frozenset[str]
    # Of one of many: what goes along of this machine.
    machine: Machine | None = None


@dataclass(slots=True)
class Outgoing:
    """`updates` are new values by the names over there, in order (NOBODY: it goes). `fresh` are snapshots that were not
    there, `held_back` those that stay away, with why. `notes` are what the refs of notes will hold, `trees` by
    which trees, `audit` why the
    audit log does not go (empty: it does, or is there)."""

    updates: dict[str, str]
    objects: NewObjects
    fresh: list[Snapshot] = field(default_factory=list)
    held_back: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    audit: str = ""


def digest(sidecar: Sidecar, remote: Remote) -> str:
    """Of all refs here, and of how the remote is set: the same means that the same is to be there."""
    held = sidecar.refs.below("refs/")
    text = "".join(f"{held[name]} {name}\n" for name in sorted(held))
    if remote.installation is not None:
        text += "".join(f"{when} {commit}\n" for commit, when in sorted(verifications.load(sidecar).items()))
    return sha256(f"{remote.layout} {remote.keep}\n{text}".encode("utf-8", "surrogateescape")).hexdigest()


def local(sidecar: Sidecar, keep: int | None) -> Local:
    """What is here; of `keep` snapshots at most the newest are to go, and those that are pinned."""
    living = catalog.snapshots(sidecar)
    held = {}
    for ref in _TEXTS:
        found, _ = notes.load(sidecar.objects, sidecar.refs.get(ref))
        held[ref] = {commit: blob.hex() for commit, blob in found.items()}
    known = register.load(sidecar)
    ours = {s.commit for s in living} | {line.commit for line in known.taken.values()}
    ours |= {*sidecar.refs.below(refs.DELETED, {}).values()}
    return Local(living, to_go(living, keep), held, frozenset(ours))


def to_go(living: Sequence[Snapshot], keep: int | None) -> list[Snapshot]:
    """Those that are to be over there: the newest `keep` (None: all), and those that are pinned."""
    newest_ones = {s.id for s in (living[-keep:] if keep is not None else living)}
    return [s for s in living if s.id in newest_ones or s.pinned]


def mine(theirs: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """Of the refs over there those of this installation: their values by their names over there."""
    found = {}
    for name, value in theirs.items():
        place = here(name)
        if place is None or place.layout.installation != layout.installation:
            continue
        # The names of these do not tell whether only heads and tags are taken.
        if (
            place.local == refs.TIMELINE
            or place.local.startswith(refs.SIGNED)
            or place.layout.refspec == layout.refspec
        ):
            found[name] = value
    return found


def snapshots_there(theirs: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """The commits of this installation's snapshots over there, by id."""
    found = {}
    for name, value in mine(theirs, layout).items():
        place = here(name)
        if place and place.local.startswith(refs.SNAPSHOTS):
            found[place.local[len(refs.SNAPSHOTS) :]] = value
    return found


def is_ancestor(store: ObjectStore, old: str, new: str) -> bool:
    """Whether a commit is another one, or comes before it. IntegrityError where the way cannot be read."""
    at: str | None = new
    while at is not None and at != old:
        at = commits.parse(store.read(bytes.fromhex(at), b"commit")[1], at).parent
    return at is not None


class Planner:
    """Plans one exchange with a side that has the refs `theirs`; `notes_there` knows what its refs of notes hold."""

    def __init__(
        self,
        sidecar: Sidecar,
        layout: Layout,
        what: Local,
        theirs: Mapping[str, str],
        notes_there: FindNotes,
    ) -> None:
        self._sidecar, self._layout, self._local = sidecar, layout, what
        self._theirs, self._notes_there = theirs, notes_there
        self._snapshots = snapshots_there(theirs, layout)
        objects = sidecar.objects
        values = {value for name, value in theirs.items() if name.startswith("refs/")}
        missing = objects.missing({bytes.fromhex(v) for v in values})
        self.out = Outgoing({}, NewObjects(objects, [v for v in values if bytes.fromhex(v) not in missing]))

    def _set(self, local_name: str, value: str) -> None:
        name = there(local_name, self._layout, value)
        if name is not None and self._theirs.get(name) != value:
            self.out.updates[name] = value

    # Snapshots, with what goes with them.

    def copies(self, *, replace: bool = False, notes_only: bool = False) -> Outgoing:
        """Everything but the timeline. With `replace`, what is another commit over there is replaced. With `notes_only`
        no more than must be there before the snapshots, for a side that cannot take all at once."""
        held = self._held()
        going = self._going(replace=replace, notes_only=notes_only)
        if self._layout.refspec == HEADS:
            self._texts_apart(going)
        else:
            self._texts(going, held)
        if notes_only:
            return self.out
        for snapshot in going:
            self._set(refs.SNAPSHOTS + snapshot.id, snapshot.commit)
        by_id = {s.id: s for s in going}
        for name, commit in self._sidecar.refs.below(refs.PINS, {}).items():
            if name in by_id and by_id[name].commit == commit:
                self._set(refs.PINS + name, commit)
        self._signatures(going)
        self._records({s.tree for s in going})
        self._audit()
        self._machine()
        self.out.objects.settle()
        return self.out

    def _signatures(self, going: Sequence[Snapshot]) -> None:
        """Tags that were signed after a snapshot was taken."""
        for ref, tag in sorted(signatures.of_ids(self._sidecar, {s.id for s in going}).items()):
            try:
                self.out.objects.add_tag(tag)
                self._set(ref, tag)
            except IntegrityError:
                # verify --signed tells of it; no snapshot needs it.
                continue

    def _machine(self) -> None:
        """Who sends this, where there are many."""
        machine = self._local.machine
        if machine is None or there(MACHINE, self._layout) is None or not self._local.living:
            return
        when = max(self._when(), machine.at or self._when())
        tree = self.out.objects.add(TREE, b"")
        self._set(MACHINE, self.out.objects.add(COMMIT, commits.form(tree, format_machine(machine), when)).hex())

    def _audit(self) -> None:
        """The audit log, which is never rewound: what is over there has to be a part of what is here."""
        audit = self._sidecar.refs.get(refs.AUDIT)
        at = self._theirs.get(there(refs.AUDIT, self._layout) or "")
        if audit is None or at == audit:
            return
        try:
            if at is not None and not is_ancestor(self._sidecar.objects, at, audit):
                self.out.audit = "the audit log over there has lines that are not here, and stays"
                return
            self.out.objects.add_commit(audit)
            self._set(refs.AUDIT, audit)
        except IntegrityError as error:
            self.out.audit = f"the audit log cannot be sent: {error.message}"

    def _held(self) -> dict[str, Mapping[str, str]]:
        """The notes that are over there, by ref. Their texts need not be sent."""
        held: dict[str, Mapping[str, str]] = {}
        for ref in _TEXTS:
            if self._layout.refspec != HEADS:
                at = self._theirs.get(there(ref, self._layout) or "")
                found = self._notes_there(ref, at) if at else NotesThere({}, "")
                held[ref], self.out.trees[ref] = found.notes, found.tree
            else:
                apart = {c for i, c in self._snapshots.items() if there(NOTES_OF + i, self._layout) in self._theirs}
                held[ref] = {c: blob for c, blob in self._local.notes[ref].items() if c in apart}
            self.out.objects.known.update(bytes.fromhex(blob) for blob in held[ref].values())
        return held

    def _going(self, *, replace: bool, notes_only: bool) -> list[Snapshot]:
        """The snapshots that are over there, or are to be; their objects are collected."""
        going: list[Snapshot] = []
        before: Snapshot | None = None
        for snapshot in self._local.chosen:
            at = self._snapshots.get(snapshot.id)
            try:
                if at not in (None, snapshot.commit) and not replace:
                    raise IntegrityError("another commit has its id over there; `push --prune` replaces it")
                if at != snapshot.commit:
                    near = bytes.fromhex(before.tree) if before else self._any_tree()
                    self._texts_of(snapshot, before)
                    if not notes_only:
                        self.out.objects.add_commit(snapshot.commit, near)
                    self.out.fresh.append(snapshot)
            except IntegrityError as error:
                self.out.held_back[snapshot.id] = error.message
                continue
            going.append(snapshot)
            before = snapshot
        for name, damage in self._local.living.damaged:
            if name not in self._snapshots:
                self.out.held_back[name] = damage.message
        return going

    def _any_tree(self) -> bytes | None:
        """That of a snapshot that is over there: all of it need not be compared."""
        at = set(self._snapshots.values())
        return next((bytes.fromhex(s.tree) for s in self._local.living if s.commit in at), None)

    def _texts_of(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        for ref in _TEXTS:
            held = self._local.notes[ref]
            if snapshot.commit not in held:
                raise IntegrityError(f"its {ref.rpartition('/')[2]} is missing")
            old = held.get(before.commit) if before else None
            self.out.objects.add_blob(bytes.fromhex(held[snapshot.commit]), bytes.fromhex(old) if old else None)

    def _texts(self, going: Sequence[Snapshot], there_: Mapping[str, Mapping[str, str]]) -> None:
        """Refs of notes: what is there, and what goes."""
        for ref in _TEXTS:
            held, known = there_[ref], self._local.notes[ref]
            wanted = dict(held) | {s.commit: known[s.commit] for s in going if s.commit in known}
            self.out.notes[ref] = wanted
            if wanted != held:
                # Those of snapshots that are there, and whose notes were lost there.
                lacking = [s for s in going if held.get(s.commit) != wanted.get(s.commit) and s not in self.out.fresh]
                for snapshot in lacking:
                    self._texts_of(snapshot, None)
                self._set(ref, self._notes_commit(ref, wanted, held))

    def _notes_commit(self, ref: str, wanted: Mapping[str, str], held: Mapping[str, str]) -> str:
        """Write it, and its trees, as publish does; the very one that is here, where that says the same."""
        objects, when = self.out.objects, self._when()
        old = _Trees()
        if held:
            notes.write(old, _raw(held), "", when)
        if old.root.hex() == self.out.trees[ref]:
            objects.known |= old.by_id.keys()
            objects.regenerated |= old.by_id
        fresh = _Trees()
        notes.write(fresh, _raw(wanted), "", when)
        for oid, data in fresh.by_id.items():
            if oid not in objects:
                objects.add(TREE, data)
                if oid == fresh.root and old.root in objects.regenerated:
                    objects.before[oid] = old.root
        self.out.trees[ref] = fresh.root.hex()
        mine_ = self._sidecar.refs.get(ref)
        if mine_ is not None and wanted == self._local.notes[ref]:
            data = self._sidecar.objects.read(bytes.fromhex(mine_), b"commit")[1]
            if commits.parse(data, mine_).tree == fresh.root.hex():
                return objects.add(COMMIT, data).hex()
        message = f"{ref.rpartition('/')[2]} of {len(wanted)} snapshots\n".encode()
        return objects.add(COMMIT, commits.form(fresh.root, message, when)).hex()

    def _when(self) -> datetime:
        last = newest(self._local.living)
        assert last is not None
        return last.created

    def _texts_apart(self, going: Sequence[Snapshot]) -> None:
        """A commit for each snapshot, the same whoever makes it."""
        objects = self.out.objects
        for snapshot in going:
            name = there(NOTES_OF + snapshot.id, self._layout)
            if name in self._theirs:
                continue
            if snapshot not in self.out.fresh:
                self._texts_of(snapshot, None)
            texts = [(ref.rpartition("/")[2], self._local.notes[ref][snapshot.commit]) for ref in sorted(_TEXTS)]
            tree = objects.add(TREE, b"".join(b"100644 %s\0%s" % (t.encode(), bytes.fromhex(b)) for t, b in texts))
            message = f"texts of {snapshot.id}\n".encode()
            commit = objects.add(COMMIT, commits.form(tree, message, snapshot.created))
            self._set(NOTES_OF + snapshot.id, commit.hex())

    def _records(self, known_trees: set[str]) -> None:
        """What is said of snapshots: as far as the states that it is about are there."""
        for prefix in refs.RECORDS:
            for name, commit in sorted(self._sidecar.refs.below(prefix, {}).items()):
                try:
                    data = self._sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
                    if commits.parse(data, commit).tree in known_trees:
                        self.out.objects.add_commit(commit)
                        self._set(prefix + name, commit)
                except IntegrityError:
                    # verify and doctor tell of it; no snapshot needs it.
                    continue

    # The timeline, which is derived.

    def timeline(self, at: set[str]) -> Outgoing:
        """The timeline of the snapshots `at` the other side, by their ids. It stays where one of them is another commit
        there: what is here would name contents that are not there."""
        held = [s for s in self._local.chosen if s.id in at]
        if any(self._snapshots.get(s.id) != s.commit for s in held):
            return self.out
        store, objects = self._sidecar.objects, self.out.objects
        chain = timeline.chain(store, held, returns=rollbacks.load(self._sidecar.refs, store))
        tip = self._theirs.get(there(refs.TIMELINE, self._layout) or "")
        ids = [link.commit for link in chain]
        begin = ids.index(tip) + 1 if tip in ids else 0
        for link in chain[begin:]:
            objects.add(COMMIT, link.content)
        if chain:
            self._set(refs.TIMELINE, ids[-1])
        return self.out

    # What goes over there, because it is gone here.

    def pruned(self) -> Outgoing:
        """Every ref of this installation that is not here, or not to go any more; then the notes without theirs."""
        stay = {s.id for s in self._local.chosen} | {name for name, _ in self._local.living.damaged}
        wanted = {refs.SNAPSHOTS + name for name in stay} | {NOTES_OF + name for name in stay}
        for prefix in (*_ALONGSIDE, refs.SIGNED):
            wanted |= {prefix + name for name in self._sidecar.refs.below(prefix, {})}
        gone = set()
        for name in mine(self._theirs, self._layout):
            place = here(name)
            if place and place.local.startswith(_PRUNED) and place.local not in wanted:
                self.out.updates[name] = NOBODY
                if place.local.startswith(refs.SNAPSHOTS):
                    gone.add(self._theirs[name])
        # Nor of commits that were replaced.
        left_there = {*self._snapshots.values()} - gone
        for ref in _TEXTS if self._layout.refspec != HEADS else ():
            at = self._theirs.get(there(ref, self._layout) or "")
            if at is None:
                continue
            held, self.out.trees[ref] = self._notes_there(ref, at)
            left = {commit: blob for commit, blob in held.items() if commit in left_there}
            self.out.notes[ref] = left
            if left != held:
                self._set(ref, self._notes_commit(ref, left, held))
        return self.out


class _Trees:
    """Trees that are made and not written."""

    def __init__(self) -> None:
        self.by_id: dict[bytes, bytes] = {}
        self.root = b""

    def add(self, kind: int, data: bytes) -> bytes:
        """As PackWriter has it; of a commit nothing is kept."""
        if kind != TREE:
            return b""
        # The root is the last one.
        self.root = sha1(b"tree %d\0%s" % (len(data), data), usedforsecurity=False).digest()
        self.by_id[self.root] = data
        return self.root


def _raw(held: Mapping[str, str]) -> dict[str, bytes]:
    return {commit: bytes.fromhex(blob) for commit, blob in held.items()}
