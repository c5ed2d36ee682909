"""Refs: dulwich's container, changed by compare-and-swap under git's own locks that die with us, and made durable.

dulwich takes what stands in a damaged ref for its value, syncs no directory, leaves its lock behind when it is killed,
and a removal that is killed brings back an older value (1.2.21; docs/adr/0101).

No reflog is written (one would keep pruned snapshots alive). Whoever changes refs holds the sidecar's writer lock.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from dulwich.objects import ZERO_SHA, ObjectID
from dulwich.refs import HEADREF, DiskRefsContainer, Ref

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.files import private_create, read, replace, sync_directory
from gitsnap.sidecar.git import locks

SNAPSHOTS = "refs/gitsnap/snapshots/"
PINS = "refs/gitsnap/pins/"
UPGRADES = "refs/gitsnap/upgrades/"
ROLLBACKS = "refs/gitsnap/rollbacks/"
DESCRIPTIONS = "refs/gitsnap/descriptions/"
# What is said of snapshots afterwards (sidecar.records).
RECORDS = (UPGRADES, ROLLBACKS, DESCRIPTIONS)
DELETED = "refs/gitsnap/deleted/"
# Tags with signatures: `git tag -v` looks nowhere else.
SIGNED = "refs/tags/signed/"
TIMELINE = "refs/heads/timeline"
MANIFESTS = "refs/notes/gitsnap/manifest"
METADATA = "refs/notes/gitsnap/metadata"
AUDIT = "refs/gitsnap/audit"

# Scratch files with this prefix are the twins of locks.
_TWIN = "ref-"
# How long git may hold the lock of one ref at least, in seconds: it does so for milliseconds.
_PATIENCE = 2.0

_HEX = re.compile(rb"[0-9a-f]{40}")
_NAME = re.compile(rb"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
_PACKED = re.compile(rb"([0-9a-f]{40}) (%s)" % _NAME.pattern)
# What git-check-ref-format(1) refuses beside single characters.
_NO_REF = re.compile(rb"\.\.|//|/\.|@\{|\.lock(?:/|\Z)|[./]\Z")


def is_name(name: bytes) -> bool:
    """Whether this is the full name of a ref, as git-check-ref-format(1) has it."""
    return _NAME.fullmatch(name) is not None and not _NO_REF.search(name)


class Refs(DiskRefsContainer):
    """The refs of the bare repository at `path`. Values are hex object ids; IntegrityError for a damaged ref.

    gitsnap's own methods have names and values as text, dulwich's have bytes. No ref but HEAD is symbolic: through one,
    a foreign sidecar could make a change of one ref move another.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        # How long a lock of git's is waited for, in seconds.
        self.patience = _PATIENCE

    def read_loose_ref(self, name: Ref) -> bytes | None:
        """What dulwich reads a ref by."""
        if name == HEADREF:
            # Not by dulwich's, which waits for whoever writes where it is a pipe.
            data = read(os.path.join(self._path, "HEAD"))
            return data.partition(b"\n")[0].rstrip() if data else None
        value = self._loose(os.fsdecode(name))
        return value.encode() if value is not None else None

    def get_packed_refs(self) -> dict[Ref, ObjectID]:
        """All of packed-refs."""
        return {Ref(os.fsencode(n)): ObjectID(v.encode()) for n, v in self._packed().items()}

    def subkeys(self, base: Ref) -> set[Ref]:
        """The refs below a name, by the rest of their names."""
        return {Ref(os.fsencode(n)) for n in self.below(os.fsdecode(base.rstrip(b"/")) + "/")}

    def set_if_equals(self, name: Ref, old_ref: ObjectID | None, new_ref: ObjectID, *_: Any, **__: Any) -> bool:
        """Set a ref that still has the value `old_ref` (None: whatever it is), durably; whether it had it."""
        self._check_refname(name)
        self._check_ref_value(new_ref)
        to = os.fsdecode(self.follow(name)[0][-1])
        old = self.get(to) if old_ref is None else None if old_ref == ZERO_SHA else old_ref.decode()
        return self._tried(lambda: self.change(to, old, new_ref.decode()))

    def add_if_new(self, name: Ref, ref: ObjectID, *_: Any, **__: Any) -> bool:
        """Create a ref, durably; whether there was none."""
        self._check_refname(name)
        self._check_ref_value(ref)
        to = os.fsdecode(self.follow(name)[0][-1])
        return self._tried(lambda: self.create(to, ref.decode()))

    def remove_if_equals(self, name: Ref, old_ref: ObjectID | None, *_: Any, **__: Any) -> bool:
        """Remove a ref that still has the value `old_ref` (None: whatever it is), durably; whether it had it."""
        self._check_refname(name)
        to = os.fsdecode(name)
        return self._tried(lambda: self.discard(to) if old_ref is None else self.remove(to, old_ref.decode()))

    def add_packed_refs(self, new_refs: Mapping[Ref, ObjectID | None]) -> None:
        """Set or remove refs, each one durably. To pack them is stock git's part, at a gc."""
        for name, value in new_refs.items():
            if value is None:
                self.remove_if_equals(name, None)
            else:
                self.set_if_equals(name, None, value)

    def pack_refs(self, all: bool = False) -> None:  # noqa: A002
        """Nothing: dulwich would remove what is loose before what is packed is there."""

    def set_symbolic_ref(self, name: Ref, other: Ref, *_: Any, **__: Any) -> None:
        """Refused: HEAD stays where it is, and nothing else is symbolic."""
        raise GitsnapError(
            f"ref {os.fsdecode(name)} cannot be made to point to {os.fsdecode(other)}", kind="symbolic-ref"
        )

    def _tried(self, change: Callable[[], None]) -> bool:
        try:
            change()
        except GitsnapError as error:
            if error.kind in ("ref-moved", "ref-exists"):
                return False
            raise
        return True

    def get(self, name: str) -> str | None:
        """The ref's value, or None when there is no such ref."""
        value = self._loose(name)
        return value if value is not None else self._packed().get(name)

    def below(
        self, prefix: str, damaged: dict[str, IntegrityError] | None = None, but: Container[str] = ()
    ) -> dict[str, str]:
        """All refs whose names start with `prefix` (ending in a slash), by the rest of their names.

        Those that cannot be read go into `damaged`, where there is one. Those of the names in `but` are not read.
        """
        found: dict[str, str] = {}
        unreadable = set()
        for name in map(os.fsdecode, self._iter_loose_refs(os.fsencode(prefix))):
            rest = name.removeprefix(prefix)
            if name in but:
                continue
            try:
                value = self._loose(name)
            except IntegrityError as error:
                if damaged is None:
                    raise
                damaged[rest] = IntegrityError("its ref is damaged", path=error.path)
                unreadable.add(rest)
            else:
                if value is not None:
                    found[rest] = value
        # Packed ones last: a git that packs refs puts each there before it removes the loose one.
        packed = {n[len(prefix) :]: v for n, v in self._packed().items() if n.startswith(prefix) and n not in but}
        return {n: v for n, v in packed.items() if n not in unreadable} | found

    def _iter_dir(self, path: bytes, base: bytes, dir_filter: Callable[[bytes], bool] | None = None) -> Iterator[Ref]:
        """The names of loose refs, as dulwich has them, which goes no deeper than os.walk."""
        for folder, names, others in files.walk(os.path.join(path, base.rstrip(b"/"))):
            below = folder[len(os.path.join(path, b"")) :]
            if dir_filter is not None:
                names[:] = [n for n in names if dir_filter(b"%s/%s/" % (below, n))]
            # Not by dulwich's check, which looks at each letter by itself.
            yield from (name for n in others if is_name(name := Ref(b"%s/%s" % (below, n))))

    def _loose(self, name: str) -> str | None:
        """The value of a ref that has a file of its own."""
        path = f"{self._path}/{name}"
        # There may be thousands of them: os.open and os.read take half the time of a file object.
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                data = os.read(file, 64)
            finally:
                os.close(file)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        if not _HEX.fullmatch(data[:40]) or data[40:] not in (b"\n", b""):
            raise IntegrityError(f"ref {name} is damaged", path=path)
        return data[:40].decode()

    def _packed(self) -> Mapping[str, str]:
        path = os.path.join(self._path, "packed-refs")
        data = files.read(path)
        return {} if data is None else _parse_packed(data, path)

    def wait_until_free(self, names: Iterable[str]) -> None:
        """Wait until no git holds the lock of any of these refs, or that of packed-refs; raises LockedError.

        Before the first of several is changed, so that none is where one cannot be.
        """
        locks.wait_for(self._path, (*names, "packed-refs"), self.patience)

    def create(self, name: str, value: str) -> None:
        """Create a ref that must not exist yet, durably."""
        with self._locked(name, value) as lock:
            if self.get(name) is not None:
                raise GitsnapError(f"ref {name} exists already", kind="ref-exists")
            self._put(name, lock)

    def change(self, name: str, old: str | None, new: str) -> None:
        """Set a ref that still has the value `old` (None: does not exist), durably; GitsnapError if it moved."""
        if old == new:
            self._expect(name, old)
            return
        with self._locked(name, new) as lock:
            self._expect(name, old)
            self._put(name, lock)

    def remove(self, name: str, old: str) -> None:
        """Remove a ref that still has the value `old`, durably."""
        with self._locked(name, old):
            self._expect(name, old)
            self._take(name)

    def discard(self, name: str) -> None:
        """Remove a ref, if it is there, whatever its value; durably."""
        with self._locked(name, "0" * 40):
            self._take(name)

    def _expect(self, name: str, old: str | None) -> None:
        if self.get(name) != old:
            raise GitsnapError(f"ref {name} was changed by someone else meanwhile", kind="ref-moved")

    def _put(self, name: str, lock: str) -> None:
        path = os.path.join(self._path, name)
        os.rename(lock, path)
        try:
            sync_directory(os.path.dirname(path))
        except FileNotFoundError:
            # A git has packed it already, and removed the directory that this left empty.
            with open(os.path.join(self._path, "packed-refs"), "rb") as packed:
                os.fsync(packed.fileno())
            sync_directory(self._path)

    def _take(self, name: str) -> None:
        """The packed value goes first: a crash in between leaves the ref as it was, not at an older value.

        All the while no git can pack refs, and put it there again.
        """
        packed = os.path.join(self._path, "packed-refs")
        with self._locked("packed-refs", b""):
            # Not _packed(): the other lines stay as they are, whatever they are.
            lines = (read(packed) or b"").splitlines(keepends=True)
            held = [at for at, line in enumerate(lines) if line[40:] == b" %s\n" % name.encode()]
            for at in reversed(held):
                peeled = at + 1 < len(lines) and lines[at + 1].startswith(b"^")
                del lines[at : at + 1 + peeled]
            if held:
                # Not by renaming the lock: it must be held until the loose one is gone.
                replace(packed, b"".join(lines), os.path.join(self._path, "gitsnap", "tmp"))
            path = os.path.join(self._path, name)
            with suppress(FileNotFoundError):
                os.unlink(path)
                sync_directory(os.path.dirname(path))

    @contextmanager
    def _locked(self, name: str, content: str | bytes) -> Iterator[str]:
        """Hold git's lock on a ref; the lock file's path, which holds the new content.

        The lock is a second name for a file in our scratch directory. By that the next writer knows a lock that a
        gitsnap left when it died, and removes it (stale_files). git's own locks are waited for.
        """
        path = os.path.join(self._path, name)
        scratch = os.path.join(self._path, "gitsnap", "tmp")
        os.makedirs(scratch, mode=0o700, exist_ok=True)
        twin = os.path.join(scratch, f"{_TWIN}{os.getpid()}-{os.urandom(6).hex()}")
        try:
            with os.fdopen(private_create(twin), "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._link(twin, path + ".lock")
        except BaseException:
            with suppress(OSError):
                os.unlink(twin)
            raise
        try:
            yield path + ".lock"
        finally:
            # The twin goes last: a lock that cannot be removed now is known by it later.
            with suppress(FileNotFoundError):
                os.unlink(path + ".lock")
            with suppress(OSError):
                os.unlink(twin)

    def _link(self, twin: str, lock: str) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                os.link(twin, lock)
            except FileNotFoundError:
                # A git that packs refs removes empty directories, even ones made just now.
                self._make_directory(os.path.dirname(lock))
            except FileExistsError:
                if time.monotonic() > deadline:
                    raise locks.busy(lock, self._path) from None
                time.sleep(0.02)
            else:
                return

    def _make_directory(self, path: str) -> None:
        """With those above it, each durable in the one that holds it."""
        above = os.path.dirname(path)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return
        except FileNotFoundError:
            if len(path) <= len(self._path):
                raise
            self._make_directory(above)
            return
        sync_directory(above)


# The file is read for each ref that has no file of its own, and mostly as it was the last time.
@lru_cache(maxsize=1)
def _parse_packed(data: bytes, path: str) -> Mapping[str, str]:
    # Snapshots that are missing from a truncated file would be lost at the next gc: git writes at least a heading.
    if not data.endswith(b"\n"):
        raise IntegrityError("packed-refs is truncated", path=path)
    found = {}
    for line in data[:-1].split(b"\n"):
        if line[:1] in (b"#", b"^"):
            continue
        match = _PACKED.fullmatch(line)
        if not match or _NO_REF.search(match[2]):
            raise IntegrityError("packed-refs is damaged", path=path)
        found[match[2].decode("utf-8", "surrogateescape")] = match[1].decode()
    return found
