"""A push that fails, a pull and a push into a folder of bundles, killed and failing: nothing half on either side, and
the same command goes on."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.helpers import forked
from tests.crash import faults
from tests.crash.faults import Call, Mode
from tests.torture.interrupted import errors, kills
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.scene import Scene, small_scene

Plan = tuple[Call, Mode, int | None]
# What git says of a lock that a killed git of the other side's has left, and of what it could not write.
_THEIRS = 15


@dataclass(frozen=True)
class Exchange:
    """A command, how what it needs is arranged, and what has to hold of the other side after it, however it ended;
    `done` tells that all has to be there."""

    words: tuple[str, ...]
    arrange: Callable[[Scene], None]
    there: Callable[[Scene, bool], str | None]


def _remote(scene: Scene) -> Path:
    return scene.top / "there"


def _ids(scene: Scene) -> set[str]:
    listed = scene.gitsnap("list", "-q", "--json")
    assert listed.returncode == 0, listed.stderr
    return {row["id"] for row in json.loads(listed.stdout)["snapshots"]}


def _must(scene: Scene, *words: str | Path) -> None:
    done = scene.gitsnap(*words)
    assert done.returncode == 0, done.stderr


# A repository of git's.


def _repository(scene: Scene) -> None:
    subprocess.run(["git", "init", "-q", "--bare", _remote(scene)], check=True)
    _must(scene, "remote", "add", "there", _remote(scene))


def _one_is_there(scene: Scene) -> None:
    _repository(scene)
    _must(scene, "push")
    (scene.app / "a.txt").write_text("what goes\n")
    scene.take("--label", "fresh")


def _some_are_only_there(scene: Scene) -> None:
    _repository(scene)
    _must(scene, "push")
    _must(scene, "delete", *sorted(scene.states)[1:2], "--yes")
    _must(scene, "gc")


def _in_the_repository(scene: Scene, done: bool) -> str | None:
    git = ["git", "--git-dir", str(_remote(scene))]
    fsck = subprocess.run([*git, "fsck", "--full", "--strict", "--no-dangling"], capture_output=True, text=True)
    if fsck.returncode or fsck.stdout:
        return f"fsck over there: {fsck.stdout}{fsck.stderr}"
    rows = subprocess.run(
        [*git, "for-each-ref", "--format=%(objectname) %(refname:lstrip=3)", "refs/gitsnap/snapshots"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for commit, name in (row.split() for row in rows):
        for text in ("manifest", "metadata"):
            shown = subprocess.run([*git, "notes", f"--ref=gitsnap/{text}", "show", commit], capture_output=True)
            if shown.returncode:
                return f"{name} is there without its {text}"
    missing = scene.states.keys() - {row.split()[1] for row in rows}
    return f"not there: {missing}" if done and missing else None


# A folder of bundles.


def _folder(scene: Scene) -> None:
    _remote(scene).mkdir()
    _must(scene, "remote", "add", "there", f"bundles:{_remote(scene)}")
    _must(scene, "push")
    (scene.app / "a.txt").write_text("what goes\n")
    scene.take("--label", "fresh")


def _in_the_folder(scene: Scene, done: bool) -> str | None:
    found = sorted(p for p in _remote(scene).iterdir() if re.fullmatch(r"\d{6}-\d{6}-(full|more)\.bundle", p.name))
    verified = scene.gitsnap("bundle", "verify", *found)
    if verified.returncode:
        return f"bundle verify: exit {verified.returncode} {verified.stdout.decode()}{verified.stderr.decode()}"
    if not done:
        return None
    sums = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=_remote(scene), capture_output=True, text=True
    )
    listed = (_remote(scene) / "SHA256SUMS").read_text()
    if sums.returncode or any(p.name not in listed for p in found):
        return f"SHA256SUMS: {sums.stdout}{sums.stderr}"
    left = {p.name for p in _remote(scene).iterdir()} - {p.name for p in found} - {"SHA256SUMS"}
    if left:
        return f"left in the folder: {left}"
    new = scene.top / "new"
    cloned = forked("--json", "clone", f"bundles:{_remote(scene)}", new, home=scene.top / "other-home")
    rows = json.loads(cloned.stdout)["snapshots"] if cloned.returncode == 0 else []
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(scene.top / "other-home", ignore_errors=True)
    missing = scene.states.keys() - {row["id"] for row in rows}
    return f"clone: exit {cloned.returncode} {cloned.stderr.decode()}, without {missing}" if missing else None


PUSH = Exchange(("push",), _one_is_there, _in_the_repository)
PULL = Exchange(("pull", "--removed"), _some_are_only_there, _in_the_repository)
INTO_FOLDER = Exchange(("push",), _folder, _in_the_folder)


def wrong(scene: Scene, case: Exchange, before: set[str]) -> str | None:
    """What is not as it has to be after the command ended; None when all is."""
    if said := case.there(scene, False) or _here(scene, before):
        return said
    again = scene.gitsnap(*case.words)
    if again.returncode == _THEIRS and _unlocked(_remote(scene)):
        again = scene.gitsnap(*case.words)
    if again.returncode:
        return f"again: exit {again.returncode} {again.stderr.decode()}"
    if said := case.there(scene, True) or _here(scene, scene.states.keys()):
        return f"after the second time: {said}"
    if held := list((scene.store / "objects/pack").glob("*.keep")):
        _must(scene, "gc")
        held = list((scene.store / "objects/pack").glob("*.keep"))
        return f"still held after a gc: {held}" if held else None
    return None


def _here(scene: Scene, wanted: Sequence[str] | set[str]) -> str | None:
    """The sidecar is whole, and has what it had."""
    if said := scene.fsck():
        return f"git fsck: {said}"
    found = _ids(scene)
    if lost := {*wanted} - found:
        return f"lost here: {lost}"
    verified = scene.gitsnap("verify", "--all")
    if verified.returncode:
        return f"verify: exit {verified.returncode} {verified.stdout.decode()}{verified.stderr.decode()}"
    return None


def _unlocked(there: Path) -> bool:
    """Remove the locks that a killed git has left over there, as git tells to; whether there were any."""
    left = [p for p in there.rglob("*.lock") if p.is_file()]
    for path in left:
        path.unlink()
    return bool(left)


def faulty(scene: Scene, case: Exchange, plans: Sequence[Plan], before: set[str], tally: Tally) -> None:
    """Run a case with each of the faults, and judge what is left."""
    argv = faults.gitsnap("-C", scene.app, *case.words)
    for call, mode, number in plans:
        _again(scene)
        where = f"{mode} {errno.errorcode.get(number or 0, '')} at {call.number}: {call.name} {call.path}"
        outcome = faults.run_with_fault(
            argv, mode, call.number, number, faults.environment(scene.home), must_fire=False
        )
        if "Traceback" in outcome.stderr or "a bug in" in outcome.stderr:
            tally.add(f"{where}: {outcome.stderr}")
            continue
        # Packs of one run have other names than those of another: a few calls more or less are made.
        complaint = wrong(scene, case, before) if outcome.fired else None
        tally.add(f"{where}: exit {outcome.returncode}: {complaint}\n{outcome.stderr}" if complaint else None)


def _again(scene: Scene) -> None:
    scene.reset()
    shutil.rmtree(_remote(scene))
    shutil.copytree(scene.top / "saved-there", _remote(scene), symlinks=True)


def run(scene: Scene, case: Exchange, choose: Callable[[list[Call]], Sequence[Plan]]) -> Tally:
    """Arrange a case in the scene, and run it with the faults that `choose` makes of its calls."""
    tally = Tally()
    case.arrange(scene)
    scene.save()
    shutil.copytree(_remote(scene), scene.top / "saved-there", symlinks=True)
    before = _ids(scene)
    points = faults.calls(faults.gitsnap("-C", scene.app, *case.words), faults.environment(scene.home))
    faulty(scene, case, choose(points), before, tally)
    return tally


def _kind(case: Exchange, plan: Callable[[list[Call]], list[Plan]]) -> Kind:
    def of(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")

        def chosen(points: list[Call]) -> list[Plan]:
            plans = plan(points)
            count = share.number(len(plans))
            return [plans[int(i * len(plans) / count)] for i in range(count)]

        with small_scene() as scene:
            return run(scene, case, chosen)

    return of


push_failing = kind("errors: push")(_kind(PUSH, errors))
pull_killed = kind("killed: pull")(_kind(PULL, kills))
pull_failing = kind("errors: pull")(_kind(PULL, errors))
folder_killed = kind("killed: push into a folder")(_kind(INTO_FOLDER, kills))
folder_failing = kind("errors: push into a folder")(_kind(INTO_FOLDER, errors))
