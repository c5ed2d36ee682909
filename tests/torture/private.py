"""What other users can read while a rollback is at work, and after it was killed: nothing that both states keep closed.

The judges are real users, who read all they can: what they may see is what they can read in the tree before, or in the
tree after. Every file has a content of its own in each.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitsnap.installation.disk import Disk
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.result import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.crash import faults
from tests.crash.faults import Mode, Outcome
from tests.support.inprocess import SETTINGS, Protected, workspace
from tests.support.installation import copy_tree, differences, remove_tree, take_snapshot
from tests.support.readers import Readers, User
from tests.torture.carried import after_a_kill, hit, spread
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.upgraded import Upgraded

ANN, BOB, RED, BLUE, NOBODY = 1001, 1002, 2001, 2002, 65534
USERS = (
    User("ann", ANN, (ANN,)),
    User("bob", BOB, (BOB,)),
    User("one of red", 3001, (RED,)),
    User("one of blue", 3002, (BLUE,)),
    User("nobody", NOBODY, (NOBODY,)),
)
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Look:
    """A directory's mode, owner and group, who is let in by its ACL with which limit, and its default ACL."""

    mode: int
    uid: int = 0
    gid: int = 0
    guest: int | None = None
    heirs: bool = False

    def give(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)
        os.chmod(path, self.mode)
        with suppress(OSError):
            if self.guest is not None:
                os.setxattr(path, _ACCESS, _acl(self.mode, self.guest))
            if self.heirs:
                os.setxattr(path, _DEFAULT, _acl(0o777, NOBODY))


def _acl(mode: int, guest: int) -> bytes:
    """An ACL with this mode, in which one user may read and enter as far as the mode's group bits allow."""
    rows = [(1, mode >> 6 & 7, _UNDEFINED), (2, 5, guest), (4, 5, _UNDEFINED), (16, mode >> 3 & 7, _UNDEFINED)]
    rows.append((32, mode & 7, _UNDEFINED))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


# What a directory was before the upgrade, and what it is after it.
DIRECTORIES: Mapping[str, tuple[Look | None, Look | None]] = {
    "closed then": (Look(0o700), Look(0o755)),
    "closed now": (Look(0o755), Look(0o700)),
    "a door only": (Look(0o711), Look(0o744)),
    "group red then, blue now": (Look(0o750, 0, RED), Look(0o750, 0, BLUE)),
    "red then, all now": (Look(0o750, 0, RED), Look(0o755, 0, BLUE)),
    "all but red then": (Look(0o705, 0, RED), Look(0o750, 0, BLUE)),
    "all but red, red alone": (Look(0o705, 0, RED), Look(0o750, 0, RED)),
    "ann then, bob now": (Look(0o700, ANN, ANN), Look(0o700, BOB, BOB)),
    "bob and red then": (Look(0o750, BOB, RED), Look(0o750, ANN, RED)),
    "ann then, all now": (Look(0o700, ANN, ANN), Look(0o755, BOB, BOB)),
    "all, and other owners": (Look(0o755, ANN, RED), Look(0o755, BOB, BLUE)),
    "setgid": (Look(0o2770, 0, RED), Look(0o2775, 0, RED)),
    "sticky": (Look(0o1777), Look(0o700)),
    "a guest then": (Look(0o750, guest=NOBODY), Look(0o750)),
    "a guest now": (Look(0o700), Look(0o750, guest=NOBODY)),
    "a guest who was let in by nobody": (Look(0o700, guest=NOBODY), Look(0o755, 0, RED)),
    "another guest": (Look(0o750, guest=NOBODY), Look(0o750, guest=ANN)),
    "heirs": (Look(0o700, heirs=True), Look(0o755)),
    "heirs now": (Look(0o755), Look(0o700, heirs=True)),
    "outer closed": (Look(0o700), Look(0o755)),
    "outer closed/inner open": (Look(0o755), Look(0o700)),
    "outer open": (Look(0o755), Look(0o700)),
    "outer open/inner closed": (Look(0o700), Look(0o755)),
    "gone since": (Look(0o700), None),
    "gone since/below": (Look(0o755), None),
    "came since": (None, Look(0o700)),
    "came since/below": (None, Look(0o755)),
}
ALL = tuple(DIRECTORIES)
# The same of a few: for what is not about each of them.
FEW = ("closed then", "closed now", "outer closed", "outer closed/inner open", "gone since", "came since")
WITH_FILES = ("closed then", "closed now", "all, and other owners")
# The same for files in these: mode, owner, group.
FILES: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "of its own": ((0o600, 0, 0), (0o644, 0, 0)),
    "of its own now": ((0o644, 0, 0), (0o600, 0, 0)),
}
# Of one content, then and now.
DRESSED: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "dressed": ((0o600, 0, 0), (0o644, 0, 0)),
    "undressed": ((0o644, 0, 0), (0o600, 0, 0)),
    "red then, closed now": ((0o640, 0, RED), (0o600, 0, BLUE)),
    "ann then, bob now": ((0o600, ANN, RED), (0o640, BOB, BLUE)),
}
ROOTS = {"": (Look(0o755), Look(0o755)), "closes": (Look(0o755), Look(0o700)), "opens": (Look(0o700), Look(0o755))}


def build(top: Path, now: int, root: str, directories: tuple[str, ...] = ALL) -> None:
    """Make the tree as it was before the upgrade (0), or as it is after it (1)."""
    if top.exists():
        remove_tree(top)
    top.mkdir()
    for name in directories:
        if DIRECTORIES[name][now] is None:
            continue
        (top / name).mkdir()
        _file(top / name / "exchanged", f"{name} {now}", (0o644, 0, 0))
        _file(top / name / f"only {now}", f"{name} only {now}", (0o644, 0, 0))
        if name in WITH_FILES:
            for file, sides in FILES.items():
                _file(top / name / file, f"{name}/{file} {now}", sides[now])
            for file, sides in DRESSED.items():
                _file(top / name / file, f"{name}/{file}", sides[now])
    turned = ("a file then", "a file now")
    _file(top / turned[now], f"{turned[now]} is a file", (0o600, 0, 0))
    (top / turned[1 - now]).mkdir(mode=0o700)
    _file(top / turned[1 - now] / "below", f"{turned[1 - now]} is a directory", (0o644, 0, 0))
    for name in sorted(directories, reverse=True):
        if (look := DIRECTORIES[name][now]) is not None:
            look.give(top / name)
    ROOTS[root][now].give(top)


def _file(path: Path, text: str, look: tuple[int, int, int]) -> None:
    path.write_text(text)
    os.chown(path, *look[1:])
    path.chmod(look[0])


def reachable(top: Path) -> None:
    """Let everybody come as far as this."""
    for folder in (top, *top.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)


@dataclass
class Case:
    """A directory `app` that was upgraded, with both trees beside it: `then` and `now`."""

    top: Path
    root: str = ""
    directories: tuple[str, ...] = ALL

    @property
    def app(self) -> Path:
        return self.top / "app"

    def make(self) -> None:
        reachable(self.top)
        for number, name in enumerate(("then", "now")):
            build(self.app, number, self.root, self.directories)
            copy_tree(self.app, self.top / name)

    @property
    def states(self) -> tuple[Path, Path]:
        return self.top / "then", self.top / "now"


# What neither makes nor moves anything, nor says who may read it.
_SHOWS_NOTHING = ("set_time", "sync", "sync_file_system")


class Counting(Disk):
    """Counts the calls, and interrupts the one with a number."""

    def __init__(self, stop_at: int = -1, fault: BaseException | None = None) -> None:
        self.calls, self._stop_at, self._fault = 0, stop_at, fault or KeyboardInterrupt()

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def counted(*arguments: object) -> object:
            self._before(name)
            try:
                return found(*arguments)
            finally:
                self._after(name)

        return counted

    def _before(self, name: str) -> None:
        self.calls += 1
        if self.calls == self._stop_at:
            raise self._fault

    def _after(self, name: str) -> None:
        pass


class Watched(Counting):
    """After every change of a directory, and before each mode, all look. One may fail: they look from there on."""

    def __init__(self, readers: Readers, fail_at: int = -1) -> None:
        super().__init__(fail_at, OSError(errno.EIO, os.strerror(errno.EIO)))
        self._readers, self._fail_at = readers, fail_at

    def _before(self, name: str) -> None:
        # What directories are given past this port shows when they are given their modes here.
        if name == "set_mode":
            self._look()
        super()._before(name)

    def _after(self, name: str) -> None:
        if name not in _SHOWS_NOTHING:
            self._look()

    def _look(self) -> None:
        if self.calls >= self._fail_at:
            self._readers.look()


@contextmanager
def upgraded(root: str = "", directories: tuple[str, ...] = ALL) -> Iterator[tuple[Case, Protected]]:
    """A case with its sidecar, one snapshot of it in there, and the directory as it is now."""
    with workspace() as top:
        case = Case(top, root, directories)
        case.make()
        _as(case.top / "then", case.app)
        (top / "home").mkdir(mode=0o700)
        with Protected(case.app, top / "home") as protected:
            protected.take()
            _as(case.top / "now", case.app)
            yield case, protected


def _as(tree: Path, app: Path) -> None:
    remove_tree(app)
    copy_tree(tree, app)


def watched_rollbacks(share: Share) -> Tally:
    """Both ways, over and over, with everybody reading all the time."""
    if os.geteuid() != 0:
        return Tally(note="skipped: only root can be another user")
    tally = Tally()
    for root in ROOTS:
        with upgraded(root) as (case, protected):
            readers = Readers(USERS, case.app, case.states)
            readers.watch()
            first, wrong = protected.snapshots()[0].id, []
            for number in range(share.number(300) // len(ROOTS) + 1):
                way, tree = (("rollback", "then"), ("undo", "now"))[number % 2]
                if way == "rollback":
                    protected.rollback(first)
                else:
                    undo.undo(protected.sidecar, SETTINGS, RollbackOptions(protected.now))
                wrong.append(differences(case.top / tree, case.app) or None)
            # Who has a directory open when it closes goes on listing it, which no mode can forbid.
            read = readers.stop(names=False)
            for complaint in wrong:
                tally.add(complaint)
            tally.lost += read
    return tally


kind("privacy: readers during rollbacks")(watched_rollbacks)


def private_scene(top: Path, arguments: tuple[str, ...], root: str) -> Upgraded:
    """The case as a scene to be hit."""
    top.mkdir(parents=True, exist_ok=True)
    case = Case(top / "case", root)
    case.top.mkdir()
    case.make()
    scene = Upgraded(top, arguments, top / "live")
    reachable(top)
    scene.live.mkdir()
    os.rename(case.top / "then", scene.new)
    os.rename(case.top / "now", scene.old)
    copy_tree(scene.new, scene.app)
    take_snapshot(scene.app, home=scene.home)
    _as(scene.old, scene.app)
    scene.keep()
    return scene


def _killed(arguments: tuple[str, ...], way: Direction | None, roots: tuple[str, ...]) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        if os.geteuid() != 0:
            return Tally(note="skipped: only root can be another user")
        tally = Tally()
        for root in roots:
            with workspace() as top:
                scene = private_scene(top / "scene", arguments, root)
                reachable(top)
                if way is not None:
                    moves = [c for c in scene.calls() if c.name == "renameat2"]
                    scene.begun, scene.arguments = (arguments, moves[len(moves) // 2]), ("recover", f"--{way}")

                def judge(scene: Upgraded, outcome: Outcome, number: int) -> None:
                    readers = Readers(USERS, scene.app, (scene.old, scene.new))
                    readers.look()
                    assert (told := readers.stop()) == [], told[:5]
                    after_a_kill(scene, outcome, number)

                plans = [(c, Mode.KILL_AFTER, None) for c in scene.calls()]
                some = Share(None if share.points is None else -(-share.points // len(roots)))
                hit(scene, spread(plans, some), judge, tally)
        return tally

    return run


rollback_killed = kind("privacy: rollback, killed")(
    _killed(("rollback", "latest", "--yes"), None, ("", "closes", "opens"))
)
finish_killed = kind("privacy: recover --finish, killed")(
    _killed(("rollback", "latest", "--yes"), Direction.FINISH, ("",))
)
revert_killed = kind("privacy: recover --revert, killed")(
    _killed(("rollback", "latest", "--yes"), Direction.REVERT, ("",))
)
