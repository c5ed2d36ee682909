"""The sidecar as an object that a program may keep for long, or let go."""

from __future__ import annotations

import os
from contextlib import suppress

from tests.support.inprocess import Protected


def test_a_closed_one_keeps_no_file_open_whoever_holds_its_stat_cache(protected: Protected) -> None:
    """A program that has used gitsnap must not be what keeps a disk from being unmounted."""
    # What has just been written has no row.
    while (cache := protected.sidecar.load_cache()).rows.get(b"f") is None:
        protected.take()
    protected.sidecar.close()
    opened = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            opened.append(os.readlink(f"/proc/self/fd/{number}"))
    assert [path for path in opened if path.startswith(str(protected.root.parent))] == []
    # What was not looked at until then is not known.
    assert list(cache.rows) == []
