"""Names of users and groups, looked up once each. Owners are restored by name first, then by number."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from gitsnap.core.model import Inventory


def _unknown() -> None:
    """The C library says that there is no such name also where it could not open its list: raises OSError then."""
    os.close(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))


@cache
def user_name(uid: int) -> str:
    """The user's name, or "" when the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        _unknown()
        return ""


@cache
def group_name(gid: int) -> str:
    """The group's name, or ""."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        _unknown()
        return ""


@cache
def _uid(name: str, number: int) -> int:
    try:
        return pwd.getpwnam(name).pw_uid if name else number
    except KeyError:
        _unknown()
        return number


@cache
def _gid(name: str, number: int) -> int:
    try:
        return grp.getgrnam(name).gr_gid if name else number
    except KeyError:
        _unknown()
        return number


class Stranger(NamedTuple):
    """An owner that this system does not know by name: what is theirs gets their number. `kind` is user or group."""

    kind: str
    name: str
    number: int


def strangers(inventory: Inventory) -> list[Stranger]:
    """Whose names in there nobody here has, in order."""
    users = {(e.uname, e.uid) for e in inventory.entries if e.uname}
    groups = {(e.gname, e.gid) for e in inventory.entries if e.gname}
    found = [Stranger("user", *each) for each in sorted(users) if _named(pwd.getpwnam, each[0]) is None]
    return found + [Stranger("group", *each) for each in sorted(groups) if _named(grp.getgrnam, each[0]) is None]


def _named(find: Callable[[str], object], name: str) -> object | None:
    try:
        return find(name)
    except KeyError:
        _unknown()
        return None


def localise(inventory: Inventory) -> bool:
    """Replace the numbers by this system's, where it knows the names; whether any was another one."""
    renumbered = False
    for entry in inventory.entries:
        uid, gid = _uid(entry.uname, entry.uid), _gid(entry.gname, entry.gid)
        if (uid, gid) != (entry.uid, entry.gid):
            entry.uid, entry.gid, renumbered = uid, gid, True
    return renumbered
