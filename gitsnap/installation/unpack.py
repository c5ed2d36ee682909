"""Archives, unpacked into an empty private directory; never outside it, whatever they say."""

from __future__ import annotations

import os
import stat
import tarfile
import time
import zipfile
import zlib

from gitsnap.core.errors import GitsnapError


def unpack(archive: str, folder: str) -> None:
    """Unpack a tar (compressed or not) or zip file. GitsnapError for what is neither, or leads out of the folder."""
    try:
        if tarfile.is_tarfile(archive):
            _untar(archive, folder)
        elif zipfile.is_zipfile(archive):
            _unzip(archive, folder)
        else:
            raise GitsnapError(f"{archive} is neither a tar nor a zip file", kind="no-such-copy", path=archive)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise GitsnapError(f"{archive} cannot be unpacked: {error}", kind="bad-archive", path=archive) from None


def _untar(archive: str, folder: str) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        # The filter refuses what leads outside. It also takes modes away that a faithful copy needs: they come back.
        tar.extractall(folder, members=members, filter="tar")
    for member in members:
        path = os.path.join(folder, member.name.lstrip("/"))
        if (member.isreg() or member.isdir()) and not os.path.islink(path) and _inside(path, folder):
            os.chmod(path, stat.S_IMODE(member.mode))
    # Deepest first: everything before has moved the times of directories.
    for member in sorted(members, key=lambda m: m.name, reverse=True):
        path = os.path.join(folder, member.name.lstrip("/"))
        if member.isdir() and _inside(path, folder):
            os.utime(path, (member.mtime, member.mtime))


def _unzip(archive: str, folder: str) -> None:
    with zipfile.ZipFile(archive) as found:
        later = []
        for info in found.infolist():
            # extract() drops what leads outside: absolute names and `..`.
            if info.filename.startswith("/") or ".." in info.filename.split("/"):
                raise GitsnapError(f"{archive}: '{info.filename}' leads out of it", kind="bad-archive", path=archive)
            mode = info.external_attr >> 16
            path = found.extract(info, folder)
            when = time.mktime((*info.date_time, 0, 0, -1))
            if stat.S_ISLNK(mode):
                os.unlink(path)
                later.append((path, found.read(info)))
            else:
                os.chmod(path, stat.S_IMODE(mode) or (0o755 if info.is_dir() else 0o644))
                os.utime(path, (when, when))
        # When all else is in place, so that nothing is written through them.
        for path, target in later:
            os.symlink(target, os.fsencode(path))


def _inside(path: str, folder: str) -> bool:
    parent = os.path.realpath(os.path.dirname(path))
    return os.path.lexists(path) and (parent == folder or parent.startswith(folder + "/"))


def only_directory(folder: str) -> str:
    """The directory that is the only thing in `folder`, as most archives have one; else `folder` itself."""
    names = os.listdir(folder)
    inner = os.path.join(folder, names[0]) if len(names) == 1 else folder
    return inner if os.path.isdir(inner) and not os.path.islink(inner) else folder


def make_removable(folder: str) -> None:
    """Let the owner remove what was unpacked, whatever modes came with it."""
    for path, names, _ in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if not os.path.islink(full):
                os.chmod(full, 0o700)
