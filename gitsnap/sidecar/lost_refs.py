"""What no ref names any more although nobody removed it, found in the objects themselves.

Refs can vanish with every file that tells of them. Until a gc the commits are still there, and those of snapshots and
notes say what they are. Reads the heading of every object: for whoever looks at everything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import parse_message
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.git.pack_read import OFS_DELTA, REF_DELTA, Pack
from gitsnap.sidecar.git.pack_write import COMMIT
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, register, seal

_NOTES = re.compile(rb"(manifest|metadata) of (\d{1,9}) snapshots\n")
_LOST = re.compile(r"its ref is lost; gitsnap wrote: (refs/\S+) ([0-9a-f]{40})")


class Lost(NamedTuple):
    """A ref that is not there, and what it pointed to."""

    ref: str
    commit: str


@dataclass(slots=True)
class Vanished:
    """`snapshots`, and the `deleted` ones that lay in the bin, by id: their commits. `notes` by ref: the newest that
    there is."""

    snapshots: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def look(sidecar: Sidecar) -> Vanished:
    """What is in the objects, and in no ref, reflog or register."""
    # First: what is published or removed meanwhile is known as that afterwards.
    there = dict.fromkeys(_commits(sidecar))
    living, found = catalog.snapshots(sidecar), Vanished()
    known = register.load(sidecar)
    told = {s.commit for s in living} | {line.commit for line in known.taken.values()} | {*reflog.ids(sidecar)}
    binned = sidecar.refs.below(refs.DELETED, {}).keys() | {s.id for s in living}
    # Of one that has a ref, another commit is what it was before a purge.
    spoken_of = known.gone.keys() | {name for name, _ in living.damaged} | binned
    missing = {ref for ref in (refs.MANIFESTS, refs.METADATA) if sidecar.refs.get(ref) is None}
    found.deleted = {
        name: line.commit
        for name, line in known.taken.items()
        if known.gone.get(name) and name not in binned and line.commit in there
    }
    newest: dict[str, tuple[object, int]] = {}
    for commit in there:
        if commit in told:
            continue
        with suppress(IntegrityError):
            parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
            if parsed.parent is not None:
                continue
            if notes := _NOTES.fullmatch(parsed.message):
                ref, age = f"refs/notes/gitsnap/{notes[1].decode()}", (parsed.created, int(notes[2]))
                if ref in missing and (ref not in newest or age > newest[ref]):
                    newest[ref], found.notes[ref] = age, commit
                continue
            snapshot = parse_message(
                parsed.message, commit=commit, tree=parsed.tree, created=parsed.created, pinned=False
            )
            if snapshot.id not in spoken_of:
                found.snapshots[snapshot.id] = commit
    return found


def lost(sidecar: Sidecar) -> list[Lost]:
    """Every ref that has to come back: those that seal or register name, and those that only the objects tell of."""
    there = look(sidecar)
    named = [Lost(*match.groups()) for e in sidecar.damaged.values() if (match := _LOST.search(e.message))]
    found = [Lost(refs.SNAPSHOTS + name, commit) for name, commit in sorted(there.snapshots.items())]
    found += [Lost(refs.DELETED + name, commit) for name, commit in sorted(there.deleted.items())]
    found += [Lost(ref, commit) for ref, commit in sorted(there.notes.items())]
    return [*named, *found, *_audit(sidecar)]


def _audit(sidecar: Sidecar) -> Iterator[Lost]:
    """The ref of the audit log, where the seal tells of one that is gone."""
    with suppress(IntegrityError):
        sealed = seal.load(sidecar)
        if sealed is not None and not sealed.accepts(refs.AUDIT, sidecar.refs.get(refs.AUDIT)):
            yield Lost(refs.AUDIT, sealed.value(refs.AUDIT))


def _commits(sidecar: Sidecar) -> Iterator[str]:
    """The hex ids of all commits, but for those of a snapshot that is being written, or was when somebody died."""
    for pack in sidecar.objects.packs:
        if not os.path.exists(pack.path[:-5] + ".keep"):
            with suppress(IntegrityError):
                yield from _in_pack(pack)
    yield from (oid.hex() for oid in sidecar.objects.loose_ids())


def _in_pack(pack: Pack) -> Iterator[str]:
    kinds: dict[int, int] = {}

    def kind_of(start: int) -> int:
        """The type of an entry, or of what it is a delta of in the end."""
        chain = []
        while start not in kinds:
            chain.append(start)
            number, _, _, base = pack.data.header(start)
            if number == OFS_DELTA and isinstance(base, int) and base < start:
                start = base
            elif (
                number == REF_DELTA and isinstance(base, bytes) and (at := pack.index.find(base)) not in (None, *chain)
            ):
                start = at or 0
            else:
                kinds[start] = number
        for one in chain:
            kinds[one] = kinds[start]
        return kinds[start]

    for oid, start, _, _ in pack.spans():
        with suppress(IntegrityError):
            if kind_of(start) == COMMIT:
                yield oid.hex()
