"""Mount points below a directory, from the kernel's own list.

Device numbers do not tell them all: what is bind-mounted from the same file system shares its number, and yet nothing
can be renamed across its border.
"""

from __future__ import annotations

import os
import re

_OCTAL = re.compile(rb"\\([0-7]{3})")


def below(fd: int) -> frozenset[bytes]:
    """The paths, relative to the directory open as `fd`, where something is mounted; nothing when /proc cannot tell."""
    try:
        root = os.readlink(b"/proc/self/fd/%d" % fd)
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return frozenset()
    prefix = root.rstrip(b"/") + b"/"
    points = (_OCTAL.sub(lambda m: bytes([int(m[1], 8)]), line.split(b" ")[4]) for line in lines)
    return frozenset(point[len(prefix) :] for point in points if point.startswith(prefix))


def used(path: str) -> int | None:
    """How many bytes are in use on the file system of the directory, which holds it whole; None where others are
    mounted below, or the kernel does not tell what is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstatvfs(fd)
        whole = os.path.exists("/proc/self/mountinfo") and not below(fd)
        return (found.f_blocks - found.f_bfree) * found.f_frsize if whole else None
    except OSError:
        return None
    finally:
        os.close(fd)


def mount_point(path: str) -> str:
    """Where the file system that holds `path` (absolute) is mounted."""
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path
