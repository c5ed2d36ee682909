"""The audit log, killed at each of its writes, failing, and with the power gone: no line that was made durable is ever
missing, the chain holds, and who could not write one says so.

The chain is followed here by hashlib alone, as docs/internals/audit.md has it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from gitsnap.core.audit import encode
from gitsnap.sidecar.state import audit
from tests.crash import faults
from tests.crash.faults import Call, Mode, Outcome
from tests.support.inprocess import workspace
from tests.support.installation import copy_tree, remove_tree, run_gitsnap
from tests.torture import power
from tests.torture.carried import Plan, errors, hit, kills, spread
from tests.torture.kinds import Kind, Share, Tally, kind

# Calls on the log and its seal and lock: only these are hit.
_LOG = "gitsnap/audit"


@dataclass
class Logged:
    """An installation and its sidecar below `live`, and in `top` a copy to begin from again. Only calls on paths that
    hold `path` are hit."""

    top: Path
    live: Path
    arguments: tuple[str, ...] = ()
    disk: power.Disk | None = None
    path: str = _LOG
    before: list[bytes] = field(default_factory=list)
    points: list[Call] = field(default_factory=list)

    @property
    def app(self) -> Path:
        return self.live / "app"

    @property
    def home(self) -> Path:
        return self.live / "home"

    @property
    def store(self) -> Path:
        return next(self.home.glob("app-*.git"))

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
        copy_tree(self.live, self.top / "template")
        self.before = self.lines()

    def reset(self) -> None:
        """Everything as it was before the command."""
        if self.live.exists():
            remove_tree(self.live)
        copy_tree(self.top / "template", self.live)

    def calls(self) -> list[Call]:
        """What there is to hit in a run of the command."""
        self.reset()
        self.points = faults.calls(self.argv, faults.environment(self.home), path=self.path)
        return self.points

    def run(self, mode: Mode, point: Call, errno: int | None = None) -> Outcome:
        """The command with a fault."""
        self.reset()
        env, cut = faults.environment(self.home), None
        if self.disk is not None:
            os.sync()
            cut = self.disk.cut_command
        outcome = faults.run_with_fault(self.argv, mode, point.number, errno, env, path=self.path, at_fault=cut)
        if self.disk is not None:
            self.disk.restart()
        return outcome

    def lines(self) -> list[bytes]:
        """The whole lines of the log, oldest first; what stands behind the last is no line yet."""
        folders = [*self.home.glob("app-*.git/gitsnap/audit")]
        text = b"".join(p.read_bytes() for p in sorted(folders[0].iterdir())) if folders else b""
        return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def durable(self, outcome: Outcome, mode: Mode | None) -> int:
        """How many lines had been made durable when it was killed."""
        assert outcome.hit is not None
        done = outcome.hit.number - (mode is Mode.KILL)
        return sum(c.name == "fdatasync" and c.path.endswith(".jsonl") for c in self.points[:done])


def follow(lines: Sequence[bytes]) -> None:
    """AssertionError where a line does not carry the digest of the one before, and the number after its."""
    digest = "0" * 64
    for number, line in enumerate(lines, 1):
        found = json.loads(line)
        assert (found["previous"], found["sequence"]) == (digest, number), f"the chain is broken at line {number}"
        digest = sha256(line).hexdigest()


def _sound(here: Logged, kept: Sequence[bytes], told: str) -> list[bytes]:
    """The lines, which hold those that were there before, and of which nobody complains."""
    lines = here.lines()
    assert lines[: len(kept)] == list(kept), f"of {len(kept)} lines some are gone or changed: {len(lines)}{told}"
    follow(lines)
    if [*here.home.glob("app-*.git/gitsnap/audit")]:
        verified = here.say("verify", "--all")
        # 14: a rollback waits to be settled.
        assert verified.returncode in (0, 14), f"verify: {verified.stdout}{verified.stderr}{told}"
    return lines


def _goes_on(here: Logged, told: str) -> None:
    """What comes next is written down, behind all that is there, and the log is whole."""
    kept = here.lines()
    for command in ("recover", "snapshot"):
        if command == "recover" and here.arguments[0] != "rollback":
            continue
        done = here.say(command)
        assert done.returncode == 0, f"{command}: exit {done.returncode} {done.stderr}{told}"
        found: dict[str, Any] = json.loads(here.lines()[-1])
        assert (found["action"], found["outcome"]) == (command, "done"), f"{command} is not the last line{told}"
    _sound(here, kept, told)


def after_a_kill(mode: Mode | None) -> Callable[[Logged, Outcome, int], None]:
    """The judge of a run that was killed in this way; None: in the way that its number says."""

    def judge(here: Logged, outcome: Outcome, number: int) -> None:
        lines = here.lines()
        durable = here.durable(outcome, mode)
        assert len(lines) >= len(here.before) + durable, f"{durable} lines were durable, of {len(lines)}"
        _sound(here, here.before, "")
        assert here.lines()[: len(lines)] == lines, "a check has changed what was there"
        _goes_on(here, "")

    return judge


def after_an_error(here: Logged, outcome: Outcome, number: int) -> None:
    said = outcome.stdout + outcome.stderr
    assert "bug in gitsnap" not in said and "Traceback" not in said, "a traceback"
    # That it could not be written down is no failure of what was done.
    assert outcome.returncode == 0, f"exit {outcome.returncode}"
    wanted = len(here.before) + sum(c.name == "fdatasync" and c.path.endswith(".jsonl") for c in here.points)
    missing = wanted - len(_sound(here, here.before, ""))
    assert missing >= 0, f"{-missing} lines more than there should be"
    assert not missing or "audit log: it could not be written" in outcome.stderr, f"{missing} lines, and not a word"
    _goes_on(here, "")
    follow(here.lines())


@contextmanager
def scene(prepare: Callable[[Logged], None], disk: bool = False) -> Iterator[Logged]:
    """A small installation, with what `prepare` makes of it; on a disk that loses its power at the fault, or not."""
    with workspace() as top, ExitStack() as stack:
        cut = stack.enter_context(power.disk("ext4", top)) if disk else None
        here = Logged(top, (cut.where if cut else top) / "live", disk=cut)
        (here.app / "sub").mkdir(parents=True)
        here.home.mkdir()
        (here.app / "a").write_text("1\n")
        (here.app / "sub/b").write_text("2\n")
        prepare(here)
        here.keep()
        yield here


def _first(here: Logged) -> None:
    """There is no log yet, and no sidecar."""
    here.arguments = ("snapshot",)


def another(here: Logged) -> None:
    """One line tells that it begins, another how it ended."""
    assert here.say("snapshot").returncode == 0
    (here.app / "a").write_text("new\n")
    here.arguments = ("rollback", "latest", "--yes")


def _next_file(here: Logged) -> None:
    """The file is full: the next line begins one."""
    another(here)
    while (here.store / "gitsnap/audit/000000000001.jsonl").stat().st_size < audit.ROTATE:
        audit.append(str(here.store), lambda place: encode(place.after, {"action": "filler", "padding": "x" * 90_000}))


_PLACES = {"begins": _first, "goes on": another, "next file": _next_file}


def _killed(prepare: Callable[[Logged], None], share: Share, tally: Tally, disk: bool) -> None:
    with scene(prepare, disk) as here:
        points = here.calls()
        plans: list[Plan] = [(c, Mode.KILL_AFTER, None) for c in points] if disk else kills(points)
        for mode in {mode for _, mode, _ in plans}:
            some = [p for p in plans if p[1] is mode]
            mine = Share(None if share.points is None else -(-share.points * len(some) // len(plans)))
            hit(here, spread(some, mine), after_a_kill(mode), tally)


def _kind(name: str, run_one: Callable[[Callable[[Logged], None], Share, Tally], None]) -> Kind:
    """All places of the log, one after the other, into one tally."""

    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        each = Share(None if share.points is None else -(-share.points // len(_PLACES)), share.seed)
        try:
            for prepare in _PLACES.values():
                run_one(prepare, each, tally)
        except OSError as error:
            return Tally(note=f"skipped: {error}")
        return tally

    return kind(name)(run)


def _failing(prepare: Callable[[Logged], None], share: Share, tally: Tally) -> None:
    with scene(prepare) as here:
        hit(here, spread(errors(here.calls()), share), after_an_error, tally)


log_killed = _kind("killed: audit log", lambda prepare, share, tally: _killed(prepare, share, tally, False))
log_failing = _kind("errors: audit log", _failing)
log_cut = _kind("power cut: audit log, ext4", lambda prepare, share, tally: _killed(prepare, share, tally, True))
