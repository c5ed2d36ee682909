"""Taking snapshots away, and bringing them back.

One that is deleted moves to `refs/gitsnap/deleted/<id>`, the bin: its notes stay, and what is recorded of it.
From there it comes back, or goes for good, and with it the tags that signed it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import in_order
from gitsnap.sidecar import contents, rollbacks, signatures, timeline
from gitsnap.sidecar.git import notes, refs
from gitsnap.sidecar.git.pack_write import PackWriter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, register, seal

_NOTES = (refs.MANIFESTS, refs.METADATA)


def staying_notes(
    sidecar: Sidecar, ref: str, staying: Iterable[Snapshot], known: Mapping[str, bytes], gone: Collection[str] = ()
) -> dict[str, bytes]:
    """The notes that stay, those too that damaged trees of notes have lost, if they can be found; and those of what is
    in the bin.

    Which belong to a snapshot that is damaged cannot be told: then all that may.
    """
    kept = {}
    for s in staying:
        if s.commit in known:
            kept[s.commit] = known[s.commit]
        else:
            digest = s.manifest_sha256 if ref == refs.MANIFESTS else s.metadata_sha256
            with suppress(IntegrityError):
                kept[s.commit] = contents.find_note(sidecar, s, ref, "note", digest)[0]
    binned = {*sidecar.refs.below(refs.DELETED, {}).values()}
    unsure = known.items() if sidecar.damaged else ((c, note) for c, note in known.items() if c in binned)
    return kept | {commit: note for commit, note in unsure if commit not in gone}


def delete(sidecar: Sidecar, living: Sequence[Snapshot], gone: Collection[Snapshot], when: datetime) -> None:
    """Move snapshots to the bin: there first, then their refs and pins go, then the timeline is without them."""
    ids = {s.id for s in gone}
    register.let_go(sidecar, ids, when)
    changes: dict[str, str | None] = {refs.DELETED + s.id: s.commit for s in gone}
    changes |= dict.fromkeys([refs.PINS + s.id for s in gone if s.pinned] + [refs.SNAPSHOTS + s.id for s in gone])
    with _timeline(sidecar, [s for s in living if s.id not in ids], changes, when, [s.commit for s in gone]):
        for s in gone:
            sidecar.refs.change(refs.DELETED + s.id, sidecar.refs.get(refs.DELETED + s.id), s.commit)
        for s in gone:
            if s.pinned:
                sidecar.refs.remove(refs.PINS + s.id, s.commit)
            sidecar.refs.remove(refs.SNAPSHOTS + s.id, s.commit)
    sidecar.noted.let_go(gone)


def undelete(sidecar: Sidecar, living: Sequence[Snapshot], back: Collection[Snapshot], when: datetime) -> None:
    """Bring snapshots back from the bin: their refs first, then the timeline has them, then they leave the bin."""
    changes: dict[str, str | None] = {refs.SNAPSHOTS + s.id: s.commit for s in back}
    changes |= dict.fromkeys(refs.DELETED + s.id for s in back)
    after = in_order([*living, *back])
    with _timeline(sidecar, after, changes, when):
        for s in back:
            sidecar.refs.create(refs.SNAPSHOTS + s.id, s.commit)
        for s in back:
            sidecar.refs.remove(refs.DELETED + s.id, s.commit)
    sidecar.noted.details["undeleted"] = [s.id for s in back]
    register.take(sidecar, after)


@contextmanager
def _timeline(
    sidecar: Sidecar,
    staying: Sequence[Snapshot],
    changes: Mapping[str, str | None],
    when: datetime,
    superseded: Sequence[str] = (),
) -> Iterator[None]:
    """Around `changes` of refs that leave the snapshots `staying`: the timeline becomes theirs when they are made."""
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        old_tip = sidecar.refs.get(refs.TIMELINE)
        chain = timeline.chain(sidecar.objects, staying, returns=rollbacks.load(sidecar.refs, sidecar.objects))
        tip = timeline.write(pack, chain, None)
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, {**changes, refs.TIMELINE: tip}):
        yield
        if tip is None and old_tip is not None:
            sidecar.refs.remove(refs.TIMELINE, old_tip)
        elif tip is not None:
            sidecar.refs.change(refs.TIMELINE, old_tip, tip)
    reflog.remember(sidecar, [old_tip, *superseded], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def withdraw(sidecar: Sidecar, living: Sequence[Snapshot], gone: Collection[Snapshot], when: datetime) -> None:
    """Remove snapshots for good, from the bin too: their refs and pins first, then the timeline, then their notes.
    Objects go at the next gc."""
    ids = {s.id for s in gone}
    staying = [s for s in living if s.id not in ids]
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        old_tip = sidecar.refs.get(refs.TIMELINE)
        returns = rollbacks.load(sidecar.refs, sidecar.objects)
        tip = timeline.write(pack, timeline.chain(sidecar.objects, staying, returns=returns), None)
        old_notes = {ref: sidecar.refs.get(ref) for ref in _NOTES}
        new_notes = {}
        for ref, old in old_notes.items():
            known, _ = notes.load(sidecar.objects, old)
            kept = staying_notes(sidecar, ref, staying, known, {s.commit for s in gone})
            new_notes[ref] = notes.write(pack, kept, ref.rpartition("/")[2], when)
        # Where that cannot be written, nothing goes, and no pack stays that nothing needs.
        register.let_go(sidecar, ids, None)
        written = pack.finish()
    finally:
        pack.abandon()
    leaving = [refs.PINS + s.id for s in gone if s.pinned]
    leaving += [ref for s in gone for ref in (refs.SNAPSHOTS + s.id, refs.DELETED + s.id) if sidecar.refs.get(ref)]
    there = [s for s in gone if refs.SNAPSHOTS + s.id in leaving]
    # What is recorded of an upgrade goes with the snapshot before it, after it.
    records = [refs.UPGRADES + s.upgrade for s in gone if s.kind is Kind.PRE and s.upgrade]
    held = {ref: commit for ref in records if (commit := sidecar.refs.get(ref))}
    held |= {ref: commit for name in ids if (commit := sidecar.refs.get(ref := refs.DESCRIPTIONS + name))}
    held |= signatures.of_ids(sidecar, ids)
    # So does that of a rollback whose state no snapshot has any more. What a damaged one has is not known.
    standing = rollbacks.places(returns, staying).values()
    held |= {refs.ROLLBACKS + r.after: r.commit for r in returns if r not in standing and not sidecar.damaged}
    with seal.changing(sidecar, {**dict.fromkeys([*leaving, *held]), refs.TIMELINE: tip, **new_notes}):
        commits = {s.id: s.commit for s in gone}
        for ref in leaving:
            sidecar.refs.remove(ref, commits[ref.rpartition("/")[2]])
        for ref, value in held.items():
            sidecar.refs.remove(ref, value)
        if tip is None and old_tip is not None:
            sidecar.refs.remove(refs.TIMELINE, old_tip)
        elif tip is not None:
            sidecar.refs.change(refs.TIMELINE, old_tip, tip)
        for ref, new in new_notes.items():
            sidecar.refs.change(ref, old_notes[ref], new)
    sidecar.noted.let_go(there)
    reflog.remember(sidecar, [*old_notes.values(), old_tip, *(s.commit for s in gone), *held.values()], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
