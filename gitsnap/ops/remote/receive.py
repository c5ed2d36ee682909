"""A sidecar of what another repository holds: fetched, checked, verified snapshot by snapshot, and only then there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitsnap.core.audit import NOTHING
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSidecarError, RemoteError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.ops.audit.publication import BroughtBack, bring_back_audit
from gitsnap.ops.check import signatures, verify
from gitsnap.ops.check.verdict import Finding, Verdict
from gitsnap.sidecar import catalog, copied, incoming
from gitsnap.sidecar.copied import Copied
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.fetch.source import Part, Source
from gitsnap.sidecar.incoming import Incoming
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, reflog, register

# After how many failures in a row a server is not asked any more.
_IN_VAIN = 5


@dataclass(slots=True)
class Received:
    """What came. `source` is how that is shown, `installation` the HOST/NAME that was chosen there, if it has any.

    `verdicts` are on the snapshots that are here now, `left_out` on those of which nothing could be taken. `ignored`
    are refs that are none of gitsnap's, or of other installations. `copied` is what else a copy told, `log` the
    audit log that goes on here.
    """

    source: str
    installation: str | None = None
    snapshots: list[Snapshot] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    left_out: list[Verdict] = field(default_factory=list)
    deleted: int = 0
    ignored: list[str] = field(default_factory=list)
    copied: Copied = field(default_factory=Copied)
    log: BroughtBack | None = None

    @property
    def damaged(self) -> list[Verdict]:
        """What is not whole, here or left out."""
        return [*(v for v in self.verdicts if not v.ok), *self.left_out]

    @property
    def whole(self) -> list[Snapshot]:
        """The snapshots that passed, in order."""
        passed = {v.snapshot for v in self.verdicts if v.ok}
        return [s for s in self.snapshots if s.id in passed]


@dataclass(slots=True, frozen=True)
class Asked:
    """What is to be received: of which installation there, by which settings, and when (`now`)."""

    settings: Settings
    now: datetime
    installation: str | None = None
    observer: Observer = SILENT


def sorted_refs(source: Source, installation: str | None) -> tuple[Incoming, Copied]:
    """What there is to receive. NoSidecarError where there are no snapshots, UsageError where there is no telling
    which."""
    told = copied.look(source.path, source.settings)
    named = incoming.sort(source.refs, installation)
    if installation is None and named.installation is None:
        # Their refs may have been lost on the way, and nothing else.
        named.snapshots = {**told.expected, **named.snapshots}
    if not named.snapshots:
        raise _nothing_there(source, named)
    return named, told


def _nothing_there(source: Source, named: Incoming) -> NoSidecarError:
    lost = [name for name in source.damaged if "gitsnap" in name]
    if lost:
        return NoSidecarError(f"{source.name} holds no snapshots: their {len(lost)} refs are damaged")
    what = f"its {len(named.others)} refs are none of gitsnap's" if named.others else "it has no refs at all"
    return NoSidecarError(
        f"{source.name} holds no snapshots: {what}",
        path=source.path,
        hint="a plain `git clone` takes only branches and tags; `git clone --mirror` takes everything",
    )


def fill(sidecar: Sidecar, source: Source, asked: Asked) -> Received:
    """Take everything that `source` has into a new sidecar that nobody sees yet, and verify all of it.

    What is damaged stays, and is known to be: all that is whole of it can be salvaged.
    """
    named, told = sorted_refs(source, asked.installation)
    result = Received(source.name, named.installation, ignored=named.others, copied=told)
    kept = fetch(sidecar, source, named.wants(), (), asked.observer)
    fresh = incoming.read(sidecar, named)
    result.left_out = [_left_out(name, why) for name, why in sorted(fresh.left_out.items())]
    if not fresh.snapshots:
        raise IntegrityError(f"none of the {len(fresh.left_out)} snapshots in {source.name} can be read")
    incoming.add_texts(sidecar, [], fresh, asked.now)
    incoming.reveal(sidecar, [], fresh, asked.now)
    remember_superseded(sidecar, source, asked.now)
    _remember_gone(sidecar, told, {s.id for s in (*fresh.snapshots, *fresh.deleted)})
    for keep in kept:
        os.unlink(keep)
    sidecar.objects.refresh()
    result.deleted = len(fresh.deleted)
    result.log = _bring_back_log(sidecar, source, told)
    result.verdicts = verify.verify(
        sidecar, [], asked.settings, now=asked.now, everything=True, observer=asked.observer
    )
    if signatures.wanted(asked.settings.signing):
        signatures.judge(sidecar, result.verdicts, asked.settings)
    result.snapshots = catalog.snapshots(sidecar)
    return result


def fetch(
    sidecar: Sidecar, source: Source, wants: Sequence[str], haves: Sequence[str], observer: Observer
) -> tuple[str, ...]:
    """Put what comes into the sidecar's objects, checked; the `.keep` files that hold it until its refs stand."""
    # By name: two parts may be one pack.
    keeps: dict[str, None] = {}
    known = list(haves)
    try:
        for part in source.parts():
            with naming(part.name):
                try:
                    keeps |= dict.fromkeys(_take(sidecar, part, wants, known, observer))
                except RemoteError as error:
                    keeps |= dict.fromkeys(_one_by_one(sidecar, part, wants, known, observer, error))
                part.settle(sidecar.objects)
            known += part.refs.values()
    except BaseException:
        for keep in keeps:
            os.unlink(keep)
        raise
    return tuple(keeps)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Whatever is wrong with what comes is said of what is called so: there may be many."""
    try:
        yield
    except GitsnapError as error:
        if type(error) not in (GitsnapError, IntegrityError) or name in error.message:
            raise
        # What a sidecar's damage would want.
        hint = None if error.hint == error.advice else error.hint
        raise type(error)(
            f"{name}: {error.message}",
            kind=error.kind,
            path=error.path or name,
            hint=hint or "another copy of it may be whole",
        ) from error


def _take(
    sidecar: Sidecar, part: Part, wants: Sequence[str], haves: Sequence[str], observer: Observer
) -> tuple[str, ...]:
    pack = IncomingPack(sidecar.scratch, sidecar.objects)
    try:
        part.fetch(wants, haves, pack, observer)
        pack.check(observer)
        written = pack.place(os.path.join(sidecar.path, "objects"))
    finally:
        pack.abandon()
    sidecar.objects.refresh()
    return written.keeps


def _one_by_one(
    sidecar: Sidecar,
    part: Part,
    wants: Sequence[str],
    haves: Sequence[str],
    observer: Observer,
    error: RemoteError,
) -> list[str]:
    """A server that misses one object sends nothing at all of what was asked for: the rest comes one by one.

    Raises the error again where nothing comes, or where it looks as if nothing will come any more.
    """
    keeps: list[str] = []
    known, in_vain = list(haves), 0
    for want in wants:
        try:
            keeps += _take(sidecar, part, [want], known, observer)
        except RemoteError:
            in_vain += 1
            if in_vain == _IN_VAIN:
                raise error from None
        else:
            known.append(want)
            in_vain = 0
    if not keeps:
        raise error
    return keeps


def remember_superseded(sidecar: Sidecar, source: Source, now: datetime) -> None:
    """What came in a bundle and no ref names any more goes with the next gc, and git does not complain until then."""
    came = [(name, oid) for part in source.parts() for name, oid in part.refs.items() if name != "HEAD"]
    reflog.remember(sidecar, {oid for _, oid in came} - {sidecar.refs.get(name) for name, _ in came}, now)


def _bring_back_log(sidecar: Sidecar, source: Source, told: Copied) -> BroughtBack | None:
    """Let the audit log go on after what came: the copy's own, which may be newer, or what the ref holds."""
    if told.log and source.path is not None:
        with suppress(OSError, IntegrityError):
            parts, last = audit.after(source.path, NOTHING)
            if parts:
                audit.begin_with(sidecar.path, parts, last)
                return BroughtBack(last)
    try:
        return bring_back_audit(sidecar)
    except IntegrityError as error:
        return BroughtBack(NOTHING, (error.message,), added=False)


def _left_out(name: str, why: str) -> Verdict:
    return Verdict(name, problems=[Finding(b"", why)])


def _remember_gone(sidecar: Sidecar, told: Copied, there: set[str]) -> None:
    """The ids of snapshots that were removed are not given again here either."""
    by_time: dict[int, list[str]] = {}
    for name, when in told.gone.items():
        if name not in there:
            by_time.setdefault(when, []).append(name)
    for when, names in sorted(by_time.items()):
        register.let_go(sidecar, names, datetime.fromtimestamp(when, UTC) if when else None)


def facts(result: Received) -> Mapping[str, object]:
    """For the audit log."""
    log = result.log
    return {
        "source": result.source,
        "from": result.copied.installation or result.installation,
        "received": len(result.snapshots),
        "damaged": [v.snapshot for v in result.damaged][:20],
        "audit_log": {"after": log.last.sequence, "sha256": log.last.digest} if log else None,
    }
