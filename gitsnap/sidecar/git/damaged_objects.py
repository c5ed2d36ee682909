"""Which objects could not be read by the last verification: no snapshot takes them for stored, unless they can be now.

One hex id a line. Losing it costs the next snapshot its hint that a copy it builds upon is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from gitsnap.sidecar import files


def load(path: str) -> set[bytes]:
    """The raw ids. Lines that do not parse count as absent."""
    found = set()
    for line in (files.read(path) or b"").splitlines():
        try:
            oid = bytes.fromhex(line.decode("ascii"))
        except ValueError:
            continue
        if len(oid) == 20:
            found.add(oid)
    return found


def record(path: str, oids: Collection[bytes], scratch: str) -> None:
    """Replace the list; OSError when it cannot be written."""
    if oids or os.path.exists(path):
        files.replace(path, b"".join(b"%s\n" % oid.hex().encode() for oid in sorted(oids)), scratch)
