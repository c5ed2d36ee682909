"""A rollback, restore, undo and recovery killed, or failing, at each of their mutating system calls, and power cuts."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from gitsnap.ops.restore.result import Direction
from tests.crash import faults
from tests.crash.faults import Call, FaultNeverFiredError, Mode, Outcome
from tests.support.inprocess import workspace
from tests.torture import power, upgraded
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.upgraded import Upgraded

KILLS = (Mode.KILL, Mode.KILL_AFTER, Mode.TORN)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
WAYS = (None, Direction.REVERT, Direction.FINISH)
# A file system that can be cut has to be synced before each run: more points take too long even for `make torture`.
_CUTS = 200

Judge = Callable[[Upgraded, Outcome, int], None]
Plan = tuple[Call, Mode, int | None]


class Faulted(Protocol):
    """What can run its command with a fault, from the same beginning every time."""

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault."""


Scene = TypeVar("Scene", bound=Faulted)


def recovers(scene: Upgraded, way: Direction | None) -> str:
    """Recovered in that way, the installation is what it says, and all is settled. The state; AssertionError else."""
    with scene.sidecar() as sidecar:
        pending = sidecar.pending
    recovered = scene.recover(way)
    assert recovered.verified, f"recovered, but not verified: {recovered.incomplete}"
    assert recovered.incomplete == [], f"incomplete: {recovered.incomplete}"
    assert (recovered.direction is None) == (pending is None), f"{pending}, and {recovered.direction}"
    state = scene.state()
    wanted = ("old", "new") if pending is None else ("new" if recovered.direction is Direction.FINISH else "old",)
    assert state in wanted, state
    assert pending is None or way is None or recovered.direction is way, f"{way} asked, {recovered.direction} done"
    scene.assert_settled()
    assert scene.recover().direction is None, "recovered, and something is pending"
    return state


def after_a_kill(scene: Upgraded, outcome: Outcome, number: int) -> None:
    """Old or new, whichever way is asked for."""
    recovers(scene, WAYS[number % 3])


def after_an_error(scene: Upgraded, outcome: Outcome, number: int) -> None:
    """An error is told, and leaves the old tree, or a journal that leads out."""
    with scene.sidecar() as sidecar:
        pending = sidecar.pending
    assert "bug in gitsnap" not in outcome.stderr, "a bug"
    assert "Traceback" not in outcome.stderr, "a traceback"
    if outcome.returncode == 3:
        assert pending is None, f"exit 3, and {pending} is pending"
        unnamed = [path for path in scene.not_new() if path not in outcome.stdout + outcome.stderr]
        assert unnamed == [], f"not named: {unnamed}"
        return
    state = scene.state()
    if outcome.returncode == 0:
        # The fault was in something that does not matter: a cache, say.
        assert (pending, state) == (None, "new"), f"exit 0: {pending} {state}"
        return
    assert outcome.returncode in (1, 11, 12, 14), f"exit {outcome.returncode}"
    # Warnings, of what is no part of it, come before.
    assert re.search(r"^gitsnap: ", outcome.stderr, re.MULTILINE), "no sentence"
    if pending is None:
        assert state in ("old", "new"), state
        said_old = "put back" in outcome.stderr or "nothing was" in outcome.stderr
        assert not said_old or state == "old", f"said to be old: {state}"
    else:
        assert outcome.returncode == 14 or scene.begun, f"exit {outcome.returncode}, and {pending} is pending"
        recovers(scene, None)


def kills(points: Iterable[Call]) -> list[Plan]:
    """Before each call, after it, and in the middle of each write."""
    return [(c, m, None) for c in points for m in KILLS if m is not Mode.TORN or c.can_tear]


def errors(points: Iterable[Call]) -> list[Plan]:
    """Each errno at each call, once and from there on."""
    return [(c, m, n) for c in points for n in ERRORS for m in (Mode.ERROR, Mode.ERROR_FROM)]


def spread(plans: Sequence[Plan], share: Share) -> list[Plan]:
    """As many of the plans as are wanted, from all over."""
    wanted = share.number(len(plans))
    # Steps that have nothing in common with the length of a cycle, so that each mode and errno has its turn.
    return [plans[int(i * len(plans) / wanted)] for i in range(wanted)]


def hit(scene: Scene, plans: Iterable[Plan], judge: Callable[[Scene, Outcome, int], None], tally: Tally) -> None:
    """Run a scene's command with each of the faults, and judge what is left."""
    for number, (call, mode, code) in enumerate(plans):
        where = f"{mode} {errno.errorcode.get(code or 0, '')} at {call.number}: {call.name} {call.path}"
        try:
            outcome = scene.run(mode, call, code)
            where += f": {outcome.told}"
            judge(scene, outcome, number)
        except FaultNeverFiredError:
            tally.add(f"{where}: the fault never fired")
        except Exception as error:  # noqa: BLE001 - whatever it is, the point is lost
            tally.add(f"{where}\n{type(error).__name__}: {error}")
        else:
            tally.add(None)


def _kind(
    make: Callable[..., Upgraded],
    plan: Callable[[Iterable[Call]], list[Plan]],
    judge: Judge,
    file_system: str | None = None,
) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        try:
            with _scene(make, file_system) as scene:
                hit(scene, spread(plan(scene.calls()), share), judge, tally)
        except OSError as error:
            if file_system is None:
                raise
            return Tally(note=f"skipped: {error}")
        return tally

    return run


@contextmanager
def _scene(make: Callable[..., Upgraded], file_system: str | None) -> Iterator[Upgraded]:
    """A scene in memory, or on a file system of its own; OSError where there cannot be one."""
    with workspace() as top, ExitStack() as stack:
        if file_system is None:
            yield make(top)
        else:
            disk = stack.enter_context(power.disk(file_system, top))
            yield make(top / "scene", live=disk.where / "live")


rollback_killed = kind("killed: rollback")(_kind(upgraded.rollback_scene, kills, after_a_kill))
restore_killed = kind("killed: restore")(_kind(upgraded.restore_scene, kills, after_a_kill))
undo_killed = kind("killed: undo")(_kind(upgraded.undo_scene, kills, after_a_kill))
rollback_failing = kind("errors: rollback")(_kind(upgraded.rollback_scene, errors, after_an_error))
btrfs_killed = kind("killed: rollback, btrfs")(_kind(upgraded.rollback_scene, kills, after_a_kill, "btrfs"))
btrfs_failing = kind("errors: rollback, btrfs")(_kind(upgraded.rollback_scene, errors, after_an_error, "btrfs"))
restore_failing = kind("errors: restore")(_kind(upgraded.restore_scene, errors, after_an_error))


def recovery_scene(top: Path, way: Direction, live: Path | None = None) -> Upgraded:
    """A rollback that was killed in the middle of what it moves, and a recovery that goes this way."""
    scene = upgraded.rollback_scene(top, live=live)
    moves = [c for c in scene.calls() if c.name == "renameat2"]
    return replace(scene, arguments=("recover", f"--{way}"), begun=(scene.arguments, moves[len(moves) // 2]))


def _finish(top: Path, live: Path | None = None) -> Upgraded:
    return recovery_scene(top, Direction.FINISH, live)


def _revert(top: Path, live: Path | None = None) -> Upgraded:
    return recovery_scene(top, Direction.REVERT, live)


finish_killed = kind("killed: recover --finish")(_kind(_finish, kills, after_a_kill))
revert_killed = kind("killed: recover --revert")(_kind(_revert, kills, after_a_kill))
btrfs_revert_killed = kind("killed: recover --revert, btrfs")(_kind(_revert, kills, after_a_kill, "btrfs"))
finish_failing = kind("errors: recover --finish")(_kind(_finish, errors, after_an_error))


@contextmanager
def on_a_disk(file_system: str, make: Callable[..., Upgraded]) -> Iterator[Upgraded]:
    """A scene on a disk that loses its power at the fault; OSError where there cannot be one."""
    with workspace() as top, power.disk(file_system, top) as disk:
        yield replace(make(top / "scene", live=disk.where / "live"), disk=disk)


def _cut(make: Callable[..., Upgraded], file_system: str) -> Kind:
    def run(share: Share) -> Tally:
        tally = Tally()
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        try:
            with on_a_disk(file_system, make) as scene:
                points = [(c, Mode.KILL_AFTER, None) for c in scene.calls()]
                some = Share(_CUTS if share.points is None else share.points)
                hit(scene, spread(points, some), after_a_kill, tally)
        except OSError as error:
            return Tally(note=f"skipped: {error}")
        return tally

    return run


rollback_cut = {fs: kind(f"power cut: rollback, {fs}")(_cut(upgraded.rollback_scene, fs)) for fs in power.FILE_SYSTEMS}
recovery_cut = {fs: kind(f"power cut: recover, {fs}")(_cut(_finish, fs)) for fs in power.FILE_SYSTEMS}
