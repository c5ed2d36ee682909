"""A git repository on this machine to receive from: a mirror, what was pushed to, or a copied sidecar.

It is read by us alone, object by object, each id computed; no git is started on it, and nothing of its config, hooks or
attributes is obeyed: it may be anybody's. What is read of it besides are facts.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Self

from dulwich.pack import OFS_DELTA, REF_DELTA
from isal import isal_zlib

from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError
from gitsnap.core.events import Observer
from gitsnap.sidecar import files
from gitsnap.sidecar.git import commits, config, trees
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_file import distance, entry_header
from gitsnap.sidecar.git.pack_read import TYPES, Pack
from gitsnap.sidecar.git.refs import Refs

_NUMBERS = {name: number for number, name in TYPES.items()}
_PIECE = 1 << 20
# How long a gc at work there is waited for, in seconds.
_PATIENCE, _POLL = 10.0, 0.05


def is_repository(path: str) -> bool:
    """Whether there is a bare git repository at `path`, of gitsnap or not."""
    with suppress(OSError):
        found = os.lstat(os.path.join(path, "HEAD"))
        return (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)) and all(
            os.path.isdir(os.path.join(path, name)) for name in ("objects", "refs")
        )
    return False


class Directory:
    """The repository at `path` (absolute). Close it, or use it as a context manager."""

    def __init__(self, path: str) -> None:
        self.path = self.name = path
        self.settings = dict(config.read(path))
        _require_readable(path, self.settings)
        self._lock = _no_gc_meanwhile(path)
        self._refs, self._store = Refs(path), ObjectStore(os.path.join(path, "objects"))
        self._store.refresh()
        # Refs that are there and say nothing that could be one, by name.
        self.damaged: dict[str, IntegrityError] = {}
        self.refs = {f"refs/{name}": value for name, value in self._refs.below("refs/", self.damaged).items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release descriptors."""
        self._store.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def parts(self) -> Sequence[Self]:
        """One pack, made for the occasion."""
        return (self,)

    def settle(self, _: ObjectStore) -> None:
        """It passes for nothing but what its objects say."""

    def fetch(self, wants: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Copy everything that these objects (hex ids) lead to, and `haves` do not. What is missing or damaged is left
        out: whoever takes the rest for a snapshot will miss it."""
        wanted = set(_reachable(self._store, map(bytes.fromhex, wants)))
        if haves:
            wanted -= set(_reachable(self._store, map(bytes.fromhex, haves)))
        observer.started("copying", len(wanted))
        into.begin()
        into.end(_Copy(self._store, into, observer).run(wanted))
        observer.finished()


def _no_gc_meanwhile(path: str) -> int | None:
    """Where this is a sidecar, a descriptor that keeps its gc from taking away what is read; nothing is written.

    LockedError where a gc does not end.
    """
    lock = os.path.join(path, "gitsnap", "objects.lock")
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return fd
        if time.monotonic() > deadline:
            os.close(fd)
            raise LockedError(f"a gc is at work in {path}", path=lock)
        time.sleep(_POLL)


def _require_readable(path: str, settings: dict[str, str]) -> None:
    names = settings.get("extensions.objectformat", "sha1").strip('"').lower()
    if names != "sha1":
        raise GitsnapError(
            f"{path} names its objects by {names}; gitsnap's are named by SHA-1", kind="object-format", path=path
        )
    if settings.get("extensions.refstorage", "files").strip('"').lower() != "files":
        raise GitsnapError(
            f"{path} keeps its refs in another format than files",
            kind="ref-format",
            path=path,
            hint="git bundle create FILE --all makes a file of it that gitsnap reads",
        )
    if files.read(os.path.join(path, "objects", "info", "alternates")):
        raise GitsnapError(
            f"{path} has objects elsewhere, which its objects/info/alternates names",
            kind="alternates",
            path=path,
            hint="`git clone --mirror --dissociate` makes one that has all of its own",
        )


def _reachable(store: ObjectStore, tips: Iterable[bytes]) -> Iterator[bytes]:
    """The ids of all that these lead to, some of which may be missing; a tree or commit that cannot be read leads to
    nothing."""
    seen: set[bytes] = set()
    roots: list[bytes] = []
    left = list(tips)
    while left:
        oid = left.pop()
        if oid in seen:
            continue
        seen.add(oid)
        with suppress(IntegrityError):
            kind, _, pieces = store.pieces(oid)
            if kind == b"commit":
                parsed = commits.parse(b"".join(pieces), oid.hex())
                roots.append(bytes.fromhex(parsed.tree))
                left += [bytes.fromhex(parsed.parent)] if parsed.parent else []
            elif kind == b"tag":
                head, _, _ = b"".join(pieces).partition(b"\n")
                left += [bytes.fromhex(head[7:47].decode("ascii", "replace"))] if head.startswith(b"object ") else []
            elif kind == b"tree":
                roots.append(oid)
    for oid, _, blobs in trees.walk(store, roots):
        seen.add(oid)
        seen.update(blobs or ())
    yield from seen


class _Copy:
    """Copies objects into a pack: as they lie in packs, deltas too where what they build on came before."""

    def __init__(self, store: ObjectStore, into: IncomingPack, observer: Observer) -> None:
        self._store, self._into, self._observer = store, into, observer
        self._at: dict[bytes, int] = {}

    def run(self, wanted: set[bytes]) -> int:
        """Copy what of it can be read; how many that were."""
        left = set(wanted)
        for pack in self._store.packs:
            names: dict[int, bytes] = {}
            with suppress(IntegrityError, OSError):
                for oid, start, end, crc in pack.spans():
                    names[start] = oid
                    if oid in left and self._as_it_is(pack, (start, end, crc), oid, names):
                        left.discard(oid)
        for oid in sorted(left):
            self._anew(oid)
        return len(self._at)

    def _as_it_is(self, pack: Pack, span: tuple[int, int, int], oid: bytes, names: dict[int, bytes]) -> bool:
        """Whether the bytes of the entry could be copied, which the checksum in the index vouches for."""
        start, end, expected = span
        kind, size, at, base = pack.data.header(start)
        if isinstance(base, int):
            base = names.get(base)
        fresh = self._into.size
        if kind in TYPES:
            heading = entry_header(kind, size)
        elif kind in (OFS_DELTA, REF_DELTA) and isinstance(base, bytes) and base in self._at:
            heading = entry_header(OFS_DELTA, size) + distance(fresh - self._at[base])
        else:
            return False
        self._into.write(heading)
        crc = isal_zlib.crc32(os.pread(pack.data.fd, at - start, start))
        while at < end and (data := os.pread(pack.data.fd, min(_PIECE, end - at), at)):
            crc = isal_zlib.crc32(data, crc)
            self._into.write(data)
            at += len(data)
        if crc != expected or at != end:
            self._into.rewind(fresh)
            return False
        self._done(oid, fresh)
        return True

    def _anew(self, oid: bytes) -> None:
        fresh = self._into.size
        try:
            kind, size, pieces = self._store.pieces(oid)
            self._into.write(entry_header(_NUMBERS[kind], size))
            deflater = isal_zlib.compressobj(1)
            for piece in pieces:
                self._into.write(deflater.compress(piece))
            self._into.write(deflater.flush())
        except (IntegrityError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
                raise
            self._into.rewind(fresh)
        else:
            self._done(oid, fresh)

    def _done(self, oid: bytes, start: int) -> None:
        self._at[oid] = start
        self._observer.advanced(1, self._into.size - start)
