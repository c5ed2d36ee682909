"""The audit log goes along where refs go: published before a push or a bundle, brought back after a clone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.audit import Link
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import audit_ref, catalog
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True, frozen=True)
class Published:
    """What `refs/gitsnap/audit` holds now: its commit, and the number of the last line; None and 0 for nothing.
    `problem` says why newer lines are not in it."""

    commit: str | None = None
    lines: int = 0
    problem: str = ""


@dataclass(slots=True, frozen=True)
class BroughtBack:
    """A log that goes on here: the line after which it does, and what is wrong with what came, in words. `added` is
    false where it was here already."""

    last: Link
    problems: tuple[str, ...] = ()
    added: bool = True


def publish_audit(sidecar: Sidecar, now: datetime, wait: float) -> Published:
    """Put all lines so far on `refs/gitsnap/audit`: call it before refs are sent, and send that ref without force.

    The line of the command that calls it comes after its end, and goes along the next time. Raises LockedError, OSError
    and, where what was published cannot be read, IntegrityError. A log here that is not what it was is a `problem`, and
    what was published before stays.
    """
    with sidecar.writing(wait, recovering=True):
        greatest = max((n for s in catalog.snapshots(sidecar) if (n := s.sequence)), default=0)
        try:
            found, problem = audit_ref.publish(sidecar, greatest, now), ""
        except IntegrityError as error:
            commit, problem = sidecar.refs.get(refs.AUDIT), error.message
            found = audit_ref.load(sidecar, commit) if commit else None
    return Published(found.commit, found.last.sequence, problem) if found else Published(problem=problem)


def bring_back_audit(sidecar: Sidecar, ref: str = refs.AUDIT) -> BroughtBack | None:
    """Let the log of a sidecar that came by its refs go on after what the ref holds; None where there is no such ref.

    What came is in `problems` as it is: whoever calls says it. The line that tells of the command that is at work
    follows, and says after which line it has taken over. A log that is here already, and holds what the ref does,
    stays. Raises OSError, LockedError, IntegrityError where the ref cannot be read or another log is here.
    """
    commit = sidecar.refs.get(ref)
    if commit is None:
        return None
    found = audit_ref.load(sidecar, commit)
    if audit_ref.is_here(sidecar, found):
        return BroughtBack(found.last, added=False)
    problems = audit_ref.problems(sidecar, found)
    newer = [s.id for s in catalog.snapshots(sidecar) if s.sequence and s.sequence > found.sequence]
    if newer:
        problems.append(f"it is older than snapshot {newer[0]}: it was not published with it, or put back since")
    audit_ref.bring_back(sidecar, found)
    sidecar.noted.details["audit_log"] = {"after": found.last.sequence, "sha256": found.last.digest, "from": commit}
    return BroughtBack(found.last, tuple(problems))
