"""Faults at the N-th mutating system call of a command and all its children: faultn.c, and what came of it.

    points = calls(argv)                                  what there is to hit, in order
    run_with_fault(argv, Mode.KILL, 57)                   SIGKILL to all of it before call 57
    run_with_fault(argv, Mode.ERROR_FROM, 57, ENOSPC)     that call and all after it fail

A fault that never fired fails the test, unless it was asked not to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.support import forking
from tests.support.installation import REPOSITORY

_SOURCE = Path(__file__).with_name("faultn.c")
_BUILT = REPOSITORY / "build" / "faultn"
_LIBRARY = _BUILT.with_suffix(".so")
_GITSNAP = (sys.executable, "-m", "gitsnap")
_PATCHED = "# gitsnap, patched\n"
_AS_ITSELF = """
import runpy, sys
sys.argv = ["gitsnap", *sys.argv[1:]]
runpy.run_module("gitsnap", run_name="__main__")
"""
_KILLED = 137


class Mode(StrEnum):
    """What happens at the N-th call. TORN does half of a write before it kills; other calls are done in full."""

    KILL = "kill"
    KILL_AFTER = "killafter"
    TORN = "torn"
    ERROR = "err"
    ERROR_FROM = "errfrom"

    @property
    def kills(self) -> bool:
        """Whether the process is gone afterwards."""
        return self in (Mode.KILL, Mode.KILL_AFTER, Mode.TORN)


@dataclass(frozen=True, slots=True)
class Call:
    """One mutating call: its number (the first is 1), the system call's name, and the path it was about."""

    number: int
    name: str
    path: str

    @property
    def can_tear(self) -> bool:
        """Whether half of it can happen."""
        return self.name in ("write", "pwrite64")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: whether the fault fired, the exit code (-9 when the fault killed it), what was said, how
    many calls counted, and the one that was hit."""

    fired: bool
    returncode: int
    stdout: str
    stderr: str
    calls: int
    hit: Call | None

    @property
    def told(self) -> str:
        """The run in words, for a failing test."""
        return f"{self.hit}: exit {self.returncode}\n{self.stdout}{self.stderr}"


class FaultNeverFiredError(AssertionError):
    """The command ended before the call that was to be hit: the test proved nothing."""


def run_with_fault(
    argv: Sequence[str | Path],
    mode: Mode | str,
    n: int,
    errno: int | None = None,
    env: Mapping[str, str] | None = None,
    *,
    cwd: str | Path | None = None,
    path: str | None = None,
    classes: str | None = None,
    at_fault: str | None = None,
    must_fire: bool = True,
    seconds: float = 300.0,
) -> Outcome:
    """Run a command with a fault at its `n`-th mutating call; FaultNeverFiredError if it has no such call.

    `path`: count only calls on paths that contain it. `classes`: only these of write, sync, ns, meta, open, read.
    `at_fault`: a shell command that runs at that moment, before the kill (a power cut of the file system, say).
    """
    options = ["-m", Mode(mode).value, "-n", str(n)]
    if errno is not None:
        options += ["-e", str(errno)]
    for letter, value in (("-p", path), ("-k", classes), ("-x", at_fault)):
        options += [letter, value] if value else []
    outcome, made = _run(options, argv, env, cwd, seconds)
    if must_fire and not outcome.fired:
        raise FaultNeverFiredError(f"call {n} of {len(made)} was never made: {' '.join(map(str, argv))}")
    return outcome


def calls(
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    *,
    cwd: str | Path | None = None,
    path: str | None = None,
    classes: str | None = None,
    check: bool = True,
    seconds: float = 300.0,
) -> list[Call]:
    """The mutating calls of a run without a fault, in order. The run must succeed, unless `check` is false."""
    options = ["-m", "count"]
    for letter, value in (("-p", path), ("-k", classes)):
        options += [letter, value] if value else []
    outcome, made = _run(options, argv, env, cwd, seconds)
    assert outcome.returncode == 0 or not check, f"{argv}: {outcome.told}"
    return made


def count(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **more: str | None) -> int:
    """How many points there are to hit; as `calls`."""
    return len(calls(argv, env, **more))  # type: ignore[arg-type]


def gitsnap(*args: str | Path, patch: str = "") -> list[str]:
    """The argument vector of a gitsnap command; with `patch` executed first, which replaces something of it."""
    start = [sys.executable, "-c", _PATCHED + patch + _AS_ITSELF] if patch else _GITSNAP
    return [*start, *map(os.fspath, args)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment for gitsnap with its sidecars below `home`, the same wherever the test runs.

    No bytecode is written: that would be a mutating call in one run and none in the next.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_", "COV_", "PYTEST_"))}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
    fixed = {"GITSNAP_HOME": str(home), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    return kept | fixed | more


def sample(points: Sequence[Call], wanted: int) -> list[Call]:
    """About `wanted` of the points, evenly spread, the first and the last among them."""
    if len(points) <= wanted or wanted < 2:
        return list(points)
    step = (len(points) - 1) / (wanted - 1)
    return [points[round(i * step)] for i in range(wanted)]


@cache
def why_not() -> str | None:
    """Why faults cannot be injected here, or None when they can."""
    if os.uname().machine != "x86_64" or sys.platform != "linux":
        return "the fault injector knows the registers of x86-64 Linux only"
    if not _is_built() and shutil.which("gcc") is None:
        return "the fault injector needs gcc"
    try:
        found = count(["/bin/sh", "-c", 'd=$(mktemp -d) && rmdir "$d"'])
    except (AssertionError, OSError) as error:
        return f"faults cannot be injected here: {error}"
    return None if found else "this kernel does not let ptrace and seccomp count system calls"


@cache
def injector() -> Path:
    """The compiled faultn, made when it is missing or older than its source. The library of it lies beside it."""
    if not _is_built():
        _BUILT.parent.mkdir(exist_ok=True)
        # Several test processes may be doing this: each renames a whole one into place.
        for made, options in ((_LIBRARY, ("-shared", "-fPIC")), (_BUILT, ())):
            fresh = made.with_name(f"{made.name}.{os.getpid()}")
            subprocess.run(["gcc", "-O2", "-Wall", *options, "-o", fresh, _SOURCE], check=True)
            fresh.rename(made)
    return _BUILT


def _is_built() -> bool:
    newest = _SOURCE.stat().st_mtime_ns
    return all(made.exists() and made.stat().st_mtime_ns >= newest for made in (_BUILT, _LIBRARY))


def _run(
    options: list[str],
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    seconds: float,
) -> tuple[Outcome, list[Call]]:
    with tempfile.TemporaryDirectory(prefix="faultn-") as where:
        log, report = Path(where, "log"), Path(where, "report")
        code, out, err = _injected([*options, "-l", str(log), "-r", str(report)], argv, env, cwd, seconds)
        assert report.exists(), f"the fault injector failed ({code}): {err}"
        facts = dict(line.split(" ", 1) for line in report.read_text().splitlines())
        assert facts, f"the fault injector failed ({code}): {err}"
        made = list(_parse(log.read_text("utf-8", "surrogateescape")))
    fired, code = facts["fired"] == "1", int(facts["exit"])
    killing = options[1] in (Mode.KILL, Mode.KILL_AFTER, Mode.TORN)
    number = int(options[3]) if fired else 0
    return Outcome(
        fired=fired,
        returncode=-9 if fired and killing and code == _KILLED else code,
        stdout=out,
        stderr="\n".join(line for line in err.split("\n") if not line.startswith("COUNT ")),
        calls=len(made),
        hit=next((c for c in made if c.number == number), None),
    ), made


def _injected(
    options: list[str],
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    seconds: float,
) -> tuple[int, str, str]:
    """Run faultn; its exit code and what was written. When the deadline passes, it is killed, and the kernel kills what
    it traces (EXITKILL). gitsnap itself is a fork, where that is what a fresh process would be.
    """
    environment, words = dict(os.environ if env is None else env), [os.fspath(word) for word in argv]
    program = injector()
    patch = words[2].removeprefix(_PATCHED).removesuffix(_AS_ITSELF) if words[2:3] and _PATCHED in words[2] else ""
    if patch or tuple(words[:3]) == _GITSNAP:
        begun = forking.Start(
            tuple(words[3:]),
            None if cwd is None else Path(cwd),
            environment,
            faults=(str(_LIBRARY), *options),
            patch=patch,
        )
        if (found := forking.faulty(begun, seconds)) is not None:
            return found
    done = subprocess.run(
        [program, *options, "--", *words],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
    )
    out, err = (data.decode("utf-8", "surrogateescape") for data in (done.stdout, done.stderr))
    return done.returncode, out, err


def _parse(log: str) -> Iterator[Call]:
    # A path may hold a newline: only lines that begin with the next number begin a call.
    for line in log.split("\n"):
        number, _, rest = line.partition(" ")
        _, _, rest = rest.partition(" ")
        name, _, path = rest.partition(" ")
        if number.isdecimal() and name:
            yield Call(int(number), name, path)
