"""How far a directory is closed while names move in it: to everybody whom either of its two states keeps out."""

from __future__ import annotations

from typing import NamedTuple

from gitsnap.core.model import Entry
from gitsnap.core.xattrs import ACCESS_ACL

_STICKY, _SET_ID = 0o1000, 0o6000
_ENTER = 0o5


class Closed(NamedTuple):
    """The 12 permission bits meanwhile, and whether the owner has to change too: who owns a directory can open it."""

    mode: int
    taken: bool


def closed(old: Entry, new: Entry) -> Closed | None:
    """The stricter of two states of a directory; None where they let in the same.

    With the same owner, group and ACL, that is what both modes allow. Else a member of a class of one state may be of
    any class of the other, so that only what all may do in both states is left to others than the owner; and with
    another ACL, nothing. An owner who is not the owner of both states keeps their place only where all may enter.
    """
    before, after = old.mode & 0o777, new.mode & 0o777
    lists = access_list(old) != access_list(new)
    special = (old.mode | new.mode) & _STICKY | old.mode & new.mode & _SET_ID
    if (old.uid, old.gid) == (new.uid, new.gid) and not lists:
        return None if before == after else Closed(special | before & after, False)
    all_may = 0 if lists else before & before >> 3 & after & after >> 3 & 0o7
    if old.uid != new.uid:
        all_may &= before >> 6 & after >> 6
    taken = old.uid != new.uid and all_may & _ENTER != _ENTER
    owner = 0o7 if taken else before >> 6 & after >> 6
    return Closed(special | owner << 6 | all_may << 3 | all_may, taken)


def access_list(entry: Entry) -> bytes | None:
    """The access ACL, as the system stores it."""
    return dict(entry.xattrs).get(ACCESS_ACL)
