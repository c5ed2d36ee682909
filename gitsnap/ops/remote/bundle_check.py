"""A bundle read once, as whoever gets it would: every object, every digest, every text compared with the others.

Several that build on each other are read in their order by one check: what earlier ones held counts as there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from gitsnap.core.bundle import REF, Heading, Label, digest, is_label, misplaced, parse_label, read_heading
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.manifest import parse_manifest
from gitsnap.core.message import parse_message
from gitsnap.core.model import Entry, Snapshot, Type
from gitsnap.core.mtree import parse_metadata
from gitsnap.ops.check.verdict import Finding, Verdict
from gitsnap.sidecar import contents
from gitsnap.sidecar.git import commits, notes, refs, trees
from gitsnap.sidecar.git.pack_check import PackCheck, Passed, Reading

# Of texts that came before what they tell of, which only git makes of a bundle, in bytes.
_KEPT = 64 << 20


class Elsewhere(Protocol):
    """Objects that are at hand beside a bundle, by id, such as an ObjectStore."""

    def __contains__(self, oid: bytes, /) -> bool: ...

    def read(self, oid: bytes, expected: bytes | None = None, /) -> tuple[bytes, bytes]:
        """(type, content); IntegrityError."""


@dataclass(slots=True)
class Checked:
    """What one bundle holds. `verdicts` are on the snapshots in it, `problems` on the bundle itself. `missing` is what
    it needs and is not there, commits and words; `unchecked` the snapshots that could not be compared in full for that.
    """

    heading: Heading
    label: Label | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    objects: int = 0
    plain_size: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what could be looked at."""
        return not self.problems and all(v.ok for v in self.verdicts)


class BundleCheck:
    """Checks bundles. `elsewhere` are the objects of a sidecar that is at hand."""

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self._digests: dict[bytes, tuple[int, bytes]] = {}
        self._trees: dict[bytes, bytes] = {}
        self._commits: dict[bytes, bytes] = {}
        self._tags: set[bytes] = set()
        self._labels: list[Label] = []
        self._last: dict[bytes, bytes] = {}
        self._label: Label | None = None
        self._labelled = b""

    def check(self, source: Callable[[int], bytes], observer: Observer = SILENT) -> Checked:
        """Read one bundle to its end. Raises IntegrityError for what is none, or is damaged as a whole."""
        reading = Reading(source)
        checked = Checked(read_heading(reading.line))
        fresh: dict[bytes, Snapshot] = {}
        texts = _Texts(self._last)
        pack = PackCheck(reading, self._base)
        self._label, self._labelled = None, b""
        for passed in pack.objects():
            checked.objects += 1
            observer.advanced(1, passed.size)
            if passed.kind == b"blob":
                self._digests[passed.oid] = passed.size, passed.sha256
                if texts.take(passed):
                    checked.verdicts += self._compare(fresh, texts, checked, last=False)
            elif passed.kind == b"tag":
                self._tags.add(passed.oid)
            elif passed.kind == b"tree":
                self._trees[passed.oid] = passed.content or b""
            elif passed.kind == b"commit":
                self._commits[passed.oid] = passed.content or b""
                self._notice_label(passed)
                if (snapshot := _snapshot(passed)) is not None:
                    fresh[passed.oid] = snapshot
                    texts.expect(snapshot)
        checked.plain_size = reading.position
        self._judge(checked, fresh, texts, pack.unresolved)
        self._last = texts.last
        return checked

    def _notice_label(self, passed: Passed) -> None:
        message = commits.parse(passed.content or b"", passed.oid.hex()).message
        if is_label(message):
            self._label, self._labelled = parse_label(message), passed.oid

    def _base(self, oid: bytes) -> tuple[bytes, bytes] | None:
        """What a delta is of that lies before this bundle: a text of the last snapshot of the one before."""
        content = self._last.get(oid)
        if content is not None:
            return b"blob", content
        return self._elsewhere.read(oid) if self._is_elsewhere(oid) and self._elsewhere is not None else None

    def _there(self, oid: bytes) -> bool:
        if oid in self._tags:
            return True
        return oid in self._digests or oid in self._trees or oid in self._commits or self._is_elsewhere(oid)

    def _is_elsewhere(self, oid: bytes) -> bool:
        return self._elsewhere is not None and oid in self._elsewhere

    def _judge(self, checked: Checked, fresh: dict[bytes, Snapshot], texts: _Texts, unresolved: int) -> None:
        """What can be said when all has passed by."""
        heading = checked.heading
        self._judge_heading(checked, fresh)
        checked.missing = {oid: word for oid, word in heading.needs.items() if not self._there(bytes.fromhex(oid))}
        checked.verdicts += self._compare(fresh, texts, checked, last=True)
        self._fill_in(checked, fresh, texts)
        told = {v.snapshot for v in checked.verdicts}
        untold = [s.id for s in fresh.values() if s.id not in told]
        checked.unchecked += [name for name in untold if name not in checked.unchecked]
        named = {bytes.fromhex(oid) for ref, oid in heading.refs.items() if ref.startswith(refs.SNAPSHOTS)}
        checked.problems += [
            f"{ref} leads to an object that is not in it: {oid}"
            for ref, oid in heading.refs.items()
            if oid not in heading.needs and not self._there(bytes.fromhex(oid))
        ]
        if unresolved and not heading.needs:
            checked.problems.append(
                f"{unresolved} of its objects are deltas of what is not in it, or passed by long ago"
            )
        if checked.label is not None:
            if self._labels and (checked.missing or checked.label.number):
                word = next(iter(checked.missing.values()), "")
                lacks = f"it builds on {word}, which is in none of the bundles before it" if word else None
                wrong = misplaced(checked.label, self._labels) or lacks
                checked.problems += [wrong] if wrong else []
            self._labels.append(checked.label)
        order = {name: at for at, name in enumerate(r.removeprefix(refs.SNAPSHOTS) for r in heading.refs)}
        checked.verdicts.sort(key=lambda v: order.get(v.snapshot, 0))
        checked.verdicts = [v for v in checked.verdicts if v.snapshot in order or not named]

    def _fill_in(self, checked: Checked, fresh: dict[bytes, Snapshot], texts: _Texts) -> None:
        """Compare those whose texts are not in the bundle, since its reader has them."""
        told = {v.snapshot for v in checked.verdicts}
        for snapshot in [s for s in fresh.values() if s.id not in told and s.id not in checked.unchecked]:
            for ref, digest_ in ((refs.MANIFESTS, snapshot.manifest_sha256), (refs.METADATA, snapshot.metadata_sha256)):
                if (content := self._text(checked, ref, snapshot, texts.last)) is not None:
                    texts.put(digest_, content)
            checked.verdicts += self._compare(fresh, texts, checked, last=True)

    def _text(self, checked: Checked, ref: str, snapshot: Snapshot, last: dict[bytes, bytes]) -> bytes | None:
        try:
            oid = notes.find(self, checked.heading.refs.get(ref), snapshot.commit)
        except IntegrityError:
            return None
        if oid is None or oid in last:
            return last.get(oid or b"")
        found = self._base(oid)
        return found[1] if found is not None else None

    def _judge_heading(self, checked: Checked, fresh: dict[bytes, Snapshot]) -> None:
        """No checksum of git's covers the heading: what it says has to be what the objects say."""
        refs_ = checked.heading.refs
        if self._label is not None:
            checked.label = self._label
            if bytes.fromhex(refs_.get(REF, "")) != self._labelled or self._label.heading != digest(checked.heading):
                checked.problems.append("its heading is not the one that it was made with")
        named = {ref.removeprefix(refs.SNAPSHOTS): oid for ref, oid in refs_.items() if ref.startswith(refs.SNAPSHOTS)}
        for oid, snapshot in fresh.items():
            if named.get(snapshot.id) != oid.hex():
                checked.problems.append(f"no ref leads to snapshot {snapshot.id}")

    def _compare(self, fresh: dict[bytes, Snapshot], texts: _Texts, checked: Checked, *, last: bool) -> list[Verdict]:
        """The verdicts on those snapshots of which both texts are there now."""
        found = []
        for snapshot in texts.complete():
            manifest, metadata = texts.of(snapshot)
            verdict, lacks = self._look(snapshot, manifest, metadata)
            if lacks and not last:
                # As git orders a bundle, what it tells of may yet come.
                if not texts.keep_waiting(snapshot):
                    checked.unchecked.append(snapshot.id)
                continue
            texts.done(snapshot)
            if lacks and checked.heading.needs:
                checked.unchecked.append(snapshot.id)
                verdict.problems = [p for p in verdict.problems if p.problem != _LACKS]
            found.append(verdict)
        return found

    def _look(self, snapshot: Snapshot, manifest: bytes, metadata: bytes) -> tuple[Verdict, bool]:
        """The verdict on one snapshot, and whether anything of it is neither in the bundle nor known."""
        verdict = Verdict(snapshot.id)
        try:
            found, listed = parse_metadata(metadata), parse_manifest(manifest)
            tree = list(trees.flatten(self, bytes.fromhex(snapshot.tree), metadata.count(b"\n")))
            problems = contents.joined(snapshot, found, listed, tree)
            verdict.problems += [Finding(path, message) for path, message in problems]
            if snapshot.partial != len(found.partial):
                verdict.problems.append(Finding(b"", "the commit and the metadata disagree about what is partial"))
        except _LackingError:
            verdict.problems.append(Finding(b"", _LACKS))
            return verdict, True
        except GitsnapError as error:
            verdict.problems.append(Finding(error.path if isinstance(error.path, bytes) else b"", error.message))
            return verdict, False
        lacks = False
        for entry in found.entries:
            if entry.oid is None:
                continue
            held = self._digests.get(entry.oid)
            if held is None and not self._is_elsewhere(entry.oid):
                lacks = True
                verdict.problems.append(Finding(entry.path, _LACKS))
            elif held is not None and held != _expected(entry):
                verdict.problems.append(Finding(entry.path, "the content is not what the manifest says"))
            elif held is not None and entry.type is Type.FILE:
                verdict.files += 1
                verdict.bytes += entry.size
        return verdict, lacks

    def read(self, oid: bytes, expected: bytes | None = None, /) -> tuple[bytes, bytes]:
        """A tree or commit that has passed by, or lies elsewhere."""
        for kind, held in ((b"tree", self._trees), (b"commit", self._commits)):
            if oid in held:
                return kind, held[oid]
        if self._elsewhere is None or oid not in self._elsewhere:
            raise _LackingError(f"object {oid.hex()} is not in it")
        return self._elsewhere.read(oid, expected)


def _expected(entry: Entry) -> tuple[int, bytes | None]:
    """The size and the SHA-256 of what the tree has for a file or symlink."""
    if entry.type is Type.LINK:
        return len(entry.target), hashlib.sha256(entry.target).digest()
    return entry.size, entry.sha256


_LACKS = "its content is not in it"


class _LackingError(IntegrityError):
    """Something that is needed to compare is not there."""


class _Texts:
    """The manifests and metadata that pass by, each kept for as long as a snapshot waits for it."""

    def __init__(self, last: dict[bytes, bytes]) -> None:
        self._waiting: dict[str, list[Snapshot]] = {}
        self._held: dict[str, bytes] = {}
        self._late: set[str] = set()
        self._ready: list[Snapshot] = []
        # The last manifest and the last metadata, by their ids.
        self.last = dict(last)

    def expect(self, snapshot: Snapshot) -> None:
        """The texts of a snapshot will come, or have come already."""
        for each in _digests(snapshot):
            self._waiting.setdefault(each, []).append(snapshot)
        self._notice([snapshot])

    def take(self, passed: Passed) -> bool:
        """Whether a blob that passes by is a text that somebody waits for, or may be one."""
        content, digest = passed.content, passed.sha256.hex()
        if content is None or not content.startswith((b"# gitsnap manifest ", b"# gitsnap metadata ")):
            return False
        self.last = {oid: c for oid, c in self.last.items() if c[:18] != content[:18]} | {passed.oid: content}
        early = digest not in self._waiting
        if early and sum(map(len, self._held.values())) + len(content) > _KEPT:
            return False
        self._held[digest] = content
        self._notice(self._waiting.get(digest, ()))
        return not early

    def put(self, digest_: str, content: bytes) -> None:
        """A text that somebody waits for was found elsewhere."""
        if hashlib.sha256(content).hexdigest() == digest_:
            self._held[digest_] = content
            self._notice(self._waiting.get(digest_, ()))

    def _notice(self, snapshots: Iterable[Snapshot]) -> None:
        self._ready += [s for s in snapshots if all(d in self._held for d in _digests(s)) and s not in self._ready]

    def complete(self) -> list[Snapshot]:
        """The snapshots of which both texts are held."""
        return list(self._ready)

    def of(self, snapshot: Snapshot) -> tuple[bytes, bytes]:
        """The manifest and the metadata of a snapshot that is complete."""
        return self._held[snapshot.manifest_sha256], self._held[snapshot.metadata_sha256]

    def keep_waiting(self, snapshot: Snapshot) -> bool:
        """Whether there is room to keep a snapshot's texts until the end."""
        self._late.add(snapshot.id)
        if sum(map(len, self._held.values())) <= _KEPT:
            return True
        self.done(snapshot)
        return False

    def done(self, snapshot: Snapshot) -> None:
        """A snapshot was compared; what only it needs is let go."""
        self._ready.remove(snapshot)
        for each in _digests(snapshot):
            waiting = self._waiting[each]
            waiting.remove(snapshot)
            if not waiting:
                self._held.pop(each, None)


def _digests(snapshot: Snapshot) -> tuple[str, str]:
    return snapshot.manifest_sha256, snapshot.metadata_sha256


def _snapshot(passed: Passed) -> Snapshot | None:
    """The snapshot whose commit this is; None for others, those of the timeline among them."""
    parsed = commits.parse(passed.content or b"", passed.oid.hex())
    if parsed.parent is not None:
        return None
    try:
        return parse_message(
            parsed.message, commit=passed.oid.hex(), tree=parsed.tree, created=parsed.created, pinned=False
        )
    except IntegrityError:
        return None
