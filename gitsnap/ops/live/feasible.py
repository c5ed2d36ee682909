"""What of a plan can be done in the directory as it is: the rest is foreseen, kept out of the plan, and named.

What comes up only while a plan is carried out is not foreseen; then all is put back (ops/restore/transaction.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from gitsnap.core.entry_comparison import same_metadata
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Entry, Inventory, Problem
from gitsnap.core.plan import Action, RestorePlan
from gitsnap.core.quantity import size
from gitsnap.core.statcache import Row, unpack
from gitsnap.installation.directories import Directories
from gitsnap.installation.mounts import below, mount_point
from gitsnap.installation.obstacles import Obstacles
from gitsnap.installation.root import missing

_METADATA = Action.METADATA


def feasible(
    root: str,
    live: Inventory,
    plan_around: Callable[[Mapping[bytes, str]], RestorePlan],
    store: str,
    left: Mapping[bytes, str],
) -> RestorePlan:
    """The plan that leaves alone what cannot be changed. `plan_around` makes one around the paths it is given; `store`
    is where the safety snapshot will go. `left` are directories that are to be left alone, with reasons.

    Raises OSError when the directory itself cannot be entered.
    """
    plan = plan_around({})
    if not plan.steps or missing(root):
        return plan
    there = live.by_path()
    refused: dict[bytes, str] = {}
    with Obstacles(root) as obstacles:
        while found := _left(plan, left) | _refused(plan, there, obstacles):
            refused |= found
            for path, database in live.beside().items():
                if path in found:
                    # SQLite would take the journal that stays for one of the new database.
                    refused.setdefault(database, f"the file beside it has to stay: it {found[path]}")
            plan = plan_around(refused)
        plan.foreseen = _partly(plan, there, obstacles)
    plan.foreseen += [Problem(where, told) for where, told in _shortages(root, plan)]
    plan.foreseen += _safety_shortage(store, plan, there)
    return plan


def _left(plan: RestorePlan, left: Mapping[bytes, str]) -> dict[bytes, str]:
    """The paths of steps in directories that are to be left alone."""
    return {
        step.path: why
        for folder, why in left.items()
        for step in plan.steps
        if not folder or step.path == folder or step.path.startswith(folder + b"/")
    }


def _refused(plan: RestorePlan, there: Mapping[bytes, Entry], obstacles: Obstacles) -> dict[bytes, str]:
    """The paths whose steps cannot be done, with reasons."""
    found: dict[bytes, str] = {}
    for step in plan.steps:
        old = there.get(step.path)
        if step.action is _METADATA and old is not None and step.entry and same_metadata(old, step.entry):
            # It only gets back the time that other steps take from it.
            continue
        reason = obstacles.against(step, old)
        if reason is not None:
            found[step.path] = reason
    return found


def _partly(plan: RestorePlan, there: Mapping[bytes, Entry], obstacles: Obstacles) -> list[Problem]:
    """What will come back, and not exactly; each path once."""
    told: dict[bytes, str] = {}
    for step in plan.steps:
        reason = obstacles.partly(step, there.get(step.path))
        if reason is not None:
            told.setdefault(step.path, reason)
    return [Problem(path, reason) for path, reason in told.items()]


def require_space(root: str, plan: RestorePlan) -> None:
    """Raise GitsnapError when what is to be written below `root` does not fit there, beside what is there already."""
    for where, told in _shortages(root, plan):
        place = os.path.join(root, os.fsdecode(where))
        raise GitsnapError(
            f"{told}; nothing was touched",
            kind="no-space",
            path=root,
            hint=f"make room on the file system that is mounted at {mount_point(place)}, and try again",
        )


def _shortages(root: str, plan: RestorePlan) -> Iterator[tuple[bytes, str]]:
    """The file systems (by where they are mounted below `root`) that lack space for what is to be written to them."""
    needed: dict[bytes, int] = {}
    written = [s for s in plan.steps if s.action is Action.WRITE and s.entry and s.entry.size and not s.link_of]
    if not written:
        return
    with Directories(root) as dirs:
        points = below(dirs.root)
    for step in written:
        assert step.entry is not None
        point = step.path.rpartition(b"/")[0] if points else b""
        while point and point not in points:
            point = point.rpartition(b"/")[0]
        needed[point] = needed.get(point, 0) + step.entry.size
    for point, count in needed.items():
        place = os.path.join(root, os.fsdecode(point)).rstrip("/")
        room = free(place)
        if count > room:
            yield point, f"{size(count)} have to be written, and {size(room)} are free on the file system of {place}"


def _safety_shortage(store: str, plan: RestorePlan, there: Mapping[bytes, Entry]) -> list[Problem]:
    """Whether the safety snapshot may find too little space: at worst it holds all that is replaced once more."""
    gone = (there.get(path) for path in plan.paths(Action.WRITE, Action.REMOVE))
    most, room = sum(e.size for e in gone if e is not None), free(store)
    if most <= room:
        return []
    return [Problem(b"", f"the safety snapshot takes up to {size(most)}, and {size(room)} are free at {store}")]


def free(place: str) -> int:
    """The bytes that may still be written to the file system of `place`."""
    found = os.statvfs(place)
    return found.f_frsize * (found.f_bavail if os.geteuid() else found.f_bfree)


def require_way_in(root: str, plan: RestorePlan) -> None:
    """Raise GitsnapError where something was to be done, and the directory itself is what keeps all of it from being
    done."""
    if plan.steps or not plan.kept:
        return
    with Obstacles(root) as obstacles:
        reason = obstacles.closed(b"")
    if reason is not None:
        reason = reason.removeprefix("the directory ")
        raise GitsnapError(
            f"{root} {reason}; nothing was changed",
            kind="not-writable",
            path=root,
            hint="make it writable, and try again; `gitsnap diff` shows what differs",
        )


def owned(rows: Mapping[bytes, Row]) -> Iterator[tuple[bytes, int, bool]]:
    """The path, the owner, and whether it is a directory, of all that a stat cache vouches for."""
    for path, (_, _, _, _, mode, uid, *_) in zip(rows, unpack(rows.values()), strict=True):
        yield path, uid, stat.S_ISDIR(mode)


def lasting(root: str, present: Iterable[tuple[bytes, int, bool]], total: int) -> list[Problem]:
    """What no rollback of anything below `root` could put back as it is now; the directory itself first, where nothing
    in it can be changed. `present` is what is there (see `owned`), `total` how many bytes."""
    found = []
    with Obstacles(root) as obstacles:
        closed = obstacles.closed(b"")
        if closed is not None:
            found.append(Problem(b"", closed))
        for path, uid, is_dir in present:
            reason = obstacles.standing(path, uid, is_dir=is_dir)
            if reason is not None and (path or closed is None):
                found.append(Problem(path, reason))
    room = free(root)
    if total > room:
        words = f"bringing back all of it takes {size(total)} beside what is there, and {size(room)} are free"
        found.append(Problem(b"", words))
    return found


def short_together(sizes: Mapping[str, int]) -> list[Problem]:
    """The directories (real paths) that share a file system on which each could come back (so many bytes), and all of
    them could not."""
    shared: dict[int, list[str]] = {}
    for root in sizes:
        shared.setdefault(os.stat(root).st_dev, []).append(root)
    found = []
    for roots in shared.values():
        needed, there = sum(sizes[root] for root in roots), free(roots[0])
        if len(roots) > 1 and needed > there >= max(sizes[root] for root in roots):
            words = f"bringing back {', '.join(roots)} takes {size(needed)} together, and {size(there)} are free there"
            found.append(Problem(os.fsencode(roots[0]), words))
    return found


def require_some_way_in(root: str) -> None:
    """Raise GitsnapError where nothing below `root` can be written, so that no rollback could do anything at all."""
    with Obstacles(root) as obstacles:
        reasons = [obstacles.read_only(point) for point in (b"", *obstacles.mounts)]
    if reasons[0] is not None and all(reasons):
        raise GitsnapError(
            f"{root} {reasons[0]}: nothing in it could be rolled back; nothing was started",
            kind="not-writable",
            path=root,
            hint="mount it read-write first, or say --on-failure keep",
        )


def in_the_way(root: str, paths: Iterable[bytes]) -> list[Problem]:
    """Which of these paths could not get other content, or be removed, and why."""
    with Obstacles(root) as obstacles:
        found = ((path, obstacles.differing(path, "other content")) for path in paths)
        return [Problem(path, reason) for path, reason in found if reason is not None]


def explained(
    root: str, wrong: Iterable[Problem], hardlinks: Iterable[tuple[bytes, ...]], stayed: Set[bytes]
) -> list[Problem]:
    """Those of the differences that an obstacle accounts for, with the obstacle as the reason, or a file's other name
    that `stayed` as it was."""
    found = []
    with Obstacles(root) as obstacles:
        for problem in wrong:
            names = [problem.path]
            if problem.reason == "other hard links":
                names += [p for group in hardlinks if problem.path in group for p in group]
            reason = next((r for name in names if (r := obstacles.differing(name, problem.reason))), None)
            if reason is None and not stayed.isdisjoint(names):
                reason = "another name of it stays as it is"
            if reason is not None:
                found.append(Problem(problem.path, reason))
    return found
