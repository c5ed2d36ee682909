"""Keeping account of damage: what a verification or any other reading found, and what was healed since."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from gitsnap.core.audit import path_text
from gitsnap.core.errors import IntegrityError, LockedError
from gitsnap.core.model import Problem, Snapshot
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import damaged_objects
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import known_damage
from gitsnap.sidecar.state.known_damage import Damage

_PATIENCE = 10.0
# Hexadecimal digits of a commit's id.
_COMMIT = 40


def _broken(sidecar: Sidecar) -> set[bytes]:
    """The objects (raw ids) of which no copy can be read now, of all that could not be read before."""
    return {oid for oid in [*sidecar.objects.damaged] if not sidecar.objects.readable(oid)}


def known(sidecar: Sidecar, living: Sequence[Snapshot]) -> dict[str, Damage]:
    """What is known to be damaged of the living snapshots, by id."""
    found = known_damage.load(sidecar)
    return {s.id: found[s.commit] for s in living if s.commit in found}


def judge(
    sidecar: Sidecar,
    living: Sequence[Snapshot],
    passed: Collection[str],
    failed: Mapping[str, Sequence[Problem]],
    now: datetime,
    *,
    beside: Mapping[str, Sequence[Problem]] | None = None,
) -> None:
    """After a verification: what passed (commits) is whole, what failed is damaged, and so is what shares its objects.

    `beside` is all that is wrong with the sidecar itself, and with snapshots that no commit stands for, by name; None
    where that was not looked at. OSError or LockedError where nothing can be written.
    """
    broken = _broken(sidecar)
    damaged_objects.record(sidecar.own("suspects"), broken, sidecar.scratch)
    if not failed and not beside and not known_damage.load(sidecar):
        return
    others = [s for s in living if s.commit not in failed and s.commit not in passed]
    shared = _holders(sidecar, others, broken) if broken and others else {}

    def how(before: dict[str, Damage]) -> dict[str, Damage]:
        alive = {s.commit for s in living}
        stays = alive.difference(passed)
        if beside is None:
            stays |= {key for key in before if _is_name(key)}
        after = {c: d for c, d in before.items() if c in stays}
        for commit, problems in (*shared.items(), *failed.items(), *(beside or {}).items()):
            after[commit] = known_damage.damage(now, "verify", problems, before.get(commit))
        _note_first(sidecar, living, before, after)
        return after

    known_damage.change(sidecar, how, _PATIENCE)


def note(sidecar: Sidecar, now: datetime, by: str) -> None:
    """After a command that may have met damage on its way: what it met is known from now on."""
    if not sidecar.met_damage and not sidecar.damaged:
        return
    # Nothing that a command found may depend on whether it can be written down.
    with suppress(OSError, LockedError, IntegrityError), sidecar.using_objects(_PATIENCE):
        broken = _broken(sidecar)
        damaged_objects.record(sidecar.own("suspects"), broken, sidecar.scratch)
        living = catalog.snapshots(sidecar)
        found = dict(_holders(sidecar, living, broken)) if broken else {}
        found |= {name: [Problem(b"", error.message)] for name, error in sidecar.damaged.items()}

        def how(before: dict[str, Damage]) -> dict[str, Damage]:
            after = before | {
                c: known_damage.damage(now, by, p, before.get(c)) for c, p in found.items() if c not in before
            }
            _note_first(sidecar, living, before, after)
            return after

        known_damage.change(sidecar, how, _PATIENCE)


def _is_name(key: str) -> bool:
    """Whether what is damaged goes by a name (`sidecar`, a snapshot that cannot be read), not by a commit."""
    return len(key) != _COMMIT


def _note_first(
    sidecar: Sidecar, living: Sequence[Snapshot], before: Collection[str], after: Mapping[str, Damage]
) -> None:
    """For whoever is to be told: what was not known to be damaged until now."""
    names = {s.commit: s.id for s in living}
    for commit, found in after.items():
        if commit not in before:
            first = found.problems[0] if found.problems else Problem(b"", "")
            told = {"snapshot": names.get(commit, commit), "path": path_text(first.path), "problem": first.reason}
            sidecar.noted.damaged.append({**told, "problems": found.count})


def heal(sidecar: Sidecar) -> None:
    """After a snapshot: damage of objects that can be read again, since they were written afresh, is over."""
    before = known_damage.load(sidecar)
    if not before:
        return
    healed = set()
    for commit, found in before.items():
        needed = found.objects()
        if needed is not None and all(map(sidecar.objects.readable, needed)):
            healed.add(commit)
    with suppress(OSError, LockedError):
        broken = _broken(sidecar)
        damaged_objects.record(sidecar.own("suspects"), broken, sidecar.scratch)
        if healed:
            known_damage.change(sidecar, lambda d: {c: x for c, x in d.items() if c not in healed}, _PATIENCE)


def _holders(
    sidecar: Sidecar, living: Sequence[Snapshot], broken: Collection[bytes]
) -> Mapping[str, Sequence[Problem]]:
    # Only those who have met damage need what it loads.
    from gitsnap.sidecar.damaged_paths import holders

    return holders(sidecar, living, broken)
