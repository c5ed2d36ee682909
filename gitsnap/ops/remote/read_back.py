"""What a remote says to have taken is read back: its refs, and every object of what is new to it since the last time.

A server that answers `ok` has said so, and no more. Each object that comes has its id computed, and all those have to
come that the snapshots here lead to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gitsnap.core.errors import GitsnapError, IntegrityError, RemoteError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.remote import NOT_WHOLE, Remote, there
from gitsnap.sidecar import catalog, incoming, outgoing
from gitsnap.sidecar.git import notes, refs, trees
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.fetch.source import Source, open_source
from gitsnap.sidecar.git.new_objects import NewObjects
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.remote_seen import Seen


@dataclass(slots=True)
class ReadBack:
    """The ids of the `snapshots` that were read back now, how many `objects` and `bytes` that was."""

    snapshots: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0


@dataclass(slots=True, frozen=True)
class ReadBackOptions:
    """With `everything`, what was read back before is read again. With `asks`, ssh and git's helpers may ask."""

    everything: bool = False
    asks: bool = False
    observer: Observer = SILENT


def read_back(sidecar: Sidecar, remote: Remote, seen: Seen, options: ReadBackOptions) -> ReadBack:
    """Read what is over there and here, and was not read back before; `seen` knows of it afterwards.

    Raises IntegrityError where it is not what was pushed, RemoteError where the remote does not give it, or cannot be
    reached. After what casts a doubt nothing counts as read back, and the doubt stays until all of it was.
    """
    try:
        result = _read(sidecar, remote, seen, options)
    except GitsnapError as error:
        if error.hint == NOT_WHOLE:
            seen.read, seen.doubt = [], error.message
        raise
    seen.doubt = ""
    return result


def _read(sidecar: Sidecar, remote: Remote, seen: Seen, options: ReadBackOptions) -> ReadBack:
    with open_source(remote.url, "/", asks=options.asks) as source:
        _require_refs(remote, seen, source)
        # What refs named then and do not name now, as notes do, tells a server what it need not send.
        before = set() if options.everything else {*seen.read}
        named = incoming.sort(source.refs, remote.installation)
        living = catalog.snapshots(sidecar)
        both = [s for s in living if named.snapshots.get(s.id) == s.commit]
        fresh = [s for s in both if s.commit not in before]
        wanted = named.wants(named.snapshots.keys() - {s.id for s in fresh})
        # By its parents git leaves out what lies in older trees; by commits without any it does not.
        wanted += filter(None, [source.refs.get(there(refs.TIMELINE, remote.layout) or "")])
        wants = [oid for oid in wanted if oid not in before]
        result = ReadBack([s.id for s in fresh])
        if wants:
            known = [s for s in both if s.commit in before]
            got = _fetch(sidecar, remote, source, (wants, sorted(before)), result, options.observer)
            _require_all(sidecar, remote, (fresh, known), {*map(bytes.fromhex, wants)}, got)
        seen.read = sorted(before & {*source.refs.values()} | {*wants})
        return result


def _require_refs(remote: Remote, seen: Seen, source: Source) -> None:
    found = outgoing.mine(source.refs, remote.layout)
    lost = [name for name, value in seen.refs.items() if found.get(name) != value]
    if lost:
        raise IntegrityError(
            f"{remote.shown} has said to have taken {lost[0]}, and does not have it ({len(lost):,} refs in all)",
            hint=NOT_WHOLE,
        )


def _fetch(
    sidecar: Sidecar,
    remote: Remote,
    source: Source,
    asked: tuple[Sequence[str], Sequence[str]],
    result: ReadBack,
    observer: Observer,
) -> Collection[bytes]:
    """The ids of what comes, each computed; nothing of it stays."""
    pack = IncomingPack(sidecar.scratch)
    try:
        source.fetch(*asked, pack, observer)
        pack.check(observer)
        result.objects, result.bytes = len(pack.index), pack.size
        return pack.index.keys()
    except RemoteError as error:
        raise RemoteError(
            f"{remote.shown} does not give back what it has said to have taken: {error.message}",
            kind=error.kind,
            hint=NOT_WHOLE,
        ) from None
    except IntegrityError as error:
        raise IntegrityError(f"{remote.shown} gives back something else: {error.message}", hint=NOT_WHOLE) from None
    finally:
        pack.abandon()


def _require_all(
    sidecar: Sidecar,
    remote: Remote,
    snapshots: tuple[Sequence[Snapshot], Sequence[Snapshot]],
    wants: set[bytes],
    got: Collection[bytes],
) -> None:
    """Raise IntegrityError where something did not come that the fresh snapshots lead to, and the known ones do not."""
    fresh, known = snapshots
    near = bytes.fromhex(known[-1].tree) if known else None
    new = NewObjects(sidecar.objects, [s.commit for s in known])
    texts = [notes.load(sidecar.objects, sidecar.refs.get(ref))[0] for ref in (refs.MANIFESTS, refs.METADATA)]
    for snapshot in fresh:
        new.add_commit(snapshot.commit, near)
        near = bytes.fromhex(snapshot.tree)
        for held in texts:
            new.add_blob(held[snapshot.commit], None)
    lacking = ({*new.stored} | wants) - {*got}
    if lacking and known:
        # A server leaves out all that it knows us to have, at whichever path that was.
        lacking -= _below(sidecar, known) | {held[s.commit] for held in texts for s in known if s.commit in held}
    if lacking:
        one = min(lacking).hex()
        raise IntegrityError(
            f"{remote.shown} has said to have taken object {one}, and does not give it back ({len(lacking):,} in all)",
            hint=NOT_WHOLE,
        )


def _below(sidecar: Sidecar, known: Sequence[Snapshot]) -> set[bytes]:
    """The trees and files of snapshots."""
    seen: set[bytes] = set()
    found: set[bytes] = set()
    for _, _, blobs in trees.walk(sidecar.objects, [bytes.fromhex(s.tree) for s in known], seen):
        found.update(blobs or ())
    return found | seen
