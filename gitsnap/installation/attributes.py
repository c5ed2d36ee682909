"""Extended attributes (ACLs and capabilities are among them) of names in a directory, symlinks not followed.

The calls take no directory descriptor, so the name is reached through /proc/self/fd.
"""

from __future__ import annotations

import errno
import os

from gitsnap.core.model import Xattrs
from gitsnap.core.xattrs import is_recorded

_GONE = (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS)


def reach(parent: int, name: bytes) -> bytes:
    """A path by which one name in an open directory can be reached."""
    return b"/proc/self/fd/%d/%s" % (parent, name)


def read(parent: int, name: bytes) -> Xattrs:
    """The extended attributes that are recorded, sorted by name. Raises OSError; a file system may have none."""
    return read_at(reach(parent, name))


def read_at(path: bytes | int) -> Xattrs:
    """The same for a path, or for an open file."""
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _GONE:
            return ()
        raise
    found = []
    for attribute in sorted(filter(is_recorded, names)):
        try:
            found.append((attribute, os.getxattr(path, attribute, follow_symlinks=follow)))
        except OSError as error:
            if error.errno not in _GONE:
                raise
    return tuple(found)
