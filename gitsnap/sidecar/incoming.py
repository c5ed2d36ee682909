"""What another repository's refs are here, and how what came becomes snapshots of this sidecar.

The order is that of publish: objects first, in a pack held by a `.keep`, then notes, then the refs of snapshots, then
the timeline. What came is never put in the place of something of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from gitsnap.core import bundle
from gitsnap.core.errors import IntegrityError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.order import in_order
from gitsnap.core.remote import NOTES_OF, here
from gitsnap.sidecar import catalog, rollbacks, signatures, timeline
from gitsnap.sidecar.git import commits, notes, refs, trees
from gitsnap.sidecar.git.pack_write import PackWriter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, register, seal
from gitsnap.sidecar.withdraw import staying_notes

_TEXTS = {b"manifest": refs.MANIFESTS, b"metadata": refs.METADATA}


@dataclass(slots=True)
class Incoming:
    """The refs of one installation in another repository, by what they are here.

    Commits of snapshots by their ids; `records` by ref, of which there may be several each. `notes` are commits by ref,
    `notes_of` those that hold the texts of one snapshot each, `signed` the tags that sign one, by ref. `others` are
    refs that are none of gitsnap's, or of other installations.
    """

    installation: str | None = None
    snapshots: dict[str, str] = field(default_factory=dict)
    pins: set[str] = field(default_factory=set)
    deleted: dict[str, str] = field(default_factory=dict)
    records: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    notes_of: dict[str, str] = field(default_factory=dict)
    signed: dict[str, str] = field(default_factory=dict)
    audit: str | None = None
    others: list[str] = field(default_factory=list)

    def wants(self, but: Iterable[str] = ()) -> list[str]:
        """The objects to ask for, without what belongs to the snapshots `but`."""
        left_out = set(but)
        found = [c for name, c in (*self.snapshots.items(), *self.deleted.items()) if name not in left_out]
        found += [c for name, c in self.notes_of.items() if name not in left_out]
        found += [c for values in self.records.values() for c in values]
        found += [tag for ref, tag in self.signed.items() if signatures.snapshot_of(ref) not in left_out]
        return list(dict.fromkeys([*found, *self.notes.values(), *([self.audit] if self.audit else [])]))


def sort(names: Mapping[str, str], installation: str | None = None) -> Incoming:
    """What the refs of a repository are here: those of `installation`, or of the only one there is.

    UsageError where there are several and none was named, or where there is none of that name.
    """
    known = {name: found for name in names if (found := here(name)) is not None}
    present = {f.layout.installation for f in known.values() if f.local.startswith(refs.SNAPSHOTS)}
    chosen = installation
    if installation is None and present and None not in present:
        if len(present) > 1:
            raise UsageError(
                f"there are {len(present)} installations: {', '.join(sorted(filter(None, present))[:20])}",
                hint="name one of them: --installation HOST/NAME",
            )
        chosen = next(iter(present))
    elif installation is not None and installation not in present:
        there = ", ".join(sorted(filter(None, present))[:20]) or "none by a name"
        raise UsageError(f"there is no installation '{installation}'", hint=f"there: {there}")
    out = Incoming(chosen)
    for name, value in names.items():
        found = known.get(name)
        if found is not None and found.layout.installation == chosen:
            _take(out, found.local, value)
        elif chosen is None and name.startswith(refs.DELETED):
            out.deleted[name.removeprefix(refs.DELETED)] = value
        elif chosen is None and name.startswith(refs.SIGNED):
            out.signed[name] = value
        elif name != bundle.REF:
            out.others.append(name)
    # Back from the bin since.
    out.deleted = {name: commit for name, commit in out.deleted.items() if name not in out.snapshots}
    return out


def _take(out: Incoming, local: str, value: str) -> None:
    for prefix, into in ((refs.SNAPSHOTS, out.snapshots), (NOTES_OF, out.notes_of)):
        if local.startswith(prefix):
            into[local.removeprefix(prefix)] = value
    if local.startswith(refs.RECORDS):
        out.records.setdefault(local, []).append(value)
    elif local.startswith(refs.PINS):
        out.pins.add(local.removeprefix(refs.PINS))
    elif local in _TEXTS.values():
        out.notes[local] = value
    elif local.startswith(refs.SIGNED):
        out.signed[local] = value
    elif local == refs.AUDIT:
        out.audit = value


@dataclass(slots=True)
class Fresh:
    """What came and can be read: snapshots, those of the bin, their texts (raw ids of blobs by commit, by ref), records
    and tags that sign, by ref, and the audit log. `left_out` are snapshots of which not even the commit can be read,
    and why. `superseded` are commits that are needed no more when that is taken in."""

    snapshots: list[Snapshot] = field(default_factory=list)
    deleted: list[Snapshot] = field(default_factory=list)
    texts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    superseded: list[str] = field(default_factory=list)
    signed: dict[str, str] = field(default_factory=dict)
    audit: str | None = None


def read(sidecar: Sidecar, incoming: Incoming, but: Iterable[str] = ()) -> Fresh:
    """What of it is in the objects of the sidecar now, without the snapshots `but`."""
    out, passed = Fresh(), set(but)
    for into, named in ((out.snapshots, incoming.snapshots), (out.deleted, incoming.deleted)):
        for name, commit in named.items():
            if name in passed:
                continue
            try:
                into.append(catalog.load(sidecar, name, commit, pinned=name in incoming.pins))
            except IntegrityError as error:
                out.left_out[name] = error.message
    out.texts = _texts(sidecar, incoming, {s.commit for s in (*out.snapshots, *out.deleted)})
    for ref, values in incoming.records.items():
        if (newest := _newest(sidecar, values)) is not None:
            out.records[ref] = newest
            out.superseded += [commit for commit in values if commit != newest]
    if incoming.audit and bytes.fromhex(incoming.audit) in sidecar.objects:
        out.audit = incoming.audit
    there = {s.id for s in (*out.snapshots, *out.deleted)}
    for ref, tag in incoming.signed.items():
        if signatures.snapshot_of(ref) in there and bytes.fromhex(tag) in sidecar.objects:
            out.signed[ref] = tag
    out.superseded += [*incoming.notes.values(), *incoming.notes_of.values()]
    return out


def _texts(sidecar: Sidecar, incoming: Incoming, wanted: set[str]) -> dict[str, dict[str, bytes]]:
    out: dict[str, dict[str, bytes]] = {ref: {} for ref in _TEXTS.values()}
    for name, holder in incoming.notes_of.items():
        with suppress(IntegrityError):
            data = sidecar.objects.read(bytes.fromhex(holder), b"commit")[1]
            root = bytes.fromhex(commits.parse(data, holder).tree)
            for each, _, oid in trees.parse(sidecar.objects.read(root, b"tree")[1], root):
                if each in _TEXTS and name in incoming.snapshots:
                    out[_TEXTS[each]][incoming.snapshots[name]] = oid
    for ref in out:
        found, _ = notes.load(sidecar.objects, incoming.notes.get(ref))
        out[ref] |= {commit: oid for commit, oid in found.items() if commit in wanted}
    return out


def _newest(sidecar: Sidecar, values: Iterable[str]) -> str | None:
    """The commit that was made last, of those that can be read."""
    found = []
    for commit in values:
        with suppress(IntegrityError):
            parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
            found.append((parsed.created, commit))
    return max(found)[1] if found else None


def tree_of(sidecar: Sidecar, commit: str) -> str | None:
    """The tree of a commit, of any kind; None for one that cannot be read."""
    with suppress(IntegrityError):
        return commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit).tree
    return None


def add_texts(sidecar: Sidecar, living: Sequence[Snapshot], fresh: Fresh, when: datetime) -> None:
    """Let the notes of the sidecar, which has the `living` snapshots, tell of what came as well."""
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        old = {ref: sidecar.refs.get(ref) for ref in _TEXTS.values()}
        new = {}
        for ref, before in old.items():
            known, held = notes.load(sidecar.objects, before)
            kept = fresh.texts.get(ref, {}) | staying_notes(sidecar, ref, living, known)
            new[ref] = notes.write(pack, kept, ref.rpartition("/")[2], when, held)
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, new):
        for ref, commit in new.items():
            sidecar.refs.change(ref, old[ref], commit)
    reflog.remember(sidecar, [*(v for ref, v in old.items() if v != new[ref]), *fresh.superseded], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def reveal(sidecar: Sidecar, living: Sequence[Snapshot], fresh: Fresh, when: datetime) -> None:
    """Show the snapshots that came, beside the `living` ones, with their records; their texts are there."""
    after = in_order([*living, *fresh.snapshots])
    records = {ref: commit for ref, commit in fresh.records.items() if sidecar.refs.get(ref) is None}
    wanted: dict[str, str | None] = {refs.SNAPSHOTS + s.id: s.commit for s in fresh.snapshots}
    wanted |= {refs.PINS + s.id: s.commit for s in fresh.snapshots if s.pinned}
    wanted |= {refs.DELETED + s.id: s.commit for s in fresh.deleted} | records
    wanted |= {ref: tag for ref, tag in fresh.signed.items() if sidecar.refs.get(ref) is None}
    if fresh.audit and sidecar.refs.get(refs.AUDIT) is None:
        wanted[refs.AUDIT] = fresh.audit
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        old_tip = sidecar.refs.get(refs.TIMELINE)
        returns = rollbacks.load(sidecar.refs, sidecar.objects)
        returns += rollbacks.read_all(sidecar.objects, records)
        tip = timeline.write(pack, timeline.chain(sidecar.objects, after, returns=returns), None)
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, wanted | ({refs.TIMELINE: tip} if tip else {})):
        # Pins before what they hold: retention may come between.
        for ref, commit in sorted(wanted.items()):
            if commit is not None:
                sidecar.refs.create(ref, commit)
        if tip is not None:
            sidecar.refs.change(refs.TIMELINE, old_tip, tip)
    register.take(sidecar, [*after, *fresh.deleted])
    if fresh.deleted:
        register.let_go(sidecar, [s.id for s in fresh.deleted], when)
    reflog.remember(sidecar, [old_tip if old_tip != tip else None], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
