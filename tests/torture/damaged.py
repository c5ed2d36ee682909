"""Every file of a sidecar damaged: a flipped bit, a cut end, a removal; noticed, or harmless and proved to be so."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import run_gitsnap
from tests.torture.kinds import Share, Tally, kind
from tests.torture.scene import Scene, small_scene

_FULL = 900


@dataclass(frozen=True)
class Damage:
    """What is done to one file: `flip` bit `at`, `cut` to `at` bytes, or `remove`."""

    path: Path
    how: str
    at: int = 0

    def do(self, store: Path) -> None:
        """Break it."""
        file = store / self.path
        file.chmod(0o600)
        if self.how == "remove":
            file.unlink()
        elif self.how == "cut":
            os.truncate(file, self.at)
        else:
            data = bytearray(file.read_bytes())
            data[self.at // 8] ^= 1 << (self.at % 8)
            file.write_bytes(data)

    def __str__(self) -> str:
        return f"{self.how} {self.path} at {self.at}"


def judge(scene: Scene, broken: str) -> str | None:
    """What is wrong about how gitsnap takes the damage; None when it notices, or when there is nothing to notice."""
    # What costs most and tells least is done for some of the damages only, always the same ones.
    turn = zlib.crc32(broken.encode())
    found = [scene.gitsnap("verify", "--all"), scene.gitsnap("list" if turn % 3 else "doctor")]
    for done in found:
        if b"Traceback" in done.stderr or b"bug" in done.stderr or done.returncode not in (0, 1, 2, 10, 12):
            return f"{broken}: {done.args[2]}: exit {done.returncode} {done.stderr.decode(errors='replace')}"
    noticed = found[0].returncode != 0
    chosen = sorted(scene.states)
    if noticed:
        chosen = [chosen[turn % len(chosen)]]
    for name in chosen:
        state = scene.states[name]
        out = scene.top / "out"
        shutil.rmtree(out, ignore_errors=True)
        done = scene.gitsnap("restore", name, "--to", out)
        if b"Traceback" in done.stderr or b"bug" in done.stderr:
            return f"{broken}: restore: {done.stderr.decode(errors='replace')}"
        exact = done.returncode == 0 and _contents(out) == state
        if done.returncode == 0 and not exact:
            return f"{broken}: {name} came back wrong, exit 0"
        if not exact and not noticed:
            return f"{broken}: {name} does not come back, and verify finds nothing"
    return None if scene.untouched() else f"{broken}: the installation was touched"


def _contents(path: Path) -> dict[str, bytes]:
    from tests.torture.scene import contents

    return contents(path)


def plans(store: Path, wanted: int, chance: random.Random) -> list[Damage]:
    """About as many damages as wanted over all files: each removed and emptied, the rest flips and cuts by size."""
    files = sorted(p.relative_to(store) for p in store.rglob("*") if p.is_file())
    sizes = {p: (store / p).stat().st_size for p in files}
    out = [Damage(p, "remove") for p in files] + [Damage(p, "cut", 0) for p in files if sizes[p]]
    if wanted < len(out):
        out = chance.sample(out, wanted // 3)
    while len(out) < wanted:
        # Small files as often as large ones: they are where git has no digests.
        path = chance.choice([p for p in files if sizes[p]])
        if chance.random() < 0.75:
            out.append(Damage(path, "flip", chance.randrange(sizes[path] * 8)))
        else:
            out.append(Damage(path, "cut", chance.randrange(sizes[path])))
    return out


def fresh(scene: Scene) -> None:
    """As gitsnap leaves it, a full verification included."""
    run_gitsnap("-C", scene.app, "verify", "--all", home=scene.home)


def collected(scene: Scene) -> None:
    """After a full gc: refs packed, one pack with bitmap and reverse index."""
    fresh(scene)
    run_gitsnap("-C", scene.app, "gc", "--full", home=scene.home)
    _git(scene, "-c", "pack.writeReverseIndex=true", "repack", "-adfq", "--write-bitmap-index")


def graphed(scene: Scene) -> None:
    """With a commit-graph, a multi-pack index, and loose objects beside the packs."""
    fresh(scene)
    for pack in list((scene.store / "objects/pack").glob("*.pack"))[:1]:
        data = pack.read_bytes()
        for part in pack.parent.glob(pack.stem + ".*"):
            part.unlink()
        _git(scene, "unpack-objects", "-q", stdin=data)
    _git(scene, "commit-graph", "write", "--reachable", "--split")
    _git(scene, "multi-pack-index", "write")


def _git(scene: Scene, *args: str, stdin: bytes = b"") -> None:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", f"--git-dir={scene.store}", *args]
    subprocess.run(command, env=env, input=stdin, check=True, capture_output=True, umask=0o077)


LAYOUTS: dict[str, Callable[[Scene], None]] = {"fresh": fresh, "gc": collected, "commit-graph": graphed}


def run(layout: str, share: Share) -> Tally:
    """One layout."""
    tally = Tally()
    with small_scene() as scene:
        LAYOUTS[layout](scene)
        scene.save()
        if (said := judge(scene, "no damage")) or scene.gitsnap("verify", "--all").returncode:
            return Tally(1, [f"whole, and yet: {said}"])
        for damage in plans(scene.store, share.number(_FULL), share.chance):
            scene.reset()
            damage.do(scene.store)
            tally.add(judge(scene, str(damage)))
    return tally


fresh_damaged = kind("damage: fresh")(lambda share: run("fresh", share))
collected_damaged = kind("damage: after gc")(lambda share: run("gc", share))
graphed_damaged = kind("damage: commit-graph, loose")(lambda share: run("commit-graph", share))
