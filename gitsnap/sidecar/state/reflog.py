"""What refs pointed to before: kept in a reflog, so that `git fsck` has nothing to report between two gcs.

Notes commits have no parents and snapshots come and go, so their old objects would show as dangling. git counts
reflog entries as references; `gc.reflogExpire=now` in the sidecar's config ends that at every gc, by whomever.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from gitsnap.sidecar import files
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.repository import Sidecar

# Not waiting for whoever reads what is no file.
_AT_ONCE = os.O_NONBLOCK | os.O_CLOEXEC
# A line with a long name is far shorter.
_LONGEST = 8192
_FIRST = re.compile(rb"[0-9a-f]{40}(?= )")


def remember(sidecar: Sidecar, gone: Iterable[str | None], when: datetime) -> None:
    """Note the hex ids of objects that no ref holds any more. Losing it costs a word of fsck's."""
    current = sidecar.refs.get(refs.MANIFESTS)
    lines = [
        b"%s %s %s\tsuperseded\n" % (oid.encode(), current.encode(), commits.author_line(when))
        for oid in gone
        if oid and current and bytes.fromhex(oid) in sidecar.objects
    ]
    if not lines:
        return
    with suppress(OSError):
        _append(os.path.join(sidecar.path, "logs", refs.MANIFESTS), b"".join(lines))


def ids(sidecar: Sidecar) -> list[str]:
    """The hex ids that were noted since the last gc, newest first."""
    path = os.path.join(sidecar.path, "logs", refs.MANIFESTS)
    lines = (files.read(path) or b"").splitlines()
    return list(dict.fromkeys(match[0].decode() for line in reversed(lines) if (match := _FIRST.match(line))))


def forget(sidecar: Sidecar) -> None:
    """Empty every reflog, as a gc does with gc.reflogExpire=now: what they name may go. The caller is alone."""
    for folder, _, names in files.walk(os.path.join(sidecar.path, "logs")):
        for name in names:
            with suppress(OSError):
                os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | _AT_ONCE))


def _append(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | _AT_ONCE, 0o600)
    try:
        _cut_torn(fd)
        os.write(fd, data)
    finally:
        os.close(fd)


def _cut_torn(fd: int) -> None:
    """What a killed writer, or a full disk, has left of a line goes: what follows would be lost in it."""
    size = os.fstat(fd).st_size
    start = max(0, size - _LONGEST)
    tail = os.pread(fd, _LONGEST, start)
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(fd, start + tail.rfind(b"\n") + 1)
