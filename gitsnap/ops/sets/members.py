"""The directories of a set: which they are, how they are opened, and how all of them are held at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.settings import Settings
from gitsnap.ops.live.service import Turns, stopped
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.upgrade_record import Members


@dataclass(slots=True, frozen=True)
class Member:
    """One directory of several: its sidecar, open, and the settings that hold there."""

    sidecar: Sidecar
    settings: Settings

    @property
    def own_settings(self) -> Settings:
        """The settings for what concerns it alone: the services of all are stopped and started around that."""
        return replace(self.settings, service=None)

    @property
    def root(self) -> str:
        """The directory's real path."""
        return self.sidecar.installation


# Opens the member whose directory (real path) and sidecar these are; "" for the sidecar where only the directory is
# known. GitsnapError where that cannot be.
Open = Callable[[str, str], AbstractContextManager[Member]]


class MissingError(GitsnapError):
    """Directories that belong to what is asked for cannot be had. `roots` are theirs."""

    kind = "missing-directory"

    def __init__(self, message: str, roots: Sequence[str], *, exit_code: int, hint: str) -> None:
        super().__init__(message, path=roots[0], hint=hint)
        self.roots, self.exit_code = tuple(roots), exit_code


def require_apart(roots: Sequence[str]) -> None:
    """Raise UsageError where two of these real paths are the same directory, or one lies in another: what is brought
    back in one would be brought back, or be in the way, in the other."""
    for at, one in enumerate(roots):
        for other in roots[at + 1 :]:
            if one == other or _same(one, other):
                raise UsageError(f"{one} is named twice", path=one, hint="name each directory once")
            for outer, inner in ((one, other), (other, one)):
                if inner.startswith(outer.rstrip("/") + "/"):
                    raise UsageError(
                        f"{inner} lies in {outer}: the snapshots of {outer} hold it already",
                        path=inner,
                        hint=f"name {outer} alone, or leave it out",
                    )


def _same(one: str, other: str) -> bool:
    """Whether it is one directory by two names, as bind mounts make them."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@contextmanager
def opened(members: Members, open_one: Open, hint: str) -> Iterator[list[Member]]:
    """All of them, in their order. MissingError names those that cannot be had, before any is used.

    What is written down of each, and told, names all.
    """
    with ExitStack() as stack:
        found, problems = [], []
        for root, store in members:
            try:
                found.append(stack.enter_context(open_one(root, store)))
            except GitsnapError as error:
                problems.append((root, error))
        if problems:
            told = "; ".join(f"{root}: {error.message}" for root, error in problems)
            code = problems[0][1].exit_code
            raise MissingError(f"{told}; nothing was touched", [r for r, _ in problems], exit_code=code, hint=hint)
        for member in found:
            belongs_to(member, members)
        yield found


def belongs_to(member: Member, members: Members) -> None:
    """For whoever writes it down: what is done with it is done with all of these."""
    member.sidecar.noted.details["installations"] = [root for root, _ in members]


@contextmanager
def held(members: Sequence[Member], wait: float) -> Iterator[None]:
    """The writer's lock of each, taken in the order of their real paths, so that two sets never wait for each other.

    Raises LockedError after `wait` seconds for one of them.
    """
    with ExitStack() as stack:
        for member in sorted(members, key=lambda m: os.fsencode(m.root)):
            stack.enter_context(member.sidecar.writing(wait, recovering=True))
        yield


@contextmanager
def services_stopped(members: Sequence[Member], *, alone: bool = False) -> Iterator[list[Turns]]:
    """The services of all stopped meanwhile, and started again when all are done, in reverse: one that started before
    would find some directories back and others not. As of one directory (ops.live.service.stopped)."""
    with ExitStack() as stack:
        yield [stack.enter_context(stopped(m.sidecar, m.settings.service, alone=alone)) for m in members]


def named(members: Sequence[Member]) -> Members:
    """Directory and sidecar of each, as records have them."""
    return tuple((m.root, m.sidecar.path) for m in members)
