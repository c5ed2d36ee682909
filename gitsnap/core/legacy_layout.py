"""What the names and the contents of existing copies tell: when they were made, and where their files belong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from gitsnap.core.calendar import LAST
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import ALL_RECORDED, Entry, Inventory, Type, Xattrs

_STAMP = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
    r"(?:[-_T. @]{0,3}([01]\d|2[0-3])[-_:.h]?([0-5]\d)(?:[-_:.m]?([0-5]\d))?(?!\d))?(Z)?"
)
_EPOCH = re.compile(r"(?<!\d)(1\d{9})(?!\d)")

# The old system's folders for parts of an installation, and where what is in them belongs.
CLAUDIO = {b"commands": b"commands", b"agents": b"agents", b"configuration": b"", b"project_content": b""}


# What is said of a directory without an entry of its own, but for its name.
_NOTHING = frozenset({"mode", "owner", "time"})


@dataclass(slots=True, frozen=True)
class Recorded:
    """What an archive records of one name; None for what it does not. `owner` is (uid, gid, user, group)."""

    mode: int | None
    owner: tuple[int, int, str, str] | None
    mtime_ns: int
    xattrs: Xattrs | None


def recorded(inventory: Inventory, facts: Mapping[bytes, Recorded], prefix: bytes) -> Inventory:
    """An unpacked archive as the archive tells it. `prefix` is where the inventory's root lies in it.

    A directory without an entry of its own is unlisted: the archive may have been made of some of its files.
    """
    entries, unlisted = [], []
    attributes = any(fact.xattrs is not None for fact in facts.values())
    for entry in inventory.entries:
        fact = facts.get(b"/".join(p for p in (prefix, entry.path) if p))
        if fact is None:
            lacking = _NOTHING if attributes else _NOTHING | {"xattr"}
            entries.append(replace(entry, mode=0o755, xattrs=(), unrecorded=lacking))
            unlisted.append(entry.path)
        else:
            entries.append(_told(entry, fact))
    return replace(inventory, entries=entries, unlisted=unlisted, partial=[])


def _told(entry: Entry, fact: Recorded) -> Entry:
    known = {"owner": fact.owner is not None, "xattr": fact.xattrs is not None}
    # Nobody looks at the mode of a symlink.
    known["mode"] = fact.mode is not None or entry.type is Type.LINK
    uid, gid, uname, gname = fact.owner or (0, 0, "", "")
    mode = fact.mode if fact.mode is not None else {Type.DIR: 0o755, Type.LINK: 0o777}.get(entry.type, 0o644)
    return replace(
        entry,
        mode=mode,
        uid=uid,
        gid=gid,
        uname=uname,
        gname=gname,
        mtime_ns=fact.mtime_ns,
        xattrs=fact.xattrs or (),
        unrecorded=frozenset(what for what, is_known in known.items() if not is_known) or ALL_RECORDED,
    )


def time_in(name: str, zone: tzinfo) -> datetime | None:
    """The moment that a copy's name tells: `app.bak.2025-01-03`, `app_20250103-0415`, `2025-08-10T03-40-11`, or seconds
    since 1970. Without a Z it is `zone`'s; without a time of day, midnight. None when the name tells nothing."""
    match = _STAMP.search(name)
    if match:
        numbers = [int(n or 0) for n in match.groups()[:6]]
        try:
            found = datetime(*numbers, tzinfo=UTC if match[7] else zone)  # type: ignore[misc, arg-type]
        except ValueError:
            return None
        return found
    epoch = _EPOCH.search(name)
    return datetime.fromtimestamp(int(epoch[1]), UTC) if epoch else None


def newest_file(inventory: Inventory) -> datetime:
    """When the newest of the files was last changed; of a tree without files, the root."""
    times = [e.mtime_ns for e in inventory.entries if e.type is Type.FILE] or [inventory.entries[0].mtime_ns]
    # No snapshot can be of a year that git cannot tell; of several, the newest that can be.
    told = [t for t in times if 0 <= t // 10**9 <= LAST] or [0]
    return datetime.fromtimestamp(max(told) // 10**9, UTC)


def refold(inventory: Inventory) -> Inventory:
    """A copy in the old system's layout with every path where it belongs in the installation.

    The old system copied some folders and files. What else was in the installation it did not tell, nor anything of
    the installation's own directory: the folder that a backup lies in is another.

    Raises IntegrityError where two files would come to one place.
    """
    moved: dict[bytes, bytes] = {}
    entries = []
    for entry in inventory.entries:
        path = home_of(entry.path)
        if path is None or (not path and entry.path):
            continue
        if path in moved.values():
            raise IntegrityError(f"two files of the backup belong to '{path.decode(errors='replace')}'", path=path)
        moved[entry.path] = path
        entries.append(replace(entry, path=path))
    links = [tuple(sorted(moved[p] for p in group if p in moved)) for group in inventory.hardlinks]
    entries.sort(key=lambda e: e.path)
    entries[0] = replace(entries[0], mode=0o755, xattrs=(), unrecorded=_NOTHING | {"xattr"})
    return replace(
        inventory,
        entries=entries,
        hardlinks=sorted(g for g in links if len(g) > 1),
        excluded=[],
        unlisted=sorted({b"", *(moved[p] for p in inventory.unlisted if p in moved)}),
    )


def home_of(path: bytes) -> bytes | None:
    """Where a path of the old layout belongs; None for what is no part of the installation."""
    if not path:
        return b""
    top, _, rest = path.partition(b"/")
    if top not in CLAUDIO:
        return None
    return b"/".join(p for p in (CLAUDIO[top], rest) if p)


_LINE = re.compile(rb"\\?([0-9a-f]{64}) [ *](?:\./)?(.+)")


def listed_digests(text: bytes) -> dict[bytes, bytes]:
    """The digests by path of a `checksums.sha256`, as sha256sum writes one. IntegrityError for what is none."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if not match or line.startswith(b"\\"):
            raise IntegrityError(f"checksums.sha256 has a line that is none: {line[:60]!r}")
        found[match[2]] = bytes.fromhex(match[1].decode())
    return found


def unproved(inventory: Inventory, listed: dict[bytes, bytes]) -> list[tuple[bytes, str]]:
    """Which files of a backup (with the paths they have there) its checksums do not vouch for, and why."""
    out = []
    files = {e.path: e for e in inventory.files() if home_of(e.path) is not None}
    for path, entry in files.items():
        if path not in listed:
            out.append((path, "is not in checksums.sha256"))
        elif listed[path] != entry.sha256:
            out.append((path, "is not what checksums.sha256 says"))
    out += [(p, "is missing") for p in sorted(listed) if home_of(p) is not None and p not in files]
    return out
