"""Large files pass through in constant memory: captured, verified, rolled back, copied out."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.support.installation import git, same_tree

LIMIT = 200 << 20
SIZE = 300 << 20


def _peak(*args: str | Path) -> int:
    """Run gitsnap; its peak resident memory in bytes."""
    child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "gitsnap", "-q", *map(str, args)])
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, args
    return usage.ru_maxrss << 10


def _write(path: Path, seed: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(source.randbytes(1 << 19) + bytes(1 << 19))


def test_a_large_file_never_lies_in_memory(tmp_path: Path, gitsnap_home: Path) -> None:
    app, before = tmp_path / "app", tmp_path / "before"
    for place in (app, before):
        place.mkdir()
        _write(place / "big", 1)
        os.utime(place / "big", ns=(1, 1_700_000_000_123_456_789))
        os.utime(place, ns=(1, 1_700_000_000_000_000_000))
    peaks = [_peak("-C", app, "snapshot"), _peak("-C", app, "verify", "latest")]
    _write(app / "big", 2)
    peaks.append(_peak("-C", app, "rollback", "latest", "--yes"))
    same_tree(before, app)
    peaks.append(_peak("-C", app, "restore", "latest", "--to", tmp_path / "out"))
    same_tree(before, tmp_path / "out")
    peaks.append(_peak("-C", app, "gc"))
    peaks.append(_peak("-C", app, "verify", "--all"))
    assert max(peaks) < LIMIT, [p >> 20 for p in peaks]
    (store,) = gitsnap_home.iterdir()
    (index, *_) = sorted((store / "objects" / "pack").glob("*.idx"))
    git(store, "verify-pack", str(index))
