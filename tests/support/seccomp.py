"""System calls taken away from a process, and from all that it starts: as under an older kernel, or in a sandbox.

A filter of seccomp(2), which cannot be taken off again: use it in a forked process (tests/support/processes.py).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping

import pytest

# By machine: what seccomp calls the architecture, and the numbers of the calls.
_XATTRS = ("set", "lset", "fset", "get", "lget", "fget", "list", "llist", "flist", "remove", "lremove", "fremove")
_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"openat": 257, "renameat2": 316, "memfd_create": 319, "copy_file_range": 326, "statx": 332}
        | {"sendfile": 40, "pidfd_open": 434, "openat2": 437}
        | {f"{name}xattr": 188 + n for n, name in enumerate(_XATTRS)},
    ),
    "aarch64": (
        0xC00000B7,
        {"openat": 56, "renameat2": 276, "memfd_create": 279, "copy_file_range": 285, "statx": 291}
        | {"sendfile": 71, "pidfd_open": 434, "openat2": 437}
        | {f"{name}xattr": 5 + n for n, name in enumerate(_XATTRS)},
    ),
}
XATTRS = tuple(f"{name}xattr" for name in _XATTRS)
_O_TMPFILE = 0o20000000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


def take_away(calls: Mapping[str, int]) -> None:
    """Have each of these calls fail with an errno, from now on. `O_TMPFILE` is that flag of open(2).

    Skips the test where the machine knows no seccomp, or its numbers are not known here.
    """
    if platform.machine() not in _MACHINES:
        pytest.skip(f"the numbers of {platform.machine()} are not known here")
    architecture, numbers = _MACHINES[platform.machine()]
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_LOAD, 0, 0, _NUMBER))
    for call, code in calls.items():
        if call == "O_TMPFILE":
            steps += [
                (_EQUAL, 0, 4, numbers["openat"]), (_LOAD, 0, 0, _THIRD_ARGUMENT),
                (_ANY_BIT, 0, 1, _O_TMPFILE), (_RETURN, 0, 0, _FAIL | code), (_LOAD, 0, 0, _NUMBER),
            ]  # fmt: skip
        else:
            steps += [(_EQUAL, 0, 1, numbers[call]), (_RETURN, 0, 0, _FAIL | code)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(program, len(program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.prctl(_SET_SECCOMP, _FILTER, filter_, 0, 0) != 0:
        pytest.skip(f"no seccomp: {errno.errorcode[ctypes.get_errno()]}")
