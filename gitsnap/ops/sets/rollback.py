"""Bringing several directories back to what they were before, or after, one upgrade; and undoing that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gitsnap.core.errors import GitsnapError, IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.plan import Action
from gitsnap.core.upgrade import KEEPING_EDITS, Stored, choose_upgrade, part_of, upgrades
from gitsnap.installation import root as directory
from gitsnap.ops.live import upgrading
from gitsnap.ops.parallel.read_back import ReadBacks, Rereading
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import Rollback, RollbackOptions
from gitsnap.ops.restore.safety import last_to_undo, reach_of
from gitsnap.ops.sets import all_or_nothing
from gitsnap.ops.sets.all_or_nothing import UNDOES
from gitsnap.ops.sets.members import Member, held, services_stopped
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.catalog import Living

_ONE_BY_ONE = "`gitsnap -C DIR rollback` brings back one of them"


@dataclass(slots=True, frozen=True)
class Changed:
    """What became of a directory since the upgrade: it is gone, or so many paths differ from what that left; `newer`
    are snapshots that were taken since."""

    root: str
    paths: int = 0
    gone: bool = False
    newer: tuple[str, ...] = ()


@dataclass(slots=True)
class SetRestored:
    """What was done, or would be, by directory; `changed` are those that are not as the upgrade left them. `services`
    tells which do not run again."""

    upgrade: str
    parts: dict[str, Restored] = field(default_factory=dict)
    changed: list[Changed] = field(default_factory=list)
    applied: bool = False
    services: list[str] = field(default_factory=list)
    duration: float = 0.0

    @property
    def verified(self) -> bool:
        """Whether that holds for each."""
        return all(part.verified for part in self.parts.values())


# Shown what would be done before anything moves; whether to go ahead.
Confirm = Callable[[SetRestored], bool]
# Finds the safety snapshot that leads back, or forward again.
Last = Callable[[Living], Snapshot]


def rollback(
    members: Sequence[Member], selector: str | None, options: RollbackOptions, confirm: Confirm | None, wait: float
) -> SetRestored:
    """Bring all back to what they were before the last upgrade of all of them, or to what `selector` (an upgrade, or
    UPGRADE@pre, UPGRADE@post) says. In reverse order; the others come back, too, where one cannot.

    Raises GitsnapError before anything was touched where one of them does not know the upgrade, its snapshot is
    damaged, or its content could not be kept safe; SetFailedError afterwards.
    """
    with held(members, wait):
        _require_settled(members)
        upgrade, targets = _targets(members, selector)
        changed = [c for m in members if (c := _changed(m, upgrade, options))]
        return _go(members, upgrade, targets, options, confirm, changed)


def undo(
    members: Sequence[Member],
    options: RollbackOptions,
    confirm: Confirm | None,
    wait: float,
    *,
    last: Last = last_to_undo,
    how: str = UNDOES,
) -> SetRestored:
    """Reverse the last rollback of all of them that still stands, or with `last_to_redo` and REDOES the last undo.

    Raises GitsnapError where one of them has gone its own way since.
    """
    with held(members, wait):
        _require_settled(members)
        found = {m.root: last(catalog.snapshots(m.sidecar)) for m in members}
        origins = {m.root: _origin(m, found[m.root]) for m in members}
        upgrade = origins[members[0].root]
        alone = [root for root, origin in origins.items() if origin is None or origin != upgrade]
        if alone:
            raise GitsnapError(
                f"the last rollback of {', '.join(alone)} was not one of all; nothing was touched",
                kind="not-together",
                path=alone[0],
                hint=f"`gitsnap -C DIR {'undo' if how == UNDOES else 'redo'}` is about one directory",
            )
        assert upgrade is not None
        return _go(members[::-1], upgrade, [found[m.root] for m in members[::-1]], options, confirm, [], how)


def _require_settled(members: Sequence[Member]) -> None:
    for member in members:
        upgrading.require_decided(member.sidecar)
        member.sidecar.require_settled()


def shared(members: Sequence[Member]) -> list[str]:
    """The ids of the upgrades that all of them know, oldest first."""
    known = [[u.id for u in upgrades(catalog.snapshots(m.sidecar))] for m in members]
    return [name for name in known[0] if all(name in others for others in known[1:])]


def _targets(members: Sequence[Member], selector: str | None) -> tuple[str, list[Snapshot]]:
    """The upgrade, and the snapshot that each directory goes back to."""
    known = [upgrades(catalog.snapshots(m.sidecar)) for m in members]
    together = shared(members)
    if not together:
        roots = ", ".join(m.root for m in members)
        raise NoSuchSnapshotError(f"no upgrade was over all of {roots}", hint=_ONE_BY_ONE)
    name, _, part = (selector or "").partition("@")
    if selector is None:
        wanted = together[-1]
    else:
        every: dict[str, Stored] = {u.id: u for one in known for u in one}
        among = [u for u in every.values() if u.id in together] if name == "latest" else [*every.values()]
        wanted = choose_upgrade(among, name).id
    lacking = [m.root for m, one in zip(members, known, strict=True) if all(u.id != wanted for u in one)]
    if lacking:
        raise NoSuchSnapshotError(
            f"{', '.join(lacking)} has no snapshot of the upgrade {wanted}; nothing was touched",
            hint=f"upgrades of all of them: {', '.join(together[-5:])}",
        )
    if part not in ("", "pre", "post"):
        raise NoSuchSnapshotError(f"'{selector}' is no upgrade", hint="UPGRADE, UPGRADE@pre or UPGRADE@post")
    found = [part_of(one, f"{wanted}@{part or 'pre'}") for one in known]
    return wanted, [s for s in found if s is not None]


def _changed(member: Member, upgrade: str, options: RollbackOptions) -> Changed | None:
    """Where it is not as the upgrade left it."""
    living = catalog.snapshots(member.sidecar)
    mine = next(u for u in upgrades(living) if u.id == upgrade)
    last = mine.post or mine.pre
    newer = tuple(s.id for s in living[living.index(last) + 1 :] if s.kind is not Kind.SAFETY)
    if directory.missing(member.root):
        return Changed(member.root, gone=True, newer=newer)
    if mine.post is None or mine.rolled_back:
        return Changed(member.root, newer=newer) if newer else None
    job = Rollback(member.sidecar, mine.post, member.settings, replace(options, dry_run=True, confirm=None))
    plan = job.run().plan
    paths = len({s.path for s in plan.steps if s.path} | {p.path for p in plan.kept})
    return Changed(member.root, paths, newer=newer) if paths or newer else None


def _origin(member: Member, safety: Snapshot) -> str | None:
    """The upgrade whose snapshot the rollback went to that a safety snapshot was taken before; through an undo, that
    of the rollback which was undone. None where only paths came back."""
    reach, living = reach_of(safety.command), catalog.snapshots(member.sidecar)
    words = (safety.command or "").split()
    if reach.paths or reach.component or reach.leaving is not None or len(words) < 3:
        return None
    try:
        target = selectors.resolve(living, words[2])
    except NoSuchSnapshotError:
        return None
    if target.kind is Kind.SAFETY and target != safety:
        return _origin(member, target)
    # Where edits were kept, to what came of undoing it.
    command = target.command or ""
    return command.removeprefix(KEEPING_EDITS) if command.startswith(KEEPING_EDITS) else target.upgrade


def _require_readable(member: Member, planned: Restored, options: RollbackOptions) -> None:
    """Raise IntegrityError where content is damaged that will be needed: one alone would find out halfway, when others
    have moved already."""
    needed = {s.entry.oid: s.path for s in planned.plan.steps if s.action is Action.WRITE and s.entry and s.entry.oid}
    with Rereading(member.sidecar.objects, needed, ReadBacks(), options.observer) as rereading:
        held = rereading.finish()
    for oid, path in needed.items():
        if isinstance(problem := held.get(oid, "cannot be read"), str):
            raise IntegrityError(
                f"in {member.root}, {planned.target.id} is damaged ({problem}); nothing was touched", path=path
            )


def _go(
    members: Sequence[Member],
    upgrade: str,
    targets: Sequence[Snapshot],
    options: RollbackOptions,
    confirm: Confirm | None,
    changed: list[Changed],
    how: str = "",
) -> SetRestored:
    """Look at all, ask, write down where all go, and go."""
    started = time.monotonic()
    where = {m.root: t for m, t in zip(members, targets, strict=True)}

    def job(member: Member, *, dry: bool) -> Restored:
        target = where[member.root]
        # Without a dry run, what stands in the way is an error before anything moves.
        looks = (lambda *_: False) if dry and not options.dry_run else None
        mine = replace(options, dry_run=dry and options.dry_run, confirm=looks)
        mine = all_or_nothing.as_said(mine, how, target.id)
        return Rollback(
            member.sidecar,
            target,
            member.settings if dry else member.own_settings,
            mine,
            reversing=target.kind is Kind.SAFETY,
        ).run()

    result = SetRestored(upgrade, {m.root: job(m, dry=True) for m in members}, changed)
    if options.dry_run:
        return result
    for member in members:
        _require_readable(member, result.parts[member.root], options)
    if confirm is not None and not confirm(result):
        return result
    result.applied = True

    def work(member: Member) -> None:
        member.sidecar.noted.begin()
        done = result.parts[member.root] = job(member, dry=False)
        if not done.verified:
            raise GitsnapError("the directory is not the same as the snapshot")

    needed = any(part.plan.steps for part in result.parts.values())
    with services_stopped(members if needed else []) as services:
        all_or_nothing.announce(members, [t.id for t in targets], upgrade, how)
        failures = all_or_nothing.each(list(reversed(members)), work)
    result.services = [turns.problem for turns in services if turns.problem]
    if failures:
        hint = "all of them are waited for: `gitsnap recover` tries again, `gitsnap recover --revert` takes all back"
        raise all_or_nothing.failed(failures, len(members) - len(failures), hint)
    all_or_nothing.arrived(members)
    result.duration = time.monotonic() - started
    return result
