"""Retention: which snapshots go, by rule or by name; pins; and getting the space back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import NamedTuple

from gitsnap.core.errors import GitsnapError, LockedError
from gitsnap.core.model import Kind, Snapshot, snapshot_id
from gitsnap.core.order import following, in_order
from gitsnap.core.retention import Decision, HeldBack, Policy, Rules, decide, describe, hold
from gitsnap.core.settings import Settings
from gitsnap.installation.mounts import mount_point
from gitsnap.ops.live import damage, upgrading
from gitsnap.sidecar import catalog, signatures
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose, resolve
from gitsnap.sidecar.state import disk_reserve, register, retention_rules, seal, verifications

# Timeline, notes, reflogs and locks, and the objects that they point to: a few blocks each.
_ROOM = 128 << 10


class Pruned(NamedTuple):
    """What retention did after a snapshot: the decisions on those that went, or why nothing goes for now."""

    gone: list[Decision]
    held: HeldBack | None = None


class RulesChangedError(GitsnapError):
    """Rules are not those of the last time, and would remove what those kept."""

    exit_code = 1
    kind = "rules-changed"


def prune(
    sidecar: Sidecar,
    policy: Policy | None,
    settings: Settings,
    *,
    now: datetime,
    dry_run: bool,
    agreed: Callable[[HeldBack], bool] = lambda _: True,
) -> list[Decision]:
    """Apply a policy (or only say what it would do); a decision for every snapshot, newest first.

    None stands for the rules of the settings. Where these are not those of the last time, and would remove what those
    kept, it is `agreed` first, or RulesChangedError.
    """
    if dry_run:
        return _decide(sidecar, policy or settings.retention, now, settings.zone, ())
    with sidecar.writing(settings.lock_wait):
        decisions = _decide(sidecar, policy or settings.retention, now, settings.zone, ())
        held = _held(sidecar, decisions, settings.rules, now, settings.zone, ()) if policy is None else None
        if held is not None and not agreed(held):
            raise RulesChangedError(
                f"{told(held)}; nothing was removed",
                hint="`gitsnap prune -n` shows what would go, `gitsnap prune --yes` removes it",
            )
        _withdraw(sidecar, decisions, now)
        if policy is None or policy == settings.retention:
            retention_rules.store(sidecar, settings.rules)
    return decisions


def told(held: HeldBack) -> str:
    """What was held back, and why, in a sentence for people."""
    many = len(held.snapshots)
    what = f"retention would remove {many} snapshot{'s' * (many != 1)}"
    if held.followed is None:
        return f"{what} at once by rules that it has not followed here before ({describe(held.rules.policy)})"
    change = f"that was `{describe(held.followed.policy)}`, it is `{describe(held.rules.policy)}` now"
    where = ", since the configuration that said so is gone" if held.vanished else ""
    return f"{what} that its rules kept until now: {change}{where}"


def foresee(sidecar: Sidecar, living: Sequence[Snapshot], settings: Settings, *, now: datetime) -> Pruned:
    """What retention will remove when the next snapshot is taken, should that be now; newest first.

    Of snapshots that rollbacks and upgrades take, others may go.
    """
    policy = settings.retention
    if policy.empty or not living:
        return Pruned([])
    name = snapshot_id(now, "next", [s.id for s in living])
    wanted = Snapshot(name, "", "", now, Kind.MANUAL, "next", "", 0, 0, "", "", sequence=following(living))
    decisions = _decide(sidecar, policy, now, settings.zone, (), [*living, wanted])
    held = _held(sidecar, decisions, settings.rules, now, settings.zone, ())
    return Pruned([], held) if held else Pruned([d for d in decisions if not d.keep])


def prune_locked(
    sidecar: Sidecar,
    settings: Settings,
    *,
    now: datetime,
    protected: Collection[str],
    living: Sequence[Snapshot] | None = None,
) -> Pruned:
    """Apply the rules of the settings for a caller who holds the lock.

    Where they are not those of the last time, and would remove what those kept, nothing goes (core.retention.hold).
    `living` are all snapshots, in order, where the caller has read them under that lock.
    """
    policy, followed = settings.retention, retention_rules.load(sidecar)
    going: list[Decision] = []
    if not (policy.empty or (living is not None and policy.keeps_all(len(living)))):
        decisions = _decide(sidecar, policy, now, settings.zone, protected, living)
        held = _held(sidecar, decisions, settings.rules, now, settings.zone, protected)
        if held:
            sidecar.noted.counts["retention_held"] = len(held.snapshots)
            return Pruned([], held)
        going = [d for d in decisions if not d.keep]
        try:
            _withdraw(sidecar, decisions, now)
        except GitsnapError as error:
            if error.kind != "no-space":
                raise
            # What the caller has done is done, and this is for the next time.
            return Pruned([])
    if followed is None or going or policy.covers(followed.policy):
        # Weaker ones are not followed before they have cost something: until then it may be the loss of better ones.
        retention_rules.store(sidecar, settings.rules)
    return Pruned(going)


def begin(sidecar: Sidecar, settings: Settings) -> None:
    """Note the rules of a sidecar that has none noted and no snapshots yet, for a caller who holds the lock."""
    if retention_rules.load(sidecar) is None and not catalog.snapshots(sidecar):
        retention_rules.store(sidecar, settings.rules)


def _held(
    sidecar: Sidecar,
    decisions: Sequence[Decision],
    wanted: Rules,
    now: datetime,
    zone: tzinfo,
    protected: Collection[str],
) -> HeldBack | None:
    """What has to wait of a removal by the `wanted` rules."""
    going = [d.snapshot for d in decisions if not d.keep]
    followed = retention_rules.load(sidecar)
    if not going or followed == wanted:
        return None
    staying = {s.id for s in going}
    if followed is not None and not followed.policy.empty:
        every = in_order(d.snapshot for d in decisions)
        staying &= {d.snapshot.id for d in _decide(sidecar, followed.policy, now, zone, protected, every) if d.keep}
    return hold(going, staying, followed, wanted)


def _decide(
    sidecar: Sidecar,
    policy: Policy,
    now: datetime,
    zone: tzinfo,
    protected: Collection[str],
    living: Sequence[Snapshot] | None = None,
) -> list[Decision]:
    living = catalog.snapshots(sidecar) if living is None else living
    # What the one that is being run may have to go back to.
    running = upgrading.needed(sidecar)
    protected = {*protected, *(s.id for s in living if running is not None and s.upgrade == running)}
    verified = verifications.newest_verified(sidecar, living, damage.known(sidecar, living))
    return decide(living, policy, now=now, zone=zone, newest_verified=verified, protected=protected)


def _withdraw(sidecar: Sidecar, decisions: Sequence[Decision], now: datetime) -> None:
    gone = [d.snapshot for d in decisions if not d.keep]
    if gone:
        _see_room(sidecar)
        sidecar.noted.reasons |= {d.snapshot.id: d.reasons for d in decisions if not d.keep}
        # status decides as well, and takes nothing away.
        from gitsnap.sidecar import withdraw

        withdraw.delete(sidecar, in_order(d.snapshot for d in decisions), gone, now)


def _see_room(sidecar: Sidecar) -> None:
    """GitsnapError where the disk is too full to remove snapshots: half of it would be done, and told as a failure."""
    ledgers = (sidecar.own("seal"), os.path.join(sidecar.path, "packed-refs"))
    size = _ROOM + 2 * sum(os.path.getsize(p) for p in ledgers if os.path.exists(p))
    try:
        disk_reserve.need(sidecar, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            # Whatever it is, the removal itself will tell.
            return
        raise GitsnapError(
            f"no snapshot was removed: the file system of the sidecar, mounted at {mount_point(sidecar.path)}, is full",
            kind="no-space",
            path=sidecar.path,
            hint=f"removing takes {size // 1000} kB for a moment; make room and try again",
        ) from error


def delete(
    sidecar: Sidecar, selectors: Sequence[str], settings: Settings, *, now: datetime, by: str | None = None
) -> list[str]:
    """Move named snapshots to the bin; the ids. GitsnapError, removing none, when one is pinned.

    A damaged one is named by its id or a unique prefix of it, and goes for good, even when it is pinned. LockedError
    for one of an upgrade that is under way, unless it is that one (`by`) which gives it up.
    """
    with sidecar.writing(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        found = {x: _lost_one(living, x) for x in selectors}
        lost = [name for name in dict.fromkeys(found.values()) if name]
        gone = list({s.id: s for s in (resolve(living, x) for x in selectors if not found[x])}.values())
        pinned = [s.id for s in gone if s.pinned]
        if pinned:
            raise GitsnapError(
                f"{', '.join(pinned)} {'is' if len(pinned) == 1 else 'are'} pinned; nothing was deleted",
                kind="pinned",
                hint=f"gitsnap unpin {pinned[0]}",
            )
        _refuse_what_is_needed(sidecar, lost, gone, by)
        _see_room(sidecar)
        register.let_go(sidecar, lost, None)
        given_up = [prefix + name for name in lost for prefix in (refs.SNAPSHOTS, refs.PINS, refs.DESCRIPTIONS)]
        given_up += signatures.of_ids(sidecar, lost) if lost else ()
        with seal.changing(sidecar, dict.fromkeys(given_up)):
            for ref in given_up:
                sidecar.refs.discard(ref)
        for name in lost:
            del sidecar.damaged[name]
        if lost:
            sidecar.noted.details["damaged_removed"] = lost
        from gitsnap.sidecar import withdraw

        withdraw.delete(sidecar, living, gone, now)
    return [*lost, *(s.id for s in gone)]


def _refuse_what_is_needed(sidecar: Sidecar, lost: Sequence[str], gone: Sequence[Snapshot], by: str | None) -> None:
    """LockedError where an upgrade that is being run may have to go back to one of these."""
    running = upgrading.needed(sidecar)
    if running is None or running == by:
        return
    taken = register.load(sidecar).taken if lost else {}
    of = {name: taken[name].upgrade for name in lost if name in taken} | {s.id: s.upgrade for s in gone}
    needed = [name for name, upgrade in of.items() if upgrade == running]
    if needed:
        raise LockedError(
            f"{', '.join(needed)} belong{'s' * (len(needed) == 1)} to the upgrade {running}, which is under way; "
            "nothing was deleted",
            hint="wait until it is done: gitsnap status",
        )


def _lost_one(living: catalog.Living, selector: str) -> str | None:
    """The damaged snapshot that a selector names, if it names one."""
    names = [name for name, _ in living.damaged]
    if selector in names:
        return selector
    if selector in living.gone:
        return None
    found = [name for name in [*names, *(s.id for s in living)] if selector and living.begins(selector, name)]
    return found[0] if len(found) == 1 and found[0] in names else None


def pin(sidecar: Sidecar, selector: str, settings: Settings) -> Snapshot:
    """Keep a snapshot until it is unpinned. Pinning twice is fine."""
    with sidecar.writing(settings.lock_wait):
        return pin_locked(sidecar, choose(sidecar, selector))


def pin_locked(sidecar: Sidecar, snapshot: Snapshot) -> Snapshot:
    """The same for a caller who holds the lock."""
    sidecar.noted.target = snapshot.id
    if not snapshot.pinned:
        with seal.changing(sidecar, {refs.PINS + snapshot.id: snapshot.commit}):
            sidecar.refs.create(refs.PINS + snapshot.id, snapshot.commit)
    return replace(snapshot, pinned=True)


def unpin(sidecar: Sidecar, selector: str, settings: Settings) -> Snapshot:
    """Let retention have a snapshot again. Unpinning twice is fine."""
    with sidecar.writing(settings.lock_wait):
        snapshot = choose(sidecar, selector)
        sidecar.noted.target = snapshot.id
        if snapshot.pinned:
            with seal.changing(sidecar, {refs.PINS + snapshot.id: None}):
                sidecar.refs.remove(refs.PINS + snapshot.id, snapshot.commit)
    return replace(snapshot, pinned=False)
