"""A tree large enough for all that is quick: forked readers and walkers, a stat cache of many blocks, edited texts.

The other kinds take small trees, on which none of it is used. Here a point takes seconds, so there are few of them.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.crash import faults
from tests.crash.faults import Call, Mode
from tests.support.installation import remove_tree, run_gitsnap
from tests.support.processes import meanwhile
from tests.torture.interrupted import SNAPSHOT, faulty, kills
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.scene import Scene, contents

# More than the largest of the bounds in gitsnap/ops/parallel, which is that of a shared walk, and as many changes as
# are worth forked readers.
FILES, CHANGED = 20_300, 320
_A_FOLDER = 100
_POINTS = 12
# Those that few() takes away, and those that are replaced beside a snapshot, and always there.
_GOING = range(1, FILES, FILES // 10)
_REPLACED = sorted(set(range(0, FILES, 37)) - set(_GOING))


def _path(number: int) -> str:
    return f"{number // _A_FOLDER // 20:02}/{number // _A_FOLDER:03}/{number:05}"


def few(app: Path, mark: str) -> None:
    """Change some files here and there, and let some come and go."""
    for number in range(0, FILES, FILES // CHANGED):
        (app / _path(number)).write_text(f"{mark} {number}\n")
    for number in _GOING:
        (app / _path(number)).unlink(missing_ok=True)
        (app / f"{_path(number)}-{mark}").write_text(mark)


def many(app: Path, mark: str) -> None:
    """Change more than is told one by one: a scan, which the rows of all other files vouch for."""
    few(app, mark)
    for number in range(3, FILES, 10):
        (app / _path(number)).write_text(f"{mark} {number}\n")


def every_time(app: Path, mark: str) -> None:
    """The same, and every file has another time."""
    few(app, mark)
    for path in app.rglob("*"):
        os.utime(path, ns=(1, 1_700_000_000_000_000_000 + len(mark)))


@contextmanager
def large_scene(change: Callable[[Path, str], None]) -> Iterator[Scene]:
    """Two snapshots, and changes since the last."""
    memory = "/dev/shm"
    where = tempfile.mkdtemp(prefix="gitsnap-torture-", dir=memory if os.access(memory, os.W_OK | os.X_OK) else None)
    scene = Scene(Path(where))
    try:
        for number in range(FILES):
            file = scene.app / _path(number)
            if number % _A_FOLDER == 0:
                file.parent.mkdir(parents=True)
            file.write_text(f"first {number}\n")
        scene.take("--label", "first")
        few(scene.app, "second")
        scene.take("--label", "second")
        change(scene.app, "now")
        scene.save()
        yield scene
    finally:
        remove_tree(Path(where))


def _sampled(points: list[Call], share: Share) -> list[tuple[Call, Mode, int | None]]:
    """Some of the kills, spread over all, each time the same."""
    plans = kills(points)
    wanted = share.number(_POINTS)
    return [plans[i * len(plans) // wanted] for i in range(min(wanted, len(plans)))]


def _snapshots(change: Callable[[Path, str], None]) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        with large_scene(change) as scene:
            points = faults.calls(SNAPSHOT.argv(scene), faults.environment(scene.home))
            faulty(SNAPSHOT, iter(_sampled(points, share)), scene, tally)
        return tally

    return run


def rollbacks(share: Share) -> Tally:
    """A rollback to the first snapshot is killed; what is pending is settled in one go, to one state or the other."""
    if reason := faults.why_not():
        return Tally(note=f"skipped: {reason}")
    tally = Tally()
    with large_scene(every_time) as scene:
        wanted, before = min(scene.states), contents(scene.app)
        argv, env = faults.gitsnap("-C", scene.app, "rollback", wanted, "--yes"), faults.environment(scene.home)
        points = faults.calls(argv, env)
        for call, mode, _ in _sampled(points, share):
            scene.reset()
            outcome = faults.run_with_fault(argv, mode, call.number, None, env, must_fire=False)
            where = f"{mode} at {call.number}: {call.name} {call.path}, exit {outcome.returncode}"
            complaint = _settled(scene, wanted, before)
            tally.add(f"{where}: {complaint}\n{outcome.stderr}" if complaint else None)
    return tally


def _settled(scene: Scene, wanted: str, before: dict[str, bytes]) -> str | None:
    if b"interrupted" in scene.gitsnap("status", "-q").stderr:
        done = scene.gitsnap("recover")
        if done.returncode not in (0, 3):
            return f"recover: exit {done.returncode} {done.stderr.decode()}"
    if contents(scene.app) not in (before, scene.states[wanted]):
        return "neither as it was nor as it was to be"
    done = scene.gitsnap("rollback", wanted, "--yes")
    if done.returncode or contents(scene.app) != scene.states[wanted]:
        return f"the next rollback: exit {done.returncode} {done.stderr.decode()}"
    return scene.fsck() or None


def damaged(share: Share) -> Tally:
    """Bits of the stat cache flip, or its end is cut off: the next snapshot is exact all the same, and verifies."""
    tally, chance = Tally(), share.chance
    with large_scene(many) as scene:
        cache = scene.store / "gitsnap" / "stat-cache"
        for number in range(share.number(_POINTS)):
            scene.reset()
            words = _damage(cache, chance, cut=number % 4 == 3)
            tally.add(_exact(scene, words))
    return tally


def _damage(cache: Path, chance: random.Random, *, cut: bool) -> str:
    data = bytearray(cache.read_bytes())
    # In the blocks: what leads to them stands behind, and any damage to that is the end of the whole cache.
    blocks = len(data) * 9 // 10
    at = chance.randrange(len(data) if cut else blocks)
    if cut:
        del data[at:]
    for place in (at, *(chance.randrange(blocks) for _ in range(200))) if not cut else ():
        data[place] ^= 1 << chance.randrange(8)
    cache.write_bytes(data)
    return f"{'cut' if cut else 'flipped'} at {at}"


def _exact(scene: Scene, words: str) -> str | None:
    done = scene.gitsnap("snapshot", "--label", "after")
    if done.returncode:
        return f"{words}: exit {done.returncode} {done.stderr.decode()}"
    made = done.stdout.decode().strip()
    scene.states[made] = contents(scene.app)
    try:
        verified = scene.gitsnap("verify", made)
        if verified.returncode:
            return f"{words}: verify: {verified.stdout.decode()}{verified.stderr.decode()}"
        return None if scene.restores(made) else f"{words}: the snapshot is not what was there"
    finally:
        del scene.states[made]


def races(share: Share) -> Tally:
    """Somebody goes on replacing files while snapshots are taken: each holds one of a file's states, and verifies."""
    tally = Tally()
    with large_scene(few) as scene:
        for number in range(share.number(_POINTS)):
            with meanwhile(_replacing(scene.app)):
                done = scene.gitsnap("snapshot", "--label", f"n{number}")
            complaint = None
            if done.returncode not in (0, 3):
                complaint = f"exit {done.returncode} {done.stderr.decode()}"
            elif (verified := scene.gitsnap("verify", "latest")).returncode:
                complaint = f"verify: {verified.stdout.decode()}{verified.stderr.decode()}"
            else:
                complaint = _torn(scene)
            # When nobody is at work any more, everything is told, whatever the rows say of that time.
            tally.add(complaint or _exact(scene, "afterwards"))
    return tally


def _replacing(app: Path) -> Callable[[], None]:
    turns = count(1)

    def replace_all() -> None:
        turn = next(turns)
        for number in _REPLACED:
            fresh = app / f"{_path(number)}.new"
            fresh.write_text(f"turn {turn % 10} {number}\n")
            fresh.rename(app / _path(number))

    return replace_all


def _torn(scene: Scene) -> str | None:
    """What the last snapshot holds of files that were replaced and is none of their states."""
    out = scene.top / "torn"
    shutil.rmtree(out, ignore_errors=True)
    run_gitsnap("-C", scene.app, "restore", "latest", "--to", out, home=scene.home)
    for number in _REPLACED:
        file = out / _path(number)
        words = file.read_text().split() if file.exists() else []
        if not words or words[-1] != str(number):
            return f"{_path(number)} holds {words}"
    return None


few_killed = kind("large: snapshot killed, few changed")(_snapshots(few))
all_killed = kind("large: killed, every time changed")(_snapshots(every_time))
rollback_killed = kind("large: rollback killed")(rollbacks)
cache_damaged = kind("large: stat cache damaged")(damaged)
replaced_meanwhile = kind("large: files replaced meanwhile")(races)
