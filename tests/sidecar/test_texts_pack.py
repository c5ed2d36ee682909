"""The texts of the last snapshots in one pack: small, whole for stock git, and no reason for a snapshot to fail."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from gitsnap.core.model import Snapshot
from gitsnap.ops.store import gc
from gitsnap.sidecar import contents, small_packs, texts_pack
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.git.pack_read import OFS_DELTA, Pack
from tests.support.inprocess import Protected, workspace

FILES = 400


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app/some").mkdir(parents=True)
        for number in range(FILES):
            (top / f"app/some/file {number:04}").write_text(f"{number}\n")
        with Protected(top / "app", top / "home") as found:
            found.keep(keep_last=1000)
            yield found


def change(place: Protected, number: int) -> Snapshot:
    (place.root / f"some/file {7 * number % FILES:04}").write_text(f"changed {number}\n")
    return place.take().snapshot


def current(place: Protected) -> Pack | None:
    name = texts_pack.name(place.sidecar)
    place.sidecar.objects.refresh()
    return next((p for p in place.sidecar.objects.packs if name and name in p.path), None)


def size(place: Protected) -> int:
    pack = current(place)
    assert pack is not None
    return pack.data.end


def whole(place: Protected) -> int:
    pack = current(place)
    assert pack is not None
    return sum(pack.data.header(start)[0] != OFS_DELTA for _, start, _, _ in pack.spans())


def assert_right(place: Protected) -> None:
    """By stock git, which knows nothing of it: each text is what its snapshot's commit says."""
    snapshots = place.snapshots()
    for ref, digests in (
        (refs.MANIFESTS, {s.commit: s.manifest_sha256 for s in snapshots}),
        (refs.METADATA, {s.commit: s.metadata_sha256 for s in snapshots}),
    ):
        notes = dict(reversed(row.split()) for row in place.git("notes", f"--ref={ref}", "list").decode().splitlines())
        asked = "".join(f"{notes[commit]}\n" for commit in digests)
        told = place.git("cat-file", "--batch", stdin=asked.encode())
        for digest in digests.values():
            head, _, told = told.partition(b"\n")
            length = int(head.split()[2])
            assert hashlib.sha256(told[:length]).hexdigest() == digest
            told = told[length + 1 :]
    place.assert_sound()


def test_a_snapshot_of_a_small_change_adds_little(place: Protected) -> None:
    change(place, 0)
    packs, before = len(place.sidecar.objects.packs), size(place)
    for number in range(1, 11):
        change(place, number)
    assert whole(place) == 2 and len(place.sidecar.objects.packs) == packs + 10
    assert size(place) - before < 10 * 700 < before
    assert_right(place)


@pytest.mark.parametrize("name", ["ordinary", "of a * pattern"])
def test_a_small_change_after_a_rollback_adds_little(place: Protected, name: str) -> None:
    # What is named as a pattern is told by a scan alone.
    before = change(place, 0)
    for number in range(0, FILES, 2):
        (place.root / f"some/file {number:04}").write_text(f"upgraded {number}\n")
    upgraded = place.take().snapshot
    for target in (before, upgraded, before):
        place.rollback(target.id)
        old = size(place)
        (place.root / name).write_text(f"{old}\n")
        place.take()
        assert whole(place) == 2 and size(place) - old < 2000
    assert_right(place)


def test_where_no_lines_are_the_same_both_are_whole(place: Protected) -> None:
    change(place, 0)
    for number in range(FILES):
        (place.root / f"some/file {number:04}").write_bytes(os.urandom(20))
    place.take()
    assert whole(place) == 4
    assert_right(place)


def test_what_was_there_before_comes_back(place: Protected) -> None:
    for number in range(6):
        (place.root / "some/file 0000").write_text(str(number % 2))
        os.utime(place.root / "some/file 0000", ns=(1, 1))
        place.take()
    assert_right(place)


def test_after_so_many_another_begins(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_pack, "_MOST", 6)
    seen = set()
    for number in range(8):
        change(place, number)
        pack = current(place)
        assert pack is not None and len(pack.index) <= 6
        seen.add(len(pack.index))
    assert seen == {2, 4, 6}
    assert_right(place)
    # One that is left as it is can be gathered with others, deltas and all.
    monkeypatch.setattr(small_packs, "_MANY", 2)
    monkeypatch.setattr(small_packs, "_FEW", 1)
    small_packs.gather(place.sidecar)
    assert len(place.sidecar.objects.packs) <= 3
    assert current(place) is not None
    assert_right(place)


@pytest.mark.parametrize("said", [b"", b"garbage\n", b"0" * 40 + b"\n", b"%s\n" % b" ".join([b"ab" * 20] * 3)])
def test_where_it_is_not_known_another_begins(place: Protected, said: bytes) -> None:
    change(place, 0)
    (place.store / "gitsnap/texts").write_bytes(said)
    change(place, 1)
    assert whole(place) == 2
    change(place, 2)
    assert whole(place) == 2
    assert_right(place)


def test_one_that_its_owner_keeps_is_left_and_another_begins(place: Protected) -> None:
    change(place, 0)
    kept = current(place)
    assert kept is not None
    with open(f"{kept.path[:-5]}.keep", "w"):
        pass
    for number in range(1, 4):
        change(place, number)
    assert os.path.exists(kept.path)
    assert whole(place) == 2
    pack = current(place)
    assert pack is not None and len(pack.index) == 6
    assert_right(place)


def test_where_only_times_change_it_goes_on(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_pack, "_MOST", 4)
    change(place, 0)
    for number in range(1, 8):
        os.utime(place.root / "some/file 0000", ns=(number, number))
        place.take()
    pack = current(place)
    assert pack is not None and len(pack.index) < 4
    assert whole(place) == 1
    assert_right(place)


def test_what_a_gc_has_taken_is_not_missed(place: Protected) -> None:
    for number in range(3):
        change(place, number)
    place.git("gc", "-q", "--prune=now")
    assert current(place) is None
    for number in range(3, 6):
        change(place, number)
    assert whole(place) == 2
    assert_right(place)


def test_a_damaged_one_stays_for_verify_to_name(place: Protected) -> None:
    for number in range(3):
        change(place, number)
    pack = current(place)
    assert pack is not None
    start, end = next((s, e) for _, s, e, _ in pack.spans() if pack.data.header(s)[0] == OFS_DELTA)
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek((start + end) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x10]))
    place.reopen()
    change(place, 3)
    assert os.path.exists(pack.path) and whole(place) == 2
    found = {v.snapshot: v.ok for v in place.verify()}
    assert [found[s.id] for s in place.snapshots()] == [False, False, True, True]


def test_killed_before_the_one_of_before_went(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    change(place, 0)
    with monkeypatch.context() as patch:
        patch.setattr(texts_pack.TextsPack, "settle", lambda _: None)
        change(place, 1)
    change(place, 2)
    assert_right(place)


def test_who_has_the_one_of_before_open_reads_on(place: Protected) -> None:
    first = change(place, 0)
    with Protected(place.root, place.root.parent / "home") as reader:
        assert contents.manifest_text(reader.sidecar, first)
        for number in range(1, 4):
            change(place, number)
        assert contents.manifest_text(reader.sidecar, first)
        assert contents.manifest_text(reader.sidecar, place.snapshots()[-1])


def test_texts_of_what_went_go_with_a_gc(place: Protected) -> None:
    gone = change(place, 0)
    oid, _ = contents.find_note(place.sidecar, gone, refs.METADATA, "metadata", gone.metadata_sha256)
    for number in range(1, 4):
        change(place, number)
    place.delete(gone.id)
    change(place, 4)
    assert oid in place.sidecar.objects, "it may come back from the bin"
    gc.collect(place.sidecar, place.settings, now=place.now)
    place.reopen()
    assert oid not in place.sidecar.objects
    change(place, 5)
    assert_right(place)


def test_large_texts_go_with_the_contents(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_pack, "LARGEST", 1000)
    change(place, 0)
    change(place, 1)
    assert current(place) is None
    assert_right(place)
