"""What is large has a pack of its own: stock git reads it, nothing is left of what was dropped, no thread stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.content import SizeChanged
from gitsnap.sidecar.git import pack_write
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_write import BLOB, PackWriter, object_id

MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pack_write, "_OWN", 17 * MIB)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "store"], check=True)
    (tmp_path / "scratch").mkdir()
    return tmp_path / "store"


def writer(store: Path) -> PackWriter:
    return PackWriter(str(store / "objects"), str(store.parent / "scratch"), lambda _: False)


def content(seed: int, size: int = 18) -> Iterator[bytes]:
    return ((b"%d %d " % (seed, n) * MIB)[:MIB] for n in range(size))


def left(store: Path) -> list[str]:
    return os.listdir(store.parent / "scratch")


def fsck(store: Path) -> None:
    done = subprocess.run(["git", f"--git-dir={store}", "fsck", "--full", "--strict"], capture_output=True, check=True)
    assert not [line for line in done.stderr.splitlines() if not line.startswith(b"notice:")]


def test_git_reads_large_blobs_and_those_beside_them(store: Path) -> None:
    pack = writer(store)
    large = [pack.add_blob(18 * MIB, content(n)) for n in (1, 2, 1)]
    pack.add(BLOB, b"small\n")
    assert large[0] == large[2]
    assert large[0].oid in pack
    written = pack.finish()
    assert written is not None
    assert len(written.names) == 3
    assert written.objects == 3
    assert left(store) == []
    fsck(store)
    for n, digests in ((1, large[0]), (2, large[1])):
        shown = subprocess.run(
            ["git", f"--git-dir={store}", "cat-file", "blob", digests.oid.hex()], capture_output=True, check=True
        ).stdout
        assert shown == b"".join(content(n))
        assert hashlib.sha256(shown).digest() == digests.sha256
    assert all(Path(keep).exists() for keep in written.keeps)
    written.release()
    assert not list((store / "objects/pack").glob("*.keep"))
    assert threading.active_count() == 1


def test_contents_are_split_from_what_tells_of_them(store: Path) -> None:
    pack = writer(store)
    many = {pack.put(BLOB, os.urandom(MIB)) for _ in range(18)}
    pack.split()
    after = pack.put(BLOB, b"after\n")
    assert all(map(pack.has, many))
    written = pack.finish()
    assert written is not None
    assert len(written.names) == 2
    assert written.objects == len(many) + 1
    reread = ObjectStore(str(store / "objects"))
    reread.refresh()
    assert not reread.missing(many | {after})
    fsck(store)
    assert left(store) == []


def test_little_is_not_split(store: Path) -> None:
    pack = writer(store)
    pack.put(BLOB, os.urandom(MIB))
    pack.split()
    pack.put(BLOB, b"after\n")
    written = pack.finish()
    assert written is not None
    assert len(written.names) == 1


@pytest.mark.parametrize("split", [False, True])
def test_nothing_is_left_of_what_is_dropped(store: Path, split: bool) -> None:
    pack = writer(store)
    pack.add_blob(18 * MIB, content(1))
    for _ in range(18):
        pack.put(BLOB, os.urandom(MIB))
    if split:
        pack.split()
    with pytest.raises(SizeChanged):
        pack.add_blob(18 * MIB, content(2, 17))
    assert object_id(BLOB, b"".join(content(2, 17))) not in pack
    pack.abandon()
    assert left(store) == []
    assert os.listdir(store / "objects/pack") == []
    assert threading.active_count() == 1
