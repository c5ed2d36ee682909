"""delete, undelete, purge, limits and describe, killed or failing: a snapshot is there, or in the bin and comes back,
what was said to be purged is nowhere, and what is said of a snapshot is the old or the new, whatever comes after.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.crash import faults
from tests.crash.faults import Call, Mode, Outcome
from tests.torture import interrupted
from tests.torture.carried import Plan, errors, hit, kills, spread
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.scene import Scene, contents, small_scene

# A purge and what limits do end with a gc: each point is several seconds.
_MOST = 80
_KEY = "lib/c"
# What is said of a snapshot before the last describe, and after it.
_BEFORE, _AFTER = ("once", ("v1",)), ("twice", ("v2",))


@dataclass
class Binned:
    """A scene, the command that is hit, and the snapshot that it is about."""

    scene: Scene
    arguments: tuple[str, ...] = ()
    about: str = ""
    # What of the key git would name its blob.
    blob: str = ""
    binned: set[str] = field(default_factory=set)

    @property
    def argv(self) -> list[str]:
        return faults.gitsnap("-C", self.scene.app, *self.arguments)

    def calls(self) -> list[Call]:
        """What there is to hit in a run of the command."""
        self.scene.reset()
        return faults.calls(self.argv, faults.environment(self.scene.home))

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault."""
        self.scene.reset()
        env = faults.environment(self.scene.home)
        return faults.run_with_fault(self.argv, mode, point.number, errno, env, must_fire=False)

    def ids(self, *options: str) -> set[str]:
        """The snapshots that are there, or with `--deleted` those in the bin."""
        listed = self.scene.gitsnap("list", *options, "--json")
        assert listed.returncode == 0, (
            f"list {options}: exit {listed.returncode} {listed.stdout.decode()}{listed.stderr.decode()}"
        )
        document = json.loads(listed.stdout)
        return {s["id"] for s in document.get("snapshots") or document.get("deleted") or ()}

    def said(self) -> tuple[str, tuple[str, ...]]:
        """Message and tags of the snapshot that it is about."""
        shown = json.loads(self.scene.gitsnap("show", self.about, "--json").stdout)
        return shown["message"], tuple(shown["tags"])

    def delete(self, name: str) -> None:
        """It is in the bin."""
        assert self.scene.gitsnap("delete", name).returncode == 0
        self.binned.add(name)

    def verify(self) -> None:
        """All that is there verifies, and git is content."""
        assert not (said := self.scene.fsck()), f"git fsck: {said}"
        verified = self.scene.gitsnap("verify", "--all")
        assert verified.returncode == 0, f"verify: {verified.stdout.decode()}{verified.stderr.decode()}"

    def has(self, name: str) -> dict[str, bytes]:
        """What a snapshot brings back."""
        out = self.scene.top / "out"
        shutil.rmtree(out, ignore_errors=True)
        done = self.scene.gitsnap("restore", name, "--to", out)
        # What was purged is named.
        assert done.returncode in (0, 3), f"restore {name}: exit {done.returncode} {done.stderr.decode()}"
        return contents(out)

    def is_purged(self) -> bool:
        """Whether no object of the sidecar is the key's."""
        command = ["git", f"--git-dir={self.scene.store}", "cat-file", "--batch-all-objects", "--batch-check"]
        found = subprocess.run([*command, "--unordered"], capture_output=True, text=True, check=True)
        assert found.stdout
        return self.blob not in found.stdout


@contextmanager
def scene() -> Iterator[Binned]:
    """Three snapshots of a small installation, from which a file is gone since."""
    with small_scene() as made:
        (made.app / _KEY).unlink()
        made.save()
        yield Binned(made, about=list(made.states)[1])


def _said_so(here: Binned, outcome: Outcome) -> None:
    said = outcome.stdout + outcome.stderr
    assert "bug in gitsnap" not in said and "Traceback" not in said, "a traceback"
    assert outcome.returncode in (-9, 0, 1, 11, 12) or outcome.returncode == 3, f"exit {outcome.returncode}"
    assert here.scene.untouched(), "the installation was touched"


def deleted(here: Binned, outcome: Outcome, number: int) -> None:
    _said_so(here, outcome)
    if outcome.returncode == 0:
        assert here.about in here.ids("--deleted") - here.ids(), "exit 0, and it is not in the bin"
    _all_there(here)


def undeleted(here: Binned, outcome: Outcome, number: int) -> None:
    _said_so(here, outcome)
    if outcome.returncode == 0:
        assert here.about in here.ids() - here.ids("--deleted"), "exit 0, and it is not back"
    _all_there(here)


def _all_there(here: Binned) -> None:
    """Every snapshot is there or in the bin, the next one changes nothing of that, and all come back exactly."""
    states = here.scene.states.keys()
    living, lying = here.ids(), here.ids("--deleted")
    assert living | lying == states, f"lost {states - living - lying}"
    here.verify()
    after = here.scene.gitsnap("snapshot", "--label", "after")
    assert after.returncode == 0, f"the next snapshot: {after.stderr.decode()}"
    new = {after.stdout.decode().strip()}
    assert here.ids() - new == living, "the next snapshot changed what there is"
    for name in sorted(states - living):
        back = here.scene.gitsnap("undelete", name)
        assert back.returncode == 0, f"undelete {name}: {back.stderr.decode()}"
    assert here.ids() == states | new
    assert here.ids("--deleted") == set(), f"still in the bin: {here.ids('--deleted')}"
    here.verify()
    for name in states:
        assert here.has(name) == here.scene.states[name], f"{name} does not come back as it was"


def purged(here: Binned, outcome: Outcome, number: int) -> None:
    _said_so(here, outcome)
    ended_well = outcome.returncode == 0
    assert not ended_well or here.is_purged(), "exit 0, and the key is there"
    states = here.scene.states
    assert here.ids() == states.keys() - here.binned, f"lost {states.keys() - here.binned - here.ids()}"
    assert here.ids("--deleted") == here.binned, f"the bin has {here.ids('--deleted')}"
    here.verify()
    for name in here.ids():
        found = here.has(name)
        assert found == _without(states[name]) or (not ended_well and found == states[name]), f"{name} is neither"
    if not ended_well:
        again = here.scene.gitsnap("purge", "--yes", _KEY)
        assert again.returncode == 0 or (again.returncode == 1 and here.is_purged()), (
            f"the next purge: exit {again.returncode} {again.stdout.decode()}{again.stderr.decode()}"
        )
    for command in ("snapshot", f"undelete {' '.join(here.binned)}", "gc"):
        done = here.scene.gitsnap(*command.split())
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
        assert here.is_purged(), f"after {command} the key is there"
    here.verify()
    assert states.keys() <= here.ids()
    for name in states:
        assert here.has(name) == _without(states[name]), f"{name} is not what it was without the key"


def _without(state: dict[str, bytes]) -> dict[str, bytes]:
    return {path: text for path, text in state.items() if path != _KEY}


def described(here: Binned, outcome: Outcome, number: int) -> None:
    _said_so(here, outcome)
    found = here.said()
    assert found in (_BEFORE, _AFTER), f"it says {found}"
    assert outcome.returncode != 0 or found == _AFTER, "exit 0, and it is not described"
    _all_there(here)
    assert here.said() == found, "the next snapshot changed what is said"
    again = here.scene.gitsnap("describe", here.about, "-m", "another")
    assert again.returncode == 0, f"the next describe: {again.stderr.decode()}"
    assert here.said() == ("another", found[1])
    here.verify()


def limited(here: Binned, outcome: Outcome, number: int) -> None:
    _said_so(here, outcome)
    # The next snapshot is not to remove more.
    (here.scene.store / "gitsnap.toml").unlink()
    assert here.about in here.scene.states
    staying = here.scene.states.keys() - {here.about}
    assert staying <= here.ids(), f"lost {staying - here.ids()}"
    case = interrupted.Case((), may_go=1, makes=True)
    if here.about not in here.ids():
        case = interrupted.Case((), may_go=1)
        assert outcome.returncode != 0 or len(here.ids()) == len(staying) + 1, "exit 0, and no snapshot"
    complaint = interrupted.wrong(here.scene, case, outcome.returncode == 0)
    assert not complaint, complaint
    for name in here.ids() & here.scene.states.keys():
        assert here.has(name) == here.scene.states[name], f"{name} does not come back as it was"


def to_delete(here: Binned) -> None:
    here.arguments = ("delete", here.about)


def to_undelete(here: Binned) -> None:
    here.delete(here.about)
    here.scene.save()
    here.arguments = ("undelete", here.about)


def to_describe(here: Binned) -> None:
    message, tags = _BEFORE
    assert here.scene.gitsnap("describe", here.about, "-m", message, "--tag", *tags).returncode == 0
    here.scene.save()
    here.arguments = ("describe", here.about, "-m", _AFTER[0], "--tag", *_AFTER[1], "--untag", *tags)


def to_purge(here: Binned) -> None:
    here.delete(here.about)
    here.scene.save()
    tree = ["git", f"--git-dir={here.scene.store}", "rev-parse", f"refs/gitsnap/deleted/{here.about}:{_KEY}"]
    here.blob = subprocess.run(tree, capture_output=True, text=True, check=True).stdout.strip()
    assert not here.is_purged()
    here.arguments = ("purge", "--yes", _KEY)


def to_limit(here: Binned) -> None:
    """The next snapshot does not fit beside all others: the oldest that may go has to."""
    large = here.scene.app / "large"
    for _ in range(2):
        large.write_bytes(os.urandom(200_000))
        here.scene.take()
    # Two may not go: the pinned one, and the newest that is verified. What may is as large as what comes.
    for name in list(here.scene.states)[1:3]:
        here.scene.gitsnap("delete", name)
        del here.scene.states[name]
    assert here.scene.gitsnap("gc").returncode == 0
    here.about = list(here.scene.states)[1]
    taken = sum(p.lstat().st_blocks * 512 for p in here.scene.store.rglob("*"))
    (here.scene.store / "gitsnap.toml").write_text(f'[retention]\nmax-size = "{taken + 60_000}"\n')
    large.write_bytes(os.urandom(200_000))
    here.scene.save()
    here.arguments = ("snapshot", "--label", "new")


def _kind(
    name: str,
    prepare: Callable[[Binned], None],
    judge: Callable[[Binned, Outcome, int], None],
    plan: Callable[[list[Call]], list[Plan]],
) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        with scene() as here:
            prepare(here)
            plans = plan(here.calls())
            hit(here, spread(plans, Share(min(share.points or _MOST, _MOST))), judge, tally)
            tally.note = f"of {len(plans):,}"
        return tally

    return kind(name)(run)


delete_killed = _kind("killed: delete", to_delete, deleted, kills)
undelete_killed = _kind("killed: undelete", to_undelete, undeleted, kills)
purge_killed = _kind("killed: purge", to_purge, purged, kills)
describe_killed = _kind("killed: describe", to_describe, described, kills)
limits_killed = _kind("killed: limits", to_limit, limited, kills)
delete_failing = _kind("errors: delete", to_delete, deleted, errors)
undelete_failing = _kind("errors: undelete", to_undelete, undeleted, errors)
purge_failing = _kind("errors: purge", to_purge, purged, errors)
describe_failing = _kind("errors: describe", to_describe, described, errors)
limits_failing = _kind("errors: limits", to_limit, limited, errors)
