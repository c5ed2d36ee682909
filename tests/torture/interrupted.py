"""A snapshot, a prune and a gc killed, or failing, at each of their mutating system calls."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.crash import faults
from tests.crash.faults import Call, Mode
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.scene import Scene, small_scene

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)


@dataclass(frozen=True)
class Case:
    """A command, what it may remove, and whether it makes a snapshot."""

    words: tuple[str, ...]
    may_go: int = 0
    makes: bool = False

    def argv(self, scene: Scene) -> list[str]:
        lines = [faults.gitsnap("-C", scene.app, *line.split()) for line in self.words]
        return lines[0] if len(lines) == 1 else ["/bin/sh", "-c", " && ".join(map(shlex.join, lines))]


SNAPSHOT = Case(("snapshot --label new",), makes=True)
# The pinned one stays, and so does the last.
PRUNE_AND_GC = Case(("prune --keep-last 1", "gc"), may_go=1)


def wrong(scene: Scene, case: Case, ended_well: bool) -> str | None:
    """What is not as it has to be after the command ended, however it did; None when all is."""
    if not scene.untouched():
        return "the installation was touched"
    if said := scene.fsck():
        return f"git fsck: {said}"
    listed = scene.gitsnap("list", "-q", "--json")
    if listed.returncode:
        return f"list: exit {listed.returncode} {listed.stderr.decode()}"
    ids = set(_ids(listed.stdout))
    missing = scene.states.keys() - ids
    if len(missing) > case.may_go:
        return f"lost {sorted(missing)}"
    if ended_well and case.makes and len(ids) != len(scene.states) + 1:
        return "exit 0, and no snapshot"
    verified = scene.gitsnap("verify", "--all")
    if verified.returncode:
        return f"verify: exit {verified.returncode}\n{verified.stdout.decode()}{verified.stderr.decode()}"
    after = scene.gitsnap("snapshot", "--label", "after")
    if after.returncode:
        return f"the next snapshot: exit {after.returncode} {after.stderr.decode()}"
    return _settled(scene, ids | {after.stdout.decode().strip()})


def _settled(scene: Scene, ids: set[str]) -> str | None:
    """After the next snapshot nothing is left of the interruption."""
    listed = scene.gitsnap("list", "--json")
    if set(_ids(listed.stdout)) != ids:
        return f"the next snapshot changed what there is: {sorted(ids)} {listed.stdout.decode()}"
    verified = scene.gitsnap("verify", "--all")
    if verified.returncode or b"BAD" in verified.stdout:
        return f"verify after the next snapshot: {verified.stdout.decode()}{verified.stderr.decode()}"
    locks = [p for p in scene.store.rglob("*.lock") if "gitsnap" not in p.relative_to(scene.store).parts[:1]]
    return f"locks are left: {locks}" if locks else None


def _ids(document: bytes) -> list[str]:
    import json

    return [s["id"] for s in json.loads(document)["snapshots"]]


def faulty(case: Case, plans: Iterator[tuple[Call, Mode, int | None]], scene: Scene, tally: Tally) -> None:
    """Run a case with each of the faults, and judge what is left."""
    env = faults.environment(scene.home)
    for call, mode, number in plans:
        scene.reset()
        where = f"{mode} {errno.errorcode.get(number or 0, '')} at {call.number}: {call.name} {call.path}"
        outcome = faults.run_with_fault(case.argv(scene), mode, call.number, number, env, must_fire=False)
        if not outcome.fired:
            tally.add(f"{where}: the fault never fired")
            continue
        said = outcome.stderr
        if "Traceback" in said or "a bug in" in said:
            tally.add(f"{where}: {said}")
            continue
        complaint = wrong(scene, case, outcome.returncode == 0)
        tally.add(f"{where}: exit {outcome.returncode}: {complaint}\n{said}" if complaint else None)


def kills(points: list[Call]) -> list[tuple[Call, Mode, int | None]]:
    """Before each call, after it, and in the middle of each write."""
    out: list[tuple[Call, Mode, int | None]] = []
    for call in points:
        out += [(call, Mode.KILL, None), (call, Mode.KILL_AFTER, None)]
        out += [(call, Mode.TORN, None)] if call.can_tear else []
    return out


def errors(points: list[Call]) -> list[tuple[Call, Mode, int | None]]:
    """Each errno at each call, once and from there on."""
    return [(call, mode, number) for call in points for number in ERRORS for mode in (Mode.ERROR, Mode.ERROR_FROM)]


def _kind(case: Case, plan: str) -> Kind:
    def run(share: Share) -> Tally:
        tally = Tally()
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        with small_scene() as scene:
            points = faults.calls(case.argv(scene), faults.environment(scene.home))
            plans = kills(points) if plan == "kills" else errors(points)
            if share.points is not None and share.points < len(plans):
                step = len(plans) / share.points
                plans = [plans[int(i * step)] for i in range(share.points)]
            faulty(case, iter(plans), scene, tally)
        return tally

    return run


snapshot_killed = kind("killed: snapshot")(_kind(SNAPSHOT, "kills"))
snapshot_failing = kind("errors: snapshot")(_kind(SNAPSHOT, "errors"))
prune_killed = kind("killed: prune and gc")(_kind(PRUNE_AND_GC, "kills"))
prune_failing = kind("errors: prune and gc")(_kind(PRUNE_AND_GC, "errors"))
