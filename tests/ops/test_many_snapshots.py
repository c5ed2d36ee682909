"""However many snapshots there are, their packs stay few, and nothing of them is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from gitsnap.sidecar import small_packs, texts_pack
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        (where / "app").mkdir()
        with Protected(where / "app", where / "home") as protected:
            protected.keep(keep_last=1000)
            yield protected


def packs(place: Protected) -> list[str]:
    return [n for n in os.listdir(place.store / "objects/pack") if n.endswith(".pack")]


def take(place: Protected, times: int) -> None:
    for turn in range(times):
        (place.root / "f").write_bytes(b"%d\n" % turn * 300)
        place.take()


@pytest.mark.long
def test_packs_stay_few_and_whole(place: Protected) -> None:
    take(place, 80)
    assert len(packs(place)) <= 33
    assert len(place.snapshots()) == 80
    assert not [n for n in os.listdir(place.store / "objects/pack") if n.endswith(".keep")]
    place.reopen()
    place.assert_sound()
    place.collect()
    place.assert_sound()
    assert len(packs(place)) <= 4
    place.collect(full=True)
    place.assert_sound()
    # All is in one, but for the manifests and metadata, of which a pack has a hundred.
    listed = place.git("notes", "--ref=gitsnap/manifest", "list") + place.git("notes", "--ref=gitsnap/metadata", "list")
    texts = {bytes.fromhex(oid.decode()) for oid in listed.split()[::2]}
    place.reopen()
    assert len(texts) > 80
    assert len([p for p in place.sidecar.objects.packs if set(p.index.oids()) - texts]) == 1
    assert len(packs(place)) == 3


def test_a_pack_with_a_damaged_entry_stays_for_verify_to_name(place: Protected) -> None:
    take(place, 30)
    current = texts_pack.name(place.sidecar)
    pack = next(p for p in place.sidecar.objects.packs if current not in p.path)
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(pack.spans()[0][1] + 4)
        file.write(b"\xa5\x5a")
    place.sidecar.objects.refresh()
    # That of texts is written anew by each snapshot.
    before = {name for name in packs(place) if texts_pack.name(place.sidecar) not in name}
    for name in ("a", "b", "c", "d"):
        (place.root / name).write_bytes(name.encode())
        try:
            place.take()
        except Exception:  # noqa: BLE001 - a snapshot may meet the damage, or not
            place.reopen()
    small_packs.gather(place.sidecar)
    assert before <= set(packs(place))


def test_packs_that_are_kept_and_those_of_a_foreign_index_are_left_alone(place: Protected) -> None:
    take(place, 20)
    kept = next(name for name in packs(place) if texts_pack.name(place.sidecar) not in name)
    (place.store / "objects/pack" / kept.replace(".pack", ".keep")).write_text("mine\n")
    take(place, 20)
    assert kept in packs(place)
    assert len(packs(place)) < 20
    place.git("multi-pack-index", "write")
    before = len(packs(place))
    take(place, 40)
    assert len(packs(place)) >= before + 38
    place.assert_sound()


def test_an_unchanged_directory_outlives_the_snapshot_that_its_cache_is_of(place: Protected) -> None:
    place.keep(keep_last=3)
    (place.root / "f").write_bytes(b"x")
    time.sleep(0.07)
    place.take()
    place.take()
    trees = {place.take().snapshot.tree for _ in range(8)}
    assert len(trees) == 1
    cache = place.sidecar.load_cache()
    assert cache.whole
    assert cache.commit.hex() in {s.commit for s in place.snapshots()}
    place.assert_sound()
