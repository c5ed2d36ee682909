"""A gc of a sidecar with packs of every kind, killed, failing, and with the power gone, wherever it changes objects."""

from __future__ import annotations

import json
import random
from functools import partial
from subprocess import CompletedProcess

from tests.cli.helpers import forked
from tests.crash import faults
from tests.crash.faults import Mode, Outcome
from tests.support.inprocess import bare_git
from tests.torture.carried import Plan, errors, hit, kills, spread
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.logged import Logged, scene

_SNAPSHOTS = 14


def _say(here: Logged, *arguments: str) -> CompletedProcess[bytes]:
    """A command in a forked process that has loaded everything."""
    return forked("-C", here.app, *arguments, home=here.home)


def _many_packs(here: Logged) -> None:
    """One that git has packed with deltas by id, most of whose bases go, and one of each later snapshot; texts of
    which some go; a kept pack; objects in files of their own."""
    here.path, here.arguments = "objects", ("gc",)
    chance = random.Random(7)
    taken = []
    for number in range(_SNAPSHOTS):
        for file in range(20 if number == 0 else 2):
            (here.app / f"sub/{file}").write_bytes(chance.randbytes(3000))
        (here.app / "a").write_text("".join(f"{number // 3} {line}\n" for line in range(200)) + f"{number}\n")
        taken.append(_say(here, "snapshot").stdout.decode().strip())
        if number == 0:
            (here.store / "gitsnap.toml").write_text("[retention]\nkeep-last = 100\n")
        if number == 7:
            bare_git(here.store, "-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f")
        if number == 9:
            max((here.store / "objects/pack").glob("*.idx"), key=lambda p: p.stat().st_mtime_ns).with_suffix(
                ".keep"
            ).touch()
    bare_git(here.store, "tag", "theirs", bare_git(here.store, "hash-object", "-w", "--stdin").decode().strip())
    bare_git(here.store, "hash-object", "-w", "--stdin", stdin=b"nobody's")
    gone = _say(here, "delete", "--yes", *taken[1:6], *taken[8:11])
    assert gone.returncode == 0, gone.stderr


def _judge(living: set[str], here: Logged, outcome: Outcome, _number: int) -> None:
    """Nothing is lost, and the next gc does what is left to do."""
    assert "Traceback" not in outcome.stderr, outcome.stderr
    for turn in ("after it", "after the next gc"):
        listed = _say(here, "--json", "list")
        assert {s["id"] for s in json.loads(listed.stdout)["snapshots"]} == living, f"{turn}: {listed}"
        verified = _say(here, "verify", "--all")
        assert verified.returncode == 0, f"{turn}: {verified.stdout.decode()}{verified.stderr.decode()}"
        # What the kept pack holds dangles.
        said = bare_git(here.store, "fsck", "--full", "--strict", "--no-progress", "--no-dangling")
        assert said == b"", f"{turn}: {said.decode()}"
        if turn == "after it":
            again = _say(here, "gc")
            assert again.returncode == 0, again.stderr
    left = [p.name for p in (here.store / "objects/pack").iterdir() if p.name.startswith("tmp_")]
    assert not left, left


def _kind(plan: str) -> Kind:
    def run(share: Share) -> Tally:
        tally = Tally()
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        try:
            with scene(_many_packs, disk=plan == "power") as here:
                living = {s["id"] for s in json.loads(_say(here, "--json", "list").stdout)["snapshots"]}
                points = here.calls()
                plans: list[Plan] = [(c, Mode.KILL_AFTER, None) for c in points]
                if plan != "power":
                    plans = kills(points) if plan == "kills" else errors(points)
                hit(here, spread(plans, share), partial(_judge, living), tally)
        except OSError as error:
            if plan == "power" and not tally.points:
                return Tally(note=f"skipped: {error}")
            raise
        return tally

    return run


gc_killed = kind("killed: gc of many packs")(_kind("kills"))
gc_failing = kind("errors: gc of many packs")(_kind("errors"))
gc_cut = kind("power cut: gc of many packs, ext4")(_kind("power"))
