"""Directory descriptors below a root, opened never through a symlink: by openat2(2) where the kernel has it, one
component at a time elsewhere.

Everything below the installation is reached through these: a name that turns into a symlink between two looks makes
the open fail instead of leading outside. A bounded number stays open, so depth and breadth cost no descriptors.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections import OrderedDict

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIMIT = 128
# openat2(2): the same number on every architecture, and struct open_how with flags, mode and resolve.
_OPENAT2 = 437
_HOW = struct.pack("<QQQ", OPEN_DIRECTORY, 0, 0x02 | 0x04 | 0x08)  # NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_PATH_MAX = 4096


class Directories:
    """Descriptors by path relative to `root` (absolute, itself opened without following a final symlink)."""

    def __init__(self, root: str | bytes) -> None:
        self.root = os.open(root, OPEN_DIRECTORY)
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def __enter__(self) -> Directories:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        if self.root >= 0:
            os.close(self.root)
            self.root = -1

    def fd(self, path: bytes) -> int:
        """A descriptor of the directory at `path`; valid until some hundred others were asked for. Raises OSError."""
        if not path:
            return self.root
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        have, fd = self._nearest(path)
        rest = path[len(have) + 1 :] if have else path
        if b"/" in rest and (straight := _open_beneath(fd, rest)) is not None:
            return self._keep(path, straight)
        for name in rest.split(b"/"):
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            have = have + b"/" + name if have else name
            self._keep(have, fd)
        return fd

    def _keep(self, path: bytes, fd: int) -> int:
        self._open[path] = fd
        if len(self._open) > _LIMIT:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def _nearest(self, path: bytes) -> tuple[bytes, int]:
        end = path.rfind(b"/")
        while end > 0:
            fd = self._open.get(path[:end])
            if fd is not None:
                return path[:end], fd
            end = path.rfind(b"/", 0, end)
        return b"", self.root

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """(descriptor of the parent directory, last component) of a path that is not the root."""
        folder, _, name = path.rpartition(b"/")
        return self.fd(folder), name

    def forget(self, path: bytes) -> None:
        """The directory at `path` is moved or removed: close it and what is below."""
        below = path + b"/"
        for key in [k for k in self._open if k == path or k.startswith(below)]:
            os.close(self._open.pop(key))


def present(fd: int) -> int:
    """An open directory, ready to be listed with all the names that are in it now.

    btrfs lists the names that were there when the descriptor was opened, or last rewound, and none that came later.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def names_in(fd: int) -> list[bytes]:
    """The names that are in an open directory now. Raises OSError."""
    return [os.fsencode(name) for name in os.listdir(present(fd))]


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_lacking = platform.system() != "Linux"


def _open_beneath(fd: int, path: bytes) -> int | None:
    """A directory several levels below another in one step; None where the kernel cannot do that. Raises OSError."""
    global _lacking
    if _lacking or len(path) >= _PATH_MAX:
        return None
    found = _syscall(_OPENAT2, fd, path, _HOW, ctypes.c_size_t(len(_HOW)))
    if found >= 0:
        return int(found)
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EPERM):
        # A kernel before 5.6, or a sandbox that knows no such call.
        _lacking = True
        return None
    if code == errno.EAGAIN:
        # Something was renamed meanwhile: step by step each level is looked at by itself.
        return None
    raise OSError(code, os.strerror(code), path)
