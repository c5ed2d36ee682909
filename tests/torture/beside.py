"""`verify` beside all that changes a sidecar: it cries wolf at nothing that others are at work on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.torture.kinds import Share, Tally, kind
from tests.torture.scene import Scene, small_scene

_VERIFICATIONS = 200
_GIT = (["pack-refs", "--all"], ["gc", "-q", "--prune=now"], ["repack", "-adq"], ["commit-graph", "write", "--split"])


@contextmanager
def at_work(*jobs: Callable[[int], object]) -> Iterator[None]:
    """A process for each job, which does it over and over."""
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            try:
                parent, number = os.getppid(), 0
                while os.getppid() == parent:
                    job(number)
                    number += 1
            finally:
                os._exit(0)
        children.append(child)
    try:
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def changing(scene: Scene) -> Callable[[int], object]:
    """Snapshots come, and older ones go."""

    def job(number: int) -> None:
        (scene.app / "lib/e").write_bytes(random.Random(number).randbytes(3000))
        scene.gitsnap("--lock-wait", "60", "snapshot", "-q")
        scene.gitsnap("--lock-wait", "60", "prune", "--keep-last", "2")

    return job


def collecting(scene: Scene) -> Callable[[int], object]:
    """Our gc, and stock git's housekeeping by somebody who knows nothing of us."""
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}

    def job(number: int) -> None:
        if number % 3 == 0:
            scene.gitsnap("--lock-wait", "60", "gc")
        command = ["git", f"--git-dir={scene.store}", *_GIT[number % len(_GIT)]]
        subprocess.run(command, env=env, capture_output=True)

    return job


def run(share: Share) -> Tally:
    """Verify over and over while others are at work; each must find nothing."""
    tally = Tally()
    with small_scene() as scene, at_work(changing(scene), collecting(scene)):
        for number in range(share.number(_VERIFICATIONS)):
            done = scene.gitsnap("--lock-wait", "60", "verify", "--all")
            told = done.stdout.decode() + done.stderr.decode()
            wrong = [line for line in told.splitlines() if not line.startswith("ok")]
            tally.add(f"verification {number}: exit {done.returncode}: {wrong[:5]}" if done.returncode else None)
    return tally


verifying = kind("verify beside gc")(run)
