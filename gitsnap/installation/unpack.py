"""Archives, unpacked into an empty private directory; never outside it, whatever they say.

Modes, owners and times of what is unpacked are not those of the archive: anybody may read all of it. What the archive
records of each name is told beside.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from decimal import Decimal, InvalidOperation

from gitsnap.core.errors import GitsnapError
from gitsnap.core.legacy_layout import Recorded
from gitsnap.core.model import Xattrs

_SECOND = 10**9
_UNIX = 3
_XATTR = "SCHILY.xattr."
# Info-ZIP's extended timestamp (extrafld.txt): flags, then the time of the last change in seconds.
_TIMESTAMP = 0x5455

# What the readers raise for archives that are damaged, or made to be: of numbers and names that are none, too.
_BAD = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
)

Facts = dict[bytes, Recorded]


def unpack(archive: str, folder: str) -> Facts:
    """Unpack a tar (compressed or not) or zip file; what it records, by paths relative to `folder`.

    GitsnapError for what is neither, or leads out of the folder.
    """
    try:
        if tarfile.is_tarfile(archive):
            return _untar(archive, folder)
        if zipfile.is_zipfile(archive):
            return _unzip(archive, folder)
        raise GitsnapError(
            f"{archive} is neither a tar nor a zip file",
            kind="no-such-copy",
            path=archive,
            hint="unpack it, and import the directory",
        )
    except _BAD as error:
        raise GitsnapError(f"{archive} cannot be unpacked: {error}", kind="bad-archive", path=archive) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # What gzip and bz2 say of data that is damaged.
        raise GitsnapError(f"{archive} cannot be unpacked: {error}", kind="bad-archive", path=archive) from None


def _untar(archive: str, folder: str) -> Facts:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        # The filter refuses what leads outside.
        tar.extractall(folder, members=members, filter="tar")
    attributes = any(name.startswith(_XATTR) for member in members for name in member.pax_headers)
    facts: Facts = {}
    for member in members:
        path = os.path.join(folder, member.name.lstrip("/"))
        if (member.isreg() or member.isdir()) and not os.path.islink(path) and _inside(path, folder):
            os.chmod(path, 0o700 if member.isdir() else 0o600)
        name = _relative(member.name)
        of = facts.get(_relative(member.linkname)) if member.islnk() else None
        facts[name] = of or Recorded(
            stat.S_IMODE(member.mode),
            (member.uid, member.gid, member.uname, member.gname),
            _time(member),
            _xattrs(member) if attributes else None,
        )
    return facts


def _time(member: tarfile.TarInfo) -> int:
    try:
        # tarfile's own is a float.
        return int(Decimal(member.pax_headers.get("mtime", str(int(member.mtime)))) * _SECOND)
    except InvalidOperation:
        return int(member.mtime) * _SECOND


def _xattrs(member: tarfile.TarInfo) -> Xattrs:
    found = (
        (name.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape"))
        for name, value in member.pax_headers.items()
        if name.startswith(_XATTR)
    )
    return tuple(sorted(found))


def _unzip(archive: str, folder: str) -> Facts:
    facts: Facts = {}
    with zipfile.ZipFile(archive) as found:
        later = []
        for info in found.infolist():
            # extract() drops what leads outside: absolute names and `..`.
            if info.filename.startswith("/") or ".." in info.filename.split("/"):
                raise GitsnapError(f"{archive}: '{info.filename}' leads out of it", kind="bad-archive", path=archive)
            # Made on another system, or by a program that knows no modes, it holds none.
            mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
            path = found.extract(info, folder)
            if stat.S_ISLNK(mode):
                os.unlink(path)
                later.append((path, found.read(info)))
            name = os.fsencode(os.path.relpath(path, folder))
            facts[b"" if name == b"." else name] = Recorded(
                stat.S_IMODE(mode) if mode else None, None, _zip_time(info), None
            )
        # When all else is in place, so that nothing is written through them.
        for path, target in later:
            os.symlink(target, os.fsencode(path))
    return facts


def _zip_time(info: zipfile.ZipInfo) -> int:
    """When it was last changed, in nanoseconds: by the clock of the world where that is recorded, else the local one
    (to two seconds)."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == _TIMESTAMP and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            return int(struct.unpack_from("<i", extra, 5)[0]) * _SECOND
        extra = extra[4 + size :]
    return int(time.mktime((*info.date_time, 0, 0, -1))) * _SECOND


def _relative(name: str) -> bytes:
    """A member's name as the path where it was unpacked."""
    path = os.path.normpath(name.lstrip("/") or ".")
    return b"" if path == "." else os.fsencode(path)


def _inside(path: str, folder: str) -> bool:
    parent = os.path.realpath(os.path.dirname(path))
    return os.path.lexists(path) and (parent == folder or parent.startswith(folder + "/"))


def make_removable(folder: str) -> None:
    """Let the owner remove what was unpacked, whatever modes came with it."""
    for path, names, _ in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if not os.path.islink(full):
                os.chmod(full, 0o700)
