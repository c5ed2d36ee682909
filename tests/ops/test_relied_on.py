"""A snapshot that something is about to rely on holds what it says, even where it builds upon a damaged copy."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.events import SILENT
from gitsnap.core.model import Kind
from gitsnap.ops import exclusions
from gitsnap.ops.capture import take_locked
from gitsnap.ops.request import Request
from gitsnap.ops.target import Target, replaced
from gitsnap.sidecar import refs
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        root = top / "app"
        (root / "d").mkdir(parents=True)
        (root / "f").write_bytes(b"old\n")
        with Protected(root, top / "home") as protected:
            protected.take()
            (root / "f").write_bytes(os.urandom(3000))
            (root / "d/large").write_bytes(os.urandom(9 << 20))
            protected.take()
            yield protected


def damage(place: Protected, *names: str) -> None:
    """Overwrite bytes in the middle of objects of the newest snapshot."""
    commit = place.snapshots()[-1].commit
    wanted = {place.git("rev-parse", f"{commit}:{name}").decode().strip() for name in names}
    spots: list[tuple[Path, int]] = []
    for index in (place.store / "objects/pack").glob("*.idx"):
        listed = place.git("verify-pack", "-v", str(index)).decode()
        rows = re.findall(r"(?m)^([0-9a-f]{40}) \w+ +\d+ (\d+) (\d+)$", listed)
        spots += [(index.with_suffix(".pack"), int(at) + int(n) // 2) for oid, n, at in rows if oid in wanted]
    assert len(spots) == len(names)
    for path, at in spots:
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[at : at + 3] = bytes(b ^ 0xFF for b in data[at : at + 3])
        path.write_bytes(data)
    place.reopen()


def settle(place: Protected) -> None:
    """Take it once more when nothing has changed for a while: the stat cache then vouches for all of it."""
    time.sleep(0.1)
    place.take()
    place.delete(place.snapshots()[-2].id)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("name", ["f", "d/large", "d"])
def test_a_safety_snapshot_holds_what_is_to_be_replaced(place: Protected, name: str, settled: bool) -> None:
    if settled:
        settle(place)
    damage(place, name)
    settings, sidecar = place.settings, place.sidecar
    with sidecar.writing(5):
        target = Target(sidecar, place.snapshots()[0], exclusions.texts(sidecar.installation, settings))
        taken, _ = take_locked(
            sidecar,
            Request(kind=Kind.SAFETY),
            settings,
            now=place.now,
            observer=SILENT,
            rules=[],
            excludes=target.excludes(),
            relied_on=lambda scan: replaced(target.plan(scan), scan.inventory),
        )
    place.reopen()
    (verdict,) = [v for v in place.verify() if v.snapshot == taken.snapshot.id]
    assert verdict.problems == []
    assert verdict.files == 2


def test_a_safety_snapshot_of_what_the_last_one_holds_shares_its_tree_and_notes(place: Protected) -> None:
    settle(place)
    before = place.snapshots()
    packs = {p: p.stat().st_size for p in (place.store / "objects/pack").glob("*.pack")}
    result = place.rollback(before[0].id)
    assert result.verified and result.safety is not None
    last, safety = before[-1], result.safety
    assert (safety.tree, safety.manifest_sha256) == (last.tree, last.manifest_sha256)
    listed = [place.git("ls-tree", "-r", ref).decode() for ref in (refs.MANIFESTS, refs.METADATA)]
    for notes in listed:
        blobs = {path.replace("/", ""): blob for _, _, blob, path in (line.split() for line in notes.splitlines())}
        assert blobs[safety.commit] == blobs[last.commit]
    added = [p for p in (place.store / "objects/pack").glob("*.pack") if p not in packs]
    assert sum(p.stat().st_size for p in added) < 4000
    place.reopen()
    place.assert_sound()
    assert place.rollback(safety.id).verified


def test_what_verify_could_not_read_is_written_afresh_by_the_next_snapshot(place: Protected) -> None:
    damage(place, "f", "d/large")
    assert not place.verify()[1].ok
    (place.root / "new").write_bytes(b"new\n")
    place.reopen()
    place.take()
    # The damaged snapshot is whole again, too: it has the same contents.
    assert [v.ok for v in place.verify() if v.snapshot != "sidecar"] == [True] * 3
    place.reopen()
    place.collect()
    place.assert_sound()


def test_what_was_damaged_once_counts_as_kept_only_while_a_snapshot_needs_it(place: Protected) -> None:
    damage(place, "f")
    assert not place.verify()[1].ok
    place.reopen()
    healed = place.take().snapshot
    content = (place.root / "f").read_bytes()
    place.delete(healed.id, place.snapshots()[1].id)
    (place.root / "f").unlink()
    place.reopen()
    place.take()
    # Readable now, and reached by nothing: a gc that runs beside us may take it any time.
    (place.root / "f").write_bytes(content)
    oid = place.git("hash-object", str(place.root / "f")).strip()
    before = _copies(place, oid)
    place.reopen()
    place.take()
    assert _copies(place, oid) == before + 1


def _copies(place: Protected, oid: bytes) -> int:
    """How many packs hold an object."""
    packs = (place.store / "objects/pack").glob("*.idx")
    return sum(oid in place.git("show-index", stdin=index.read_bytes()) for index in packs)
