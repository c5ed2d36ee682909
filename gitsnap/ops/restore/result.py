"""What a rollback, or the settling of one, did."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from enum import StrEnum

from gitsnap.core.database_servers import Running
from gitsnap.core.model import Inventory, Problem, Snapshot
from gitsnap.core.plan import RestorePlan, fingerprint
from gitsnap.core.retention import Decision, HeldBack
from gitsnap.ops.live.service import Turns

# Those of some differences that nothing could have been done about, with the reason for each.
# What differs, and the paths of what is known to stay as it is.
Explain = Callable[[list[Problem], Set[bytes]], list[Problem]]


@dataclass(slots=True)
class Restored:
    """What was done, or would be.

    `incomplete` names what could not be brought back exactly, and why; `verified` tells that everything else was
    compared with the manifest afterwards. `salvaged` says that it was made of what is whole of a snapshot:
    what is not is named, too. `duration` is in seconds. `paths` and `component` tell what was asked for
    where that is not everything. `in_use` are databases among what was replaced that had journals beside them: whoever
    has one open goes on with the old file. `left_alone` is what others were at work on, and was not touched.
    `unrecorded` counts what a foreign copy does not record, `beyond` is what it does not cover: both were kept.
    `made` are the directories that were gone, the installation's own and those above it; `aside` is where that went
    which stood in its place. `running` are databases whose server was at work in what was touched. `service` is what
    was done with the service that runs from there. `live` is what the plan was made for. `further_back` is where there
    was nothing to do for a whole directory: the newest older snapshot that holds another state.
    """

    target: Snapshot
    plan: RestorePlan
    safety: Snapshot | None = None
    applied: bool = False
    verified: bool = False
    incomplete: list[Problem] = field(default_factory=list)
    pruned: list[Decision] = field(default_factory=list)
    held: HeldBack | None = None
    duration: float = 0.0
    paths: tuple[bytes, ...] = ()
    component: str = ""
    in_use: list[bytes] = field(default_factory=list)
    salvaged: bool = False
    left_alone: list[bytes] = field(default_factory=list)
    unrecorded: dict[str, int] = field(default_factory=dict)
    beyond: list[bytes] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    aside: str | None = None
    running: list[Running] = field(default_factory=list)
    service: Turns = field(default_factory=Turns)
    live: Inventory = field(default_factory=Inventory)
    further_back: Snapshot | None = None

    def fingerprint(self) -> str:
        """The plan's: by it, somebody agrees to this one and no other."""
        return fingerprint(self.target.commit, self.plan, self.live)

    def conclude(self, wrong: list[Problem], explain: Explain = lambda *_: []) -> None:
        """Take in where the directory differs from the target afterwards."""
        self.incomplete, unexplained = settled(self.incomplete, wrong, explain)
        self.incomplete += unexplained
        self.verified = not unexplained


def settled(incomplete: list[Problem], wrong: list[Problem], explain: Explain) -> tuple[list[Problem], list[Problem]]:
    """What is known to have stayed incomplete, once each, and what else differs without an explanation."""
    known = list(dict.fromkeys(incomplete))
    named = {p.path for p in known}
    rest = [p for p in wrong if p.path not in named]
    if rest:
        found = explain(rest, named)
        named = {p.path for p in found}
        known, rest = known + found, [p for p in rest if p.path not in named]
    return known, rest


class Direction(StrEnum):
    """Which of the two states a recovery is to end with; or that it is given up, with what is there left as it is."""

    FINISH = "finish"
    REVERT = "revert"
    GIVE_UP = "give-up"


@dataclass(slots=True)
class Recovered:
    """What was settled. `direction` is None where there was nothing to settle; the ids are those of the rollback.

    `cleared` are stages without a journal that were removed. `moved` tells whether names of the installation were
    moved: false where it was untouched or done already. `unverified` says why the directory could not be compared with
    the snapshot that it was brought to; `kept` is where everything lies that the stages held, where it was given up.
    """

    direction: Direction | None = None
    transaction: str | None = None
    target: str | None = None
    safety: str | None = None
    moved: bool = False
    verified: bool = True
    incomplete: list[Problem] = field(default_factory=list)
    cleared: list[bytes] = field(default_factory=list)
    duration: float = 0.0
    unverified: str | None = None
    kept: str | None = None
    service: Turns = field(default_factory=Turns)
