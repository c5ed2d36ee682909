"""The one port through which everything below the installation is changed.

Each method is one system call on (open directory, name), never through a symlink. Faults are injected here in tests,
and a journal can be kept around it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable

from gitsnap.core.interim_mode import Closed
from gitsnap.core.model import Entry, Type
from gitsnap.core.xattrs import ACCESS_ACL, is_own, is_recorded, same_xattrs
from gitsnap.installation import attributes
from gitsnap.installation.attributes import reach

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOREPLACE, _EXCHANGE = 1, 2
# linux/fs.h: _IOW(0x94, 9, int).
_FICLONE = 0x40049409
# What renameat2(2) says of flags that the file system, or the kernel, does not know.
_UNKNOWN = (errno.EINVAL, errno.ENOSYS)
_ASIDE = b".old"
_libc = ctypes.CDLL(None, use_errno=True)
# musl has had it for a short time only.
_renameat2 = getattr(_libc, "renameat2", None)
_SPECIAL = {Type.FIFO: stat.S_IFIFO, Type.CHAR: stat.S_IFCHR, Type.BLOCK: stat.S_IFBLK}


class Disk:
    """System calls, and nothing else. All raise OSError."""

    def create(self, parent: int, name: bytes) -> int:
        """A new private file; its descriptor."""
        return os.open(name, _NEW, 0o600, dir_fd=parent)

    def clone(self, fd: int, source: int) -> None:
        """Let a new open file share all blocks of another one; both are copied on write from then on."""
        fcntl.ioctl(fd, _FICLONE, source)

    def finish(self, fd: int, mode: int, atime_ns: int, mtime_ns: int) -> None:
        """Give an open file of one's own its mode and times."""
        os.fchmod(fd, mode)
        os.utime(fd, ns=(atime_ns, mtime_ns))

    def symlink(self, parent: int, name: bytes, target: bytes) -> None:
        """A new symlink."""
        os.symlink(target, name, dir_fd=parent)

    def special(self, parent: int, name: bytes, entry: Entry) -> None:
        """A new FIFO or device node."""
        device = os.makedev(*entry.device) if entry.device else 0
        os.mknod(name, _SPECIAL[entry.type] | 0o600, device, dir_fd=parent)

    def link(self, parent: int, name: bytes, source: bytes) -> None:
        """A second name, in the same directory, for `source`."""
        os.link(source, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)

    def mkdir(self, parent: int, name: bytes) -> None:
        """A new private directory."""
        os.mkdir(name, 0o700, dir_fd=parent)

    def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        """Swap a slot of a stage with a name, atomically for whoever looks at the name.

        Where the file system knows no exchange (NFS, say), a second link to the old file is left beside the slot first
        and takes its place afterwards. `settle` ends that if it was interrupted.
        """
        try:
            _rename(stage, slot, parent, name, _EXCHANGE)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            os.link(name, slot + _ASIDE, src_dir_fd=parent, dst_dir_fd=stage, follow_symlinks=False)
            os.rename(slot, name, src_dir_fd=stage, dst_dir_fd=parent)
            os.rename(slot + _ASIDE, slot, src_dir_fd=stage, dst_dir_fd=stage)

    def settle(self, stage: int, slot: bytes) -> None:
        """End an exchange by links that was interrupted: the slot is as before it, or as after it."""
        try:
            os.stat(slot + _ASIDE, dir_fd=stage, follow_symlinks=False)
        except FileNotFoundError:
            return
        try:
            os.stat(slot, dir_fd=stage, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(slot + _ASIDE, slot, src_dir_fd=stage, dst_dir_fd=stage)
        else:
            os.unlink(slot + _ASIDE, dir_fd=stage)

    def move(self, parent: int, name: bytes, other: int, other_name: bytes) -> None:
        """Move to a name that must be free."""
        try:
            _rename(parent, name, other, other_name, _NOREPLACE)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            _move_without_flags(parent, name, other, other_name)

    def unlink(self, parent: int, name: bytes) -> None:
        """Remove a name that is not a directory."""
        os.unlink(name, dir_fd=parent)

    def rmdir(self, parent: int, name: bytes) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=parent)

    def sync(self, fd: int) -> None:
        """Make one file or directory durable."""
        os.fsync(fd)

    def sync_file_system(self, fd: int) -> None:
        """Make everything on the file system of `fd` durable."""
        if _libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def set_owner(self, parent: int, name: bytes, uid: int, gid: int) -> None:
        """chown(2), not following symlinks. Clears set-id bits, so it comes before the mode."""
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)

    def set_mode(self, parent: int, name: bytes, mode: int, kind: Type) -> None:
        """The 12 permission bits of anything but a symlink, never through one.

        Linux has no lchmod: an O_PATH descriptor is checked for its type and changed through /proc/self/fd.
        """
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.ELOOP, "turned into a symlink", kind)
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
        finally:
            os.close(fd)

    def set_xattr(self, parent: int, name: bytes, attribute: str, value: bytes) -> None:
        """Set one extended attribute."""
        os.setxattr(reach(parent, name), attribute, value, follow_symlinks=False)

    def remove_xattr(self, parent: int, name: bytes, attribute: str) -> None:
        """Remove one extended attribute."""
        os.removexattr(reach(parent, name), attribute, follow_symlinks=False)

    def set_time(self, parent: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        """Access and modification time."""
        os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)


def set_metadata(disk: Disk, parent: int, name: bytes, entry: Entry) -> list[str]:
    """Give a name its entry's owner, extended attributes, mode and time, in the order that exposes nothing.

    What an unprivileged user may not set is returned as words; everything else raises OSError.
    """
    refused: list[str] = []
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    owned = (found.st_uid, found.st_gid) == (entry.uid, entry.gid)
    have, want = dict(attributes.read(parent, name)), dict(x for x in entry.xattrs if is_recorded(x[0]))
    narrow = stat.S_IMODE(found.st_mode) & entry.mode
    if entry.type is not Type.LINK and not (owned and have.get(ACCESS_ACL) == want.get(ACCESS_ACL)):
        # Meanwhile nobody may do what either state forbids, and set-id bits never meet the wrong owner.
        if narrow != stat.S_IMODE(found.st_mode):
            _try([], "", disk.set_mode, parent, name, narrow, entry.type)
        if not owned:
            _owner(disk, parent, name, entry, refused)
        # A new owner costs a file its capabilities, and a new mode changes its ACL.
        have = dict(attributes.read(parent, name))
    elif not owned:
        _owner(disk, parent, name, entry, refused)
    mode = entry.mode & 0o1777 if refused else entry.mode
    if not _xattrs(disk, parent, name, entry.type, have, want, refused):
        # The group's bits of a mode with an ACL are no more than the limit of that ACL.
        mode &= ~0o070
    if entry.type is not Type.LINK:
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_IMODE(now.st_mode) != mode:
            _try(refused, f"mode {mode:04o}", disk.set_mode, parent, name, mode, entry.type)
    if found.st_mtime_ns != entry.mtime_ns:
        _try(refused, "time", disk.set_time, parent, name, found.st_atime_ns, entry.mtime_ns)
    return refused


def close(disk: Disk, parent: int, name: bytes, wanted: Closed) -> bool:
    """Close a directory that names are about to move in; whether that changed anything. What may not be, stays.

    Raises OSError. Who does it can go on doing so.
    """
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        return False
    ourselves, mode = os.geteuid(), wanted.mode
    changed = wanted.taken and found.st_uid != ourselves
    if changed:
        _try([], "", disk.set_owner, parent, name, ourselves, -1)
    if wanted.taken or found.st_uid == ourselves:
        mode |= 0o700
    if stat.S_IMODE(found.st_mode) != mode:
        _try([], "", disk.set_mode, parent, name, mode, Type.DIR)
        changed = True
    return changed


def redress(disk: Disk, parent: int, name: bytes, old: Entry | None, new: Entry) -> list[str]:
    """The same for a name whose metadata are known to be `old`: most often it is only the time that differs."""
    if old is None or not only_times(old, new):
        return set_metadata(disk, parent, name, new)
    refused: list[str] = []
    atime = os.stat(name, dir_fd=parent, follow_symlinks=False).st_atime_ns
    _try(refused, "time", disk.set_time, parent, name, atime, new.mtime_ns)
    return refused


def only_times(old: Entry, new: Entry) -> bool:
    """Whether two entries' metadata differ in nothing but times."""
    return (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid) and same_xattrs(old.xattrs, new.xattrs)


def _owner(disk: Disk, parent: int, name: bytes, entry: Entry, refused: list[str]) -> None:
    try:
        disk.set_owner(parent, name, entry.uid, entry.gid)
    except PermissionError:
        # The owner is root's to give, but a group one belongs to is one's own.
        try:
            disk.set_owner(parent, name, -1, entry.gid)
        except PermissionError:
            refused.append(f"group {entry.gname or entry.gid}")
        if os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid != entry.uid:
            refused.append(f"owner {entry.uname or entry.uid}")


def _xattrs(
    disk: Disk,
    parent: int,
    name: bytes,
    kind: Type,
    have: dict[str, bytes],
    want: dict[str, bytes],
    refused: list[str],
) -> bool:
    """Set and remove extended attributes; whether there is an ACL if one is wanted."""
    changed = sorted(attribute for attribute in have.keys() | want.keys() if have.get(attribute) != want.get(attribute))
    if not changed:
        return True
    before = len(refused)
    mode = stat.S_IMODE(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    # Even an owner may not change user attributes of what is read-only; lending oneself the right is the way round.
    lend = not mode & stat.S_IWUSR and any(attribute.startswith("user.") for attribute in changed)
    if lend:
        _try([], "", disk.set_mode, parent, name, mode | stat.S_IWUSR, kind)
    for attribute in changed:
        if attribute in want:
            # A label that the system's policy does not know is invalid to it.
            also = () if is_own(attribute) else (errno.EINVAL,)
            _try(refused, _named(attribute), disk.set_xattr, parent, name, attribute, want[attribute], also=also)
        elif is_own(attribute):
            _try(refused, f"removal of {attribute}", disk.remove_xattr, parent, name, attribute)
    if lend:
        _try([], "", disk.set_mode, parent, name, mode, kind)
    return _named(ACCESS_ACL) not in refused[before:]


def _named(attribute: str) -> str:
    return f"extended attribute {attribute}"


def _try(
    refused: list[str], what: str, call: Callable[..., None], *arguments: object, also: tuple[int, ...] = ()
) -> None:
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP, *also):
            raise
        refused.append(what)


def exchange(one: str, other: str) -> None:
    """Let two names of one file system change places, at once where it can (renameat2(2)); else by way of a third."""
    try:
        _rename(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        between = f"{one}.{os.urandom(6).hex()}"
        os.rename(other, between)
        os.rename(one, other)
        os.rename(between, one)


def _move_without_flags(parent: int, name: bytes, other: int, other_name: bytes) -> None:
    try:
        os.stat(other_name, dir_fd=other, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, other_name, src_dir_fd=parent, dst_dir_fd=other)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(other_name))


def _rename(parent: int, name: bytes, other: int, other_name: bytes, flags: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    if _renameat2(parent, name, other, other_name, flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
