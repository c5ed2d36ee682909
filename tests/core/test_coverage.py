"""What a stored tree does not tell: nothing follows from it, and what is there stays."""

from __future__ import annotations

from gitsnap.core.comparison import compare
from gitsnap.core.coverage import THEN, Coverage, beyond, completed, unread, unrecorded
from gitsnap.core.entry_comparison import differing_metadata, same_metadata
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.core.plan import everything, make_plan

NOBODY = frozenset({"owner"})
NOTHING = frozenset({"mode", "owner", "time", "xattr"})


def folder(path: bytes, mode: int = 0o750, uid: int = 33, **more: object) -> Entry:
    return Entry(path, Type.DIR, mode, uid, uid, mtime_ns=5, **more)  # type: ignore[arg-type]


def file(path: bytes, text: bytes = b"1", mode: int = 0o640, uid: int = 33, **more: object) -> Entry:
    digest = (text * 32)[:32]
    return Entry(path, Type.FILE, mode, uid, uid, mtime_ns=5, size=1, sha256=digest, **more)  # type: ignore[arg-type]


def test_what_is_not_recorded_is_no_difference() -> None:
    told, here = file(b"a", mode=0o644, uid=0, unrecorded=NOBODY | {"mode"}), file(b"a")
    assert same_metadata(told, here)
    assert same_metadata(here, told)
    here.mtime_ns = 6
    assert differing_metadata(told, here) == ("time",)
    assert not same_metadata(told, here)
    told.unrecorded = NOBODY
    assert differing_metadata(told, here) == ("mode", "time")


def test_what_is_not_recorded_stays_and_what_comes_new_is_never_wider_than_its_directory() -> None:
    live = Inventory([folder(b""), file(b"a", b"2", xattrs=(("user.k", b"v"),))])
    wanted = Inventory(
        [
            folder(b"", 0o755, 0, unrecorded=NOTHING),
            file(b"a", mode=0o644, uid=0, unrecorded=frozenset({"mode", "owner", "xattr"})),
            folder(b"new", 0o755, 0, unrecorded=NOTHING),
            file(b"new/b", mode=0o644, uid=0, unrecorded=frozenset({"mode", "owner"})),
        ]
    )
    root, a, new, b = completed(wanted, live).entries
    assert (root.mode, root.uid, root.mtime_ns) == (0o750, 33, 5)
    assert (a.mode, a.uid, a.xattrs, a.sha256) == (0o640, 33, (("user.k", b"v"),), wanted.entries[1].sha256)
    assert (new.mode, new.uid, new.mtime_ns) == (0o750, 33, 5)
    assert (b.mode, b.uid) == (0o640, 33)
    assert not any(e.unrecorded for e in (root, a, new, b))
    assert unrecorded(wanted) == {"mode": 4, "owner": 4, "time": 2, "xattr": 3}
    assert completed(live, wanted) is live


def test_names_of_one_inode_get_the_same_values() -> None:
    wanted = Inventory(
        [folder(b""), file(b"a", unrecorded=NOBODY), file(b"b", unrecorded=NOBODY)], hardlinks=[(b"a", b"b")]
    )
    live = Inventory([folder(b""), file(b"a", uid=1), file(b"b", uid=2)])
    assert [e.uid for e in completed(wanted, live).entries] == [33, 1, 1]


def test_other_names_in_an_unlisted_directory_are_not_covered() -> None:
    stored = Inventory(
        [folder(b""), folder(b"whole"), folder(b"part"), file(b"part/a"), folder(b"part/in")], unlisted=[b"", b"part"]
    )
    coverage = Coverage(stored)
    names = [b"", b"other", b"other/deep", b"part/a", b"part/b", b"whole/b", b"part/in/b"]
    assert [p for p in names if not coverage.tells(p)] == [b"other", b"other/deep", b"part/b"]
    live = Inventory([folder(b""), folder(b"other"), file(b"other/deep"), folder(b"part"), file(b"part/b")])
    assert beyond(stored, live) == [b"other", b"part/b"]
    assert beyond(live, stored) == []


def test_nothing_below_what_could_not_be_read_is_known() -> None:
    stored = Inventory([folder(b""), folder(b"z", 0)], partial=[Problem(b"z", "Permission denied")])
    coverage = Coverage(stored)
    assert [coverage.unread(p) for p in (b"", b"z", b"z/in/deep", b"zz")] == [False, True, True, False]
    assert [p.reason for p in unread(stored)] == [f"{THEN}: Permission denied"]
    assert unread(Inventory(partial=unread(stored))) == unread(stored)


def test_a_plan_for_what_is_not_recorded_has_no_steps_for_it() -> None:
    wanted = Inventory([folder(b"", 0o755, 0, unrecorded=NOTHING), file(b"a", uid=0, unrecorded=NOBODY)])
    live = Inventory([folder(b""), file(b"a")])
    assert make_plan(completed(wanted, live), live, scope=everything, protected=nothing_excluded).steps == []
    assert compare(wanted, live, directory_times=True).changes == []
