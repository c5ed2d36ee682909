"""Copies go to a remote: what it lacks, at once or in an order that keeps them whole; nothing is deleted unasked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError, RemoteError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import ALLOW, HEADS, MACHINE, NOT_WHOLE, Remote, making, there
from gitsnap.core.settings import Settings
from gitsnap.ops.remote import selection
from gitsnap.ops.remote.secret_guard import Inspected, Permits, SecretGuard
from gitsnap.sidecar import exchange, outgoing
from gitsnap.sidecar.exchange import Answer
from gitsnap.sidecar.git import commits, notes, refs
from gitsnap.sidecar.git.new_objects import NewObjects
from gitsnap.sidecar.git.transport import NotAtomicError, Target
from gitsnap.sidecar.outgoing import NOBODY, Local, NotesThere, Outgoing, Planner
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import allowed_secrets, audit, remote_seen
from gitsnap.sidecar.state.allowed_secrets import Allowed
from gitsnap.sidecar.state.remote_seen import Seen

# With nothing new a push is the start of a program: what few need is loaded where they do.
if TYPE_CHECKING:
    from gitsnap.ops.remote.read_back import ReadBack, ReadBackOptions

# How often it is tried again where somebody else was quicker, or something here turns out to be damaged.
_TRIES, _PAUSE = 5, 0.2
# How long the writer's lock is waited for where only the audit log is to be published, in seconds.
_WAIT = 1.0
# What git says of a ref whose objects it does not have (receive-pack).
_UNFOUND = "missing necessary objects"
# What a server says where somebody else holds what is to be changed, or has changed it.
_RACES = ("lock", "already exists", "fetch first", "stale info", "expected")


@dataclass(slots=True, frozen=True)
class PushOptions:
    """`patience` is how long the other side may be silent, in seconds; with `asks` it may ask on the terminal. With
    `take_over`, what another machine has pushed under our name goes on as ours. `allow` names secrets that may go from
    now on, as core.secrets.outgoing.is_allowed() has them. With `read_back`, what the
    other side has said to have taken has to come back from there."""

    now: datetime
    prune: bool = False
    dry_run: bool = False
    patience: float = 600.0
    asks: bool = False
    observer: Observer = SILENT
    take_over: bool = False
    allow: tuple[bytes, ...] = ()
    read_back: ReadBackOptions | None = None


@dataclass(slots=True)
class Pushed:
    """What went to a remote, or would have gone: the ids of the `snapshots`, how many objects and bytes, what was
    `removed` over there. `held_back` are snapshots that stay away, with why. `there` is how many are over there now,
    `timeline` what became of it: `pushed`, `unchanged`, or why it was refused. `audit` says
    why the audit log did not go (empty: it did, or is there). `inspected` is what was looked through for secrets, of
    which those `allowed` went since somebody said so. `lost` are snapshots that had gone there and were not there any
    more. `read_back` is what came back again, None where nobody asked for that, `doubt` what was wrong when
    it was last asked for (empty: nothing). `plain` are bundles there that are not
    encrypted, though what goes now is."""

    remote: str
    url: str
    dry_run: bool = False
    snapshots: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    held_back: dict[str, str] = field(default_factory=dict)
    refs: int = 0
    objects: int = 0
    bytes: int = 0
    there: int = 0
    timeline: str = "unchanged"
    audit: str = ""
    plain: list[str] = field(default_factory=list)
    by_git: str = ""
    lost: list[str] = field(default_factory=list)
    read_back: ReadBack | None = None
    doubt: str = ""
    duration: float = 0.0
    inspected: Inspected = field(default_factory=Inspected)
    allowed: list[Allowed] = field(default_factory=list)


def push(sidecar: Sidecar, remote: Remote, settings: Settings, options: PushOptions) -> Pushed:
    """Send to a remote what it lacks. Raises RemoteError, and IntegrityError where nothing here can be sent."""
    begun = time.monotonic()
    selection.require_elsewhere(sidecar, remote)
    if options.read_back is not None and remote.bundles is not None:
        raise UsageError(
            "a folder of bundles is read back while it is written",
            hint="`gitsnap bundle verify FILE...` reads all of it again",
        )
    done = Pushed(remote.name, remote.shown, options.dry_run)
    seen = remote_seen.load(sidecar, remote)
    seen.tried = options.now
    try:
        if remote.bundles is not None:
            _into_folder(sidecar, remote, settings, options, (seen, done))
            return done
        if not options.dry_run:
            done.audit = _publish_audit(sidecar, settings, seen, options.now)
        with sidecar.using_objects(settings.lock_wait):
            _Push(sidecar, remote, settings, options, (seen, done)).run()
            if options.read_back is not None and not options.dry_run:
                from gitsnap.ops.remote import read_back

                done.read_back = read_back.read_back(sidecar, remote, seen, options.read_back)
        seen.problem, seen.when = "", options.now
        done.doubt = seen.doubt
    except (GitsnapError, OSError) as error:
        seen.problem = str(error)
        if isinstance(error, RemoteError) and _is_missing(remote, error):
            error.hint = f"make the repository: {making(remote.url)}"
        raise
    finally:
        done.duration = time.monotonic() - begun
        if not options.dry_run:
            remote_seen.save(sidecar, remote, seen)
            sidecar.noted.details["remote"] = {
                "name": remote.name,
                "url": remote.shown,
                "snapshots": done.snapshots[:20],
            }
            sidecar.noted.counts |= {"pushed": len(done.snapshots), "objects": done.objects, "bytes_sent": done.bytes}
    return done


def _is_missing(remote: Remote, error: RemoteError) -> bool:
    if making(remote.url) is None or error.kind != "remote-unreachable":
        return False
    return selection.missing(remote) or "does not appear to be a git repository" in error.message


def _into_folder(
    sidecar: Sidecar, remote: Remote, settings: Settings, options: PushOptions, told: tuple[Seen, Pushed]
) -> None:
    """The next bundle, where there is anything new."""
    from gitsnap.ops.process import age
    from gitsnap.ops.remote import bundle_folder
    from gitsnap.ops.remote.bundle_folder import FolderOptions

    seen, done = told
    wanted = FolderOptions(
        options.now,
        age.recipients(remote.recipients, ()),
        remote.keep,
        options.dry_run,
        options.observer,
        _permits(sidecar, remote, options),
    )
    result = bundle_folder.push(sidecar, remote.bundles or "", settings, wanted)
    if result.written is not None:
        made = result.written
        done.inspected, done.allowed = made.inspected, made.permitted
        if made.permitted:
            _remember(sidecar, remote, made.permitted)
        done.refs, done.bytes = len(made.heading.refs), made.size
        done.snapshots, done.timeline = [s.id for s in made.snapshots], "pushed"
    elif options.dry_run:
        done.snapshots = list(result.pending)
    seen.refs = {ref: oid for ref, oid in result.refs.items() if ref != "HEAD"}
    done.removed, done.plain = result.removed, result.plain
    done.there = len(outgoing.snapshots_there(seen.refs, remote.layout))
    seen.problem, seen.when = "", options.now


def _permits(sidecar: Sidecar, remote: Remote, options: PushOptions) -> Permits:
    known = allowed_secrets.load(sidecar, remote.name, remote.url)
    return Permits(options.allow, frozenset(each.mark for each in known), remote.secrets == ALLOW)


def _remember(sidecar: Sidecar, remote: Remote, allowed: Sequence[Allowed]) -> None:
    known = allowed_secrets.load(sidecar, remote.name, remote.url)
    allowed_secrets.save(sidecar, remote.name, remote.url, [*known, *allowed])


def _ways_on(name: str) -> str:
    """What to do about secrets that were stopped on the way to a remote."""
    return (
        f"`gitsnap push {name} --allow-secret PATH[:KEY]` lets one go, and remembers it; [remote.{name}] "
        "can let all of them go, and bundles with recipients are encrypted"
    )


def _publish_audit(sidecar: Sidecar, settings: Settings, seen: Seen, now: datetime) -> str:
    """Have the audit log on its ref, where it says more than that we were there; why it is not all there."""
    last = audit.tip(sidecar.path).sequence
    known, seen.audited = seen.audited, last + 1
    if last <= known:
        return ""
    from gitsnap.ops.audit.publication import publish_audit

    try:
        return publish_audit(sidecar, now, min(settings.lock_wait, _WAIT)).problem
    except LockedError:
        # It goes along the next time.
        return ""
    except IntegrityError as error:
        return error.message


class _Push:
    """One push, under way."""

    def __init__(
        self, sidecar: Sidecar, remote: Remote, settings: Settings, options: PushOptions, told: tuple[Seen, Pushed]
    ) -> None:
        self._sidecar, self._remote, self._options = sidecar, remote, options
        self._seen, self._done = told
        self._guard = SecretGuard(sidecar, settings.secrets, _permits(sidecar, remote, options))
        self._done.inspected = self._guard.inspected
        self._target = Target(
            remote.url,
            sidecar.installation,
            options.patience,
            options.asks,
            pushes=True,
            tell=options.observer.noticed,
        )
        self._digest = outgoing.digest(sidecar, remote)
        self._known: Local | None = None

    @property
    def _local(self) -> Local:
        """What is here; nothing of it is read where nothing has changed on either side."""
        if self._known is None:
            self._known = outgoing.local(self._sidecar, self._remote.keep)
            if self._remote.installation is not None:
                from gitsnap.ops.remote import machine

                self._known.machine = machine.here(self._sidecar, self._known.living)
        return self._known

    def _unchanged(self, theirs: Mapping[str, str]) -> bool:
        """Whether all that is here was there already, and still is."""
        if self._options.prune or self._seen.local != self._digest:
            return False
        return outgoing.mine(theirs, self._remote.layout) == self._seen.refs

    def run(self) -> None:
        """Snapshots with all that goes with them, then the timeline, then what is to go."""
        if self._options.prune and not self._local.chosen:
            raise UsageError("there is no snapshot here: --prune would delete every copy over there")
        try:
            answer = self._copies()
        finally:
            self._done.by_git = self._target.by_git
        sent = answer.sent
        assert sent is not None
        self._account(answer)
        self._done.snapshots = [s.id for s in sent.fresh]
        self._done.held_back = sent.held_back
        self._done.audit = sent.audit or self._done.audit
        now = answer.now
        if self._options.prune:
            now = self._prune(now)
        at = outgoing.snapshots_there(now, self._remote.layout)
        self._done.there = len(at)
        if self._known is not None and not self._options.dry_run:
            self._timeline(now, {*at})
            whole = not self._done.held_back and not self._done.audit and not self._done.timeline.startswith("refused")
            self._seen.local = self._digest if whole else ""
            self._seen.machine = self._known.machine.identity if self._known.machine else ""

    def _account(self, answer: Answer) -> None:
        assert answer.sent is not None
        self._done.refs += len(answer.sent.updates) - len(answer.refused)
        self._done.objects += answer.objects
        self._done.bytes += answer.bytes
        if not self._options.dry_run:
            self._notice_lost(answer.theirs)
            self._seen.refs = outgoing.mine(answer.now, self._remote.layout)
            for ref, held in answer.sent.notes.items():
                at = answer.now.get(there(ref, self._remote.layout) or "")
                if at is not None:
                    self._seen.notes[ref], self._seen.notes_at[ref] = held, at
                    self._seen.trees[ref] = answer.sent.trees[ref]

    def _notice_lost(self, theirs: Mapping[str, str]) -> None:
        """What went there before and is not there any more goes again; what has gone just now and is not there was not
        taken, whatever was answered."""
        gone = {name: value for name, value in self._seen.refs.items() if name not in theirs}
        lost = sorted(outgoing.snapshots_there(gone, self._remote.layout))
        just_now = [name for name in lost if name in self._done.snapshots]
        if just_now:
            self._seen.local = ""
            raise IntegrityError(
                f"{self._remote.shown} has said to have taken snapshot {just_now[0]}, and does not have it",
                hint=NOT_WHOLE,
            )
        self._done.lost += lost

    def _copies(self) -> Answer:
        try:
            return self._sent(lambda p: p.copies(replace=self._options.prune))
        except NotAtomicError:
            # Whoever sees a snapshot has to see its notes: they go first, and alone.
            # Nothing of what is stopped may have gone before.
            self._sent(lambda p: p.copies(replace=self._options.prune), atomic=False, dry_run=True)
            self._account(self._sent(lambda p: p.copies(replace=self._options.prune, notes_only=True), atomic=False))
            return self._sent(lambda p: p.copies(replace=self._options.prune), atomic=False)

    def _sent(self, plan: Callable[[Planner], Outgoing], *, atomic: bool = True, dry_run: bool = False) -> Answer:
        """One exchange; again where somebody else was quicker, or what is damaged here has to be left out."""
        before: Answer | None = None
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE * attempt)
            decide = self._decision(plan, before)
            try:
                answer = exchange.send(
                    self._sidecar,
                    self._target,
                    decide,
                    observer=self._options.observer,
                    atomic=atomic,
                    dry_run=dry_run or self._options.dry_run,
                )
            except IntegrityError:
                # What could not be read is known now, and what needs it is left out the next time.
                if attempt + 1 == _TRIES:
                    raise
                continue
            if not answer.refused:
                return answer
            before = answer
        assert before is not None
        raise self._refused(before)

    def _decision(
        self, plan: Callable[[Planner], Outgoing], earlier: Answer | None
    ) -> Callable[[Mapping[str, str]], Outgoing]:
        """What is decided of the refs over there, which refused something `earlier`."""

        def decide(theirs: Mapping[str, str]) -> Outgoing:
            if earlier is None and self._unchanged(theirs):
                return Outgoing({}, NewObjects(self._sidecar.objects, ()))
            self._require_ours(theirs)
            self._require_this_machine(theirs)
            if earlier is not None and not _moved(earlier, theirs):
                raise self._refused(earlier)
            out = plan(Planner(self._sidecar, self._remote.layout, self._local, theirs, self._notes))
            self._look_through(out)
            return out

        return decide

    def _look_through(self, out: Outgoing) -> None:
        """No secret goes unless somebody has said so; what was said counts from here on."""
        self._guard.look(out.fresh, out.objects.stored, self._local.chosen)
        allowed = self._guard.settle(
            f"would go to {self._remote.name}, and nothing was sent", _ways_on(self._remote.name)
        )
        self._done.allowed = allowed
        if allowed and not self._options.dry_run:
            _remember(self._sidecar, self._remote, allowed)

    def _refused(self, answer: Answer) -> RemoteError:
        name, why = next(iter(answer.refused.items()))
        # With all or nothing, the reason is with one of them.
        for other, reason in answer.refused.items():
            if "atomic" not in reason:
                name, why = other, reason
                break
        told = " ".join(" ".join(self._target.said).split())
        return RemoteError(
            f"{self._remote.shown} refused {name}: {why}" + (f" ({told[-300:]})" if told else ""),
            kind="remote-refused",
            hint=NOT_WHOLE
            if _UNFOUND in why
            else None
            if self._remote.refspec == HEADS
            else 'where a server takes only branches and tags, or lets nothing be overwritten: refspec = "heads"',
        )

    def _require_ours(self, theirs: Mapping[str, str]) -> None:
        """Another installation's snapshots must not be mixed with ours."""
        at = outgoing.snapshots_there(theirs, self._remote.layout)
        known = self._local.ours | {*self._seen.refs.values()}
        if at and not known.intersection(at.values()):
            whose = self._remote.installation or "it"
            raise RemoteError(
                f"{self._remote.shown} holds {len(at)} snapshots of another installation",
                kind="foreign-remote",
                hint=f"`gitsnap remote add NAME URL --installation HOST/NAME` keeps several apart in one repository; "
                f"or choose another repository than {whose}"
                if self._remote.installation is None
                else f"choose another name than {whose}: `gitsnap remote add NAME URL --installation HOST/NAME`",
            )

    def _require_this_machine(self, theirs: Mapping[str, str]) -> None:
        """A copy of this machine, or of its sidecar, has the same name and knows the same commits."""
        name = there(MACHINE, self._remote.layout) or ""
        at, here = theirs.get(name), self._local.machine
        if at is None or here is None or self._options.take_over:
            return
        if at == self._seen.refs.get(name) and self._seen.machine == here.identity:
            return
        from gitsnap.ops.remote import machine

        found = machine.there(self._target, at)
        if found is not None and found.identity != here.identity:
            raise RemoteError(
                f"{self._remote.installation} at {self._remote.shown} is {found.directory} on {found.host}, and not "
                f"{here.directory} on this machine",
                kind="foreign-remote",
                hint=f"where that one is no more: gitsnap push {self._remote.name} --take-over; else another name: "
                "gitsnap remote add NAME URL --installation HOST/NAME",
            )

    def _notes(self, ref: str, at: str) -> NotesThere:
        """What a ref of notes over there holds."""
        if self._seen.notes_at.get(ref) == at:
            return NotesThere(self._seen.notes[ref], self._seen.trees.get(ref, ""))
        store = self._sidecar.objects
        if bytes.fromhex(at) in store:
            with suppress(IntegrityError):
                tree = commits.parse(store.read(bytes.fromhex(at), b"commit")[1], at).tree
                return NotesThere({commit: blob.hex() for commit, blob in notes.load(store, at)[0].items()}, tree)
        return exchange.fetch_notes(self._sidecar, self._target, at)

    def _timeline(self, theirs: Mapping[str, str], at: set[str]) -> None:
        """Derived, and rewritten whenever snapshots go: a server that keeps it as it is harms nothing."""
        name = there(refs.TIMELINE, self._remote.layout)
        planner = Planner(self._sidecar, self._remote.layout, self._local, theirs, self._notes)
        wanted = planner.timeline(at).updates
        if not wanted:
            return

        def decide(found: Mapping[str, str]) -> Outgoing:
            return Planner(self._sidecar, self._remote.layout, self._local, found, self._notes).timeline(at)

        answer = exchange.send(self._sidecar, self._target, decide, atomic=False)
        why = answer.refused.get(name or "")
        if why is not None and _UNFOUND in why:
            # All that the timeline leads to went before it, and git looks whether it is there.
            self._seen.local = ""
            raise IntegrityError(
                f"{self._remote.shown} does not have all that it said to have taken: it refuses the timeline, {why}",
                hint=NOT_WHOLE,
            )
        self._done.timeline = f"refused: {why}" if why else "pushed"
        self._account(answer)

    def _prune(self, theirs: dict[str, str]) -> dict[str, str]:
        """Refs first, then the notes without theirs."""
        planned = Planner(self._sidecar, self._remote.layout, self._local, theirs, self._notes).pruned().updates
        gone = [name for name, value in planned.items() if value == NOBODY]
        self._done.removed = gone
        if not planned or self._options.dry_run:
            return theirs
        try:
            answer = self._sent(lambda p: p.pruned())
        except NotAtomicError:
            answer = self._sent(lambda p: p.pruned(), atomic=False)
        self._account(answer)
        return answer.now


def _moved(earlier: Answer, theirs: Mapping[str, str]) -> bool:
    """Whether trying again may help: somebody has changed what was to be changed, or was at it."""
    assert earlier.sent is not None
    names = earlier.sent.updates
    if any(earlier.theirs.get(name) != theirs.get(name) for name in names):
        return True
    return any(word in why.lower() for why in earlier.refused.values() for word in _RACES)
