"""A snapshot that something is about to rely on holds what it says, even where it builds upon a damaged copy."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT
from gitsnap.core.model import Kind
from gitsnap.ops.capture.request import Capture, Request
from gitsnap.ops.capture.scan import take_locked
from gitsnap.ops.live import exclusions
from gitsnap.ops.restore.target import Target, replaced
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.streamed_texts import StreamedTexts
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, copy_tree, same_tree

# What is streamed, and has a pack of its own.
LARGE = 9 << 20


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Protected]:
    with workspace() as top:
        root = top / "app"
        (root / "d").mkdir(parents=True)
        (root / "f").write_bytes(b"old\n")
        with Protected(root, top / "home") as protected:
            protected.take()
            (root / "f").write_bytes(os.urandom(3000))
            (root / "d/large").write_bytes(os.urandom(getattr(request, "param", 30_000)))
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
    """Take it once more when nothing has changed for a while: the stat cache then vouches for all of it.

    A time is another first: on a slow machine the cache may vouch for all already, for the snapshot that goes here.
    """
    os.utime(place.root / "f", (1, 1))
    time.sleep(0.1)
    place.take()
    place.delete(place.snapshots()[-2].id)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(("place", "name"), [(9000, "f"), (LARGE, "d/large"), (9000, "d")], indirect=["place"])
def test_a_safety_snapshot_holds_what_is_to_be_replaced(place: Protected, name: str, settled: bool) -> None:
    if settled:
        settle(place)
    damage(place, name)
    settings, sidecar = place.settings, place.sidecar
    with sidecar.writing(5):
        target = Target(sidecar, place.snapshots()[0], exclusions.texts(sidecar.installation, settings))
        capture = Capture(
            sidecar,
            Request(kind=Kind.SAFETY),
            settings,
            place.now,
            SILENT,
            rules=[],
            excludes=target.excludes(),
            relied_on=lambda scan: replaced(target.plan(scan), scan.inventory),
        )
        taken, _ = take_locked(capture)
    place.reopen()
    (verdict,) = [v for v in place.verify() if v.snapshot == taken.snapshot.id]
    assert verdict.problems == []
    assert verdict.files == 2


@pytest.fixture
def texts_formed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever a snapshot forms texts of its own, instead of sharing those of another."""
    formed: list[str] = []
    end = StreamedTexts.end

    def counted(texts: StreamedTexts) -> None:
        end(texts)
        formed.append(texts.manifest.sha256)

    monkeypatch.setattr(StreamedTexts, "end", counted)
    return formed


def test_a_safety_snapshot_of_what_the_last_one_holds_shares_it(place: Protected, texts_formed: list[str]) -> None:
    settle(place)
    before, formed = place.snapshots(), len(texts_formed)
    packs = {p: p.stat().st_size for p in (place.store / "objects/pack").glob("*.pack")}
    result = place.rollback(before[0].id)
    assert result.verified and result.safety is not None
    assert len(texts_formed) == formed
    last, safety = before[-1], result.safety
    assert (safety.tree, safety.manifest_sha256) == (last.tree, last.manifest_sha256)
    added = [p for p in (place.store / "objects/pack").glob("*.pack") if p not in packs]
    assert sum(p.stat().st_size for p in added) < 4000
    place.reopen()
    place.assert_sound()
    assert place.rollback(safety.id).verified


@pytest.mark.parametrize("change", ["mode of the root", "mode", "content", "new", "gone", "owner"])
def test_a_safety_snapshot_of_anything_else_shares_nothing(
    place: Protected, texts_formed: list[str], change: str
) -> None:
    settle(place)
    first, formed = place.snapshots()[0], len(texts_formed)
    changes: dict[str, Callable[[], object]] = {
        "mode of the root": lambda: place.root.chmod(0o711),
        "mode": lambda: (place.root / "f").chmod(0o600),
        "content": lambda: (place.root / "f").write_bytes(b"x" * 3000),
        "new": lambda: (place.root / "new").mkdir(),
        "gone": lambda: (place.root / "d/large").unlink(),
        "owner": lambda: os.chown(place.root / "f", 1, 1),
    }
    if change == "owner" and not IS_ROOT:
        pytest.skip("giving files away needs root")
    changes[change]()
    # So long that the change is in the rows: while it is fresh, there are none of what has changed.
    time.sleep(0.1)
    before = place.root.parent / "before"
    copy_tree(place.root, before)
    result = place.rollback(first.id)
    assert len(texts_formed) == formed + 1
    assert result.safety is not None
    place.reopen()
    place.rollback(result.safety.id)
    same_tree(before, place.root)


def test_what_is_to_be_shared_and_is_damaged_is_taken_afresh(place: Protected, texts_formed: list[str]) -> None:
    settle(place)
    first, formed = place.snapshots()[0], len(texts_formed)
    place.git("update-ref", "-d", refs.METADATA)
    # What would still lead to the notes.
    shutil.rmtree(place.store / "logs", ignore_errors=True)
    place.reopen()
    with pytest.raises(IntegrityError):
        place.inventory(first)
    taken = place.take().snapshot
    assert len(texts_formed) == formed + 1
    assert [v.ok for v in place.verify() if v.snapshot == taken.id] == [True]


@pytest.mark.parametrize("place", [LARGE], indirect=True)
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
