"""A bundle: snapshots in one file, for a disk, an object store, an air gap. Stock git reads it as well.

It is read while it is written, as whoever gets it would: what does not pass is no bundle, and nothing is there then.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock

from gitsnap.core import bundle
from gitsnap.core.bundle import Heading, Label
from gitsnap.core.content import CHUNK
from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.order import in_order, newest
from gitsnap.core.settings import Settings
from gitsnap.ops.audit.publication import publish_audit
from gitsnap.ops.process import age
from gitsnap.ops.process.age import Recipients
from gitsnap.ops.remote.bundle_check import BundleCheck, Checked
from gitsnap.ops.remote.secret_guard import Inspected, Permits, SecretGuard
from gitsnap.ops.restore.export import require_elsewhere
from gitsnap.sidecar import bundle_contents, catalog, files, selectors
from gitsnap.sidecar.bundle_contents import Composed
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.git.pack_check import Reading
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.allowed_secrets import Allowed

_PART = ".gitsnap-part-"
_WAYS_ON = "--to RECIPIENT encrypts all of it; --allow-secret PATH[:KEY] lets one go as it is, --allow-secret . all"


@dataclass(slots=True, frozen=True)
class Wanted:
    """What a bundle is to hold: the snapshots named by `selectors` (all of them for none), or those after `since`; for
    whom it is encrypted. In a chain that is kept, `number` is where it stands in which `cycle`, `follows` the name of
    the one before it, and `known` are the refs in that: what they do not name goes. `permits` are the secrets that may
    be in one that is not encrypted.
    """

    selectors: tuple[str, ...] = ()
    since: str | None = None
    recipients: Recipients = field(default_factory=Recipients)
    number: int = 0
    follows: str | None = None
    cycle: int = 0
    known: Mapping[str, str] = field(default_factory=dict)
    permits: Permits = field(default_factory=Permits)


@dataclass(slots=True)
class Bundled:
    """A bundle that is there now: its file (None: it went to the standard output), size in bytes and SHA-256.
    `inspected` is what was looked through for secrets, of which those `permitted` are in it."""

    file: str | None
    size: int
    sha256: str
    encrypted: bool
    label: Label
    heading: Heading
    snapshots: list[Snapshot]
    inspected: Inspected = field(default_factory=Inspected)
    permitted: list[Allowed] = field(default_factory=list)


def create(
    sidecar: Sidecar,
    file: str | None,
    wanted: Wanted,
    settings: Settings,
    *,
    now: datetime,
    out: int = 1,
    observer: Observer = SILENT,
) -> Bundled:
    """Write a bundle to `file`, which it replaces whole where that is one already, or (None) to the descriptor `out`.

    Raises GitsnapError where nothing is to be written, IntegrityError where what is to go is damaged.
    """
    if file is not None:
        _require_place(sidecar, file)
    _publish_audit(sidecar, settings, now, observer)
    with sidecar.using_objects(settings.lock_wait):
        there, sent = _choose(sidecar, wanted)
        label = Label(
            os.urandom(16).hex(),
            sidecar.installation,
            socket.gethostname() or "localhost",
            (newest(sent) or newest(there) or there[-1]).id,
            there[-1].id if there else None,
            wanted.number,
            wanted.follows,
            cycle=wanted.cycle,
        )
        composed = bundle_contents.compose(sidecar, sent, there, label, wanted.known)
        guard = SecretGuard(sidecar, settings.secrets, wanted.permits)
        if not wanted.recipients:
            guard.look(sent, composed.stored | composed.fresh.keys(), [*there, *sent])
        permitted = guard.settle(f"would be in {file or 'the bundle'}, and it was not written", _WAYS_ON)
        with whole_file(file, out) as fd:
            observer.started("bundling", composed.objects)
            if wanted.recipients:
                with age.encrypting(wanted.recipients, fd, sidecar.installation) as put:
                    checked, _ = _write(sidecar, composed, put, observer)
                size, digest = _enciphered(fd, checked.plain_size) if file is not None else (0, "")
            else:
                checked, digest = _write(sidecar, composed, lambda data: _write_all(fd, data), observer)
                size = checked.plain_size
                if file is not None and digest_of(fd) != (size, digest):
                    raise IntegrityError("the disk does not give back what was written to it", path=file)
            observer.finished()
    sidecar.noted.counts["snapshots"] = len(sent)
    sidecar.noted.details["bundle"] = {"file": file, "size": size, "sha256": digest, "name": label.name}
    return Bundled(
        file, size, digest, bool(wanted.recipients), label, composed.heading, sent, guard.inspected, permitted
    )


def _publish_audit(sidecar: Sidecar, settings: Settings, now: datetime, observer: Observer) -> None:
    """Let the audit log so far go along; beside a change that is under way, what was published before does."""
    with suppress(LockedError, OSError):
        if problem := publish_audit(sidecar, now, settings.lock_wait).problem:
            observer.noticed(f"the audit log does not go along as it is: {problem}")


def _choose(sidecar: Sidecar, wanted: Wanted) -> tuple[list[Snapshot], list[Snapshot]]:
    """The snapshots that the reader has, and those that are sent, in order."""
    living = catalog.snapshots(sidecar)
    for name, error in living.damaged:
        if not wanted.selectors:
            raise catalog.lost(name, error)
    if wanted.known and wanted.since is None:
        known = {s.id for s in living if wanted.known.get(refs.SNAPSHOTS + s.id) == s.commit}
        return [s for s in living if s.id in known], [s for s in living if s.id not in known]
    if wanted.selectors:
        if wanted.since is not None:
            raise UsageError("a bundle holds what is named, or what came --since: not both")
        chosen = {s.id: s for s in (selectors.choose(sidecar, name, living) for name in wanted.selectors)}
        return [], in_order(chosen.values())
    if wanted.since is None:
        if not living:
            selectors.resolve(living, "latest")
        return [], list(living)
    since = selectors.choose(sidecar, wanted.since, living)
    at = [s.id for s in living].index(since.id) + 1
    if at == len(living):
        raise GitsnapError(
            f"there is nothing newer than {since.id}", kind="nothing-new", hint="`gitsnap list` shows the snapshots"
        )
    return living[:at], living[at:]


class _There:
    """The objects of a sidecar that the reader of a bundle has."""

    def __init__(self, sidecar: Sidecar, held: set[bytes]) -> None:
        self._objects, self._held = sidecar.objects, held

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._held

    def read(self, oid: bytes, expected: bytes | None = None, /) -> tuple[bytes, bytes]:
        return self._objects.read(oid, expected)


def _write(
    sidecar: Sidecar, composed: Composed, put: Callable[[bytes], None], observer: Observer
) -> tuple[Checked, str]:
    """Give a bundle away piece by piece, read as it goes; what was found, and the SHA-256 of it all.

    Raises IntegrityError for one that is not whole."""
    sha256 = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        yield bundle.format_heading(composed.heading)
        yield from composed.pack(sidecar)

    going = pieces()

    def take(_: int) -> bytes:
        piece = next(going, b"")
        if piece:
            sha256.update(piece)
            put(piece)
        return piece

    checked = BundleCheck(_There(sidecar, composed.held)).check(take, observer)
    wrong = [f"snapshot {v.snapshot}: {os.fsdecode(p.path)} {p.problem}" for v in checked.verdicts for p in v.problems]
    wrong += checked.problems + [f"snapshot {name} cannot be checked" for name in checked.unchecked]
    if wrong or checked.missing:
        raise IntegrityError(f"there is no bundle: {wrong[0] if wrong else 'it is not complete'}")
    return checked, sha256.hexdigest()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def digest_of(fd: int) -> tuple[int, str]:
    """The size of an open file, and its SHA-256."""
    sha256, at = hashlib.sha256(), 0
    while data := os.pread(fd, CHUNK, at):
        sha256.update(data)
        at += len(data)
    return at, sha256.hexdigest()


def _enciphered(fd: int, plain: int) -> tuple[int, str]:
    """Size and SHA-256 of what age has written; IntegrityError unless it has the size that so many bytes come to."""
    at = 0

    def take(most: int) -> bytes:
        nonlocal at
        data = os.pread(fd, most, at)
        at += len(data)
        return data

    reading = Reading(take)
    bundle.read_cover(reading.line)
    size, digest = digest_of(fd)
    if size != age.cover_size(reading.position, plain):
        raise IntegrityError("what age has written is not as long as it has to be")
    return size, digest


def _require_place(sidecar: Sidecar, file: str) -> None:
    """Raise GitsnapError where no bundle may be written: inside the installation, or over what is none."""
    folder = os.path.dirname(os.path.abspath(file))
    if not os.path.isdir(folder):
        raise GitsnapError(f"there is no directory {folder}", kind="io", path=folder)
    require_elsewhere(sidecar, os.path.join(os.path.realpath(folder), os.path.basename(file)))
    if os.path.lexists(file) and not (os.path.isfile(file) and not os.path.islink(file) and is_bundle(file)):
        raise UsageError(f"{file} is there, and is no bundle", path=file, hint="name another file, or remove it")


def is_bundle(file: str) -> bool:
    """Whether a file begins as bundles do, encrypted ones too."""
    with open(file, "rb") as opened:
        head = opened.read(64)
    return head.startswith((bundle.SIGNATURE, *bundle.AGE))


@contextmanager
def whole_file(file: str | None, out: int) -> Iterator[int]:
    """A descriptor to write a file to. Once all is well it is at `file`, durable; else nothing is."""
    if file is None:
        yield out
        return
    folder, name = os.path.split(os.path.abspath(file))
    _remove_left(folder, name)
    part = os.path.join(folder, f".{name}{_PART}{os.urandom(6).hex()}")
    fd = files.private_create(part)
    try:
        # By that the next one knows what a gitsnap left that was killed.
        with suppress(OSError):
            flock(fd, LOCK_EX | LOCK_NB)
        yield fd
        os.fsync(fd)
        os.rename(part, os.path.join(folder, name))
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    finally:
        os.close(fd)
    files.sync_directory(folder)


def _remove_left(folder: str, name: str) -> None:
    for found in os.listdir(folder):
        if found.startswith(f".{name}{_PART}"):
            path = os.path.join(folder, found)
            with suppress(OSError), open(path, "rb") as file:
                flock(file, LOCK_EX | LOCK_NB)
                os.unlink(path)


@dataclass(slots=True)
class Looked:
    """What a look at a file has found: its size in bytes and SHA-256; how it is encrypted (None: it is not), and what
    it holds (None where nobody could read it)."""

    file: str
    size: int
    sha256: str
    cover: bundle.Cover | None = None
    checked: Checked | None = None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what could be looked at."""
        return self.problem is None and (self.checked is None or self.checked.ok)

    @property
    def complete(self) -> bool:
        """Whether there was nothing that could not be looked at."""
        checked = self.checked
        return checked is not None and not checked.missing and not checked.unchecked


def verify(
    paths: Sequence[str],
    identity: str | None = None,
    sidecar: Sidecar | None = None,
    *,
    observer: Observer = SILENT,
) -> list[Looked]:
    """Read bundles, each one building on those before it; a `sidecar` that is at hand has what else they build on.

    Raises GitsnapError for what cannot be read at all, or not with the `identity`.
    """
    check = BundleCheck(sidecar.objects if sidecar is not None else None)
    return [_look(path, identity, check, observer) for path in paths]


def _look(path: str, identity: str | None, check: BundleCheck, observer: Observer) -> Looked:
    try:
        fd = files.opened(path)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", path=path) from None
    except IntegrityError:
        raise UsageError(f"{path} is no file", path=path) from None
    except OSError as error:
        raise GitsnapError(f"{path} cannot be read: {error.strerror}", path=path, kind="io") from None
    with open(fd, "rb") as file:
        looked = Looked(path, *digest_of(fd))
        observer.started("reading the bundle", None, None)
        try:
            if not file.peek(64).startswith(bundle.AGE):
                looked.checked = check.check(file.read, observer)
            else:
                if file.peek(64).startswith(bundle.AGE[0]):
                    looked.cover = bundle.read_cover(Reading(file.read).line)
                else:
                    looked.cover = bundle.Cover(())
                if identity is not None:
                    with age.decrypting(path, identity) as read:
                        looked.checked = check.check(read, observer)
        except IntegrityError as error:
            looked.problem = error.message
        observer.finished()
    return looked


@contextmanager
def opened(path: str, identity: str | None) -> Iterator[Callable[[int], bytes]]:
    """The bytes of a bundle, decrypted where it is encrypted, by a function that gives up to so many, b"" at the end.

    Raises UsageError where an identity is needed, and as decrypting() does.
    """
    with open(files.opened(path), "rb") as file:
        if not file.peek(64).startswith(bundle.AGE):
            yield file.read
            return
    if identity is None:
        raise UsageError(f"{path} is encrypted", path=path, hint="--identity FILE names the key that opens it")
    with age.decrypting(path, identity) as read:
        yield read
