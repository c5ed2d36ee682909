"""Verification: every byte of a snapshot read again, and every text that speaks of it compared with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from gitsnap.core.content import Digesting
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.manifest import parse_manifest
from gitsnap.core.model import Entry, Inventory, Snapshot, Type
from gitsnap.core.mtree import parse_metadata
from gitsnap.core.settings import Settings
from gitsnap.installation.owners import localise
from gitsnap.installation.scan import Scanner
from gitsnap.ops import databases, exclusions
from gitsnap.ops.pending import hidden_stages, without
from gitsnap.ops.rereading import Held, Rereading
from gitsnap.ops.target import differences
from gitsnap.sidecar import catalog, contents, integrity, ledger, refs, seal, suspects, timeline, vanished
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that is wrong. `path` is relative to the installation, empty for the snapshot itself."""

    path: bytes
    problem: str
    expected: str | None = None
    actual: str | None = None


@dataclass(slots=True)
class Verdict:
    """The result for one snapshot; `files` and `bytes` are what was read and found right."""

    snapshot: str
    files: int = 0
    bytes: int = 0
    problems: list[Finding] = field(default_factory=list)

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
        living, damaged = catalog.survey(sidecar)
        chosen = living if everything else [catalog.choose(sidecar, s) for s in selectors]
        verdicts = []
        if everything:
            verdicts = [Verdict(name, problems=[Finding(b"", e.message)]) for name, e in damaged]
        known: dict[bytes, Held] = {}
        outcome: dict[str, Verdict] = {}
        stale = [] if damaged else _timeline_problems(sidecar, living)
        observer.started("verifying", sum(s.files for s in chosen), sum(s.bytes for s in chosen))
        for snapshot in chosen:
            outcome[snapshot.id] = _verify_one(sidecar, snapshot, known, observer)
            verdicts.append(outcome[snapshot.id])
        observer.finished()
        found = [*integrity.flaws(sidecar), *integrity.check_objects(sidecar)] if everything else []
        if everything:
            there = vanished.look(sidecar)
            verdicts += [Verdict(n, problems=[Finding(b"", _VANISHED, c)]) for n, c in there.snapshots.items()]
            found += [integrity.Flaw(f"the ref {ref} is lost", commit) for ref, commit in there.notes.items()]
    if stale:
        verdicts.append(Verdict("timeline", problems=stale))
    if found:
        verdicts.append(Verdict("sidecar", problems=[Finding(b"", *flaw) for flaw in found]))
    # A full or read-only disk must not withhold the verdict.
    with suppress(OSError):
        suspects.record(sidecar.own("suspects"), sidecar.objects.damaged, sidecar.scratch)
        ledger.record(
            sidecar,
            [s for s in chosen if outcome[s.id].ok],
            [s for s in chosen if not outcome[s.id].ok],
            now,
            settings.lock_wait,
        )
    return verdicts


_VANISHED = "no ref names it, and nobody removed it"
_REBUILT = "no snapshot needs it, and the next one rebuilds it"


def _timeline_problems(sidecar: Sidecar, living: list[Snapshot]) -> list[Finding]:
    """The timeline is derived from the snapshots, so what it must be can be computed."""
    actual = sidecar.refs.get(refs.TIMELINE)
    chain = timeline.chain(sidecar.objects, living)
    expected = chain[-1][0] if chain else None
    if actual != expected:
        if _lags(sidecar, actual):
            return []
        return [Finding(b"", f"it does not string the snapshots together; {_REBUILT}", expected, actual)]
    for oid, _ in chain:
        try:
            sidecar.objects.read(bytes.fromhex(oid), b"commit")
        except IntegrityError as error:
            return [Finding(b"", f"{error.message}; {_REBUILT}")]
    return []


def _lags(sidecar: Sidecar, tip: str | None) -> bool:
    """Whether an operation that was killed left the timeline so: the next snapshot brings it up to date."""
    with suppress(IntegrityError):
        sealed = seal.load(sidecar)
        return sealed is not None and not sealed.settled and sealed.accepts(refs.TIMELINE, tip)
    return False


def _verify_one(sidecar: Sidecar, snapshot: Snapshot, known: dict[bytes, Held], observer: Observer) -> Verdict:
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


def _content_problem(entry: Entry, held: Mapping[bytes, Held]) -> Finding | None:
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
        snapshot = catalog.choose(sidecar, selector)
        wanted = contents.inventory(sidecar, snapshot)
    localise(wanted)
    rules = exclusions.for_comparison(sidecar.installation, settings, wanted)
    observer.started("comparing", snapshot.files, snapshot.bytes)
    excludes = without(hidden_stages(sidecar), rules.excluded_from_safety)
    as_held = databases.comparing(sidecar, wanted, sqlite=settings.sqlite)
    live = Scanner(sidecar.installation, Digesting(), excludes=excludes, databases=as_held, observer=observer).run()
    observer.finished()
    problems = differences(wanted, live.inventory, lambda _: True, rules.protected)
    problems += live.inventory.partial
    verdict = Verdict(snapshot.id)
    before, after = wanted.by_path(), live.inventory.by_path()
    for problem in problems:
        digests = [_digest(inventory.get(problem.path)) for inventory in (before, after)]
        verdict.problems.append(Finding(problem.path, problem.reason, *digests))
    verdict.files, verdict.bytes = _read(live.inventory)
    return verdict


def _digest(entry: Entry | None) -> str | None:
    return entry.sha256.hex() if entry and entry.sha256 else None


def _read(inventory: Inventory) -> tuple[int, int]:
    files = inventory.files()
    return len(files), sum(e.size for e in files)
