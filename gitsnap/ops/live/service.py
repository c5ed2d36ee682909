"""What runs from the installation is stopped before its files are moved, and started again afterwards.

The commands are of the command line, or of the owner's configuration; nothing that an installation holds is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gitsnap.core.command_end import CommandEnd
from gitsnap.core.errors import GitsnapError
from gitsnap.core.settings import Service
from gitsnap.installation import root as directory
from gitsnap.ops.process import processes, shell
from gitsnap.ops.process.processes import React, Waiter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import stopped_service

STOP, START = "stop", "start"


class ServiceError(GitsnapError):
    """The service could not be stopped, so nothing was begun."""

    kind = "service"


@dataclass(slots=True, frozen=True)
class Turned(CommandEnd):
    """What came of stopping or starting it (`word`), as of a hook (ops.capture.hooks.HookResult)."""

    word: str
    command: str
    problem: str = ""
    exit_code: int | None = None
    duration: float = 0.0
    output: str = ""

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {"service": self.word, "command": self.command} | self.facts()

    @property
    def told(self) -> str:
        """The failure as a sentence."""
        last = (self.output.strip().splitlines() or [""])[-1].strip()
        done = "stopped" if self.word == STOP else "started again"
        return f"the service could not be {done}: '{self.command}' {self.problem}{f' ({last})' if last else ''}"


Report = Callable[[Turned], None]


@dataclass(slots=True)
class Turns:
    """What was done with the service during something else."""

    results: list[Turned] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """Why it was not stopped, or does not run again; empty where all is well with it."""
        return "; ".join(r.told for r in self.results if not r.ok)


def stop(sidecar: Sidecar, service: Service, report: Report = lambda _: None) -> None:
    """Stop it. Raises ServiceError: it was started again then, as it may have been stopped in part. OSError where it
    cannot be written down that it is about to be stopped."""
    _mark(sidecar, service, stopped=False)
    try:
        done = _run(sidecar, service, STOP, service.stop, report)
    except BaseException:
        start(sidecar, service, report)
        raise
    if not done.ok:
        again = start(sidecar, service, report)
        also = "" if again.ok else f"; {again.told}"
        raise ServiceError(f"{done.told}; nothing was begun{also}", hint=done.output.strip() or None)
    _mark(sidecar, service, stopped=True)


def start(
    sidecar: Sidecar,
    service: Service,
    report: Report = lambda _: None,
    waiter: Waiter | None = None,
    react: React = lambda *_: None,
) -> Turned:
    """Start it. Where that fails, it is known that it does not run (`left_stopped`)."""
    # It may be there by halves when it could not be started.
    with suppress(OSError):
        _mark(sidecar, service, stopped=False)
    done = _run(sidecar, service, START, service.start, report, waiter, react)
    if done.ok:
        stopped_service.clear(sidecar)
    return done


def _mark(sidecar: Sidecar, service: Service, *, stopped: bool) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    stopped_service.write(sidecar, me, service.start, stopped=stopped)


def is_ours(sidecar: Sidecar) -> bool:
    """Whether it is this process that has stopped it, and not started it again."""
    mark = stopped_service.load(sidecar)
    return mark is not None and mark.stopped and mark.by == processes.identify(os.getpid())


def left_stopped(sidecar: Sidecar) -> bool:
    """Whether it was stopped, is not started again, and nobody is at work who would."""
    mark = stopped_service.load(sidecar)
    return mark is not None and not processes.alive(mark.by)


def being_started(sidecar: Sidecar) -> bool:
    """Whether somebody is at work who has it stopped or started at this moment."""
    mark = stopped_service.load(sidecar)
    return mark is not None and not mark.stopped and processes.alive(mark.by)


def forget(sidecar: Sidecar) -> None:
    """Nobody has to start it any more."""
    stopped_service.clear(sidecar)


def known(sidecar: Sidecar, service: Service | None, environ: dict[str, str]) -> Service | None:
    """By what it is started again after somebody was killed: the configuration, or what was written down then."""
    mark = stopped_service.load(sidecar)
    if service is not None or mark is None or not mark.start:
        return service
    return Service("", mark.start, environ=environ)


@contextmanager
def stopped(sidecar: Sidecar, service: Service | None, *, alone: bool = False) -> Iterator[Turns]:
    """Have it stopped meanwhile. ServiceError where it cannot be: nothing was begun.

    Where nobody is there to help (`alone`) it is gone on with then: what fails to stop may well have broken down.
    Where the directory is left between two states it is not started: `recover` does.
    """
    turns = Turns()
    if service is None:
        yield turns
        return

    note = turns.results.append
    if not is_ours(sidecar):
        if alone:
            with suppress(OSError):
                _mark(sidecar, service, stopped=False)
            _run(sidecar, service, STOP, service.stop, note)
        else:
            stop(sidecar, service, note)
    try:
        yield turns
    except BaseException as error:
        if sidecar.pending is None:
            done = start(sidecar, service, note)
            if not done.ok and isinstance(error, GitsnapError):
                error.message += f"; and {done.told}"
        elif isinstance(error, GitsnapError):
            error.message += "; the service stays stopped until that is settled"
        raise
    start(sidecar, service, note)


def _run(
    sidecar: Sidecar,
    service: Service,
    word: str,
    command: str,
    report: Report,
    waiter: Waiter | None = None,
    react: React = lambda *_: None,
) -> Turned:
    root = sidecar.installation
    environ = {
        **service.environ,
        "GITSNAP_DIR": root,
        "GITSNAP_STORE": sidecar.path,
        # A gitsnap that it runs has no hooks, and no service to stop, either.
        "GITSNAP_HOOK": f"service-{word}",
    }
    where = shell.Surroundings("/" if directory.missing(root) else root, environ, service.timeout, service.umask)
    done = Turned(word, command, *shell.run(command, where, waiter, react))
    sidecar.noted.details.setdefault("service", []).append(done.document())
    report(done)
    return done
