"""A clone and an adoption killed, or failing, at each of their mutating system calls: nothing half, and again works."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.helpers import forked
from tests.crash import faults
from tests.crash.faults import Call, Mode
from tests.torture.interrupted import errors, kills
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.scene import Scene, contents, small_scene


@dataclass(frozen=True)
class Case:
    """What becomes of a mirror, and whether the directory is there before: `is_there`, with what the newest snapshot
    holds (`full`) or nothing."""

    words: tuple[str, ...]
    is_there: bool = False
    full: bool = False

    def argv(self, scene: Scene) -> list[str | Path]:
        """The command as it is run."""
        return [str(scene.top / w[1:]) if w.startswith("@") else w for w in self.words]


CLONE = Case(("clone", "@mirror", "@new"))
INTO_EMPTY = Case(("clone", "@mirror", "@new"), is_there=True)
ADOPT = Case(("-C", "@new", "adopt", "@mirror"), is_there=True, full=True)


def prepare(scene: Scene, case: Case) -> None:
    """As it was before; the mirror is never touched, and so need not be made again."""
    shutil.rmtree(scene.top / "new", ignore_errors=True)
    for left in scene.top.glob(".gitsnap-clone-*"):
        shutil.rmtree(left)
    for left in scene.home.iterdir():
        if not left.name.startswith("app-"):
            shutil.rmtree(left)
    if case.full:
        shutil.copytree(scene.top / "newest", scene.top / "new", symlinks=True)
    elif case.is_there:
        (scene.top / "new").mkdir()


def wrong(scene: Scene, case: Case, mirror: dict[str, bytes]) -> str | None:
    """What is not as it has to be after the command ended, however it did; None when all is."""
    new, state = scene.top / "new", contents(scene.top / "newest")
    if contents(scene.top / "mirror") != mirror:
        return "the mirror was touched"
    if (case.full or not case.is_there) and new.exists() and contents(new) != state:
        return "the directory is half there"
    if said := _judged(scene, new):
        return said
    again = _gitsnap(scene, *case.argv(scene))
    stands = b"has a sidecar already" in again.stderr
    if again.returncode and not (again.returncode == 2 and stands):
        return f"again: exit {again.returncode} {again.stderr.decode()}"
    if contents(new) != state:
        return "after the second time it is not what it was"
    if said := _judged(scene, new, required=True):
        return f"after the second time: {said}"
    left = [p.name for p in (*scene.top.glob(".gitsnap-*"), *scene.home.glob(".*"), *scene.home.rglob("clone.json"))]
    return f"left: {left}" if left else None


def _judged(scene: Scene, new: Path, *, required: bool = False) -> str | None:
    """A sidecar of the new directory is whole, or there is none."""
    stores = list(scene.home.glob("new-*.git"))
    if not stores:
        return "there is no sidecar" if required else None
    store = scene.home / stores[0].name
    verified = _gitsnap(scene, "--store", store, "verify", "--all")
    if verified.returncode or verified.stdout.count(b"ok ") < len(scene.states):
        return f"verify: exit {verified.returncode} {verified.stdout.decode()}{verified.stderr.decode()}"
    fsck = subprocess.run(
        ["git", f"--git-dir={store}", "fsck", "--full", "--strict", "--no-dangling"], capture_output=True, text=True
    )
    return f"git fsck: {fsck.stdout}{fsck.stderr}" if fsck.returncode else None


def _gitsnap(scene: Scene, *args: str | Path) -> subprocess.CompletedProcess[bytes]:
    return forked(*args, home=scene.home)


def faulty(scene: Scene, case: Case, plans: Sequence[tuple[Call, Mode, int | None]], tally: Tally) -> None:
    """Run a case with each of the faults, and judge what is left."""
    env, mirror = faults.environment(scene.home), contents(scene.top / "mirror")
    for call, mode, number in plans:
        prepare(scene, case)
        where = f"{mode} {errno.errorcode.get(number or 0, '')} at {call.number}: {call.name} {call.path}"
        argv = faults.gitsnap(*case.argv(scene))
        outcome = faults.run_with_fault(argv, mode, call.number, number, env, must_fire=False)
        if not outcome.fired:
            tally.add(f"{where}: the fault never fired")
            continue
        if "Traceback" in outcome.stderr or "a bug in" in outcome.stderr:
            tally.add(f"{where}: {outcome.stderr}")
            continue
        complaint = wrong(scene, case, mirror)
        tally.add(f"{where}: exit {outcome.returncode}: {complaint}\n{outcome.stderr}" if complaint else None)


def arrange(scene: Scene) -> None:
    """A mirror of the scene's sidecar, and what its newest snapshot holds."""
    subprocess.run(["git", "clone", "-q", "--mirror", "--no-local", scene.store, scene.top / "mirror"], check=True)
    last = sorted(scene.states)[-1]
    done = _gitsnap(scene, "-C", scene.app, "restore", last, "--to", scene.top / "newest")
    assert done.returncode == 0, done.stderr


def _kind(case: Case, plan: str) -> Kind:
    def run(share: Share) -> Tally:
        tally = Tally()
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        with small_scene() as scene:
            arrange(scene)
            prepare(scene, case)
            points = faults.calls(faults.gitsnap(*case.argv(scene)), faults.environment(scene.home))
            plans = kills(points) if plan == "kills" else errors(points)
            if share.points is not None and share.points < len(plans):
                step = len(plans) / share.points
                plans = [plans[int(i * step)] for i in range(share.points)]
            faulty(scene, case, plans, tally)
        return tally

    return run


clone_killed = kind("killed: clone")(_kind(CLONE, "kills"))
clone_failing = kind("errors: clone")(_kind(CLONE, "errors"))
into_empty_killed = kind("killed: clone into an empty directory")(_kind(INTO_EMPTY, "kills"))
adopt_killed = kind("killed: adopt")(_kind(ADOPT, "kills"))
adopt_failing = kind("errors: adopt")(_kind(ADOPT, "errors"))
