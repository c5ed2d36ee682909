"""A gc that copies what lives: nothing that anybody reaches goes, all else does, and what it does not touch stays."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import repack, texts_pack
from gitsnap.sidecar.git.pack_copy import copy
from gitsnap.sidecar.git.pack_file import Entry, PackFile, entry_header
from gitsnap.sidecar.git.pack_read import REF_DELTA, Pack
from gitsnap.sidecar.git.pack_write import BLOB, deflate, object_id
from tests.support.inprocess import Protected, workspace

# What may have become of the packs before: deltas by distance and by id, what is unreachable put aside, one file each.
KEPT_BY_GIT = {
    "as written": [],
    "deltas": [["repack", "-q", "-a", "-d", "-f", "--depth=50"]],
    "deltas by id": [["-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f", "--depth=50"]],
    "cruft": [["-c", "repack.writeBitmaps=false", "repack", "-q", "-d", "--cruft", "--cruft-expiration=never"]],
    "loose": [["-c", "gc.reflogExpire=now", "repack", "-q", "-a", "-d", "-f"], ["repack", "-q", "-A", "-d"]],
    "geometric": [["repack", "-q", "-d", "--geometric=2", "--write-midx"]],
    "bitmap": [["repack", "-q", "-a", "-d", "-b"], ["commit-graph", "write", "--reachable"]],
}


@pytest.fixture
def it() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app/deep/er").mkdir(parents=True)
        chance = random.Random(4)
        for number in range(60):
            lines = [f"{number} {chance.random()}\n" for _ in range(60)]
            (top / f"app/deep/er/{number:03}").write_text("".join(lines))
        with Protected(top / "app", top / "home") as protected:
            protected.keep(keep_last=100)
            yield protected


def changed(it: Protected, number: int) -> str:
    """A snapshot in which a line, a content of its own, and one that was there before and went have changed."""
    file = it.root / f"deep/er/{number % 60:03}"
    file.write_text(file.read_text().replace("\n", f" {number}\n", 2))
    (it.root / "noise").write_bytes(random.Random(number).randbytes(3000))
    (it.root / "again").write_bytes(random.Random(number % 2).randbytes(2000))
    return it.take().snapshot.id


def reached(it: Protected) -> set[bytes]:
    """By stock git."""
    return set(it.git("rev-list", "--objects", "--no-object-names", "--all").split())


def there(it: Protected) -> list[bytes]:
    """Every object in every pack and in files of their own, by stock git."""
    listed = it.git("cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)").split()
    assert len(listed) == len(set(listed))
    return listed


def packs(it: Protected) -> dict[str, int]:
    folder = it.store / "objects/pack"
    return {p.name: p.stat().st_ino for p in folder.glob("*.pack")}


@pytest.mark.parametrize("name", KEPT_BY_GIT)
def test_what_is_reached_stays_and_nothing_else(it: Protected, name: str) -> None:
    taken = [changed(it, number) for number in range(12)]
    for command in KEPT_BY_GIT[name]:
        it.git(*command)
    blob = it.git("hash-object", "-w", "--stdin", stdin=b"of somebody else\n").decode().strip()
    it.git("tag", "-a", "-m", "a blob of theirs", "theirs", blob)
    it.git("hash-object", "-w", "--stdin", stdin=b"of nobody\n")
    it.delete(*taken[:3], *taken[4:9])
    it.collect()
    assert set(there(it)) == reached(it)
    assert it.git("cat-file", "blob", "theirs") == b"of somebody else\n"
    assert not [p for p in (it.store / "objects").iterdir() if len(p.name) == 2]
    it.assert_sound()
    # The next ones go on from there.
    changed(it, 20)
    it.delete(taken[9])
    it.collect()
    assert set(there(it)) == reached(it)
    it.assert_sound()


def test_what_nothing_happened_to_is_not_touched(it: Protected) -> None:
    (it.root / "large").write_bytes(os.urandom(2_000_000))
    changed(it, 0)
    first = packs(it)
    for number in range(1, 6):
        changed(it, number)
    before = packs(it)
    it.collect()
    after = packs(it)
    # The first content is in a pack with what later snapshots superseded: it is written anew once, and never again.
    assert len(after) <= 3 < len(before)
    largest = max((it.store / "objects/pack").glob("*.pack"), key=lambda p: p.stat().st_size)
    assert largest.name not in first
    changed(it, 7)
    it.collect()
    assert packs(it)[largest.name] == after[largest.name]
    now = packs(it)
    it.collect()
    assert packs(it) == now


def test_texts_whose_base_went_become_deltas_of_what_is_left(it: Protected) -> None:
    taken = [changed(it, number) for number in range(30)]
    it.delete(*[name for number, name in enumerate(taken[:-1]) if number % 5])
    it.collect()
    entries = list(texts(it).stored_entries())
    # Of each kind: one for each that stays, and only the newest of them whole.
    assert len(entries) == 2 * 7
    assert sum(entry.base is None for _, entry in entries) == 2
    it.assert_sound()
    # The next one makes deltas of them.
    changed(it, 31)
    assert len(texts(it).index) == 2 * 8
    it.assert_sound()


def texts(it: Protected) -> Pack:
    it.sidecar.objects.refresh()
    return next(p for p in it.sidecar.objects.packs if p.stem == f"pack-{texts_pack.name(it.sidecar)}")


def test_a_pack_that_its_owner_keeps_stays_as_it_is(it: Protected) -> None:
    taken = [changed(it, number) for number in range(4)]
    held = packs(it)
    for name in held:
        (it.store / "objects/pack" / name).with_suffix(".keep").touch()
    changed(it, 4)
    it.delete(*taken)
    it.collect()
    assert held.items() <= packs(it).items()
    assert [v.problems for v in it.verify()] == [[]]


def test_a_damaged_entry_is_not_copied_and_nothing_goes_for_it(it: Protected) -> None:
    """git has the word then, and says what is wrong."""
    taken = [changed(it, number) for number in range(4)]
    it.delete(taken[0])
    it.sidecar.objects.refresh()
    content = object_id(BLOB, random.Random(3).randbytes(3000))
    pack = next(p for p in it.sidecar.objects.packs if p.index.find(content) is not None)
    _, start, end, _ = pack.index.rows([content], pack.data.end)[0]
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek((start + end) // 2)
        file.write(b"damage")
    before = set(there(it))
    with pytest.raises(IntegrityError, match=r"git (repack|gc) failed"):
        it.collect()
    assert before <= set(there(it))


def test_of_two_copies_the_whole_one_stays(it: Protected) -> None:
    """The larger pack has a damaged one, which nothing but its content shows: its checksum is that of the damage."""
    for number in range(4):
        changed(it, number)
    it.git("repack", "-q", "-a", "-d", "-f")
    content = random.Random(3).randbytes(3000)
    oid = object_id(BLOB, content)
    it.sidecar.objects.refresh()
    (pack,) = it.sidecar.objects.packs
    wrong, out = Entry(BLOB, len(content), deflate(content[:-1] + b"!")), PackFile(it.sidecar.scratch)
    for name, entry in pack.stored_entries():
        out.add(name, wrong if name == oid else entry)
    pack.remove()
    for pack_file in (out, PackFile(it.sidecar.scratch)):
        if pack_file is not out:
            pack_file.add(oid, Entry(BLOB, len(content), deflate(content)))
        stem = f"pack-{pack_file.finish(str(it.store / 'objects'))}"
        os.unlink(it.store / "objects/pack" / f"{stem}.keep")
    it.collect()
    it.assert_sound()
    it.sidecar.objects.refresh()
    assert sum(p.index.find(oid) is not None for p in it.sidecar.objects.packs) == 1


def test_a_missing_object_stops_it_before_anything_goes(it: Protected) -> None:
    taken = [changed(it, number) for number in range(4)]
    it.git("update-ref", "refs/heads/theirs", it.snapshots()[0].commit)
    before = set(there(it))
    path = it.store / "refs/heads/broken"
    path.parent.mkdir(exist_ok=True)
    path.write_text("1" * 40 + "\n")
    it.delete(taken[0])
    with pytest.raises(IntegrityError):
        it.collect()
    assert before <= set(there(it))


def test_unfinished_packs_and_objects_of_others_go(it: Protected) -> None:
    changed(it, 0)
    left = [it.store / "objects/pack/tmp_pack_abcdef", it.store / "objects/ab/tmp_obj_abcdef"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half of it")
    it.collect()
    assert not any(path.exists() for path in left)
    assert not left[1].parent.exists()


@pytest.mark.parametrize("seed", range(8))
def test_packs_stay_few_and_the_largest_are_left_alone(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [int(1.3 ** chance.randrange(60)) + 1 for _ in range(chance.randrange(1, 60))]
    held = [repack._Held(None, set(), size, True) for size in sizes]  # type: ignore[arg-type]
    groups = repack._groups(held)
    assert len(groups) <= 1
    gathered = groups[0] if groups else []
    left = sorted([h.size for h in held if h not in gathered] + [sum(h.size for h in gathered)])
    if not gathered:
        left = sorted(sizes)
    assert all(size >= 2 * sum(left[:n]) for n, size in enumerate(left) if n and left[n - 1])
    assert not gathered or len(gathered) > 1


def pack_of(folder: Path, *entries: tuple[bytes, Entry]) -> Pack:
    """A pack as others could write it: bases by id, in any order."""
    out = PackFile(str(folder))
    for oid, entry in entries:
        start = out.at
        head = entry_header(REF_DELTA if entry.base else entry.kind, entry.size) + (entry.base or b"")
        out.write(head + entry.deflated)
        out.index[oid] = (isal_zlib.crc32(head + entry.deflated), start)
    return Pack(str(folder / "pack" / f"pack-{out.finish(str(folder))}.idx"))


def test_a_base_that_lies_behind_or_was_large_is_copied_first(tmp_path: Path) -> None:
    base = os.urandom(3 << 20)
    # A delta that takes the first 100 bytes.
    made = base[:100]
    delta = b"\x80\x80\xc0\x01" + b"\x64" + b"\x90\x64"
    oids = object_id(BLOB, base), object_id(BLOB, made)
    there = pack_of(
        tmp_path,
        (oids[1], Entry(BLOB, len(delta), deflate(delta), oids[0])),
        (oids[0], Entry(BLOB, len(base), deflate(base))),
    )
    out = PackFile(str(tmp_path))
    copy(there, out, set(oids), lambda oid: (b"blob", {oids[0]: base, oids[1]: made}[oid]))
    copied = Pack(str(tmp_path / "pack" / f"pack-{out.finish(str(tmp_path))}.idx"))
    found = dict(copied.stored_entries())
    assert found[oids[1]].base == oids[0]
    assert found[oids[0]] == Entry(BLOB, len(base), deflate(base))
    # Alone, it stands for itself.
    out = PackFile(str(tmp_path))
    copy(there, out, {oids[1]}, lambda oid: (b"blob", {oids[0]: base, oids[1]: made}[oid]))
    alone = Pack(str(tmp_path / "pack" / f"pack-{out.finish(str(tmp_path))}.idx"))
    assert list(alone.stored_entries()) == [(oids[1], Entry(BLOB, 100, deflate(made)))]


@pytest.mark.parametrize("at", [1 << 10, (1 << 20) + 5, (3 << 20) - 1])
def test_a_large_entry_that_is_not_as_it_was_written_is_told(tmp_path: Path, at: int) -> None:
    content = os.urandom(3 << 20)
    oid = object_id(BLOB, content)
    there = pack_of(tmp_path, (oid, Entry(BLOB, len(content), deflate(content))))
    os.chmod(there.path, 0o600)
    with open(there.path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(IntegrityError, match="damaged"):
        copy(there, PackFile(str(tmp_path)), {oid}, lambda _: (b"blob", content))


def test_deltas_in_a_circle_are_told(tmp_path: Path) -> None:
    one, two = b"1" * 20, b"2" * 20
    delta = deflate(b"delta")
    there = pack_of(tmp_path, (one, Entry(BLOB, 5, delta, two)), (two, Entry(BLOB, 5, delta, one)))
    with pytest.raises(IntegrityError, match="does not end"):
        copy(there, PackFile(str(tmp_path)), {one, two}, lambda _: (b"blob", b""))
