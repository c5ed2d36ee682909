"""Verification: every byte of a snapshot read again, and every text that speaks of it compared with the others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from gitsnap.core.audit import MOST, path_text
from gitsnap.core.content import Digesting
from gitsnap.core.coverage import Coverage, beyond, unread
from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.manifest import parse_manifest
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot, Type
from gitsnap.core.mtree import parse_metadata
from gitsnap.core.settings import Settings
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.live import damage, databases, exclusions
from gitsnap.ops.live.pending import hidden_stages, without
from gitsnap.ops.parallel.read_back import ReadBack, Rereading
from gitsnap.ops.restore.target import differences
from gitsnap.sidecar import catalog, contents, integrity, lost_refs
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose
from gitsnap.sidecar.state import seal, verifications

# Inside Verdict, `bytes` is a field.
_Path = bytes
# How often to look again at what seems wrong while others are at work, and how much longer to wait each time (seconds).
_TRIES, _PAUSE = 6, 0.05


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that is wrong. `path` is relative to the installation, empty for the snapshot itself."""

    path: bytes
    problem: str
    expected: str | None = None
    actual: str | None = None


@dataclass(slots=True)
class Verdict:
    """The result for one snapshot; `files` and `bytes` are what was read and found right.

    Where a directory was compared with it, `unread` names what could not be read when the snapshot was taken,
    and `beyond` what a foreign copy does not cover.
    """

    snapshot: str
    files: int = 0
    bytes: int = 0
    problems: list[Finding] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    beyond: list[_Path] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


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
    _note(sidecar, verdicts)
    # A full or read-only disk must not withhold the verdict.
    with suppress(OSError, LockedError):
        with sidecar.using_objects(settings.lock_wait):
            failed = {s.commit: [Problem(f.path, f.problem) for f in look.verdicts[s.id].problems] for s in look.chosen}
            passed = {s.commit for s in look.chosen if look.verdicts[s.id].ok}
            damage.judge(sidecar, look.living, passed, {c: p for c, p in failed.items() if p}, now)
        verifications.record(
            sidecar,
            [s for s in look.chosen if look.verdicts[s.id].ok],
            [s for s in look.chosen if not look.verdicts[s.id].ok],
            now,
            settings.lock_wait,
        )
    return verdicts


def _note(sidecar: Sidecar, verdicts: Sequence[Verdict]) -> None:
    noted = sidecar.noted
    noted.counts |= {
        "snapshots": sum(v.snapshot not in ("timeline", "sidecar") for v in verdicts),
        "damaged": sum(not v.ok for v in verdicts),
        "read_files": sum(v.files for v in verdicts),
        "read_bytes": sum(v.bytes for v in verdicts),
    }
    noted.details["read"] = [v.snapshot for v in verdicts[:MOST]]
    found = [(v.snapshot, problem) for v in verdicts for problem in v.problems]
    if found:
        named = [{"snapshot": s, "path": path_text(f.path), "problem": f.problem} for s, f in found[:MOST]]
        noted.details["problems"], noted.counts["problems"] = named, len(found)
        noted.outcome = "differs" if noted.details.get("live") else "damaged"
        noted.cause = f"{named[0]['snapshot']}: {named[0]['path']} {named[0]['problem']}".replace("  ", " ")


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
    known: dict[bytes, ReadBack] = {}
    observer.started("verifying", sum(s.files for s in chosen), sum(s.bytes for s in chosen))
    look.verdicts = {s.id: _verify_one(sidecar, s, known, observer) for s in chosen}
    observer.finished()
    # Workers remember it for themselves alone.
    sidecar.objects.damaged.update(oid for oid, held in known.items() if isinstance(held, str))
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


def _verify_one(sidecar: Sidecar, snapshot: Snapshot, known: dict[bytes, ReadBack], observer: Observer) -> Verdict:
    verdict = Verdict(snapshot.id)
    try:
        metadata, manifest = contents.metadata_text(sidecar, snapshot), contents.manifest_text(sidecar, snapshot)
        # The metadata have a line for each entry, and hardly any other.
        tree = contents.leaves(sidecar, snapshot, metadata.count(b"\n"))
        with Rereading(sidecar.objects, contents.files_of(tree), known, observer) as rereading:
            # The texts are parsed while the workers read.
            found, listed = parse_metadata(metadata), parse_manifest(manifest)
            for path, message in contents.disagreements(sidecar, snapshot, found, listed, tree):
                verdict.problems.append(Finding(path, message))
            if snapshot.partial != len(found.partial):
                verdict.problems.append(Finding(b"", "the commit and the metadata disagree about what is partial"))
            held = rereading.finish()
    except GitsnapError as error:
        verdict.problems.append(Finding(_path_of(error), error.message))
        return verdict
    for entry in found.entries:
        if entry.oid is None:
            continue
        problem = _link_problem(sidecar, entry) if entry.type is Type.LINK else _content_problem(entry, held)
        if problem:
            verdict.problems.append(problem)
        elif entry.type is Type.FILE:
            verdict.files += 1
            verdict.bytes += entry.size
    verdict.problems.sort(key=lambda p: p.path)
    return verdict


def _path_of(error: GitsnapError) -> bytes:
    return error.path if isinstance(error.path, bytes) else b""


def _link_problem(sidecar: Sidecar, entry: Entry) -> Finding | None:
    try:
        actual = sidecar.objects.read(entry.oid or b"", b"blob")[1]
    except IntegrityError as error:
        return Finding(entry.path, error.message)
    if actual == entry.target:
        return None
    return Finding(entry.path, "the symlink's text differs", _text(entry.target), _text(actual))


def _content_problem(entry: Entry, held: Mapping[bytes, ReadBack]) -> Finding | None:
    expected = (entry.sha256 or b"").hex() or None
    # A path that the tree gives another type was not read, and is named for that.
    found = held.get(entry.oid or b"", "its content was not found")
    if isinstance(found, str):
        return Finding(entry.path, found, expected)
    size, digest = found
    if size != entry.size:
        return Finding(entry.path, f"object {(entry.oid or b'').hex()} has {size} bytes, not {entry.size}", expected)
    if digest == entry.sha256 or entry.sha256 is None:
        return None
    return Finding(entry.path, "the content is not what the manifest says", expected, digest.hex())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def verify_live(sidecar: Sidecar, selector: str, settings: Settings, *, observer: Observer = SILENT) -> Verdict:
    """Compare the directory, every byte read again, with a snapshot."""
    with sidecar.using_objects(settings.lock_wait):
        snapshot = choose(sidecar, selector)
        wanted = contents.inventory(sidecar, snapshot)
    localise(wanted)
    rules = exclusions.for_comparison(sidecar.installation, settings, wanted)
    observer.started("comparing", snapshot.files, snapshot.bytes)
    excludes = without(hidden_stages(sidecar), rules.excluded_from_safety)
    as_held = databases.comparing(sidecar, wanted, sqlite=settings.sqlite)
    live = Scanner(
        sidecar.installation, Digesting(), ScanOptions(excludes=excludes, databases=as_held, observer=observer)
    ).run()
    observer.finished()
    problems = differences(wanted, live.inventory, lambda _: True, rules.protected)
    told = Coverage(wanted)
    problems += [p for p in live.inventory.partial if not told.unread(p.path)]
    verdict = Verdict(snapshot.id, unread=unread(wanted), beyond=beyond(wanted, live.inventory))
    before, after = wanted.by_path(), live.inventory.by_path()
    for problem in problems:
        digests = [_digest(inventory.get(problem.path)) for inventory in (before, after)]
        verdict.problems.append(Finding(problem.path, problem.reason, *digests))
    verdict.files, verdict.bytes = _read(live.inventory)
    sidecar.noted.details["live"] = True
    _note(sidecar, [verdict])
    return verdict


def _digest(entry: Entry | None) -> str | None:
    return entry.sha256.hex() if entry and entry.sha256 else None


def _read(inventory: Inventory) -> tuple[int, int]:
    files = inventory.files()
    return len(files), sum(e.size for e in files)
