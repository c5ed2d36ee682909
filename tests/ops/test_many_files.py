"""Enough files for several processes: the same snapshot as one process takes, and everything in it is read again."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.ops.parallel import pool, read, read_back
from gitsnap.sidecar import spool, streamed_texts, texts_pack
from gitsnap.sidecar.git import pack_write
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        dice = random.Random(3)
        for n in range(700):
            file = place / f"app/{n % 13:02}/{n % 7}/f{n}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(dice.randbytes(dice.choice((0, 1, 60, 4000, 70_000))) * dice.choice((1, 3)))
        os.setxattr(place / "app/00/0/f0", "user.note", b"x")
        (place / "app/twin").write_bytes((place / "app/01/1/f1").read_bytes())
        os.link(place / "app/twin", place / "app/third")
        time.sleep(0.07)
        yield place


def test_several_processes_take_the_same_snapshot_as_one(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Protected(where / "app", where / "home") as several:
        monkeypatch.setattr(read, "processors", lambda: 3)
        monkeypatch.setattr(read_back, "processors", lambda: 3)
        first = several.take().snapshot
        several.assert_sound()
    with Protected(where / "app", where / "other") as one:
        monkeypatch.setattr(read, "processors", lambda: 1)
        second = one.take().snapshot
    assert (first.tree, first.manifest_sha256) == (second.tree, second.manifest_sha256)
    assert first.metadata_sha256 == second.metadata_sha256


def test_texts_that_are_never_held_are_the_same(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes through a file and the compressor in pieces, as the texts of a million files, is what it was."""
    with Protected(where / "app", where / "home") as held:
        first = held.take().snapshot
    monkeypatch.setattr(spool, "_HELD", 1000)
    monkeypatch.setattr(texts_pack, "LARGEST", 1000)
    monkeypatch.setattr(pack_write, "WHOLE", 1000)
    monkeypatch.setattr(streamed_texts, "_AT_ONCE", 10)
    with Protected(where / "app", where / "other") as streamed:
        second = streamed.take().snapshot
        assert (first.manifest_sha256, first.metadata_sha256) == (second.manifest_sha256, second.metadata_sha256)
        assert not (streamed.store / "gitsnap/texts").exists()
        streamed.assert_sound()


def test_files_of_other_times_and_other_contents_are_told_apart(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has the digest of its row is what it was; one that has not is something else, however like it."""
    monkeypatch.setattr(read, "processors", lambda: 3)
    app = where / "app"
    with Protected(app, where / "home") as place:
        first = place.take().snapshot
        before = place.inventory(first).by_path()
        for n in range(700):
            file = app / f"{n % 13:02}/{n % 7}/f{n}"
            data = file.read_bytes()
            if n % 2 and data:
                file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
            os.utime(file, ns=(1, 1_700_000_000_000_000_000))
        second = place.take().snapshot
        after = place.inventory(second).by_path()
        place.assert_sound()
        for path, entry in after.items():
            if entry.sha256 is not None:
                data = (app / os.fsdecode(path)).read_bytes()
                assert entry.sha256 == hashlib.sha256(data).digest()
                assert entry.oid == hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).digest()
        assert sum(before[p].oid != e.oid for p, e in after.items() if p in before) > 200


def test_a_snapshot_whose_readers_die_is_whole(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: object) -> object:
        if os.getpid() != parent:
            os._exit(9)
        return genuine(*_)  # type: ignore[arg-type]

    parent, genuine = os.getpid(), read._one
    monkeypatch.setattr(read, "processors", lambda: 2)
    monkeypatch.setattr(read, "_one", dying)
    with Protected(where / "app", where / "home") as place:
        taken = place.take()
        assert (taken.snapshot.files, taken.partial) == (702, [])
        place.assert_sound()


def test_without_processes_to_be_had_a_snapshot_is_whole(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(read, "processors", lambda: 2)
    monkeypatch.setattr(pool.os, "fork", refused)
    with Protected(where / "app", where / "home") as place:
        assert place.take().snapshot.files == 702
        assert [v.ok for v in place.verify()] == [True]


def test_a_damaged_object_among_many_is_named(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "processors", lambda: 2)
    with Protected(where / "app", where / "home") as place:
        snapshot = place.take().snapshot
        entry = place.inventory(snapshot).by_path()[b"03/3/f3"]
        pack = next(p for p in place.sidecar.objects.packs if p.index.find(entry.oid or b"") is not None)
        at = pack.index.find(entry.oid or b"")
        assert at is not None
        os.chmod(pack.path, 0o600)
        with open(pack.path, "r+b") as file:
            file.seek(at + 6)
            byte = file.read(1)[0]
            file.seek(at + 6)
            file.write(bytes([byte ^ 0x10]))
        # The last one is on the sidecar: the pack's own digest is wrong as well.
        verdict = place.verify()[0]
        assert {p.path for p in verdict.problems} >= {b"03/3/f3"}
        assert verdict.files == 702 - len(verdict.problems)
