"""What a walk packs comes out again as the entries that it would have made at once: whatever the names, in order."""

from __future__ import annotations

import os
import random
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.content import Digesting
from gitsnap.core.manifest import ManifestLines
from gitsnap.core.model import Inventory
from gitsnap.core.mtree import MetadataLines
from gitsnap.core.statcache import StatCache, key_of, mode_of, row, unpack_at
from gitsnap.core.statcache_file import decode, pieces
from gitsnap.installation.entries import entry_from
from gitsnap.installation.packed_entries import PackedEntries
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan.unchanged import all_rows, seal
from gitsnap.sidecar.publish import notes_of
from gitsnap.sidecar.streamed_texts import StreamedTexts

# What comes before and after a slash, and what texts have to escape.
_NAMES = st.text("!-./0a*[\\\n\xe9#", min_size=1, max_size=3).filter(lambda n: "/" not in n and n not in (".", ".."))
_TREES = st.recursive(st.integers(0, 2), lambda below: st.dictionaries(_NAMES, below, max_size=4), max_leaves=25)


def _paths(tree: object, prefix: bytes = b"") -> dict[bytes, int | None]:
    """Paths of files with a number each, and of directories with none."""
    out: dict[bytes, int | None] = {}
    for name, below in tree.items() if isinstance(tree, dict) else ():
        path = prefix + name.encode()
        out[path] = below if isinstance(below, int) else None
        out |= _paths(below, path + b"/")
    return out


def _row(number: int | None) -> bytes:
    mode = stat.S_IFDIR | 0o755 if number is None else stat.S_IFREG | 0o644 + number
    content = None if number is None else (bytes([number]) * 20, bytes([number]) * 32)
    key = key_of(number or 0, 1_700_000_000_000_000_000, 5, 6, mode, 7 + (number or 0), 8)
    return row(key, content=content, sparse=number == 2, xattrs=False)


@given(_TREES, st.randoms(use_true_random=False))
def test_what_is_packed_is_unpacked_in_order_and_gives_the_same_texts(tree: object, dice: random.Random) -> None:
    found = {b"": None, **_paths(tree)}
    packed = PackedEntries({})
    expected = [entry_from(path, *_fields(number)) for path, number in sorted(found.items())]
    for path, number in dice.sample(sorted(found.items()), len(found)):
        if path and dice.random() < 0.8:
            packed.add(path.rpartition(b"/")[0], path.rpartition(b"/")[2], _row(number))
        else:
            packed.others.append(entry_from(path, *_fields(number)))
    assert list(packed) == expected
    assert len(packed) == len(expected)
    assert sorted(packed.paths()) == [e.path for e in expected]
    assert sorted(packed.unordered(), key=lambda e: e.path) == expected
    inventory = Inventory(expected)
    files = inventory.files()
    assert packed.files() == (len(files), sum(e.size for e in files))
    assert sorted(packed.oids()) == sorted(e.oid for e in expected if e.oid)
    assert packed.owners() | {(e.uid, e.gid) for e in packed.others} == {(e.uid, e.gid) for e in expected}
    assert _formed(packed, Inventory()) == _whole(inventory)


def _fields(number: int | None) -> tuple[tuple[object, ...]]:
    return (unpack_at(_row(number), 0),)


def _formed(packed: PackedEntries, about: Inventory) -> tuple[bytes, bytes]:
    where = os.environ.get("TMPDIR", "/tmp")
    texts = StreamedTexts(where, about, *packed.files())
    try:
        assert list(texts.pass_by(packed)) == list(packed)
        texts.end()
        return texts.manifest.read(0, texts.manifest.size), texts.metadata.read(0, texts.metadata.size)
    finally:
        texts.close()


def _whole(inventory: Inventory) -> tuple[bytes, bytes]:
    notes = notes_of(inventory)
    assert isinstance(notes.manifest, bytes)
    assert isinstance(notes.metadata, bytes)
    return notes.manifest, notes.metadata


def test_files_out_of_order_are_refused_however_many_come_at_once() -> None:
    a, b = (entry_from(name, *_fields(1)) for name in (b"a", b"b"))
    lines, metadata = ManifestLines(), MetadataLines()
    metadata.of([entry_from(b"", *_fields(None)), b])
    lines.of([b])
    for form in (lines.of, metadata.of):
        with pytest.raises(ValueError, match="occurs twice"):
            form([a])


def test_an_entry_in_no_directory_is_not_left_out_in_silence() -> None:
    packed = PackedEntries({})
    packed.others.append(entry_from(b"", *_fields(None)))
    packed.add(b"a/b", b"c", _row(1))
    with pytest.raises(ValueError, match="in no directory"):
        list(packed)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "app"
    for name in ("a", "a-b", "a.b/c", "e/m/p/t"):
        (top / name).mkdir(parents=True)
    for n in range(30):
        (top / ("a", "a-b", "a.b/c", "e/m", ".")[n % 5] / f"f{n}").write_bytes(b"%d" % (n // 2))
    os.link(top / "f4", top / "a/twin")
    (top / "a/link").symlink_to("f0")
    os.mkfifo(top / "fifo")
    os.truncate(top / "f9", 1 << 20)
    os.setxattr(top / "a-b/f1", "user.note", b"x")
    os.setxattr(top / "a.b", "user.note", b"y")
    if os.geteuid() == 0:
        os.chown(top / "f14", 12345, 6789)
    # Of this one no row is kept: by its time, it may change in this moment.
    (top / "e/late").write_text("late")
    os.utime(top / "e/late", ns=(1, time.time_ns() + 10**12))
    time.sleep(0.07)
    return top


def test_a_scan_finds_the_same_packed_or_not(tree: Path) -> None:
    scans = [Scanner(str(tree), Digesting(), ScanOptions(packed=packed)).run() for packed in (False, True)]
    plain, packed = scans
    assert packed.packed is not None
    assert packed.packed.packed > 30
    assert packed.inventory.entries == []
    assert list(packed.entries()) == plain.inventory.entries
    assert (packed.inventory.hardlinks, packed.files()) == (plain.inventory.hardlinks, plain.files())
    assert (packed.xattrs, packed.counted_rows()) == (plain.xattrs, plain.counted_rows())
    assert seal(packed) == seal(plain)
    whole = plain.inventory
    assert _formed(packed.packed, packed.inventory) == _whole(whole)
    written = []
    for scan in scans:
        cache = StatCache(rows=all_rows(scan), xattrs=scan.xattrs)
        more = scan.packed.by_folder() if scan.packed is not None else ()
        read = decode(b"".join(pieces(cache, more=more)))
        assert read is not None
        written.append(dict(read.rows.items()))
    assert written[0] == written[1]
    assert mode_of(written[0][b"e/late"]) == stat.S_IFREG | 0o644


def test_all_that_is_depended_on_is_sealed_packed_or_not(tree: Path) -> None:
    """With an owner whom packed rows alone tell, where a row is kept of everything."""
    (tree / "e/late").unlink()
    time.sleep(0.07)
    plain, packed = (Scanner(str(tree), Digesting(), ScanOptions(packed=packed)).run() for packed in (False, True))
    assert packed.packed is not None
    assert seal(packed) == seal(plain) != b""


def test_where_something_is_to_be_taken_out_again_nothing_is_packed(tree: Path) -> None:
    stage = tree / "a/.gitsnap-txn.0123456789ab"
    stage.mkdir(mode=0o700)
    (stage / "0").write_text("slot")
    # So late that rows are kept, and packed.
    time.sleep(0.07)
    scan = Scanner(str(tree), Digesting(), ScanOptions(packed=True)).run()
    assert scan.packed is None
    assert [p.path for p in scan.inventory.partial] == [b"a/.gitsnap-txn.0123456789ab"]
    plain = Scanner(str(tree), Digesting()).run()
    assert scan.inventory == plain.inventory
