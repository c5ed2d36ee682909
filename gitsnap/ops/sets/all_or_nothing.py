"""Several directories go back, each to a snapshot of its own: all of them, or none, whenever it is interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from gitsnap.core.errors import GitsnapError
from gitsnap.core.order import newest
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.sets.members import Member, named
from gitsnap.sidecar import catalog
from gitsnap.sidecar.state import set_rollback
from gitsnap.sidecar.state.set_rollback import SetRollback

# What a rollback of all does to the one before it, as in the field of RollbackOptions.
UNDOES, REDOES = "undoes", "redoes"


class SetFailedError(GitsnapError):
    """Of several directories that were to go back, some could not; the others have."""

    exit_code = 21
    kind = "rollback-failed"


@dataclass(slots=True, frozen=True)
class Failure:
    """A directory that could not be brought back, and why."""

    root: str
    problem: str


def announce(members: Sequence[Member], targets: Sequence[str], upgrade: str, how: str = "") -> None:
    """Write down in each sidecar where all of them go. From the last of it on, all of them go there. Nothing may be
    moved before this returns. For a caller who holds all of them. Raises OSError; none is waited for then."""
    name = os.urandom(8).hex()
    try:
        for member in members:
            last = newest(catalog.snapshots(member.sidecar))
            told = SetRollback(name, upgrade, named(members), tuple(targets), last.id if last else "", how)
            set_rollback.begin(member.sidecar, told)
    except BaseException:
        with suppress(OSError):
            arrived(members)
        raise


def arrived(members: Sequence[Member]) -> None:
    """All of them are where they were to go."""
    for member in members:
        set_rollback.end(member.sidecar)


def as_said(options: RollbackOptions, how: str, safety: str) -> RollbackOptions:
    """The options of one directory's rollback, which undoes or redoes what the `safety` snapshot was taken before."""
    if how == UNDOES:
        return replace(options, undoes=safety)
    return replace(options, redoes=safety) if how == REDOES else options


def each(
    members: Sequence[Member], work: Callable[[Member], None], *, describe: Callable[[Exception], str] = str
) -> list[Failure]:
    """Do it in each; what fails in one keeps none of the others from it. Those that failed, and why."""
    failures = []
    for member in members:
        try:
            work(member)
        except (GitsnapError, OSError) as error:
            failures.append(Failure(member.root, describe(error)))
    return failures


def failed(failures: Sequence[Failure], others: int, hint: str) -> SetFailedError:
    """The error that says which could not be brought back."""
    told = "; ".join(f"{f.root}: {f.problem}" for f in failures)
    rest = f"; the other {others} came back" if others else ""
    return SetFailedError(f"{told}{rest}", path=failures[0].root, hint=hint)
