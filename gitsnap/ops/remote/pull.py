"""What a remote has, and this sidecar has not, comes here; nothing here is changed for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gitsnap.core.errors import NoSidecarError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.remote import Remote
from gitsnap.core.settings import Settings
from gitsnap.core.signature import Policy
from gitsnap.ops.check import signatures
from gitsnap.ops.check.verdict import Finding, Verdict
from gitsnap.ops.check.verify_snapshot import verify_snapshot
from gitsnap.ops.parallel.read_back import ReadBacks
from gitsnap.ops.remote import receive
from gitsnap.ops.remote.sources import open_source
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, descriptions, incoming, withdraw
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.incoming import Fresh, Incoming
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register, verifications


@dataclass(slots=True, frozen=True)
class PullOptions:
    """With `removed`, what was removed here comes back as well. With `asks`, ssh and git's helpers may ask on the
    terminal. `identity` is the file with the key that opens encrypted bundles, as age has it."""

    now: datetime
    removed: bool = False
    dry_run: bool = False
    asks: bool = False
    observer: Observer = SILENT
    identity: str | None = None


@dataclass(slots=True)
class Pulled:
    """What came: `snapshots` that are here now, or with `dry_run` the ids of those that would be (`coming`), and the
    ids of those that are `pinned` now; `described` are ids of others that were described over there, and not here.

    `conflicts` are ids that another snapshot has over there: the commits here and there. `removed` are ids that are
    over there and were removed here. `damaged` did not come. `there` is how many snapshots the remote has; retention
    will remove `short_lived` at the next snapshot.
    """

    remote: str
    url: str
    dry_run: bool = False
    snapshots: list[Snapshot] = field(default_factory=list)
    coming: list[str] = field(default_factory=list)
    pinned: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)
    conflicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    damaged: list[Verdict] = field(default_factory=list)
    short_lived: list[str] = field(default_factory=list)
    there: int = 0
    duration: float = 0.0


def pull(sidecar: Sidecar, remote: Remote, settings: Settings, options: PullOptions) -> Pulled:
    """Bring what the remote has and this sidecar has not. Each snapshot is verified before it is here.

    Raises RemoteError, IntegrityError for what is no git pack, NoSidecarError where no snapshots are over there;
    nothing has changed then.
    """
    started = time.monotonic()
    result = Pulled(remote.name, remote.shown, options.dry_run)
    with open_source(remote.url, "/", options.identity, asks=options.asks, observer=options.observer) as source:
        named = incoming.sort(source.refs, remote.installation)
        if not named.snapshots:
            raise NoSidecarError(f"there are no snapshots in {remote.shown}")
        result.there = len(named.snapshots)
        # What is in the bin over there is nobody's copy, and the log here is that of this installation.
        named.deleted, named.audit = {}, None
        living = catalog.snapshots(sidecar)
        _compare(sidecar, living, named, result, options)
        pins_to_take, words_to_take = _pins(living, named), _descriptions(sidecar, living, named)
        result.described = sorted(words_to_take)
        if options.dry_run:
            result.pinned = sorted({*pins_to_take, *(name for name in result.coming if name in named.pins)})
            return result
        with sidecar.using_objects(settings.lock_wait):
            kept: Sequence[str] = ()
            not_coming = named.snapshots.keys() - set(result.coming)
            wants = named.wants(not_coming) if result.coming else [c for each in words_to_take.values() for c in each]
            if wants:
                kept = receive.fetch(sidecar, source, wants, [s.commit for s in living], options.observer)
    try:
        with sidecar.writing(settings.lock_wait):
            _take(sidecar, named, result, settings.signing, options)
            receive.remember_superseded(sidecar, source, options.now)
            _pin(sidecar, pins_to_take, settings, result)
            taken = {s.id for s in result.snapshots}
            leaving = retention.foresee(sidecar, catalog.snapshots(sidecar), settings, now=options.now)
            result.short_lived = [d.snapshot.id for d in leaving.gone if d.snapshot.id in taken]
    finally:
        for keep in kept:
            os.unlink(keep)
    verifications.record(sidecar, result.snapshots, [], options.now, settings.lock_wait)
    result.coming = [s.id for s in result.snapshots]
    result.duration = time.monotonic() - started
    sidecar.noted.details["remote"] = {"name": remote.name, "url": remote.shown, "snapshots": result.coming[:20]}
    sidecar.noted.counts |= {"pulled": len(result.coming), "conflicts": len(result.conflicts)}
    return result


def _compare(sidecar: Sidecar, living: catalog.Living, named: Incoming, result: Pulled, options: PullOptions) -> None:
    """What of it is new, what is another one of the same name, and what was removed here."""
    here = {s.id: s.commit for s in living} | {name: "" for name, _ in living.damaged}
    known = register.load(sidecar)
    for name, commit in sorted(named.snapshots.items()):
        if name in here:
            if here[name] not in (commit, ""):
                result.conflicts[name] = (here[name], commit)
        elif name in known.gone and not options.removed:
            result.removed.append(name)
        elif name in known.taken and known.taken[name].commit != commit:
            result.conflicts[name] = (known.taken[name].commit, commit)
        else:
            result.coming.append(name)


def _pins(living: Sequence[Snapshot], named: Incoming) -> list[str]:
    return [s.id for s in living if s.id in named.pins and not s.pinned and named.snapshots.get(s.id) == s.commit]


def _descriptions(sidecar: Sidecar, living: Sequence[Snapshot], named: Incoming) -> dict[str, list[str]]:
    """The records over there of snapshots that are here and were not described here, by id."""
    known = descriptions.load(sidecar)
    here = [s.id for s in living if s.id not in known and named.snapshots.get(s.id) == s.commit]
    return {name: found for name in here if (found := named.records.get(refs.DESCRIPTIONS + name))}


def _take(sidecar: Sidecar, named: Incoming, result: Pulled, policy: Policy, options: PullOptions) -> None:
    """Verify what came, and show what passes."""
    living = catalog.snapshots(sidecar)
    there = {s.id for s in living}
    wanted = [name for name in result.coming if name not in there]
    fresh = incoming.read(sidecar, named, named.snapshots.keys() - set(wanted))
    result.damaged = [Verdict(name, problems=[Finding(b"", why)]) for name, why in sorted(fresh.left_out.items())]
    whole: list[Snapshot] = []
    if not fresh.snapshots:
        if result.described:
            _reveal(sidecar, living, fresh, whole, options)
        return
    incoming.add_texts(sidecar, living, fresh, options.now)
    options.observer.started("verifying", sum(s.files for s in fresh.snapshots), sum(s.bytes for s in fresh.snapshots))
    verdicts = [verify_snapshot(sidecar, snapshot, ReadBacks(), options.observer) for snapshot in fresh.snapshots]
    options.observer.finished()
    if signatures.wanted(policy):
        signatures.judge_incoming(sidecar, verdicts, fresh.snapshots, fresh.signed, policy)
    result.damaged += [v for v in verdicts if not v.ok]
    whole = [s for s, verdict in zip(fresh.snapshots, verdicts, strict=True) if verdict.ok]
    _reveal(sidecar, living, fresh, whole, options)
    result.snapshots = [s for s in catalog.snapshots(sidecar) if s.id in {w.id for w in whole}]
    result.pinned = [s.id for s in result.snapshots if s.pinned]
    sidecar.noted.taken += result.snapshots


def _reveal(
    sidecar: Sidecar, living: Sequence[Snapshot], fresh: Fresh, whole: list[Snapshot], options: PullOptions
) -> None:
    """Those that lie in the bin here come back from there."""
    binned = sidecar.refs.below(refs.DELETED, {})
    back = [s for s in whole if binned.get(s.id) == s.commit]
    if back:
        withdraw.undelete(sidecar, living, back, options.now)
    trees = {s.tree for s in (*living, *whole)}
    fresh.snapshots = [s for s in whole if s not in back]
    fresh.records = {ref: c for ref, c in fresh.records.items() if incoming.tree_of(sidecar, c) in trees}
    if fresh.snapshots or fresh.records:
        incoming.reveal(sidecar, [*living, *back], fresh, options.now)


def _pin(sidecar: Sidecar, names: Sequence[str], settings: Settings, result: Pulled) -> None:
    living = {s.id: s for s in catalog.snapshots(sidecar)}
    for name in names:
        if name in living and not living[name].pinned:
            retention.pin(sidecar, name, settings)
            result.pinned.append(name)
