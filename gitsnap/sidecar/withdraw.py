"""Taking snapshots away: refs, pins, records of upgrades, timeline and notes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.sidecar import contents, rollbacks, timeline
from gitsnap.sidecar.git import notes, refs
from gitsnap.sidecar.git.pack_write import PackWriter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, register, seal


def staying_notes(
    sidecar: Sidecar, ref: str, staying: Iterable[Snapshot], known: Mapping[str, bytes], gone: Collection[str] = ()
) -> dict[str, bytes]:
    """The notes that stay, those too that damaged trees of notes have lost, if they can be found.

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
    unsure = known.items() if sidecar.damaged else ()
    return kept | {commit: note for commit, note in unsure if commit not in gone}


def withdraw(sidecar: Sidecar, living: Sequence[Snapshot], gone: Collection[Snapshot], when: datetime) -> None:
    """Remove snapshots: their refs and pins first, then the timeline, then their notes. Objects go at the next gc."""
    ids = {s.id for s in gone}
    staying = [s for s in living if s.id not in ids]
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        old_tip = sidecar.refs.get(refs.TIMELINE)
        returns = rollbacks.load(sidecar.refs, sidecar.objects)
        tip = timeline.write(pack, timeline.chain(sidecar.objects, staying, returns=returns), None)
        old_notes = {ref: sidecar.refs.get(ref) for ref in (refs.MANIFESTS, refs.METADATA)}
        new_notes = {}
        for ref, old in old_notes.items():
            known, _ = notes.load(sidecar.objects, old)
            kept = staying_notes(sidecar, ref, staying, known, {s.commit for s in gone})
            new_notes[ref] = notes.write(pack, kept, ref.rpartition("/")[2], when)
        written = pack.finish()
    finally:
        pack.abandon()
    register.let_go(sidecar, ids)
    leaving = [refs.PINS + s.id for s in gone if s.pinned] + [refs.SNAPSHOTS + s.id for s in gone]
    # What is recorded of an upgrade goes with the snapshot before it, after it.
    records = [refs.UPGRADES + s.upgrade for s in gone if s.kind is Kind.PRE and s.upgrade]
    held = {ref: commit for ref in records if (commit := sidecar.refs.get(ref))}
    # So does that of a rollback whose state no snapshot has any more. What a damaged one has is not known.
    standing = rollbacks.places(returns, staying).values()
    held |= {refs.ROLLBACKS + r.after: r.commit for r in returns if r not in standing and not sidecar.damaged}
    leaving += held
    with seal.changing(sidecar, {**dict.fromkeys(leaving), refs.TIMELINE: tip, **new_notes}):
        for snapshot in gone:
            if snapshot.pinned:
                sidecar.refs.remove(refs.PINS + snapshot.id, snapshot.commit)
            sidecar.refs.remove(refs.SNAPSHOTS + snapshot.id, snapshot.commit)
        for ref, commit in held.items():
            sidecar.refs.remove(ref, commit)
        if tip is None and old_tip is not None:
            sidecar.refs.remove(refs.TIMELINE, old_tip)
        elif tip is not None:
            sidecar.refs.change(refs.TIMELINE, old_tip, tip)
        for ref, new in new_notes.items():
            sidecar.refs.change(ref, old_notes[ref], new)
    sidecar.noted.let_go(gone)
    reflog.remember(sidecar, [*old_notes.values(), old_tip, *(s.commit for s in gone), *held.values()], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
