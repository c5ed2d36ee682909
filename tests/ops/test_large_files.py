"""Large files pass through in constant memory: captured, verified, rolled back, copied out."""

from __future__ import annotations

import filecmp
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.installation import differences, git

LIMIT = 110 << 20
SIZE = 80 << 20


# exec keeps the high-water mark of the memory it replaces (setmax_mm_hiwater_rss in the kernel), and after a fork that
# is all that the test process holds; a small process in between has nothing to pass on.
MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _peak(*args: str | Path) -> int:
    """Run gitsnap; its peak resident memory in bytes."""
    command = [sys.executable, "-m", "gitsnap", "-q", *map(str, args)]
    measured = subprocess.run([sys.executable, "-I", "-S", "-c", MEASURE, *command], stdout=subprocess.PIPE, check=True)
    return int(measured.stdout) << 10


def _packed(store: Path) -> set[tuple[str, int]]:
    """The ids of the large files, and how many bytes each takes in its pack."""
    asked = "--batch-check=%(objectname) %(objectsize) %(objectsize:disk)"
    lines = git(store, "cat-file", "--batch-all-objects", asked).stdout.decode().splitlines()
    return {(oid, int(kept)) for oid, size, kept in map(str.split, lines) if int(size) == SIZE}


def _write(path: Path, seed: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(source.randbytes(1 << 19) + bytes(1 << 19))


def _same(wanted: Path, found: Path) -> None:
    """The same bytes, without the checksums by which rsync compares; and then all else, by rsync."""
    assert filecmp.cmp(wanted / "big", found / "big", shallow=False)
    assert differences(wanted, found, "--no-checksum") == ""


def test_a_large_file_never_lies_in_memory(tmp_path: Path, gitsnap_home: Path) -> None:
    app, before = tmp_path / "app", tmp_path / "before"
    for place in (app, before):
        place.mkdir()
    _write(app / "big", 1)
    shutil.copyfile(app / "big", before / "big")
    for place in (app, before):
        os.utime(place / "big", ns=(1, 1_700_000_000_123_456_789))
        os.utime(place, ns=(1, 1_700_000_000_000_000_000))
    grown = bytearray(b"x") * LIMIT  # as a test process may have, after many other tests
    peaks = [_peak("-C", app, "snapshot"), _peak("-C", app, "verify", "latest")]
    _write(app / "big", 2)
    peaks.append(_peak("-C", app, "rollback", "latest", "--yes"))
    _same(before, app)
    peaks.append(_peak("-C", app, "restore", "latest", "--to", tmp_path / "out"))
    _same(before, tmp_path / "out")
    (store,) = gitsnap_home.iterdir()
    packed = _packed(store)
    assert len(packed) == 2
    peaks.append(_peak("-C", app, "gc"))
    peaks.append(_peak("-C", app, "verify", "--all"))
    peaks.append(_peak("clone", store, tmp_path / "new"))
    _same(before, tmp_path / "new")
    peaks.append(_peak("-C", app, "bundle", "create", tmp_path / "b"))
    peaks.append(_peak("clone", tmp_path / "b", tmp_path / "newer"))
    _same(before, tmp_path / "newer")
    assert max(peaks) < LIMIT <= len(grown), [p >> 20 for p in peaks]
    # Nothing was deflated anew, which takes minutes for gigabytes.
    assert _packed(store) == packed
    (index, *_) = sorted((store / "objects" / "pack").glob("*.idx"))
    git(store, "verify-pack", str(index))
