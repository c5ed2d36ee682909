"""An upgrade as one act: what is asked for, what it tells while it runs, and how it ends. All of it as data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gitsnap.core.command_end import CommandEnd
from gitsnap.core.errors import NoSuchSnapshotError, UsageError
from gitsnap.core.message import ID
from gitsnap.core.model import Kind, Snapshot, is_label, slug
from gitsnap.core.outcome import Ending
from gitsnap.core.outcome import Outcome as Outcome

_LOOK = "`gitsnap history` shows the upgrades"

# The command of a snapshot that holds what came of undoing an upgrade, with the edits since; the upgrade's id follows.
KEEPING_EDITS = "gitsnap rollback --keep-edits "
# In the command of the safety snapshot before a merge: what others wrote to follows.
LEAVING = "--leaving"

Facts = Mapping[str, Any]


class OnFailure(StrEnum):
    """What becomes of the directory when the command or a check fails."""

    ROLLBACK = "rollback"
    KEEP = "keep"
    ASK = "ask"


class Moment(StrEnum):
    """What an event tells of; the values are the names in the event stream."""

    UPGRADE_STARTED = "upgrade-started"
    SNAPSHOT_PROGRESS = "snapshot-progress"
    SNAPSHOT_COMPLETED = "snapshot-completed"
    HOOK_PASSED = "hook-passed"
    HOOK_FAILED = "hook-failed"
    SNAPSHOT_FAILED = "snapshot-failed"
    VERIFIED = "verified"
    VERIFY_FAILED = "verify-failed"
    FORESEEN = "foreseen"
    FILES_OPEN = "files-open"
    COMMAND_STARTED = "command-started"
    COMMAND_EXITED = "command-exited"
    PROCESSES_LEFT = "processes-left"
    CHECK_PASSED = "check-passed"
    CHECK_FAILED = "check-failed"
    SERVICE_STOPPED = "service-stopped"
    SERVICE_STARTED = "service-started"
    SERVICE_FAILED = "service-failed"
    SOAK_STARTED = "soak-started"
    SOAK_COMPLETED = "soak-completed"
    CONFIRM_STARTED = "confirm-started"
    WAIT_RESUMED = "wait-resumed"
    WAIT_LEFT = "wait-left"
    CONFIRMED = "confirmed"
    ROLLBACK_STARTED = "rollback-started"
    ROLLBACK_COMPLETED = "rollback-completed"
    ROLLBACK_FAILED = "rollback-failed"
    UPGRADE_COMPLETED = "upgrade-completed"


@dataclass(slots=True, frozen=True)
class Event:
    """One thing that happened: what, when (aware), to which upgrade, and what there is to say about it.

    `facts` hold JSON's types only, so that an event can be written down or sent as it is.
    """

    moment: Moment
    time: datetime
    upgrade: str
    facts: Facts = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The event as a JSON object (docs/reference/events.md)."""
        when = self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"schema": 1, "event": self.moment.value, "time": when, "upgrade": self.upgrade, **self.facts}


Tell = Callable[[Event], None]


@dataclass(slots=True, frozen=True)
class CheckResult(CommandEnd):
    """What came of one check. `exit_code` is None where there was no process, negative for a signal.

    `problem` is empty when it passed, else says in a few words why it did not. `output` is the end of what it printed.
    `duration` is in seconds.
    """

    check: str
    problem: str = ""
    exit_code: int | None = None
    duration: float = 0.0
    output: str = ""

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {"check": self.check} | self.facts()


@dataclass(slots=True)
class Stored:
    """The snapshots that belong to one upgrade, as refs and trailers tell it. A pre is always there.

    `safety` are those taken before the directory was rolled back to the pre, oldest first. `rolled_back` tells whether
    that still stands: it may have been undone.
    """

    id: str
    pre: Snapshot
    post: Snapshot | None = None
    safety: list[Snapshot] = field(default_factory=list)
    rolled_back: bool = False

    @property
    def label(self) -> str:
        """What the upgrade was called."""
        given = self.pre.label.removesuffix(f"-{Kind.PRE}")
        # The id of the second one in the same second ends in a number.
        return given if given != self.pre.label else self.id.rpartition("Z-")[2]

    @property
    def called(self) -> str:
        """The same in a sentence; where nobody gave it a name it is the upgrade."""
        return "the upgrade" if self.label == "upgrade" else f"the upgrade {self.label}"

    @property
    def ending(self) -> Ending | None:
        """What is recorded of how it ended; None for an upgrade of before there were records."""
        return self.pre.ending

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, as it is recorded. Without a record as snapshots tell it; None for one that was cut short."""
        if self.ending is not None:
            return self.ending.outcome
        if self.rolled_back:
            return Outcome.ROLLED_BACK
        return Outcome.KEPT if self.post else None

    @property
    def exit_code(self) -> int | None:
        """What the command ended with, as far as it is known."""
        if self.post is not None and self.post.exit_code is not None:
            return self.post.exit_code
        return self.ending.exit_code if self.ending else None

    @property
    def failure(self) -> str:
        """Why it failed, and rolling back if that failed too; empty where that is not known, or it did not."""
        if self.ending is None:
            return ""
        return "; ".join(text for text in (self.ending.failure, self.ending.rollback_error) if text)

    @property
    def seconds(self) -> float | None:
        """How long it took, as it is recorded (core.outcome.Ending).

        Without a record of that the whole seconds from the first snapshot to the second, None where a clock went back.
        """
        if self.ending is not None and self.ending.duration is not None:
            return self.ending.duration
        took = (self.post.created - self.pre.created).total_seconds() if self.post else -1.0
        return took if took >= 0 else None


def upgrades(snapshots: Iterable[Snapshot]) -> list[Stored]:
    """The upgrades that these snapshots (in order of time) tell of, oldest first."""
    found: dict[str, Stored] = {}
    # Which upgrades were rolled back when each safety snapshot was taken: what it holds.
    held: dict[str, set[str]] = {}
    for s in snapshots:
        if s.kind is Kind.SAFETY:
            held[s.id] = {u.id for u in found.values() if u.rolled_back}
            _came_back(s, found, held)
        elif s.upgrade is not None and s.kind is Kind.PRE:
            found.setdefault(s.upgrade, Stored(s.upgrade, s))
        elif s.upgrade in found and s.kind is Kind.POST:
            found[s.upgrade].post = s
    return list(found.values())


def _came_back(safety: Snapshot, found: dict[str, Stored], held: dict[str, set[str]]) -> None:
    """Take in what was done after a safety snapshot: an upgrade was rolled back, or something like that was undone."""
    if safety.upgrade in found:
        found[safety.upgrade].safety.append(safety)
        found[safety.upgrade].rolled_back = True
        return
    # As gitsnap.ops.restore.safety writes it for a whole directory; paths and components leave an upgrade what it is.
    command, _, target = (safety.command or "").rpartition(" ")
    if command != "gitsnap rollback":
        return
    for upgrade in found.values():
        if target in held:
            upgrade.rolled_back = upgrade.id in held[target]
        elif upgrade.post is not None and upgrade.post.id == target:
            upgrade.rolled_back = False


def rolled_back(snapshots: Sequence[Snapshot]) -> set[str]:
    """The ids of those (in order of time) that hold what an upgrade made and a rollback took away again."""
    if not any(s.kind is Kind.SAFETY and s.upgrade for s in snapshots):
        return set()
    return {u.post.id for u in upgrades(snapshots) if u.post is not None and u.rolled_back}


def in_force(snapshots: Sequence[Snapshot]) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Which upgrades' work each of these snapshots (in order) holds, by its id; and which the directory holds now.

    For whoever records what a rollback has made of upgrades, at the moment when it is done. A safety snapshot tells of
    a rollback that was begun: where one took away an upgrade that is recorded as standing, it came to nothing.
    """
    stands = {s.upgrade for s in snapshots if s.kind is Kind.PRE and s.ending and s.ending.outcome in _STANDS}
    failed: set[str] = set()
    while True:
        held, now, takers = _follow(snapshots, failed)
        wrong = {takers[name] for name in stands - now if name in takers}
        if not wrong:
            return held, now
        failed |= wrong


_STANDS = (Outcome.KEPT, Outcome.UNKNOWN, Outcome.ROLLBACK_FAILED)


def _follow(
    snapshots: Sequence[Snapshot], failed: Collection[str]
) -> tuple[dict[str, frozenset[str]], frozenset[str], dict[str, str]]:
    """The same, without the rollbacks that `failed`; and by which safety snapshot's each upgrade went last."""
    held: dict[str, frozenset[str]] = {}
    takers: dict[str, str] = {}
    now: frozenset[str] = frozenset()
    for s in snapshots:
        held[s.id] = now
        if s.kind is Kind.PRE and s.upgrade is not None:
            now |= {s.upgrade}
        elif s.kind is Kind.SAFETY and s.id not in failed:
            target = _whole(s.command or "")
            if target:
                then = held.get(target, now - {s.upgrade or ""})
                takers |= dict.fromkeys(now - then, s.id)
                now = then
        elif s.kind is Kind.MANUAL and (s.command or "").startswith(KEEPING_EDITS):
            # A merge publishes first what its rollback will put in place.
            held[s.id] = now - {(s.command or "").removeprefix(KEEPING_EDITS)}
    return held, now, takers


def _whole(command: str) -> str:
    """What a safety snapshot's command brought back, as ops.restore.safety writes it; empty where that was not a
    whole directory: paths and components leave an upgrade what it is."""
    words = command.split()
    whole = words[:2] == ["gitsnap", "rollback"] and words[3:4] in ([], [LEAVING])
    return words[2] if whole and len(words) > 2 else ""


def undone_again(snapshots: Sequence[Snapshot], safety: Snapshot) -> str | None:
    """The id of the upgrade (the last of several) that bringing back a safety snapshot undoes once more: it was rolled
    back when that one was taken, and is not now. The snapshots are in order."""
    before = snapshots[: snapshots.index(safety)]
    undone = {u.id for u in upgrades(before) if u.rolled_back}
    again = [u.id for u in upgrades(snapshots) if u.id in undone and not u.rolled_back]
    return again[-1] if again else None


def begun_since(snapshots: Sequence[Snapshot], safety: Snapshot) -> list[str]:
    """The ids of the upgrades whose work goes with a return to this safety snapshot: they began after it, and stand, as
    it is recorded. The snapshots are in order."""
    if not _whole(safety.command or ""):
        return []
    at = next((n for n, s in enumerate(snapshots) if s.id == safety.id), len(snapshots))
    began = [s for s in snapshots[at:] if s.kind is Kind.PRE and s.upgrade is not None]
    return [s.upgrade or "" for s in began if s.ending is None or s.ending.outcome in _STANDS]


def choose_upgrade(known: Sequence[Stored], selector: str) -> Stored:
    """The upgrade that `selector` names: an id, a unique prefix of one, a unique label, or `latest`.

    Raises NoSuchSnapshotError.
    """
    if selector == "latest" and known:
        return known[-1]
    found = named(known, selector)
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchSnapshotError(
            f"'{selector}' names {len(found)} upgrades, {found[-1].id} among them",
            kind="ambiguous-upgrade",
            hint=f"type more of the id; {_LOOK}",
        )
    raise NoSuchSnapshotError(
        f"there is no upgrade '{selector}'" if known else "no upgrade was run yet",
        kind="no-such-upgrade",
        hint=_LOOK if known else "gitsnap run -- COMMAND",
    )


def named(known: Sequence[Stored], selector: str) -> list[Stored]:
    """The upgrades with this id, or whose ids begin so, or with this label. A whole id names that one or nothing."""
    exact = [u for u in known if u.id == selector]
    if exact or not selector or ID.fullmatch(selector):
        return exact
    return [u for u in known if u.id.startswith(selector) or is_label(selector, u.label)]


def part_of(known: Sequence[Stored], selector: str) -> Snapshot | None:
    """The snapshot that `UPGRADE@pre` or `UPGRADE@post` names; None for a selector of another form."""
    name, mark, part = selector.rpartition("@")
    if not mark or part not in ("pre", "post"):
        return None
    upgrade = choose_upgrade(known, name)
    found = upgrade.pre if part == "pre" else upgrade.post
    if found is None:
        ended = upgrade.ending is not None and upgrade.ending.outcome is not Outcome.UNKNOWN
        raise NoSuchSnapshotError(
            f"the upgrade {upgrade.id} {'' if ended else 'was cut short: it '}has no snapshot after it",
            hint=f"gitsnap show {upgrade.pre.id}",
        )
    return found


def upgrade_id(when: datetime, label: str, taken: Iterable[str]) -> str:
    """The id of an upgrade that begins at `when`: as a snapshot's, with `-2`, `-3` … for those of one second."""
    base = f"{when.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}-{slug(label, 'upgrade')[:50]}"
    known = set(taken)
    return next(i for i in (base, *(f"{base}-{n}" for n in range(2, len(known) + 3))) if i not in known)


def failure_of(exit_code: int, words: str) -> str:
    """Why an exit code counts as a failure, in a few words; empty for 0. Negative means a signal, named in `words`."""
    if exit_code == 0:
        return ""
    return f"was ended by {words}" if exit_code < 0 else f"exited with {exit_code}"


def require_said(checks: Iterable[object]) -> None:
    """UsageError for a check that is an empty text: a shell finds nothing wrong with that, whatever the upgrade did."""
    if any(isinstance(check, str) and not check.strip() for check in checks):
        raise UsageError(
            "a check is empty, and would pass whatever happens", hint="for example: --check './bin/app --version'"
        )


def shown(results: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """Results of checks as JSON objects."""
    return [r.document() for r in results]


class UpgradePhase(StrEnum):
    """How far it is."""

    SNAPSHOT = "snapshot"
    READY = "ready"
    COMMAND = "command"
    POST = "post"
    CHECKS = "checks"
    SOAK = "soak"
    CONFIRM = "confirm"
    ROLLBACK = "rollback"
    ROLLBACK_FAILED = "rollback-failed"


@dataclass(slots=True, frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number: `boot` and `start` are the kernel's."""

    pid: int
    boot: str
    start: int
