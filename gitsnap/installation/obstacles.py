"""What keeps a name below an installation from being changed, asked before anything is: read-only mounts, immutable and
append-only attributes (chattr(1)), mount points, and for an ordinary user what belongs to others.

Only what a plan touches is asked, one or two system calls a path.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from gitsnap.core.model import Entry
from gitsnap.core.plan import Action, Step
from gitsnap.installation import mounts
from gitsnap.installation.directories import Directories
from gitsnap.installation.owners import group_name, user_name

_METADATA = Action.METADATA
# statx(2): the extended attributes, the mode (of which the type is a part), and the owner.
_FLAGS = 0x100 | 0x800 | 0x4000  # SYMLINK_NOFOLLOW, NO_AUTOMOUNT, DONT_SYNC
_WANTED = 0x1 | 0x2 | 0x8  # TYPE, MODE, UID
_STATX = struct.Struct("<IIQIIIH")
_STATX_SIZE = 256
_IMMUTABLE, _APPEND = 0x10, 0x20
_BARS = _IMMUTABLE | _APPEND
_WORDS = ((_IMMUTABLE, "immutable", "-i"), (_APPEND, "append-only", "-a"))
_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


class Obstacles:
    """Tells what stands against the steps of a plan in the directory at `root`. Use as a context manager."""

    def __init__(self, root: str) -> None:
        self._dirs = Directories(root)
        self.mounts = mounts.below(self._dirs.root)
        self._user = os.geteuid()
        self._groups = {os.getegid(), *os.getgroups()}
        self._closed: dict[bytes, str | None] = {}
        self._mounted: dict[bytes, str | None] = {}
        self._statx = ctypes.create_string_buffer(_STATX_SIZE)

    def __enter__(self) -> Obstacles:
        return self

    def __exit__(self, *_: object) -> None:
        self._dirs.close()

    def against(self, step: Step, live: Entry | None) -> str | None:
        """Why a step cannot be done, or None. `live` is what is there now. Raises OSError."""
        if step.action is _METADATA:
            return self.fixed(step.path) or self._foreign(live)
        folder = step.path.rpartition(b"/")[0]
        return self.closed(folder) or (self.fixed(step.path, moved=True) if live is not None else None)

    def standing(self, path: bytes, owner: int, *, is_dir: bool) -> str | None:
        """Why a rollback could not replace what is at `path`, whatever becomes of it; None where nothing is known.

        What is the same for all that is below a directory is told of that directory alone.
        """
        if path in self.mounts and (read_only := self.read_only(path)):
            return read_only
        found = self.fixed(path) if self.read_only(path) is None else None
        if found is None and path in self.mounts and not is_dir:
            found = "is a mount point: it cannot be replaced, nor what is in it"
        if found is None and self._user and owner != self._user:
            found = self._belongs(owner)
        return found

    def differing(self, path: bytes, what: str) -> str | None:
        """Why a path may have stayed different; `what` differs, in the words of a comparison."""
        if path in self.mounts and not (what.startswith("other ") and what != "other content"):
            return "is a mount point"
        found = self.fixed(path)
        if found is None and path:
            found = self.closed(path.rpartition(b"/")[0]) or self.fixed(path, moved=True)
        return found

    def closed(self, folder: bytes) -> str | None:
        """Why no name can come into the directory at `folder` or leave it, or None.

        Of a directory that is not there yet, what holds it decides.
        """
        if folder not in self._closed:
            try:
                fd = self._dirs.fd(folder)
            except OSError:
                above = folder.rpartition(b"/")[0] if folder else None
                self._closed[folder] = None if above is None else self.closed(above)
            else:
                self._closed[folder] = self._bars(folder, fd)
        return self._closed[folder]

    def _bars(self, folder: bytes, fd: int) -> str | None:
        where = "its directory" if folder else "the directory"
        read_only = self.read_only(folder)
        if read_only:
            return read_only
        bar = bars(fd)
        return f"{where} {bar}" if bar else None

    def fixed(self, path: bytes, *, moved: bool = False) -> str | None:
        """Why what is at `path` cannot get other metadata, or with `moved`, be replaced or removed; None if it can.

        Metadata that only their owner may set are another matter (see `partly`).
        """
        if not moved and (read_only := self.read_only(path)):
            return read_only
        try:
            parent, name = self._dirs.parent(path) if path else (self._dirs.root, b".")
            attributes, mode, uid = _look(parent, name, self._statx)
        except OSError:
            return None
        named = _named(attributes) if attributes & _BARS else None
        if named or not moved or not self._user or uid == self._user:
            return f"is {named}" if named else None
        holder = os.fstat(parent)
        if holder.st_mode & stat.S_ISVTX and holder.st_uid != self._user:
            return f"{self._belongs(uid)}, and its directory is sticky: only its owner may replace it"
        if stat.S_ISDIR(mode) and not _writable(parent, name):
            return f"{self._belongs(uid)}, who alone may move it"
        return None

    def partly(self, step: Step, live: Entry | None) -> str | None:
        """What of a step's metadata an ordinary user will not be able to set, or None."""
        entry = step.entry
        if entry is None or not self._user:
            return None
        if step.action is _METADATA and (foreign := self._foreign(live)):
            return foreign
        # What stays where it is keeps what it has; what is written anew is the user's.
        stays = live if step.action is _METADATA else None
        refused = []
        if entry.uid != (stays.uid if stays else self._user):
            refused.append(f"owner {entry.uname or entry.uid}")
        if entry.gid not in self._groups and not (stays and stays.gid == entry.gid):
            refused.append(f"group {entry.gname or group_name(entry.gid) or entry.gid}")
        return f"only root can give it its {' and '.join(refused)}" if refused else None

    @staticmethod
    def _belongs(uid: int) -> str:
        return f"belongs to {user_name(uid) or uid}"

    def _foreign(self, live: Entry | None) -> str | None:
        if live is None or self._user in (0, live.uid):
            return None
        return f"{self._belongs(live.uid)}, who alone may set its mode and time"

    def read_only(self, path: bytes) -> str | None:
        """That the mount that holds `path` is read-only, in words, or None."""
        while path and path not in self.mounts:
            path = path.rpartition(b"/")[0] if self.mounts else b""
        if path not in self._mounted:
            self._mounted[path] = self._ask_mount(path)
        return self._mounted[path]

    def _ask_mount(self, point: bytes) -> str | None:
        try:
            parent, name = self._dirs.parent(point) if point else (self._dirs.root, b".")
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError:
            return None
        try:
            if not os.fstatvfs(fd).f_flag & os.ST_RDONLY:
                return None
        finally:
            os.close(fd)
        return "is on a read-only file system" + (f", mounted at {os.fsdecode(point)}" if point else "")


def bars(fd: int) -> str | None:
    """Why names can neither come into an open directory nor leave it, or None; its own mode is no reason for its owner.

    Raises OSError.
    """
    attributes, _, uid = _look(fd, b".", ctypes.create_string_buffer(_STATX_SIZE))
    named = _named(attributes)
    if named:
        return f"is {named}"
    if _writable(fd, b"."):
        return None
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        return "is on a read-only file system"
    user = os.geteuid()
    if user in (0, uid):
        return None
    return f"belongs to {user_name(uid) or uid}, and is not writable"


def _named(attributes: int) -> str | None:
    return next((f"{word} (`chattr {flag}` lifts that)" for bit, word, flag in _WORDS if attributes & bit), None)


def _writable(parent: int, name: bytes) -> bool:
    return os.access(name, os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True)


def _look(parent: int, name: bytes, buffer: ctypes.Array[ctypes.c_char]) -> tuple[int, int, int]:
    """The attributes, mode and owner of a name; no attributes where the system cannot tell them. Raises OSError."""
    if _statx is not None and _statx(parent, name, _FLAGS, _WANTED, buffer) == 0:
        _, _, attributes, _, uid, _, mode = _STATX.unpack_from(buffer)
        return attributes, mode, uid
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    return 0, found.st_mode, found.st_uid
