"""An upgrade that waits for what becomes of it (`run --soak`, `run --confirm`), with a service that is stopped for it:
killed, or failing, and so are `keep` and the `recover` that goes on with it, as a timer runs it.

Whatever happens, the next `recover` ends with what was decided, says which of the two that is, and starts the service.
Nothing here waits for a clock: a term is a millisecond, has run out long ago, or has an hour to go.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash import faults
from tests.crash.faults import Call, Mode, Outcome
from tests.support.inprocess import workspace
from tests.support.installation import copy_tree, differences, remove_tree, run_gitsnap
from tests.torture.carried import Plan, errors, hit, kills, spread
from tests.torture.kinds import Kind, Share, Tally, kind

# A point is an upgrade and five commands that look at what it left.
_MOST = 80
_MOMENT, _NEVER = "0.001s", "1h"
# What this is about: the records, marks and journals are hit at every point before anything else is.
_RECORDS = ("upgrade.json", "service.json", "journal.", "upgrades/", "svc")

_SCRIPT = """
set -e; cd "$0"; echo new >f; rm gone; mkdir made; echo more >made/more; chmod 700 sub
# The same in every run, to the nanosecond.
touch -d @1700000000.5 made/more made f .
"""


@dataclass
class Waiting:
    """An installation and its sidecar below `live`, and in `top` a copy of all to begin from again."""

    top: Path
    arguments: Sequence[str] = ()
    # Snapshots that have to be there whatever happens.
    taken: list[str] = field(default_factory=list)

    @property
    def app(self) -> Path:
        return self.top / "live/app"

    @property
    def home(self) -> Path:
        return self.top / "live/home"

    @property
    def service(self) -> Path:
        """What was done with the service, and how often it was looked at."""
        return self.top / "live/svc"

    @property
    def own(self) -> Path:
        """Where the sidecar keeps what it knows of an upgrade."""
        return next(self.home.glob("app-*.git/gitsnap"))

    @property
    def record(self) -> dict[str, Any] | None:
        """What is written down of the upgrade."""
        path = self.own / "upgrade.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found

    @property
    def argv(self) -> list[str]:
        return faults.gitsnap("-C", self.app, *self.arguments)

    def say(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command without a fault."""
        return run_gitsnap("-C", self.app, *arguments, home=self.home, check=False)

    def keep(self) -> None:
        """What is there now is what every run begins with."""
        if (self.top / "template").exists():
            remove_tree(self.top / "template")
        copy_tree(self.top / "live", self.top / "template")

    def reset(self) -> None:
        """Everything as it was, in the same sidecar: commands that were written down count in no other."""
        store = self.own.parent
        for path in [*store.iterdir(), self.app, self.service]:
            remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, target in (("app", self.app), ("svc", self.service), (f"home/{store.name}/.", store)):
            # A path would lose the last dot.
            subprocess.run(["cp", "-a", "--", f"{self.top}/template/{name}", target], check=True)

    def calls(self) -> list[Call]:
        """What there is to hit in a run of the command."""
        self.reset()
        return faults.calls(self.argv, faults.environment(self.home), check=False)

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault."""
        self.reset()
        env = faults.environment(self.home)
        # Not every run has as many calls as the one that was counted: one that ends before the fault has to be right.
        return faults.run_with_fault(self.argv, mode, point.number, errno, env, must_fire=False)

    def state(self) -> str:
        """`old`, `new`, or what rsync says of both."""
        told = {name: differences(self.top / name, self.app) for name in ("old", "new")}
        return next((name for name, found in told.items() if not found), f"neither: {told}")

    def upgrade(self, *options: str) -> tuple[str, ...]:
        """The upgrade, with a service to stop and start."""
        turns = [word for w in ("stop", "start") for word in (f"--{w}", f"echo {w} >>{self.service}")]
        return ("run", *turns, *options, "--", "sh", "-c", _SCRIPT, str(self.app))

    def checked(self, passing: int | None = None) -> tuple[str, str]:
        """A check that passes always, or so many times only."""
        count = f"echo check >>{self.service}"
        return "--check", count if passing is None else f"{count}; test $(grep -c check {self.service}) -le {passing}"

    def cut_short(self, stage: str) -> None:
        """Every run begins with an upgrade whose process was killed when it had come that far."""
        for call in self.calls():
            if call.name == "rename" and call.path.endswith("upgrade.json"):
                self.run(Mode.KILL_AFTER, call)
                if (self.record or {}).get("stage") == stage:
                    self.keep()
                    return
        raise AssertionError(f"it never comes to {stage}")

    def change_record(self, change: Callable[[dict[str, Any]], None]) -> None:
        """What is written down of the upgrade is another thing."""
        found = self.record
        assert found is not None, "no upgrade waits"
        change(found)
        (self.own / "upgrade.json").write_text(json.dumps(found))


@contextmanager
def scene() -> Iterator[Waiting]:
    """A small installation that has a snapshot, and what the upgrade makes of it."""
    with workspace() as top:
        made = Waiting(top)
        (made.app / "sub").mkdir(parents=True)
        (made.app / "f").write_text("old\n")
        (made.app / "gone").write_text("gone\n")
        (made.app / "sub/kept").write_text("kept\n")
        made.service.write_text("")
        copy_tree(made.app, top / "old")
        made.taken = [run_gitsnap("-C", made.app, "snapshot", home=made.home).stdout.strip()]
        made.keep()
        subprocess.run(["sh", "-c", _SCRIPT, made.app], check=True)
        copy_tree(made.app, top / "new")
        made.reset()
        yield made


def settled(scene: Waiting) -> str:
    """Recovered, the state is the one that is recorded, and nothing waits any more. The state; AssertionError else."""
    done = scene.say("recover")
    told = f"\nrecover: exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, told
    state = scene.state()
    left = [p.name for p in scene.own.iterdir() if p.name == "service.json" or p.name.startswith("journal.")]
    assert left == [], f"left: {left}{told}"
    # Of one that nobody has started there may be a record: it says nothing, and the next one takes its place.
    stage = (scene.record or {}).get("stage")
    assert stage in (None, "snapshot", "ready"), f"it still waits: {stage}{told}"
    status = json.loads(scene.say("--json", "status").stdout)
    waits = (status["waiting"], status["service_stopped"], status["pending_recovery"])
    assert waits == (None, False, None), f"status: {waits}{told}"
    last = status["last_upgrade"] and status["last_upgrade"]["outcome"]
    assert state == ("new" if last == "kept" else "old"), f"{state}, and status says {last}{told}"
    assert last in (None, "kept", "rolled-back", *(["unknown"] if stage else [])), f"status says {last}{told}"
    assert last or not stage or "changed nothing" in told, f"it does not say that nothing was changed{told}"
    # Each may stand right behind half of another.
    words = [word for word in scene.service.read_text().split() if not word.endswith("check")]
    assert not words or words[-1].endswith("start"), f"the service: {words}{told}"
    assert scene.say("recover").returncode == 0
    assert scene.state() == state, f"a second recovery has changed something{told}"
    _nothing_lost(scene)
    return state


def _nothing_lost(scene: Waiting) -> None:
    """Every snapshot is there and verifies, git is content, and the next upgrade has nothing in its way."""
    after = scene.say("run", "--", "true")
    assert after.returncode == 0, f"the next upgrade: exit {after.returncode}\n{after.stderr}"
    assert scene.record is None, f"a record is left: {scene.record}"
    listed = scene.say("list", "--json")
    assert set(scene.taken) <= {s["id"] for s in json.loads(listed.stdout)["snapshots"]}, listed.stdout
    verified = scene.say("verify", "--all")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    fsck = ["git", f"--git-dir={scene.own.parent}", "fsck", "--full", "--strict", "--no-dangling", "--no-progress"]
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(fsck, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Where an upgrade that passes its checks ends, by how far it had come when it was killed: its command alone cannot be
# taken up again.
_GOES_ON = {None: ("old", "new"), "snapshot": ("old",), "ready": ("old",), "command": ("old",), "rollback": ("old",)}


def passing(scene: Waiting, outcome: Outcome, number: int) -> None:
    found = scene.record
    wanted = _GOES_ON.get(found and found["stage"], ("new",))
    _truthful(scene, outcome)
    state = settled(scene)
    assert state in wanted, f"{state} instead of {wanted}; the record was {found}"


def _back(scene: Waiting, outcome: Outcome, number: int) -> None:
    _truthful(scene, outcome)
    state = settled(scene)
    assert state == "old", f"{state} instead of old"


def _on(scene: Waiting, outcome: Outcome, number: int) -> None:
    _truthful(scene, outcome)
    state = settled(scene)
    assert state == "new", f"{state} instead of new"


def kept(scene: Waiting, outcome: Outcome, number: int) -> None:
    """Whoever was told that it is kept finds it kept. Who was not says so again, or it is too late meanwhile."""
    _truthful(scene, outcome)
    found = scene.record
    decided = outcome.returncode == 0 or found is None or found["wait"]["kept"]
    if found is not None and number % 2:
        scene.change_record(_long_ago)
    elif not decided:
        assert scene.say("keep").returncode == 0
        decided = True
    state = settled(scene)
    assert state == ("new" if decided else "old"), f"{state}; the record was {found}"


def either(scene: Waiting, outcome: Outcome, number: int) -> None:
    """After an error: one of the two, and what was said is so."""
    _truthful(scene, outcome)
    settled(scene)


def _truthful(scene: Waiting, outcome: Outcome) -> None:
    """What a command that came to its end said is so."""
    said = outcome.stdout + outcome.stderr
    assert "bug in gitsnap" not in said and "Traceback" not in said, "a traceback"
    if outcome.returncode == -9 or scene.arguments[0] == "keep":
        return
    assert outcome.returncode in (0, 1, 3, 11, 12, 14, 20, 21), f"exit {outcome.returncode}"
    state = scene.state()
    if scene.arguments[0] == "run":
        assert outcome.returncode != 0 or state == "new", f"exit 0, and {state}"
        assert outcome.returncode != 20 or state == "old", f"exit 20, and {state}"
        assert "nothing was started" not in said or state == "old", f"nothing was started, and {state}"
    stays, back = (re.search(rf"^{word}\b", said, re.MULTILINE) for word in ("kept", "rolled back"))
    assert not stays or state == "new", f"kept, and {state}"
    assert not back or state == "old", f"rolled back, and {state}"


def first_the_records(plans: Iterable[Plan], share: Share) -> list[Plan]:
    """As many plans as are wanted: two of three about the records, if there are as many, the others from all over."""
    plans = list(plans)
    about = [p for p in plans if any(word in p[0].path for word in _RECORDS)]
    others = [p for p in plans if p not in about]
    wanted = share.number(len(plans))
    some = min(len(about), max(wanted * 2 // 3, wanted - len(others)))
    return spread(about, Share(some)) + spread(others, Share(wanted - some)) if wanted else []


def _kind(
    name: str,
    prepare: Callable[[Waiting], None],
    judge: Callable[[Waiting, Outcome, int], None],
    plan: Callable[[Iterable[Call]], list[Plan]] = kills,
) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        with scene() as made:
            prepare(made)
            plans = plan(made.calls())
            wanted = Share(min(share.points or _MOST, _MOST), share.seed)
            hit(made, first_the_records(plans, wanted), judge, tally)
            tally.note = f"of {len(plans):,}"
        return tally

    return kind(name)(run)


def soak(scene: Waiting) -> None:
    scene.arguments = scene.upgrade("--soak", _MOMENT, "--every", _NEVER, *scene.checked())


def _failing_soak(scene: Waiting) -> None:
    # The first time is right after the command.
    scene.arguments = scene.upgrade("--soak", _MOMENT, "--every", _NEVER, *scene.checked(1))


def _in_vain(scene: Waiting) -> None:
    scene.arguments = scene.upgrade("--confirm", _MOMENT)


def _long_ago(record: dict[str, Any]) -> None:
    record["wait"]["term"]["began"]["ticks"] = 0
    record["wait"]["confirm"] = 0.001


def _an_hour_to_go(record: dict[str, Any]) -> None:
    record["wait"]["confirm"] = 3600.0


def undecided(scene: Waiting) -> None:
    _in_vain(scene)
    scene.cut_short("confirm")
    scene.change_record(_an_hour_to_go)
    scene.keep()
    scene.arguments = ("keep",)


def _too_late(scene: Waiting) -> None:
    _in_vain(scene)
    scene.cut_short("confirm")
    scene.change_record(_long_ago)
    scene.keep()
    scene.arguments = ("recover",)


def _soaking(scene: Waiting) -> None:
    soak(scene)
    scene.cut_short("soak")
    scene.arguments = ("recover",)


def _stopped(scene: Waiting) -> None:
    """Killed in the middle of the command: the service does not run."""
    soak(scene)
    made = next(c for c in scene.calls() if c.name.startswith("mkdir") and c.path.endswith("/app/made"))
    scene.run(Mode.KILL_AFTER, made)
    scene.keep()
    scene.arguments = ("recover",)


soak_killed = _kind("waiting: run --soak, killed", soak, passing)
failing_soak_killed = _kind("waiting: run --soak that fails, killed", _failing_soak, _back)
in_vain_killed = _kind("waiting: run --confirm, killed", _in_vain, _back)
keep_killed = _kind("waiting: keep, killed", undecided, kept)
too_late_killed = _kind("waiting: recover too late, killed", _too_late, _back)
soaking_killed = _kind("waiting: recover goes on, killed", _soaking, _on)
stopped_killed = _kind("waiting: recover of a command, killed", _stopped, _back)
soak_failing = _kind("waiting: run --soak, errors", soak, either, errors)
keep_failing = _kind("waiting: keep, errors", undecided, kept, errors)
too_late_failing = _kind("waiting: recover too late, errors", _too_late, _back, errors)
