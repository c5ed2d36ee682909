"""Packs as streams: what is written is what git indexes, and who reads it once knows every object."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import bundle_pack, delta_window
from gitsnap.sidecar.git.pack_check import PackCheck, Reading
from tests.support.inprocess import Protected


def _all(place: Protected) -> set[bytes]:
    place.reopen()
    return set(place.sidecar.objects.ids())


def _packed(place: Protected, oids: set[bytes]) -> bytes:
    return b"".join(bundle_pack.stream(place.sidecar.objects, {}, oids, []))


def _read(data: bytes, gulp: int = 1 << 18) -> tuple[set[bytes], PackCheck]:
    stream = io.BytesIO(data)
    check = PackCheck(Reading(lambda most: stream.read(min(most, gulp))), lambda _: None)
    return {p.oid for p in check.objects()}, check


def _indexed(data: bytes, folder: Path) -> set[bytes]:
    """What stock git finds in it."""
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    subprocess.run(
        ["git", "--git-dir", folder, "index-pack", "--stdin", "--strict"], input=data, check=True, capture_output=True
    )
    listed = subprocess.run(
        ["git", "--git-dir", folder, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {bytes.fromhex(line) for line in listed.split()}


def _grow(place: Protected, rounds: int = 4) -> None:
    lines = [os.urandom(30).hex() for _ in range(400)]
    for number in range(rounds):
        lines[number] = f"changed {number}"
        (place.root / "log").write_text("\n".join(lines))
        (place.root / "blob").write_bytes(os.urandom(3000))
        place.take()


@pytest.mark.parametrize("compacted", [False, True])
def test_git_and_the_reader_find_what_was_sent(protected: Protected, tmp_path: Path, compacted: bool) -> None:
    _grow(protected)
    if compacted:
        protected.collect()
    oids = _all(protected)
    data = _packed(protected, oids)
    assert _indexed(data, tmp_path / "git") == oids
    assert _read(data)[0] == oids
    assert _read(data, gulp=7)[0] == oids


def test_what_git_has_made_small_stays_small(protected: Protected) -> None:
    _grow(protected, 8)
    plain = len(_packed(protected, _all(protected)))
    protected.collect(full=True)
    assert len(_packed(protected, _all(protected))) < 0.8 * plain


def test_nothing_is_a_delta_of_what_is_forgotten(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for hardly any base, what is sent is still read in one go."""
    _grow(protected, 8)
    protected.collect()
    oids = _all(protected)
    monkeypatch.setattr(delta_window, "_ALL", 5000)
    found, check = _read(_packed(protected, oids))
    assert (found, check.unresolved) == (oids, 0)


def test_a_loose_object_goes_as_well(protected: Protected, tmp_path: Path) -> None:
    protected.take()
    name = protected.git("hash-object", "-w", "--stdin", stdin=b"loose" * 1000).strip()
    oids = _all(protected)
    assert bytes.fromhex(name.decode()) in oids
    assert _indexed(_packed(protected, oids), tmp_path / "git") == oids


def test_each_byte_counts(protected: Protected) -> None:
    protected.take()
    data = _packed(protected, _all(protected))
    for at in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        with pytest.raises(IntegrityError):
            _read(bytes(flipped))
    for end in range(0, len(data), 3):
        with pytest.raises(IntegrityError):
            _read(data[:end])
    with pytest.raises(IntegrityError, match="follows the end"):
        _read(data + b"x")


def test_a_damaged_entry_of_which_there_is_a_whole_copy_goes(protected: Protected, tmp_path: Path) -> None:
    protected.take()
    blob = protected.git("rev-parse", "timeline:f").strip().decode()
    pack = next(p for p in protected.sidecar.objects.packs if p.index.find(bytes.fromhex(blob)) is not None)
    _, _, end, _ = next(row for row in pack.spans() if row[0].hex() == blob)
    copy = protected.git("cat-file", "blob", blob)
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(end - 3)
        file.write(b"\xff\xff\xff")
    loose = tmp_path / "loose"
    subprocess.run(["git", "init", "-q", "--bare", loose], check=True)
    subprocess.run(
        ["git", "--git-dir", loose, "hash-object", "-w", "--stdin"], input=copy, check=True, capture_output=True
    )
    with pytest.raises(IntegrityError):
        _packed(protected, _all(protected))
    os.makedirs(protected.store / "objects" / blob[:2], exist_ok=True)
    os.link(loose / "objects" / blob[:2] / blob[2:], protected.store / "objects" / blob[:2] / blob[2:])
    assert _indexed(_packed(protected, _all(protected)), tmp_path / "git") == _all(protected)
