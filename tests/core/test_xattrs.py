"""Which extended attributes count: the installation's own always, the system's labels only against each other."""

from __future__ import annotations

import pytest

from gitsnap.core.comparison import compare
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.merge import _same
from gitsnap.core.model import Entry, Inventory, Type, Xattrs
from gitsnap.core.plan import everything, make_plan
from gitsnap.core.xattrs import is_own, is_recorded, same_xattrs

OWN = ("user.note", "trusted.x", "system.posix_acl_access", "system.posix_acl_default", "security.capability")
LABELS = ("security.selinux", "security.SMACK64", "security.ima", "security.apparmor")
OTHERS = ("security.evm", "system.nfs4_acl", "system.cifs_acl", "btrfs.compression", "ceph.dir.entries", "os2.x")


def _tree(xattrs: Xattrs) -> Inventory:
    return Inventory([Entry(b"", Type.DIR, 0o755), Entry(b"f", Type.FILE, 0o644, sha256=b"1" * 32, xattrs=xattrs)])


@pytest.mark.parametrize(
    ("names", "came", "changed"), [(OWN, True, True), (LABELS, False, True), (OTHERS, False, False)]
)
def test_what_counts(names: tuple[str, ...], came: bool, changed: bool) -> None:
    """The same in a comparison, a plan and a merge, whichever side has it."""
    for name in names:
        none, one, two = _tree(()), _tree(((name, b"1"),)), _tree(((name, b"2"),))
        for a, b, counts in ((none, one, came), (one, none, came), (one, two, changed), (one, one, False)):
            assert bool(compare(a, b).changes) is counts, name
            assert bool(make_plan(a, b, scope=everything, protected=nothing_excluded).steps) is counts, name
            assert _same(a.entries[1], b.entries[1], metadata=True) is not counts, name


def test_one_that_counts_beside_one_that_does_not() -> None:
    label = ("security.selinux", b"l")
    assert same_xattrs((("user.a", b"1"),), (label, ("user.a", b"1")))
    assert not same_xattrs((("user.a", b"1"),), (label, ("user.a", b"2")))


def test_which_are_recorded() -> None:
    assert all(map(is_recorded, OWN + LABELS))
    assert not any(map(is_recorded, OTHERS))
    assert [n for n in OWN + LABELS + OTHERS if is_own(n)] == list(OWN)
