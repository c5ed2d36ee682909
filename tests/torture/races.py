"""A directory swapped for a symlink to outside, over and over, while gitsnap reads and while it writes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitsnap.core.content import Digesting
from gitsnap.installation.scan.scanner import Scanner
from tests.support.inprocess import workspace
from tests.support.installation import remove_tree
from tests.support.processes import meanwhile
from tests.torture.kinds import Share, Tally, kind
from tests.torture.scene import Scene, contents

_RACES = 500
_SECRET = b"what nobody may see\n" * 20
_EXCHANGE, _AT_FDCWD = 2, -100
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def swapping(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Another process exchanges the names of each pair as fast as it can. In the end all are as they were."""
    before = [os.lstat(a).st_ino for a, _ in pairs]
    raw = [(os.fsencode(a), os.fsencode(b)) for a, b in pairs]

    def swap() -> None:
        for a, b in raw:
            _libc.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _EXCHANGE)

    try:
        with meanwhile(swap):
            yield
    finally:
        for (a, b), inode in zip(pairs, before, strict=True):
            if os.path.lexists(a) and os.path.lexists(b) and os.lstat(a).st_ino != inode:
                _libc.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _EXCHANGE)


def _outside(top: Path) -> Path:
    """A directory with a secret that has the same names as the one in the installation."""
    outside = top / "outside"
    (outside / "deep").mkdir(parents=True)
    for name in ("f", "secret", "deep/f"):
        (outside / name).write_bytes(_SECRET)
    return outside


def _installation(app: Path) -> None:
    (app / "d/deep").mkdir(parents=True)
    for name in ("d/f", "d/deep/f", "g", "h"):
        (app / name).write_bytes(name.encode() * 500)


def reading(share: Share) -> Tally:
    """A walk of the directory sees the files that are in it, never the secret, and always comes to its end."""
    tally = Tally()
    leaked = {hashlib.sha256(_SECRET).digest()}
    with workspace() as top:
        app, outside = top / "app", _outside(top)
        _installation(app)
        (top / "evil").symlink_to(outside)
        (top / "evil-file").symlink_to(outside / "secret")
        with swapping((app / "d", top / "evil"), (app / "g", top / "evil-file")):
            for number in range(share.number(_RACES)):
                try:
                    found = Scanner(str(app), Digesting()).run().inventory
                except OSError as error:
                    tally.add(f"race {number}: {error}")
                    continue
                seen = {e.sha256 for e in found.entries} & leaked
                names = [e.path for e in found.entries if e.path.endswith(b"secret")]
                whole = b"h" in found.by_path()
                bad = f"race {number}: leaked {names}" if seen or names else None
                tally.add(bad or (None if whole else f"race {number}: h, which nobody touches, is missing"))
    return tally


def writing(share: Share) -> Tally:
    """A rollback into a directory that others swap changes nothing outside, and comes right when they stop."""
    tally = Tally()
    with workspace() as top:
        scene, outside = Scene(top), _outside(top)
        _installation(scene.app)
        wanted = scene.take()
        (top / "evil").symlink_to(outside)
        before = contents(outside), _times(outside)
        for number in range(share.number(_RACES)):
            mark = b"race %d" % number
            (scene.app / "d/f").write_bytes(mark)
            (scene.app / "d/new").write_bytes(b"goes")
            (scene.app / "d/deep/f").unlink(missing_ok=True)
            with swapping((scene.app / "d", top / "evil")):
                done = scene.gitsnap("rollback", wanted, "--yes")
            words = f"race {number}: exit {done.returncode} {done.stderr.decode(errors='replace')}"
            if (contents(outside), _times(outside)) != before:
                tally.add(f"ESCAPED: {words}")
                break
            tally.add(
                words
                if b"Traceback" in done.stderr or b"a bug" in done.stderr
                else _comes_right(scene, top, wanted, mark)
            )
    return tally


def _times(path: Path) -> list[int]:
    return [p.stat().st_mtime_ns for p in sorted([path, *path.rglob("*")])]


def _comes_right(scene: Scene, top: Path, wanted: str, mark: bytes) -> str | None:
    """Nobody swaps any more: what is pending is settled in one go, a rollback is exact, and the mark was not lost."""
    if b"interrupted" in scene.gitsnap("status", "-q").stderr:
        settled = scene.gitsnap("recover")
        if settled.returncode not in (0, 3):
            return f"recover: exit {settled.returncode} {settled.stderr.decode(errors='replace')}"
    done = scene.gitsnap("rollback", wanted, "--yes")
    if done.returncode or contents(scene.app) != scene.states[wanted]:
        return (
            f"afterwards: exit {done.returncode} {done.stderr.decode(errors='replace')} {sorted(contents(scene.app))}"
        )
    # Whichever of the two the last exchange left there, the link goes on leading outside.
    if not (top / "evil").is_symlink():
        lost = (
            None if _kept(scene, mark, top) else f"{mark!r} is neither in a snapshot, nor kept aside, nor still there"
        )
        remove_tree(top / "evil")
        (top / "evil").symlink_to(top / "outside")
        return lost
    return None if _kept(scene, mark, top) else f"{mark!r} is neither in a snapshot nor kept aside"


def _kept(scene: Scene, mark: bytes, top: Path) -> bool:
    """Whether stock git finds a file with this content in the sidecar, or a plain file outside holds it."""
    blob = hashlib.sha1(b"blob %d\0" % len(mark) + mark, usedforsecurity=False).hexdigest()
    if subprocess.run(["git", "-C", scene.store, "cat-file", "-e", blob], capture_output=True).returncode == 0:
        return True
    aside = [*scene.home.glob("gitsnap-conflicts-*"), top / "evil"]
    return any(p.is_file() and not p.is_symlink() and p.read_bytes() == mark for a in aside for p in a.rglob("*"))


races_reading = kind("symlink races: reading")(reading)
races_writing = kind("symlink races: writing")(writing)
