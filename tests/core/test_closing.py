"""How far a directory is closed while names move in it: nobody gets more than both states give them."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.interim_mode import closed
from gitsnap.core.model import Entry, Type

OWNERS = st.sampled_from([(1, 11), (2, 11), (1, 12), (2, 12)])
LOOKS = st.tuples(st.integers(0, 0o7777), OWNERS)
PEOPLE = [(uid, groups) for uid in (1, 2, 3) for groups in ((), (11,), (12,), (11, 12))]


def _may(mode: int, owner: tuple[int, int], person: tuple[int, tuple[int, ...]]) -> int:
    """What path_resolution(7) lets somebody do."""
    if person[0] == owner[0]:
        return mode >> 6 & 7
    return mode >> 3 & 7 if owner[1] in person[1] else mode & 7


@given(LOOKS, LOOKS)
def test_nobody_gets_more_than_in_both_states(
    old: tuple[int, tuple[int, int]], new: tuple[int, tuple[int, int]]
) -> None:
    """Whichever of the two owns it meanwhile, and nobody of either where it is taken."""
    (before, owner), (after, heir) = old, new
    found = closed(Entry(b"d", Type.DIR, before, *owner), Entry(b"d", Type.DIR, after, *heir))
    if found is None:
        assert (before & 0o777, owner) == (after & 0o777, heir)
        return
    for holder in (owner, heir):
        at_work = (0, holder[1]) if found.taken else holder
        for person in PEOPLE:
            meanwhile = _may(found.mode, at_work, person)
            allowed = _may(before, owner, person) & _may(after, heir, person)
            # An owner may open what is theirs at any time: only reading and entering is what they are kept from.
            excused = not found.taken and person[0] == at_work[0] and owner[0] != heir[0]
            assert excused or meanwhile & ~allowed == 0, (person, holder)
    if not found.taken and owner[0] != heir[0]:
        # Then everybody may read and enter in both states.
        assert all(bits & 0o005 and bits & 0o050 == 0o050 for bits in (before, after))


def test_what_is_open_to_all_stays_open_to_all() -> None:
    """Other owners, and nothing to hide: nobody is kept out for it."""
    found = closed(Entry(b"d", Type.DIR, 0o755, 1, 11), Entry(b"d", Type.DIR, 0o775, 2, 12))
    assert found is not None
    assert (found.mode, found.taken) == (0o755, False)


def test_another_acl_closes_to_all_but_the_owner() -> None:
    acl = struct.pack("<IHHI", 2, 2, 5, 7)
    plain = Entry(b"d", Type.DIR, 0o755)
    guest = Entry(b"d", Type.DIR, 0o755, xattrs=(("system.posix_acl_access", acl),))
    for old, new in ((plain, guest), (guest, plain)):
        found = closed(old, new)
        assert found is not None
        assert (found.mode, found.taken) == (0o700, False)
    assert closed(guest, guest) is None
    heirs = Entry(b"d", Type.DIR, 0o755, xattrs=(("system.posix_acl_default", acl),))
    assert closed(plain, heirs) is None


def test_special_bits() -> None:
    """The sticky bit is strict; set-id bits are those of both; and none of them is a reason to close anything."""
    found = closed(Entry(b"d", Type.DIR, 0o3755), Entry(b"d", Type.DIR, 0o0700))
    assert found is not None
    assert found.mode == 0o1700
    assert closed(Entry(b"d", Type.DIR, 0o2755), Entry(b"d", Type.DIR, 0o755)) is None
