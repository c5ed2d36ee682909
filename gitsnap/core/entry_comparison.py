"""Whether two entries of one path are the same: content and metadata."""

from __future__ import annotations

from gitsnap.core.model import Entry, Type
from gitsnap.core.xattrs import same_xattrs

_FILE, _LINK = Type.FILE, Type.LINK


def same_content(a: Entry, b: Entry) -> bool:
    """Whether two entries of one path hold the same thing, metadata aside. Unknown content is never the same."""
    if a.type is not b.type:
        return False
    if a.type is _FILE:
        return a.sha256 is not None and a.sha256 == b.sha256
    if a.type is _LINK:
        return a.target == b.target
    return a.device == b.device


def same_metadata(a: Entry, b: Entry) -> bool:
    """Whether mode, owner, times and extended attributes agree (numbers; see owners.localise), as far as recorded."""
    return (
        a.mtime_ns == b.mtime_ns
        and a.uid == b.uid
        and a.gid == b.gid
        and (a.mode == b.mode or a.type is _LINK)
        and same_xattrs(a.xattrs, b.xattrs)
    ) or (bool(a.unrecorded or b.unrecorded) and not differing_metadata(a, b))


def differing_metadata(a: Entry, b: Entry) -> tuple[str, ...]:
    """Which of mode, owner, xattr and time differ. What one of the two has not recorded does not."""
    differ = (
        a.mode != b.mode and a.type is not _LINK,
        (a.uid, a.gid) != (b.uid, b.gid),
        not same_xattrs(a.xattrs, b.xattrs),
        a.mtime_ns != b.mtime_ns,
    )
    unknown = a.unrecorded | b.unrecorded
    return tuple(
        what
        for what, found in zip(("mode", "owner", "xattr", "time"), differ, strict=True)
        if found and what not in unknown
    )
