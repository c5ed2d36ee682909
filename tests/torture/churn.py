"""Snapshots of a directory that is being rewritten, beside git's own housekeeping in the sidecar."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import workspace
from tests.support.processes import meanwhile
from tests.torture.kinds import Share, Tally, kind
from tests.torture.scene import Scene

_SNAPSHOTS = 200
_KEEP = 6
# In a sample: a writer that never rests takes a processor for itself.
_PAUSE = 0.001
_GIT = (["gc", "--prune=now", "-q"], ["repack", "-adq"], ["fsck", "--full"], ["pack-refs", "--all"])


def content(chance: random.Random, size: int) -> bytes:
    """A text that tells whether it is whole."""
    body = chance.randbytes(size)
    return hashlib.sha256(body).digest() + body


def is_whole(data: bytes) -> bool:
    """Whether a file holds what was written into it at one time. An empty one was just created."""
    return not data or hashlib.sha256(data[32:]).digest() == data[:32]


@contextmanager
def writer(app: Path, pause: float) -> Iterator[None]:
    """A process that rewrites files in place with one write, renames, replaces, deletes and creates them.

    It rests for so many seconds after each.
    """
    writes = _writes(app, pause)
    with meanwhile(lambda: next(writes)):
        yield


def _writes(app: Path, pause: float) -> Iterator[None]:
    """One write after the other, by the process that asks for the first."""
    chance = random.Random(os.getpid())
    # A write that is put to sleep half way through would be what the file holds, for as long as anyone cares to look.
    with suppress(OSError):
        os.nice(-15)
    while True:
        if pause:
            time.sleep(pause)
        file = app / f"d{chance.randrange(4)}" / f"f{chance.randrange(12)}"
        with suppress(OSError):
            what = chance.random()
            if what < 0.6 and (size := file.stat().st_size) > 32:
                fd = os.open(file, os.O_WRONLY)
                os.pwrite(fd, content(chance, size - 32), 0)
                os.close(fd)
            elif what < 0.75:
                file.rename(file.with_name(f"f{chance.randrange(12)}"))
            elif what < 0.85:
                file.unlink()
            else:
                fresh = file.with_name("fresh")
                fresh.write_bytes(content(chance, chance.choice([100, 5000, 120_000])))
                fresh.rename(file)
        yield


@contextmanager
def housekeeping(store: Path, complaints: list[str]) -> Iterator[None]:
    """Stock git on the sidecar, one command after the other, by somebody who knows nothing of us."""
    over = threading.Event()

    def keep_house() -> None:
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
        number = 0
        while not over.is_set():
            command = ["git", f"--git-dir={store}", *_GIT[number % len(_GIT)]]
            done = subprocess.run(command, env=env, capture_output=True, text=True)
            number += 1
            # A git may find that a ref or a pack is in use; what it must not find is something missing.
            if "missing" in done.stderr or "corrupt" in done.stderr:
                complaints.append(f"{command[2:]}: {done.stderr}")

    thread = threading.Thread(target=keep_house)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def torn(scene: Scene, name: str) -> list[str]:
    """The files of a snapshot that are not whole, though it does not call them partial."""
    with Sidecar(str(scene.store)) as sidecar:
        found = contents.inventory(sidecar, selectors.choose(sidecar, name))
        partial = {p.path for p in found.partial}
        return [
            f"{e.path!r}"
            for e in found.files()
            if e.path not in partial
            # Its writer writes it in place, and renames it when it is whole.
            and not e.path.endswith(b"/fresh")
            and not is_whole(b"".join(sidecar.objects.blob(e.oid or b"", e.size)))
        ]


def run(share: Share, *, foreign: bool = True) -> Tally:
    """Every snapshot is whole when it is published, and is there until retention takes it.

    Without `foreign`, no other git is at work in the sidecar.
    """
    tally, complaints = Tally(), []
    with workspace() as top:
        scene = Scene(top)
        chance = random.Random(share.seed)
        for number in range(4):
            (scene.app / f"d{number}").mkdir(parents=True)
            for file in range(12):
                (scene.app / f"d{number}/f{file}").write_bytes(content(chance, chance.choice([100, 5000, 120_000])))
        scene.take()
        (scene.store / "gitsnap.toml").write_text(f"[retention]\nkeep-last = {_KEEP}\n")
        published: list[str] = []
        beside = housekeeping(scene.store, complaints) if foreign else nullcontext()
        with writer(scene.app, 0 if share.points is None else _PAUSE), beside:
            for number in range(share.number(_SNAPSHOTS)):
                tally.add(_take(scene, published, number))
                if len(tally.lost) > 2:
                    break
        tally.lost += complaints
        done = scene.gitsnap("verify", "--all")
        if done.returncode:
            tally.lost.append(f"at the end: {done.stdout.decode()}{done.stderr.decode()}")
        if said := scene.fsck():
            tally.lost.append(f"at the end: {said}")
    return tally


def _take(scene: Scene, published: list[str], number: int) -> str | None:
    done = scene.gitsnap("--lock-wait", "60", "snapshot", "--label", f"n{number}")
    told = f"snapshot {number}: exit {done.returncode} {done.stderr.decode(errors='replace')}"
    if done.returncode not in (0, 3):
        return told
    name = done.stdout.decode().strip()
    published.append(name)
    if broken := torn(scene, name):
        return f"{told}: torn: {broken}"
    verified = scene.gitsnap("verify", name)
    if verified.returncode:
        return f"{told}: verify: {verified.stdout.decode()}{verified.stderr.decode()}"
    with Sidecar(str(scene.store)) as sidecar:
        there = {s.id for s in catalog.snapshots(sidecar)}
    lost = set(published[-_KEEP:]) - there
    return f"{told}: lost {lost}" if lost else None


churning = kind("churn beside stock git")(run)
