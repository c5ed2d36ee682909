"""Which extended attributes are the installation's own, and which the system's.

Decided here alone, for captures, plans, comparisons and the looks after a rollback:

- `user.*`, `trusted.*`, ACLs and capabilities are the installation's: recorded, compared, set, and removed where the
  snapshot does not have them.
- `security.*` else are labels that the system gives by itself (SELinux, Smack, IMA). They are recorded, and put on what
  is written; one that came since is left alone, and only where both sides have one are they compared.
- The rest is a file system's own view of something else (`system.nfs4_acl`, `btrfs.compression`), or is computed for
  one inode (`security.evm`): neither recorded, set, removed nor compared, though older snapshots may hold them.
"""

from __future__ import annotations

from gitsnap.core.model import Xattrs

_OWN = ("user.", "trusted.", "system.posix_acl_", "security.capability")
_LABELS = "security."
_COMPUTED = "security.evm"
ACCESS_ACL = "system.posix_acl_access"


def is_own(name: str) -> bool:
    """Whether an attribute is the installation's: content, or who may do what."""
    return name.startswith(_OWN)


def is_recorded(name: str) -> bool:
    """Whether an attribute is recorded, and set."""
    return name.startswith(_OWN) or (name.startswith(_LABELS) and name != _COMPUTED)


def own(xattrs: Xattrs) -> Xattrs:
    """The installation's own attributes."""
    return tuple(item for item in xattrs if is_own(item[0]))


def differing(a: Xattrs, b: Xattrs) -> list[str]:
    """The attributes in which two entries differ, as far as those are ours to compare."""
    before, after = dict(a), dict(b)
    both = before.keys() & after.keys()
    compared = [n for n in before.keys() | after.keys() if is_own(n) or (n in both and is_recorded(n))]
    return sorted(name for name in compared if before.get(name) != after.get(name))


def same_xattrs(a: Xattrs, b: Xattrs) -> bool:
    """Whether two entries have the same attributes, as far as those are ours to compare."""
    return a == b or not differing(a, b)
