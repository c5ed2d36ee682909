"""What goes into a bundle: refs as a mirror would have them, and every object that their reader lacks, each once.

Timeline and notes are those of the snapshots that the reader will have, and of no others: what lies in the bin, or was
not asked for, is in no bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gitsnap.core.bundle import REF, Heading, Label, digest, format_label
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Snapshot
from gitsnap.core.order import newest
from gitsnap.sidecar import catalog, contents, rollbacks, signatures, timeline
from gitsnap.sidecar.git import bundle_pack, commits, notes, refs, trees
from gitsnap.sidecar.git.bundle_pack import Text
from gitsnap.sidecar.git.pack_write import COMMIT, TAG, object_id
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Composed:
    """A bundle that is about to be written: its heading, and its objects: commits and notes with their content, trees
    and files by id, texts with what they are deltas of. `there` are texts that the reader has, for deltas to be made
    of; `held` is all that the reader has."""

    heading: Heading
    fresh: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    stored: set[bytes] = field(default_factory=set)
    texts: list[Text] = field(default_factory=list)
    there: set[bytes] = field(default_factory=set)
    held: set[bytes] = field(default_factory=set)

    @property
    def objects(self) -> int:
        """How many there are."""
        return len(self.fresh) + len(self.stored) + len(self.texts)

    def pack(self, sidecar: Sidecar) -> Iterator[bytes]:
        """The bytes behind the heading. Raises IntegrityError."""
        return bundle_pack.stream(sidecar.objects, self.fresh, self.stored, self.texts, self.there)

    def record(self, ref: str, commit: str, content: bytes, there: Mapping[str, str]) -> str:
        """A commit that goes, unless `there` has it on the same ref; its hex id."""
        if there.get(ref) == commit:
            self.heading.needs.setdefault(commit, ref.rpartition("/")[2])
            self.held.add(bytes.fromhex(commit))
        else:
            self.add(COMMIT, content)
        return commit

    # What notes.write and timeline need of a pack.
    def add(self, kind: int, data: bytes) -> bytes:
        """An object that is in no pack yet; its id."""
        oid = object_id(kind, data)
        self.fresh[oid] = kind, data
        return oid


def compose(
    sidecar: Sidecar, sent: Sequence[Snapshot], there: Sequence[Snapshot], label: Label, known_refs: Mapping[str, str]
) -> Composed:
    """The bundle of the snapshots `sent` for a reader who has those that are `there`, both in order, and all that
    `known_refs` lead to. Raises IntegrityError for what is damaged."""
    known = [*there, *sent]
    head = newest(sent) or known[-1]
    out = Composed(Heading({s.commit: s.id for s in there}))
    seen: set[bytes] = set()
    blobs = _below(sidecar, there, seen)
    trees_there = set(seen)
    out.held = blobs | trees_there | {bytes.fromhex(oid) for oid in out.heading.needs}
    out.stored = _below(sidecar, sent, seen) - blobs
    out.stored |= seen - trees_there
    held = {"HEAD": _timeline(sidecar, known, known_refs.get(refs.TIMELINE), out)}
    held[refs.TIMELINE] = held["HEAD"]
    for snapshot in known:
        held[refs.SNAPSHOTS + snapshot.id] = snapshot.commit
        if snapshot.pinned:
            held[refs.PINS + snapshot.id] = snapshot.commit
    for snapshot in sent:
        out.add(COMMIT, sidecar.objects.read(bytes.fromhex(snapshot.commit), b"commit")[1])
    held |= _records(sidecar, known, seen, known_refs, out)
    for ref, oid in signatures.of_ids(sidecar, [s.id for s in known]).items():
        held[ref] = out.add(TAG, sidecar.objects.read(bytes.fromhex(oid), b"tag")[1]).hex()
    held |= _notes(sidecar, sent, there, head, out)
    held |= _audit(sidecar, known_refs.get(refs.AUDIT), out)
    out.heading.refs = {"HEAD": held.pop("HEAD"), **dict(sorted(held.items()))}
    said = format_label(label._replace(heading=digest(out.heading)))
    out.heading.refs[REF] = out.add(COMMIT, commits.form(bytes.fromhex(head.tree), said, head.created)).hex()
    out.stored -= {t.oid for t in out.texts} | out.fresh.keys()
    return out


def _below(sidecar: Sidecar, snapshots: Sequence[Snapshot], seen: set[bytes]) -> set[bytes]:
    """The files in the trees of snapshots that were not `seen`; their trees are, from then on."""
    found: set[bytes] = set()
    for oid, _, blobs in trees.walk(sidecar.objects, [bytes.fromhex(s.tree) for s in snapshots], seen):
        if blobs is None:
            # Raises what is wrong with it.
            trees.parse(sidecar.objects.read(oid, b"tree")[1], oid)
        found.update(blobs or ())
    return found


def _timeline(sidecar: Sidecar, known: Sequence[Snapshot], tip: str | None, out: Composed) -> str:
    chain = timeline.chain(sidecar.objects, known, returns=rollbacks.load(sidecar.refs, sidecar.objects))
    ids = [link.commit for link in chain]
    start = ids.index(tip) + 1 if tip in ids else 0
    if start:
        out.heading.needs.setdefault(ids[start - 1], "timeline")
        out.held.add(bytes.fromhex(ids[start - 1]))
    for link in chain[start:]:
        if link.commit not in out.heading.needs:
            out.add(COMMIT, link.content)
    return ids[-1]


def _records(
    sidecar: Sidecar, known: Sequence[Snapshot], trees_known: set[bytes], there: Mapping[str, str], out: Composed
) -> dict[str, str]:
    """What became of the upgrades of these snapshots, how they are described, and what was gone back to."""
    found: dict[str, str] = {}
    ids = {s.id for s in known}
    for prefix, named in ((refs.UPGRADES, {s.upgrade for s in known}), (refs.DESCRIPTIONS, ids)):
        for name, commit in sidecar.refs.below(prefix, {}).items():
            content = sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
            # The record of an upgrade of which the first snapshot does not go has a tree that does not either.
            if name in named and bytes.fromhex(commits.parse(content, commit).tree) in trees_known:
                found[prefix + name] = out.record(prefix + name, commit, content, there)
    for each in rollbacks.load(sidecar.refs, sidecar.objects):
        if each.after in ids and bytes.fromhex(each.tree) in trees_known:
            found[refs.ROLLBACKS + each.after] = out.record(refs.ROLLBACKS + each.after, each.commit, each.data, there)
    return found


def _notes(
    sidecar: Sidecar, sent: Sequence[Snapshot], there: Sequence[Snapshot], head: Snapshot, out: Composed
) -> dict[str, str]:
    found: dict[str, str] = {}
    texts: dict[str, dict[str, bytes]] = {}
    for ref, what in ((refs.MANIFESTS, "manifest"), (refs.METADATA, "metadata")):
        known, _ = notes.load(sidecar.objects, sidecar.refs.get(ref))
        texts[ref] = {s.commit: known.get(s.commit) or _text(sidecar, s, ref, what) for s in (*there, *sent)}
        found[ref] = notes.write(out, texts[ref], ref.rpartition("/")[2], head.created)
    last = {ref: texts[ref][there[-1].commit] for ref in texts} if there else {}
    out.there = set(last.values())
    before = {s.commit for s in there}
    out.held |= {oid for of in texts.values() for commit, oid in of.items() if commit in before}
    # Others that the reader has somewhere go again, as deltas: who reads a chain once has forgotten them.
    done = set(out.there)
    for snapshot in sent:
        # Both of one snapshot come together: whoever reads needs both at once.
        for ref, of in texts.items():
            oid = of[snapshot.commit]
            if oid not in done:
                out.texts.append(Text(oid, last.get(ref)))
            done.add(oid)
            last[ref] = oid
    return found


def _text(sidecar: Sidecar, snapshot: Snapshot, ref: str, what: str) -> bytes:
    digest = snapshot.manifest_sha256 if ref == refs.MANIFESTS else snapshot.metadata_sha256
    try:
        return contents.find_note(sidecar, snapshot, ref, what, digest)[0]
    except IntegrityError as error:
        raise catalog.lost(snapshot.id, error) from None


def _audit(sidecar: Sidecar, known: str | None, out: Composed) -> Mapping[str, str]:
    """The audit log, where it was published: all that its ref leads to, and the commit `known` does not."""
    tip = sidecar.refs.get(refs.AUDIT)
    roots: list[bytes] = []
    commit = tip
    while commit is not None and commit != known:
        content = sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
        parsed = commits.parse(content, commit)
        out.add(COMMIT, content)
        roots.append(bytes.fromhex(parsed.tree))
        commit = parsed.parent
    seen: set[bytes] = set()
    if commit is not None:
        out.heading.needs.setdefault(commit, "audit log")
        before = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
        there = {
            oid
            for _, _, blobs in trees.walk(sidecar.objects, [bytes.fromhex(before.tree)], seen)
            for oid in blobs or ()
        }
        out.held |= {bytes.fromhex(commit), *there, *seen}
    found: set[bytes] = set()
    for oid, _, blobs in trees.walk(sidecar.objects, roots, seen):
        found.update((oid, *(blobs or ())))
    out.stored |= found - out.held
    return {refs.AUDIT: tip} if tip else {}
