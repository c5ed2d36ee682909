"""Verification: every byte of a snapshot read again, and every text that speaks of it compared with the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from gitsnap.core.errors import IntegrityError, LockedError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Problem, Snapshot
from gitsnap.core.settings import Settings
from gitsnap.ops.check.verdict import Finding, Verdict, note
from gitsnap.ops.check.verify_snapshot import verify_snapshot
from gitsnap.ops.live import damage
from gitsnap.ops.parallel.read_back import ReadBacks
from gitsnap.sidecar import catalog, integrity, lost_refs
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose
from gitsnap.sidecar.state import seal, verifications

# How often to look again at what seems wrong while others are at work, and how much longer to wait each time (seconds).
_TRIES, _PAUSE = 6, 0.05


def verify(
    sidecar: Sidecar,
    selectors: Sequence[str],
    settings: Settings,
    *,
    now: datetime,
    everything: bool = False,
    observer: Observer = SILENT,
) -> list[Verdict]:
    """Verify the selected snapshots (all of them with `everything`), and remember which passed.

    Where something is wrong with the timeline, which no snapshot needs, one more verdict is on `timeline`. With
    `everything` comes the sidecar itself: where something is wrong with it, the last verdict is on `sidecar`.
    """
    with sidecar.using_objects(settings.lock_wait):
        look = _look(sidecar, selectors, observer, everything=everything)
    verdicts = [*look.damaged.values(), *look.verdicts.values()]
    if look.stale:
        verdicts.append(Verdict("timeline", problems=look.stale))
    if look.flaws:
        verdicts.append(Verdict("sidecar", problems=look.flaws))
    note(sidecar, verdicts)
    # A full or read-only disk must not withhold the verdict.
    with suppress(OSError, LockedError):
        with sidecar.using_objects(settings.lock_wait):
            failed = {s.commit: [Problem(f.path, f.problem) for f in look.verdicts[s.id].problems] for s in look.chosen}
            passed = {s.commit for s in look.chosen if look.verdicts[s.id].ok}
            beside = {v.snapshot: [Problem(f.path, f.problem) for f in v.problems] for v in look.damaged.values()}
            if look.flaws:
                beside["sidecar"] = [Problem(f.path, f.problem) for f in look.flaws]
            damage.judge(
                sidecar,
                look.living,
                passed,
                {c: p for c, p in failed.items() if p},
                now,
                beside=beside if everything else None,
            )
        verifications.record(
            sidecar,
            [s for s in look.chosen if look.verdicts[s.id].ok],
            [s for s in look.chosen if not look.verdicts[s.id].ok],
            now,
            settings.lock_wait,
        )
    return verdicts


@dataclass(slots=True)
class _Findings:
    """What was found: by snapshot, of those that cannot be read at all and of those that were `chosen` of all that are
    `living`; of the timeline, and of the rest of the sidecar. `steady` tells that nobody changed the sidecar meanwhile.
    """

    living: list[Snapshot]
    chosen: list[Snapshot]
    damaged: dict[str, Verdict]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    stale: list[Finding] = field(default_factory=list)
    flaws: list[Finding] = field(default_factory=list)
    steady: bool = False

    @property
    def wrong(self) -> list[Verdict]:
        """The snapshots with problems."""
        return [v for v in (*self.damaged.values(), *self.verdicts.values()) if not v.ok]

    def take_in(self, gone: lost_refs.Vanished, only: _Findings | None) -> None:
        """What refs have been lost: all, or those that were missed in a look before."""
        for name, commit in gone.snapshots.items():
            if only is None or name in only.damaged:
                self.damaged[name] = Verdict(name, problems=[Finding(b"", _VANISHED, commit)])
        self.flaws += [Finding(b"", f"the ref {ref} is lost", commit) for ref, commit in gone.notes.items()]

    def confirmed_by(self, again: _Findings) -> None:
        """Keep what a second look found as well. Of one that was steady, all; else what both have found."""

        def both(mine: list[Finding], others: list[Finding]) -> list[Finding]:
            return others if again.steady else [finding for finding in others if finding in mine]

        for mine, others in ((self.damaged, again.damaged), (self.verdicts, again.verdicts)):
            for verdict in [v for v in mine.values() if not v.ok]:
                # A snapshot that is gone was removed meanwhile, as any may be.
                found = others.get(verdict.snapshot) or again.verdicts.get(verdict.snapshot)
                if found is None:
                    del mine[verdict.snapshot]
                else:
                    mine[verdict.snapshot] = replace(found, problems=both(verdict.problems, found.problems))
        self.living, self.chosen = again.living, [s for s in self.chosen if s.id in self.verdicts]
        self.stale, self.flaws = both(self.stale, again.stale), both(self.flaws, again.flaws)
        self.steady = again.steady


def _look(sidecar: Sidecar, selectors: Sequence[str], observer: Observer, *, everything: bool) -> _Findings:
    """Look at what is chosen, and look again at what seems wrong while others are at work on the sidecar.

    What a gc moves, a removal takes or a snapshot adds between two reads looks like damage, but not twice.
    """
    before = set(sidecar.objects.damaged)
    look = _look_once(sidecar, selectors, observer, everything=everything)
    for attempt in range(_TRIES):
        if look.steady or not (look.wrong or look.stale or look.flaws):
            break
        time.sleep(_PAUSE * attempt)
        sidecar.objects.damaged = set(before)
        sidecar.objects.refresh()
        look.confirmed_by(_look_once(sidecar, selectors, SILENT, everything=everything, only=look))
    return look


def _look_once(
    sidecar: Sidecar, selectors: Sequence[str], observer: Observer, *, everything: bool, only: _Findings | None = None
) -> _Findings:
    """One look, or another at what was wrong with `only` that."""
    moment = integrity.moment(sidecar)
    living, damaged = catalog.survey(sidecar)
    chosen = living if everything else [choose(sidecar, s) for s in selectors]
    if only is not None:
        wrong = {v.snapshot for v in only.wrong}
        chosen, damaged = [s for s in chosen if s.id in wrong], [(name, e) for name, e in damaged if name in wrong]
    look = _Findings(living, chosen, {name: Verdict(name, problems=[Finding(b"", e.message)]) for name, e in damaged})
    if not everything:
        look.damaged = {}
    elif only is None or only.damaged or only.flaws:
        look.take_in(lost_refs.look(sidecar), only)
    if not damaged and (only is None or only.stale):
        look.stale = _timeline_problems(sidecar, living)
    known = ReadBacks()
    observer.started("verifying", sum(s.files for s in chosen), sum(s.bytes for s in chosen))
    # The texts of older ones are told by how they differ from the next.
    verdicts = {s.id: verify_snapshot(sidecar, s, known, observer) for s in reversed(chosen)}
    look.verdicts = {s.id: verdicts[s.id] for s in chosen}
    observer.finished()
    # Workers remember it for themselves alone.
    sidecar.objects.damaged.update(known.problems)
    if everything and (only is None or only.flaws):
        found = [*integrity.flaws(sidecar), *integrity.audit_log(sidecar), *integrity.check_objects(sidecar)]
        look.flaws += [Finding(b"", *flaw) for flaw in found]
    look.steady = integrity.moment(sidecar) == moment
    return look


_VANISHED = "no ref names it, and nobody removed it"
_REBUILT = "no snapshot needs it, and the next one rebuilds it"


def _timeline_problems(sidecar: Sidecar, living: list[Snapshot]) -> list[Finding]:
    """The timeline is derived from the snapshots, so what it must be can be computed."""
    actual = sidecar.refs.get(refs.TIMELINE)
    try:
        chain = catalog.chain(sidecar, living)
    except IntegrityError as error:
        return [Finding(b"", f"{error.message}; {_REBUILT}")]
    expected = chain[-1].commit if chain else None
    if actual != expected:
        if _lags(sidecar, actual):
            return []
        return [Finding(b"", f"it does not string the snapshots together; {_REBUILT}", expected, actual)]
    for link in chain:
        try:
            sidecar.objects.read(bytes.fromhex(link.commit), b"commit")
        except IntegrityError as error:
            return [Finding(b"", f"{error.message}; {_REBUILT}")]
    return []


def _lags(sidecar: Sidecar, tip: str | None) -> bool:
    """Whether an operation that was killed left the timeline so: the next snapshot brings it up to date."""
    with suppress(IntegrityError):
        sealed = seal.load(sidecar)
        return sealed is not None and not sealed.settled and sealed.accepts(refs.TIMELINE, tip)
    return False
