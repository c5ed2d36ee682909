"""gitsnap for programs: the operations of the command line, with results as objects.

    import gitsnap

    app = gitsnap.open("/srv/app")
    before = app.snapshot("before 2.0")
    with gitsnap.guard("/srv/app", label="2.0", checks=["./bin/app --version"]) as upgrade:
        install()

Everything raises `gitsnap.GitsnapError` (with `kind`, `path`, `hint`) or OSError for what is expected to go wrong.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from gitsnap import __version__
from gitsnap.config import environment, files
from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.remote import Remote, installation_name, is_local_path
from gitsnap.core.settings import Settings
from gitsnap.core.signature import Checked as Signature
from gitsnap.core.upgrade import CheckResult, Event, OnFailure, Outcome
from gitsnap.ops.audit.act import Act
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import signatures, verify
from gitsnap.ops.check.verdict import Verdict
from gitsnap.ops.live import in_progress
from gitsnap.ops.process import age
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.query.listing import Filter
from gitsnap.ops.remote import adopt as adoption
from gitsnap.ops.remote import bundle, pull, push, receive, remotes, sources
from gitsnap.ops.remote import clone as operation
from gitsnap.ops.remote import fleet as fleets
from gitsnap.ops.remote.adopt import Adopted as Cloned
from gitsnap.ops.remote.bundle import Bundled, Looked, Wanted
from gitsnap.ops.remote.fleet import Fleet
from gitsnap.ops.remote.pull import Pulled
from gitsnap.ops.remote.push import Pushed
from gitsnap.ops.remote.read_back import ReadBackOptions
from gitsnap.ops.remote.secret_guard import Permits
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.sets import result as sets
from gitsnap.ops.sets.members import Member, belongs_to, named, require_apart
from gitsnap.ops.sets.result import SetUpgraded
from gitsnap.ops.sets.upgrade import SetUpgrade
from gitsnap.ops.store import locate, sign, signers
from gitsnap.ops.store.sign import Signed
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import RollingBackFailedError, Upgraded, UpgradeRequest, broke_off, failed
from gitsnap.sidecar import catalog, location
from gitsnap.sidecar.modes import close_to_others
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose

Path = str | os.PathLike[str]

_EXIT_CODES = {Outcome.ROLLED_BACK: 20, Outcome.ROLLBACK_FAILED: 21}


class UpgradeFailedError(GitsnapError):
    """A check failed after an upgrade. `result` tells which, and that the directory was rolled back (or kept)."""

    exit_code = 20
    kind = "upgrade-failed"

    def __init__(self, message: str, result: Upgraded | SetUpgraded) -> None:
        super().__init__(message)
        self.result = result


class Installation:
    """A protected directory. Methods may be called from any thread; each opens the sidecar for itself."""

    def __init__(self, place: locate.Place) -> None:
        self._place = place

    @property
    def path(self) -> str:
        """The directory's real path."""
        return self._place.root

    @property
    def store(self) -> str:
        """The sidecar's path."""
        return self._place.store

    @property
    def settings(self) -> Settings:
        """The configuration that holds here, as the command line reads it."""
        return files.load(os.environ, self._place.store, environment.options_from(os.environ), self._place.root)

    @contextmanager
    def sidecar(self) -> Iterator[Sidecar]:
        """The open sidecar."""
        with locate.open_sidecar(self._place) as found:
            try:
                yield found
            finally:
                close_to_others(found)

    @contextmanager
    def _acting(self, action: str, *, looks: bool = False) -> Iterator[Sidecar]:
        """The open sidecar, for something that the audit log tells of, unless it only `looks`."""
        act = _act(action, self.settings)
        act.noted.looks = looks
        with self.sidecar() as found:
            act.attach(found)
            with _writing_down(act):
                yield found

    def snapshots(
        self,
        *,
        kinds: Sequence[str] = (),
        tags: Sequence[str] = (),
        since: datetime | None = None,
        last: int | None = None,
        upgrade: str | None = None,
    ) -> list[Snapshot]:
        """The snapshots, oldest first: those of one of these kinds, with one of these tags, taken at `since` or later,
        of this upgrade; of those the `last` so many. ValueError for a kind that there is not, NoSuchSnapshotError for
        such an upgrade."""
        wanted = Filter(tuple(map(Kind, kinds)), tuple(tags), since, last, upgrade)
        with self.sidecar() as sidecar:
            return wanted.of(catalog.snapshots(sidecar))

    def snapshot(
        self,
        message: str = "",
        *,
        label: str = "",
        tags: Sequence[str] = (),
        pin: bool = False,
        skip_unchanged: bool = False,
        observer: Observer = SILENT,
    ) -> Snapshot:
        """Take a snapshot, check it, and let retention run.

        Its `partial` counts the paths that it lacks; `signed_by` is None for one that is not signed, which is logged
        where there is a key.
        """
        request = Request(message=message, label=label, tags=tuple(tags), pin=pin, skip_unchanged=skip_unchanged)
        with self._acting("snapshot") as sidecar:
            return snapshot.take(sidecar, request, self.settings, now=datetime.now(UTC), observer=observer).snapshot

    def verify(self, selector: str = "latest", *, signed: bool = False, observer: Observer = SILENT) -> Verdict:
        """Read every byte of a snapshot again. The verdict's `ok` and `problems` tell.

        With `signed`, or where the configuration requires it, it has to be signed by somebody who may by its file of
        allowed signers; the verdict's `signatures` tell by whom.
        """
        settings = self.settings
        with self._acting("verify") as sidecar:
            now = datetime.now(UTC)
            verdicts = verify.verify(sidecar, [selector], settings, now=now, observer=observer)
            if signed or settings.signing.require:
                signatures.judge(sidecar, verdicts, settings)
            return verdicts[0]

    def sign(self, selector: str = "latest", *, key: Path | None = None) -> Signed:
        """Sign a snapshot by a tag, with the configuration's key or the one at the path `key`; nobody is asked for a
        passphrase. Raises GitsnapError of the kind `not-signed`, nothing done, when the key does not sign."""
        settings = self.settings
        if key is not None:
            path = os.path.abspath(os.fsdecode(key))
            settings = replace(settings, signing=settings.signing._replace(key=path))
        with self._acting("sign") as sidecar:
            return sign.sign(sidecar, [selector], settings, now=datetime.now(UTC))[0]

    def signatures(self, selector: str = "latest") -> list[Signature]:
        """The signatures of a snapshot, checked where the configuration names a file of allowed signers."""
        with self.sidecar() as sidecar:
            return signers.told(sidecar, choose(sidecar, selector), self.settings.signing)

    @property
    def remotes(self) -> list[Remote]:
        """The remotes that copies go to, by name."""
        return [remote for _, remote in sorted(self.settings.remotes.items())]

    def add_remote(self, name: str, url: Path, **options: str | int | list[str]) -> Remote:
        """Write a remote into the sidecar's configuration, with `push`, `keep`, `refspec`, `secrets`, `installation`,
        `recipients` as `[remote.NAME]` has them."""
        with self._acting("remote") as sidecar:
            return remotes.add(sidecar, name, {"url": os.fspath(url), **options}, os.getcwd(), self.settings)

    def push(
        self,
        name: str | None = None,
        *,
        prune: bool = False,
        dry_run: bool = False,
        allow_secrets: Sequence[Path] = (),
        verify: bool = False,
        observer: Observer = SILENT,
    ) -> Pushed:
        """Send to a remote what it lacks. The result's `held_back` names snapshots that stay away, and why.

        With `verify`, what is new over there is read back; IntegrityError where it is not all there.

        Raises RemoteError where the other side refuses, or is away, and SecretsError, with the paths and keys `found`,
        where a secret would go that is not in `allow_secrets` (PATH or PATH:KEY) and never was.
        """
        with self._acting("push", looks=dry_run) as sidecar:
            allow = tuple(map(os.fsencode, allow_secrets))
            back = ReadBackOptions(observer=observer) if verify else None
            options = push.PushOptions(
                datetime.now(UTC), prune=prune, dry_run=dry_run, allow=allow, read_back=back, observer=observer
            )
            return push.push(sidecar, push.chosen(self.settings, name), self.settings, options)

    def pull(
        self, name: str | None = None, *, removed: bool = False, dry_run: bool = False, observer: Observer = SILENT
    ) -> Pulled:
        """Bring what a remote has and is not here, each snapshot verified; with `removed` also what was removed here.

        The result's `conflicts` and `damaged` name what did not come. Raises RemoteError where the other side
        refuses, or is away.
        """
        with self._acting("pull", looks=dry_run) as sidecar:
            options = pull.PullOptions(datetime.now(UTC), removed=removed, dry_run=dry_run, observer=observer)
            return pull.pull(sidecar, push.chosen(self.settings, name), self.settings, options)

    def bundle(
        self,
        file: Path,
        *selectors: str,
        since: str | None = None,
        recipients: Sequence[str] = (),
        allow_secrets: Sequence[Path] = (),
        observer: Observer = SILENT,
    ) -> Bundled:
        """Write all snapshots, those named, or those `since` one into one file that stock git reads; encrypted with age
        where there are `recipients`.

        Raises SecretsError where it is not, and a secret would be in it that is not in `allow_secrets`."""
        permits = Permits(tuple(map(os.fsencode, allow_secrets)))
        wanted = Wanted(selectors, since, age.recipients(recipients, ()), permits=permits)
        with self._acting("bundle") as sidecar:
            path, now = os.path.abspath(os.fspath(file)), datetime.now(UTC)
            return bundle.create(sidecar, path, wanted, self.settings, now=now, observer=observer)

    def rollback(
        self,
        selector: str | None = None,
        *,
        paths: Sequence[Path] = (),
        dry_run: bool = False,
        observer: Observer = SILENT,
    ) -> Restored:
        """Bring the directory, or paths relative to it, back to a snapshot: by default what `gitsnap rollback` takes.

        The result's `verified` and `incomplete` tell whether it is exactly the same; `safety` is what was there.
        """
        raw = [os.fsencode(p).strip(b"/") for p in paths]
        with self._acting("rollback", looks=dry_run) as sidecar:
            done = rollback.rollback(
                sidecar,
                selector,
                self.settings,
                rollback.RollbackOptions(datetime.now(UTC), dry_run=dry_run, observer=observer),
                paths=raw,
            )
            if done.verified and not raw:
                in_progress.settle(sidecar)
            return done


def _act(action: str, settings: Settings) -> Act:
    act = Act(action, shlex.join(sys.argv or ["python"]), os.environ, __version__, recorded=True)
    act.where, act.hooks = settings.audit, settings.hooks
    return act


@contextmanager
def _writing_down(act: Act) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        _ended(act, getattr(error, "exit_code", 1), error)
        raise
    _ended(act, 3 if act.noted.counts.get("paths") else 0)


def _ended(act: Act, exit_code: int, error: BaseException | None = None) -> None:
    act.ended(exit_code, error)
    why = act.noted.details.get("unsigned")
    unsigned = [f"{s.id} is not signed: {why}" for s in act.noted.taken if why and not s.signed_by]
    # Who hangs up on us in a hook changes nothing of what was done.
    for warning in [*act.warnings, *unsigned, *act.tell()]:
        logging.getLogger("gitsnap").warning(warning)


class Guard:
    """An upgrade around a `with` block: rolled back when the block raises or a check fails. See `guard`."""

    def __init__(
        self,
        installations: Sequence[Installation],
        wanted: UpgradeRequest,
        observe: Callable[[Event], object] | None,
    ) -> None:
        self._installations, self._wanted, self._observe = tuple(installations), wanted, observe
        self._opened = ExitStack()
        self._upgrade: Upgrade | SetUpgrade | None = None
        self._acts: list[tuple[Sidecar, Act]] = []
        self.result: Upgraded | SetUpgraded | None = None
        self.observe_error: Exception | None = None

    @property
    def installation(self) -> Installation:
        """The directory that is upgraded; the first of several."""
        return self._installations[0]

    @property
    def installations(self) -> tuple[Installation, ...]:
        """All that are."""
        return self._installations

    @property
    def id(self) -> str:
        """The upgrade's id; empty before `prepare`."""
        return self._upgrade.id if self._upgrade else ""

    @property
    def pre(self) -> Snapshot | None:
        """The snapshot before the upgrade, the first directory's; None before `prepare`."""
        return self._first_snapshot(self._upgrade) if self._upgrade else None

    def _first_snapshot(self, upgrade: Upgrade | SetUpgrade) -> Snapshot:
        found = upgrade.result
        assert found is not None
        return found.parts[self.installation.path].pre if isinstance(found, SetUpgraded) else found.pre

    def prepare(self) -> Snapshot:
        """Take and verify the first snapshots now, perhaps in another thread; entering the block does not wait then.

        Nothing may be changed before this returns. When it raises, there is no upgrade and nothing to undo.
        """
        if self._upgrade is not None:
            return self._first_snapshot(self._upgrade)
        try:
            upgrade = self._begin()
            upgrade.begin()
            upgrade.start()
            for sidecar, _ in self._acts:
                close_to_others(sidecar)
        except BaseException as error:
            for _, act in self._acts:
                _ended(act, getattr(error, "exit_code", 1), error)
            self._acts.clear()
            self._opened.close()
            raise
        self._upgrade = upgrade
        return self._first_snapshot(upgrade)

    def _begin(self) -> Upgrade | SetUpgrade:
        for each in self._installations:
            sidecar = self._opened.enter_context(locate.open_sidecar(locate.Place(each.path, each.store)))
            act = _act("guard", each.settings)
            act.attach(sidecar)
            self._acts.append((sidecar, act))
        if len(self._acts) == 1:
            settings = self.installation.settings
            return Upgrade(self._acts[0][0], self._wanted, settings, clock=_now, tell=self._tell)
        members = [Member(sidecar, i.settings) for (sidecar, _), i in zip(self._acts, self._installations, strict=True)]
        for member in members:
            belongs_to(member, named(members))
        return SetUpgrade(members, self._wanted, clock=_now, directory=os.getcwd(), tell=self._tell)

    def _tell(self, event: Event) -> None:
        if self._observe is None:
            return
        try:
            self._observe(event)
        except Exception as error:
            if self._upgrade is None:
                raise
            # From here on the directory counts: the one who only looks must not keep it from coming back.
            self._observe, self.observe_error = None, error

    def __enter__(self) -> Guard:
        self.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        assert self._upgrade is not None
        problem = "" if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
        with self._opened:
            self.result = result = self._upgrade.finish(problem, waiter=Polling())
            for sidecar, act in self._acts:
                _ended(act, _EXIT_CODES.get(result.outcome, 0))
                close_to_others(sidecar)
        self._raise_end(result, error)
        return False

    def _raise_end(self, result: Upgraded | SetUpgraded, error: BaseException | None) -> None:
        """Raise what it is where that is no good end, and the block has raised nothing that says so."""
        where = " ".join(f"-C {each.path}" for each in self._installations)
        of_all = isinstance(result, SetUpgraded)
        back = f"gitsnap {where} rollback {result.upgrade}@pre"
        if result.outcome is Outcome.ROLLBACK_FAILED:
            raise (sets.failed(result, back) if isinstance(result, SetUpgraded) else failed(result, back)) from error
        if error is not None:
            return
        if result.broke_off and result.outcome is Outcome.KEPT:
            raise sets.broke_off(result, back) if isinstance(result, SetUpgraded) else broke_off(result, back)
        if result.failure:
            came = "rolled back" if result.outcome is Outcome.ROLLED_BACK else "kept"
            what = "directories were" if of_all else "directory was"
            raise UpgradeFailedError(f"{result.failure}; the {what} {came}", result)


def _now() -> datetime:
    return datetime.now(UTC)


def verify_bundles(*paths: Path, identity: Path | None = None, observer: Observer = SILENT) -> list[Looked]:
    """Read bundles, each one building on those before it. Of each, `ok` tells whether anything is wrong, and `complete`
    whether all of it could be looked at. Raises GitsnapError for what cannot be read, or not with the `identity`."""
    named = None if identity is None else os.fspath(identity)
    return bundle.verify([os.fspath(path) for path in paths], named, observer=observer)


def open(directory: Path, *, store: Path | None = None) -> Installation:  # noqa: A001 - gitsnap.open(…) is its name
    """The directory, protected now if it was not yet. `store` is the sidecar's path where it is not the default one."""
    home = environment.sidecars_home(os.environ)
    chosen = os.fspath(store) if store is not None else os.environ.get("GITSNAP_STORE") or None
    place, _ = locate.protect(os.fspath(directory), chosen, home, os.getcwd(), environment.user_home(os.environ))
    return Installation(place)


def clone(
    source: Path,
    directory: Path,
    *,
    snapshot: str | None = None,
    installation: str | None = None,
    identity: Path | None = None,
    allowed_signers: Path | None = None,
    store: Path | None = None,
    observer: Observer = SILENT,
) -> Cloned:
    """Make a sidecar of a mirror, a push, a bundle (which the file `identity` opens where it is encrypted) or a copied
    sidecar, by its path or URL, and bring the newest snapshot, or `snapshot`, back into the new or empty `directory`.

    With `allowed_signers`, what is not signed by one of those counts as damaged.

    The result's `received` tells what came and what of it is damaged, `restored` whether the directory is exactly the
    same. Interrupted, the same call goes on. Raises GitsnapError.
    """
    place, link, asked = _destination(os.path.realpath(directory), store, installation, observer)
    asked = _signed_by(asked, allowed_signers)
    with (
        sources.open_source(os.fspath(source), os.getcwd(), os.fspath(identity) if identity else None) as found,
        _receiving("clone", place, asked.settings) as note,
    ):
        done = operation.resume(found.name, place, asked, snapshot)
        return note(done or operation.clone(found, place, link, asked, snapshot))


def fleet(
    url: str,
    *,
    allowed_signers: Path | None = None,
    sort: str = "name",
) -> Fleet:
    """All installations in the repository at `url` (a URL of git, or a path), by its refs and a few commits of each.

    `allowed_signers` is a file of who may sign. `sort` is `name`, `age` or `size`. Raises RemoteError, NoSidecarError
    where there is no snapshot, UsageError.
    """
    where = os.path.abspath(url) if is_local_path(url) else url
    settings = files.load(os.environ, None, environment.options_from(os.environ), None)
    policy = settings.signing
    if allowed_signers is not None:
        policy = policy._replace(allowed=os.path.abspath(allowed_signers))
    return fleets.survey(where, fleets.Asked(datetime.now(UTC), policy, sort))


def adopt(
    source: Path,
    directory: Path,
    *,
    installation: str | None = None,
    identity: Path | None = None,
    allowed_signers: Path | None = None,
    store: Path | None = None,
    observer: Observer = SILENT,
) -> Cloned:
    """Make a sidecar for `directory`, which is there and is not touched, of what `clone` takes. Raises GitsnapError."""
    root = locate.real_directory(os.fspath(directory), os.getcwd())
    place, link, asked = _destination(root, store, installation, observer)
    asked = _signed_by(asked, allowed_signers)
    with (
        sources.open_source(os.fspath(source), os.getcwd(), os.fspath(identity) if identity else None) as found,
        _receiving("adopt", place, asked.settings) as note,
    ):
        return note(adoption.adopt(found, place, link, asked))


def _destination(
    root: str, store: Path | None, installation: str | None, observer: Observer
) -> tuple[locate.Place, str | None, receive.Asked]:
    home = environment.sidecars_home(os.environ)
    chosen = os.fspath(store) if store is not None else os.environ.get("GITSNAP_STORE") or None
    place = locate.place_for(root, chosen, home, os.getcwd(), environment.user_home(os.environ))
    settings = files.load(os.environ, None, environment.options_from(os.environ), None)
    name = installation_name(installation) if installation is not None else None
    link = locate.default_store(root, home) if chosen and home is not None else None
    return place, link, receive.Asked(settings, datetime.now(UTC), name, observer)


def _signed_by(asked: receive.Asked, allowed: Path | None) -> receive.Asked:
    if allowed is None:
        return asked
    signing = asked.settings.signing._replace(allowed=os.path.realpath(allowed), require=True)
    return replace(asked, settings=replace(asked.settings, signing=signing))


@contextmanager
def _receiving(action: str, place: locate.Place, settings: Settings) -> Iterator[Callable[[Cloned], Cloned]]:
    """What is done is written down in the sidecar, as soon as there is one."""
    act = _act(action, settings)

    def note(result: Cloned) -> Cloned:
        act.noted.details |= receive.facts(result.received)
        return result

    with _writing_down(act):
        try:
            yield note
        finally:
            if location.exists(place.store):
                act.about(place.store, place.root)


def guard(
    directory: Path,
    *others: Path,
    label: str = "",
    message: str = "",
    checks: Sequence[str | Callable[[], object]] = (),
    check_timeout: float = 300.0,
    observe: Callable[[Event], object] | None = None,
    on_failure: Literal["rollback", "keep"] = "rollback",
    incomplete: bool = False,
    store: Path | None = None,
) -> Guard:
    """Guard an upgrade: `with gitsnap.guard(directory) as upgrade:` and change what you like.

    On entry a snapshot is taken and every byte of it is read again. At the end a second one is taken, then the checks
    run: shell commands (in the directory, `check_timeout` seconds each), or callables, which fail by raising or by
    returning False. When the block raises, the directory is rolled back, verified, and the exception raised again; when
    a check fails, the same with UpgradeFailedError. RollingBackFailedError carries both causes. `observe` gets every
    event as it happens (docs/reference/events.md), in the thread that works. What it raises before the block ends the
    upgrade; after that it is kept in `observe_error`, and it is called no more.

    With `others` it is one upgrade of several directories: all first snapshots stand before anything starts, all go
    back when it fails, and `result` has the `parts`, by directory. Shell commands then run where the program stands.
    """
    if others and store is not None:
        raise UsageError("a store is the sidecar of one directory", hint="leave it out: each has its own")
    guarded = [open(each, store=store) for each in _apart([directory, *others])]
    wanted = UpgradeRequest(
        label=label,
        message=message,
        checks=tuple(checks),
        check_timeout=check_timeout,
        on_failure=OnFailure(on_failure),
        incomplete=incomplete,
        directories=tuple(i.path for i in guarded) if others else (),
    )
    return Guard(guarded, wanted, observe)


def _apart(directories: Sequence[Path]) -> Sequence[Path]:
    """UsageError where one is named twice, or lies in another."""
    require_apart([os.path.realpath(each) for each in directories])
    return directories


__all__ = [
    "Bundled",
    "CheckResult",
    "Cloned",
    "Event",
    "Fleet",
    "GitsnapError",
    "Guard",
    "Installation",
    "Looked",
    "Outcome",
    "Pulled",
    "Pushed",
    "Remote",
    "Restored",
    "RollingBackFailedError",
    "SetUpgraded",
    "Signature",
    "Signed",
    "Snapshot",
    "UpgradeFailedError",
    "Upgraded",
    "Verdict",
    "adopt",
    "clone",
    "fleet",
    "guard",
    "open",
    "verify_bundles",
]
