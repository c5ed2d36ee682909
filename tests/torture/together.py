"""One upgrade over three directories on two file systems, killed: whatever was going on, one recovery from any of them
ends with all of them of one state."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import faults
from tests.crash.faults import Call, Mode, Outcome
from tests.support.inprocess import workspace
from tests.support.installation import copy_tree, differences, remove_tree, run_gitsnap
from tests.torture.carried import hit, kills, spread
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.power import Disk

# Each point is a run over three directories and a recovery: more take too long even for `make torture`.
_MOST = 400
# Where the others lie in memory, as `workspace` has it, this is another file system.
_ELSEWHERE = Path("/tmp")

_SCRIPT = """
set -e
for d in "$@"; do echo new >"$d/f"; rm "$d/gone"; mkdir "$d/made"; echo more >"$d/made/more"; chmod 700 "$d/sub"
    # The same in every run, to the nanosecond.
    touch -d @1700000000.5 "$d/made/more" "$d/made" "$d/f" "$d"
done
"""


@dataclass
class Together:
    """Three directories and their sidecars, and copies of the states that all of them may be in."""

    top: Path
    other: Path
    arguments: tuple[str, ...] = ()
    begun: tuple[tuple[str, ...], Call] | None = None
    states: dict[str, list[Path]] = field(default_factory=dict)
    # What loses its power at the fault: the last of the directories lies there, its sidecar does not.
    disk: Disk | None = None

    @property
    def roots(self) -> list[Path]:
        """Two of them on one file system, the last on another."""
        return [self.top / "live/app", self.top / "live/etc", self.other / "live/data"]

    @property
    def home(self) -> Path:
        return self.top / "live/home"

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """A command about all of them."""
        return faults.gitsnap(*(word for root in self.roots for word in ("-C", str(root))), *arguments)

    def say(self, *arguments: str, at: int | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command without a fault, about all of them or one."""
        named = self.roots if at is None else [self.roots[at]]
        words = [word for root in named for word in ("-C", str(root))]
        return run_gitsnap(*words, *arguments, home=self.home, check=check)

    def keep(self) -> None:
        """What is there now is what every run begins with."""
        for place in (self.top, self.other):
            if (place / "template").exists():
                remove_tree(place / "template")
            copy_tree(place / "live", place / "template")

    def remember(self, name: str) -> None:
        """What is there now is a state that all may be in."""
        self.states[name] = [copy_tree(root, self.top / f"{name}-{root.name}") for root in self.roots]

    def reset(self) -> None:
        """Everything as it was before the command."""
        for place in (self.top, self.other):
            if (place / "live").exists():
                remove_tree(place / "live")
            copy_tree(place / "template", place / "live")
        if self.begun is not None:
            arguments, call = self.begun
            faults.run_with_fault(self.argv(arguments), Mode.KILL, call.number, env=faults.environment(self.home))

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault. Not every run has as many calls as the first: one without has to be right, too."""
        self.reset()
        argv, env = self.argv(self.arguments), faults.environment(self.home)
        if self.disk is None:
            return faults.run_with_fault(argv, mode, point.number, errno, env, must_fire=False)
        os.sync()
        cut = self.disk.cut_command
        outcome = faults.run_with_fault(argv, mode, point.number, errno, env, at_fault=cut, must_fire=False)
        self.disk.restart()
        return outcome

    def state(self) -> str:
        """Which of them they are in, all of them; or what is there of each."""
        found = []
        for at, root in enumerate(self.roots):
            fitting = [name for name, trees in self.states.items() if not differences(trees[at], root)]
            found.append(fitting[0] if fitting else f"neither: {differences(self.states['old'][at], root)}")
        return found[0] if len(set(found)) == 1 else f"a mixture: {found}"

    def left(self) -> list[str]:
        """The records that wait for a recovery."""
        return sorted(p.name for p in self.home.glob("*/gitsnap/*.json") if p.name in ("upgrade.json", "return.json"))

    def calls(self) -> list[Call]:
        """What there is to hit in a run of the command."""
        self.reset()
        return faults.calls(self.argv(self.arguments), faults.environment(self.home), check=False)


@contextmanager
def scene(change: bool = True, disk: Disk | None = None) -> Iterator[Together]:
    """Three directories, with what the upgrade makes of them; upgraded already unless `change` is false. The last of
    them lies on the `disk`, if there is one."""
    with ExitStack() as stack:
        top = stack.enter_context(workspace())
        elsewhere = disk.where if disk else _ELSEWHERE if _ELSEWHERE.is_dir() else None
        other = stack.enter_context(tempfile.TemporaryDirectory(prefix="gitsnap-set-", dir=elsewhere))
        made = Together(top, Path(other), disk=disk)
        for root in made.roots:
            (root / "sub").mkdir(parents=True)
            (root / "f").write_text("old\n")
            (root / "gone").write_text(f"of {root.name}\n")
            (root / "sub/kept").write_text("kept\n")
        made.remember("old")
        if change:
            made.say(*upgrade(made, "true"))
            made.remember("new")
        else:
            made.say("run", "--label", "first", "--", "true")
        made.keep()
        yield made


def upgrade(made: Together, check: str) -> tuple[str, ...]:
    """The upgrade of all, with a check."""
    roots = map(str, made.roots)
    return ("run", "--label", "v2", "--check", check, "--", "sh", "-c", _SCRIPT, "upgrade", *roots)


def settled(made: Together, number: int, allowed: Sequence[str], way: Sequence[str] = ()) -> str:
    """Recovered from one of them, all are of one state, and nothing waits. The state; AssertionError else."""
    done = made.say("recover", *way, at=number % 3, check=False)
    assert done.returncode == 0, f"recover: exit {done.returncode}\n{done.stdout}{done.stderr}"
    if way:
        done = made.say("recover", at=(number + 1) % 3, check=False)
        assert done.returncode == 0, f"recover: exit {done.returncode}\n{done.stdout}{done.stderr}"
    state = made.state()
    assert state in allowed, f"{state}\n{done.stdout}{done.stderr}"
    # Killed while they were told that it begins, one that was not told settles nothing; one that was settles all.
    assert made.left() in ([], ["upgrade.json"], ["upgrade.json"] * 2), f"left: {made.left()}"
    assert not made.left() or state == "old", f"left: {made.left()}, and {state}"
    at = (number + 1) % 3
    for other in (at, (number + 2) % 3):
        again = made.say("recover", at=other, check=False)
        assert again.returncode == 0, again.stderr
        assert made.state() == state, "a second recovery has changed something"
    assert not made.left(), f"left in the end: {made.left()}"
    after = made.say("snapshot", at=at, check=False)
    assert after.returncode == 0, after.stderr
    assert made.say("verify", "--all", at=at, check=False).returncode == 0
    return state


def _killed(prepare: Callable[[Together], Sequence[str]], *, change: bool) -> Kind:
    """A kind: `prepare` gives the command and says which states may be there afterwards."""

    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        with scene(change) as made:
            allowed = prepare(made)
            wanted = Share(min(share.points or _MOST, _MOST), share.seed)
            hit(made, spread(kills(made.calls()), wanted), lambda m, _, number: _judge(m, number, allowed), tally)
        return tally

    return run


def _judge(made: Together, number: int, allowed: Sequence[str]) -> None:
    settled(made, number, allowed)


def failing(made: Together) -> Sequence[str]:
    made.arguments = upgrade(made, "false")
    return ("old",)


def succeeding(made: Together) -> Sequence[str]:
    made.arguments = upgrade(made, "true")
    made.reset()
    made.say(*made.arguments)
    made.remember("new")
    return ("old", "new")


def _soaking(made: Together, check: str) -> tuple[str, ...]:
    """The upgrade of all, whose checks go on for a while."""
    command, rest = upgrade(made, check)[:1], upgrade(made, check)[1:]
    return (*command, "--soak", "0.1s", "--every", "0.05s", "--keep-edits", *rest)


def _breaking(made: Together) -> Sequence[str]:
    """The checks pass at first, and not again."""
    seen = made.top / "live/seen"
    made.arguments = _soaking(made, f"if test -e {seen}; then false; else touch {seen}; fi")
    return ("old",)


def _waiting(made: Together) -> Sequence[str]:
    succeeding(made)
    made.arguments = _soaking(made, "true")
    return ("old", "new")


def back(made: Together) -> Sequence[str]:
    made.arguments = ("rollback", "--yes")
    return ("old", "new")


def recovering(made: Together) -> Sequence[str]:
    """A recovery that is killed itself, of a rollback that was killed between two directories."""
    made.arguments = ("rollback", "--yes")
    points = made.calls()
    told = [n for n, c in enumerate(points) if c.path.endswith("return.json")]
    # Between the last that was told where all go, and the first that was told that all have arrived.
    began, ended = told[-4], told[-3]
    made.begun = (made.arguments, points[(began + ended) // 2])
    made.arguments = ("recover",)
    return ("old",)


def _reverting(made: Together) -> Sequence[str]:
    """The same, on the way to what was there before the rollback; where it was not told so again, it goes on."""
    recovering(made)
    made.arguments = ("recover", "--revert")
    return ("old", "new")


kind("set: failing run, killed")(_killed(failing, change=False))
kind("set: run, killed")(_killed(succeeding, change=False))
kind("set: run whose checks go on and fail, killed")(_killed(_breaking, change=False))
kind("set: run whose checks go on, killed")(_killed(_waiting, change=False))
rollback_killed = kind("set: rollback, killed")(_killed(back, change=True))
kind("set: recover, killed")(_killed(recovering, change=True))
kind("set: recover --revert, killed")(_killed(_reverting, change=True))
