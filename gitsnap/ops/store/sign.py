"""Signing snapshots that are there: by a tag, which changes nothing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core import signature
from gitsnap.core.errors import IntegrityError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.sidecar import catalog, contents, signatures
from gitsnap.sidecar.git import ssh_keygen
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose


@dataclass(slots=True, frozen=True)
class Signed:
    """One snapshot that bears a signature by the key `key` (its fingerprint) now, on the ref `ref`. `already` tells
    that it had one by that key; `ref` is `commit` where that is in its commit."""

    snapshot: Snapshot
    ref: str
    key: str
    already: bool = False


def sign(
    sidecar: Sidecar, selectors: Sequence[str], settings: Settings, *, now: datetime, everything: bool = False
) -> list[Signed]:
    """Sign snapshots by the key of the settings, all of them with `everything`.

    The texts that a signature vouches for are read first, and what is in them is what it names. Raises SigningError,
    NoSuchSnapshotError, IntegrityError for a damaged one, UsageError without a key; nothing is signed then. Nobody
    waits for the sidecar while a passphrase is typed.
    """
    key, installation = settings.signing.key, sidecar.installation
    if not key:
        raise UsageError("no key is named", hint="`--key PATH`, or [signing] key in the configuration")
    with sidecar.using_objects(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        for name, error in living.damaged if everything else ():
            raise catalog.lost(name, error)
        chosen = list({s.id: s for s in (living if everything else [choose(sidecar, s) for s in selectors])}.values())
        tagged = signatures.tagged(sidecar)
        held = {s.id: _keys(sidecar, s, tagged.get(s.id, {})) for s in chosen}
        for snapshot in chosen:
            _require_whole(sidecar, snapshot)
    done, made = [], []
    for snapshot in chosen:
        ref = signatures.free_ref(snapshot, tagged.get(snapshot.id, {}))
        text = signatures.text(snapshot, ref, now.astimezone(settings.zone), settings.author)
        armor = ssh_keygen.sign(text, key, ask=settings.signing.ask, installation=installation)
        by = signature.parse(armor).key
        there = held[snapshot.id].get(by)
        done.append(Signed(snapshot, there or ref, by, there is not None))
        if there is None:
            made.append((snapshot, ref, text + armor))
    if made:
        with sidecar.writing(settings.lock_wait):
            signatures.store(sidecar, made)
    sidecar.noted.details["signed"] = [{"snapshot": s.snapshot.id, "key": s.key} for s in done if not s.already]
    sidecar.noted.counts["snapshots"] = len(made)
    return done


def _keys(sidecar: Sidecar, snapshot: Snapshot, there: dict[str, str]) -> dict[str, str]:
    """Where there is a signature by each key, by what the signatures say of themselves."""
    found = [s.unchecked() for s in signatures.load(sidecar, snapshot, there)]
    return {each.key: each.where for each in found if each.status is not signature.Status.WRONG}


def _require_whole(sidecar: Sidecar, snapshot: Snapshot) -> None:
    contents.manifest_text(sidecar, snapshot)
    entries = contents.metadata_text(sidecar, snapshot).count(b"\n")
    tree = contents.leaves(sidecar, snapshot, entries)
    if missing := sidecar.objects.missing({leaf.oid for leaf in tree}):
        raise IntegrityError(f"snapshot {snapshot.id} lacks the content of a file: object {min(missing).hex()}")
