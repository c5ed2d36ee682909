"""Packs as they are written: nothing seen before the end, read by stock git's rules afterwards."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from dulwich.object_format import SHA1
from dulwich.pack import Pack as DulwichPack

from gitsnap.core.content import WHOLE, SizeChanged
from gitsnap.sidecar.git import pack_file, pack_write
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_write import BLOB, TREE, PackWriter, object_id


class Place:
    def __init__(self, top: Path) -> None:
        self.objects, self.scratch = top / "objects", top / "scratch"
        (self.objects / "pack").mkdir(parents=True)
        self.scratch.mkdir()
        self.kept: set[bytes] = set()

    def writer(self) -> PackWriter:
        return PackWriter(str(self.objects), str(self.scratch), self.kept.__contains__)

    def packs(self) -> list[str]:
        return sorted(os.listdir(self.objects / "pack"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)


def read(place: Place, name: str) -> DulwichPack:
    return DulwichPack(str(place.objects / "pack" / f"pack-{name}"), object_format=SHA1)


def held(objects: Path, written: pack_write.WrittenPack) -> set[bytes]:
    """The raw ids of all that these packs hold."""
    packs = [DulwichPack(str(objects / "pack" / f"pack-{name}"), object_format=SHA1) for name in written.names]
    found = [bytes(oid) for pack in packs for oid in pack.index]
    assert len(found) == written.objects
    return {oid if len(oid) == 20 else bytes.fromhex(oid.decode()) for oid in found}


def blob(data: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).digest()


def test_nothing_is_seen_before_the_end(place: Place) -> None:
    writer = place.writer()
    digests = writer.add_blob(3, [b"a", b"", b"bc"])
    assert (digests.oid, digests.sha256) == (blob(b"abc"), hashlib.sha256(b"abc").digest())
    assert place.packs() == []
    written = writer.finish()
    assert written is not None
    assert held(place.objects, written) == {digests.oid}
    assert [name.rpartition(".")[2] for name in place.packs()] == ["idx", "keep", "pack"]
    assert os.listdir(place.scratch) == []
    for name in place.packs():
        assert (place.objects / "pack" / name).stat().st_mode & 0o077 == 0
    written.release()
    assert [name.rpartition(".")[2] for name in place.packs()] == ["idx", "pack"]


def test_dulwich_reads_what_is_written(place: Place) -> None:
    writer = place.writer()
    contents = [os.urandom(n) for n in (0, 1, 15, 16, 2047, 2048, 40_000)] + [bytes(100_000)]
    oids = [writer.add_blob(len(data), [data]).oid for data in contents]
    tree = writer.add(TREE, b"100644 f\0" + oids[0])
    written = writer.finish()
    assert written is not None
    with read(place, written.names[0]) as pack:
        pack.check()
        assert {bytes.fromhex(i.decode()) for i in pack.index} == {*oids, tree}
        for oid, data in zip(oids, contents, strict=True):
            assert pack[oid.hex().encode()].as_raw_string() == data
    store = ObjectStore(str(place.objects))
    store.refresh()
    assert store.read(tree) == (b"tree", b"100644 f\0" + oids[0])


def test_what_is_there_is_not_written_again(place: Place) -> None:
    writer = place.writer()
    place.kept.add(blob(b"kept"))
    assert writer.add_blob(4, [b"kept"]).oid == blob(b"kept")
    assert writer.has(blob(b"kept"))
    assert blob(b"kept") not in writer
    writer.add(BLOB, b"twice")
    writer.put(BLOB, b"twice")
    assert writer.put(BLOB, b"kept") in writer
    written = writer.finish()
    assert written is not None
    assert held(place.objects, written) == {blob(b"twice"), blob(b"kept")}
    with read(place, written.names[0]) as pack:
        assert len(pack) == 2
        pack.check()


def test_an_empty_one_is_none(place: Place) -> None:
    assert place.writer().finish() is None
    assert (place.packs(), os.listdir(place.scratch)) == ([], [])


def test_what_is_given_up_leaves_nothing(place: Place) -> None:
    writer = place.writer()
    writer.add(BLOB, b"x")
    writer.abandon()
    writer.abandon()
    assert (place.packs(), os.listdir(place.scratch)) == ([], [])


@pytest.mark.parametrize("size", [5, WHOLE + 5])
@pytest.mark.parametrize("other", [-1, 1])
def test_a_file_that_has_another_size_meanwhile(place: Place, size: int, other: int) -> None:
    writer = place.writer()
    writer.add(BLOB, b"before")
    with pytest.raises(SizeChanged):
        writer.add_blob(size, [bytes(size + other)])
    after = writer.add_blob(5, [b"after"]).oid
    written = writer.finish()
    assert written is not None
    assert held(place.objects, written) == {blob(b"before"), after}
    with read(place, written.names[0]) as pack:
        pack.check()


def test_a_large_one_has_a_pack_of_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_write, "_OWN", WHOLE + 2)
    writer = place.writer()
    small, large, twice = b"s" * (WHOLE + 1), b"l" * (WHOLE + 2), b"l" * (WHOLE + 2)
    for data in (small, large, twice):
        assert writer.add_blob(len(data), [data]).oid == blob(data)
    written = writer.finish()
    assert written is not None
    assert len(written.names) == 2
    found = []
    for name in written.names:
        with read(place, name) as pack:
            pack.check()
            found.append([bytes.fromhex(i.decode()) for i in pack.index])
    assert sorted(found) == sorted([[blob(small)], [blob(large)]])


def test_after_a_split_all_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_write, "_OWN", 10)
    writer = place.writer()
    writer.add(BLOB, b"content that is long enough")
    writer.split()
    assert blob(b"content that is long enough") in writer
    writer.add(TREE, b"")
    written = writer.finish()
    assert written is not None
    assert len(written.names) == len(written.keeps) == 2
    assert held(place.objects, written) == {blob(b"content that is long enough"), object_id(TREE, b"")}


def test_the_same_pack_twice(place: Place) -> None:
    """Two writers of one content: the pack of the same name is whole whoever comes second."""
    for _ in range(2):
        writer = place.writer()
        writer.add(BLOB, b"x")
        written = writer.finish()
    assert written is not None
    assert len(place.packs()) == 3
    with read(place, written.names[0]) as pack:
        pack.check()


def test_no_keep_is_there_that_does_not_say_whose_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """gc leaves an empty one alone: git's users make those."""
    real = pack_file._write_synced

    def full(path: str, pieces: Iterable[bytes]) -> None:
        if path.endswith(".keep"):
            Path(path).touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(path, pieces)

    monkeypatch.setattr(pack_file, "_write_synced", full)
    writer = place.writer()
    writer.add_blob(3, [b"abc"])
    with pytest.raises(OSError, match="No space"):
        writer.finish()
    writer.abandon()
    assert place.packs() == [] and list(place.scratch.iterdir()) == []
    monkeypatch.undo()
    writer = place.writer()
    writer.add_blob(3, [b"abc"])
    written = writer.finish()
    assert written is not None and Path(written.keeps[0]).read_bytes().startswith(b"gitsnap: ")
