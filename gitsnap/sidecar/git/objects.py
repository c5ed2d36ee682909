"""All objects of the sidecar, wherever git keeps them. Whatever is returned has had its id recomputed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, ShaFile, valid_hexsha

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import limits
from gitsnap.sidecar.files import sync_directory
from gitsnap.sidecar.git.blob_stream import STREAM_FROM, checked_stream, is_large, large_stream, passes
from gitsnap.sidecar.git.delta_chains import CACHE_BYTES, DeltaChains
from gitsnap.sidecar.git.loose_objects import loose_stream, read_loose
from gitsnap.sidecar.git.pack_read import TYPES, Pack
from gitsnap.sidecar.git.packed_ids import PackedList, Places, shares

_NUMBERS = {name: number for number, name in TYPES.items()}
_COMMITS, _SMALL_COMMIT = 10_000, 4096
# Of a blob whose size nobody has said, more is not held at once.
_HELD = 512 << 20
_NOT_READABLE = (
    errno.EIO,
    errno.EUCLEAN,
    errno.ENODATA,
    errno.EBADMSG,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
)


class Reads(Protocol):
    """What gives objects, such as an ObjectStore."""

    def read(self, oid: bytes, expected: bytes | None = None, /) -> tuple[bytes, bytes]:
        """(type, content) of an object; IntegrityError where there is none."""


class ObjectStore(DiskObjectStore):
    """dulwich's store of the objects below a directory, with ids that are always computed again.

    What gitsnap asks by raw id (read() and all that follows it here) raises IntegrityError for what is missing or
    damaged, and looks for another copy first. What dulwich's own methods ask for comes by way of get_raw(). Neither an
    alternate nor a multi-pack-index nor a commit-graph is believed: a foreign sidecar could name any path, and a stale
    one hides damage.
    """

    def __init__(self, objects: str) -> None:
        super().__init__(objects, fsync_object_files=True)
        self._dir = objects
        self._use_midx = self._use_commit_graph = False
        self._packs: dict[str, Pack] = {}
        self._last: Pack | None = None
        self._chains = DeltaChains(self._locate)
        # Packs whose index is damaged, by its name.
        self.unusable: dict[str, IntegrityError] = {}
        # What could not be read so far: evidence for whoever is about to take stored objects for granted.
        self.damaged: set[bytes] = set()
        self._commits: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Release all descriptors."""
        self._packs, self._last = {}, None
        super().close()

    def refresh(self) -> None:
        """Notice packs that came or went."""
        self._update_pack_cache()

    def _update_pack_cache(self) -> list[Pack]:  # type: ignore[override]
        folder = os.path.join(self._dir, "pack")
        try:
            names = {n for n in os.listdir(folder) if n.endswith(".idx")}
        except FileNotFoundError:
            names = set()
        for name in [n for n in self._packs if n not in names]:
            self._packs.pop(name).close()
            self._last = None
        fresh = []
        for name in sorted(names - self._packs.keys() - self.unusable.keys()):
            # A concurrent gc took it between the listing and the opening; its objects are elsewhere.
            with suppress(FileNotFoundError):
                try:
                    self._packs[name] = Pack(os.path.join(folder, name))
                except IntegrityError as error:
                    # What only it holds is missing; all else is there. verify names the file.
                    self.unusable[name] = error
                else:
                    fresh.append(self._packs[name])
        self._pack_cache = dict(self._packs)
        return fresh

    def ids(self) -> Iterator[bytes]:
        """The ids of all objects, whatever their type; some more than once."""
        # Packs last: what a git packs meanwhile is in one before its own file goes.
        yield from self.loose_ids()
        self.refresh()
        for pack in self.packs:
            yield from pack.index.oids()

    def loose_ids(self) -> Iterator[bytes]:
        """The ids of the objects that have files of their own."""
        return map(_raw, self._iter_loose_objects())

    def _iter_loose_objects(self) -> Iterator[ObjectID]:
        """As dulwich has it, which stumbles over a folder that a gc removes between two listings."""
        for folder in os.listdir(self._dir):
            if len(folder) == 2:
                with suppress(FileNotFoundError, NotADirectoryError):
                    names = (os.fsencode(folder + rest) for rest in os.listdir(os.path.join(self._dir, folder)))
                    yield from (ObjectID(name) for name in names if valid_hexsha(name))

    @property
    def packs(self) -> list[Pack]:  # type: ignore[override]
        """The packs as they are open now."""
        return list(self._packs.values())

    @property
    def alternates(self) -> list[DiskObjectStore]:  # type: ignore[override]
        """None: what lies outside the sidecar is none of its objects."""
        return []

    def __contains__(self, oid: bytes) -> bool:
        raw = _raw(oid)
        return self._locate(raw) is not None or os.path.exists(self._loose_path(raw))

    def get_raw(self, name: bytes) -> tuple[int, bytes]:
        """dulwich's way to an object by its raw or hex id: (number of its type, content), verified.

        Raises KeyError for one that is missing, IntegrityError for a damaged one.
        """
        oid = _raw(name)
        if self._find(oid) is None and not os.path.exists(self._loose_path(oid)):
            raise KeyError(name)
        kind, content = self.read(oid)
        return _NUMBERS[kind], content

    def iterobjects_subset(self, shas: Iterable[bytes], *, allow_missing: bool = False) -> Iterator[ShaFile]:
        """The objects of these hex ids, each verified, where dulwich's would take packs at their word."""
        for sha in shas:
            if not allow_missing or sha in self:
                yield self[sha]  # type: ignore[index]

    def _complete_pack(self, *arguments: Any, **named: Any) -> Any:
        """What came by add_pack() or add_thin_pack() is private, and durable, directory and all, before anything names
        it."""
        made = super()._complete_pack(*arguments, **named)
        if isinstance(made, Pack):
            return made
        name = os.path.basename(os.fspath(made.index.path))  # type: ignore[attr-defined]
        made.close()
        for path in (name, f"{name[:-4]}.pack"):
            os.chmod(os.path.join(self._dir, "pack", path), 0o400)
        sync_directory(os.path.join(self._dir, "pack"))
        self.refresh()
        return self._packs[name]

    def missing(self, oids: Iterable[bytes]) -> set[bytes]:
        """Which of these there are no objects for. There may be a million: few of them are in memory by themselves."""
        packs, out = self._largest_first(), set()
        for left in shares(oids):
            for pack in packs:
                if not left:
                    break
                left -= pack.index.held_of(left)
            out |= {oid for oid in left if not os.path.exists(self._loose_path(oid))}
        return out

    def read(self, oid: bytes, expected: bytes | None = None, most: int | None = None) -> tuple[bytes, bytes]:
        """(type, content) of an object, of type `expected` if given. A damaged copy is passed over for a whole one.

        One of more than `most` bytes, or more than any of its type has (limits), is as good as damaged.
        """
        if expected == b"commit":
            return expected, self._commit(oid)
        return self._read(oid, expected, most)

    def read_many(self, oids: Iterable[bytes], kind: bytes) -> dict[bytes, bytes]:
        """The contents of objects of type `kind`, mostly small ones, pack by pack in the order in which they lie there.

        What is not in the answer is loose, missing, damaged, of another type, or too much to hold: read() tells.
        """
        found: dict[bytes, bytes] = {}
        left, room = set(oids), CACHE_BYTES
        number = _NUMBERS[kind]
        for pack in self._largest_first():
            # A damaged index is no reason not to look into other packs.
            placed: list[tuple[int, bytes]] = []
            with suppress(IntegrityError):
                placed = sorted([(at, oid) for oid in left if (at := pack.index.find(oid)) is not None])
            for offset, oid in placed:
                content = None
                with suppress(IntegrityError):
                    # The base of a delta mostly lies before it, and is remembered.
                    found_kind, content = self._chains.read(pack, offset, limits.WHOLE[kind])
                    content = content if found_kind == number else None
                if content is not None and len(content) <= room and _id(kind, content) == oid:
                    found[oid] = content
                    room -= len(content)
                    left.discard(oid)
        return found

    def _largest_first(self) -> list[Pack]:
        return sorted(self._packs.values(), key=lambda pack: -len(pack.index))

    def read_ahead(self, commits: Iterable[bytes]) -> None:
        """Read many commits at once that read() will be asked for."""
        wanted = [oid for oid in commits if oid not in self._commits]
        if len(self._commits) + len(wanted) <= _COMMITS:
            read = self.read_many(wanted, b"commit")
            self._commits |= {oid: content for oid, content in read.items() if len(content) < _SMALL_COMMIT}

    def _commit(self, oid: bytes) -> bytes:
        """A commit's content, read once: the catalog and the timeline both need all of them."""
        content = self._commits.get(oid)
        if content is None:
            content = self._read(oid, b"commit", None)[1]
            if len(self._commits) < _COMMITS and len(content) < _SMALL_COMMIT:
                self._commits[oid] = content
        return content

    def _read(self, oid: bytes, expected: bytes | None, most: int | None) -> tuple[bytes, bytes]:
        found = self._find(oid)
        most = limits.WHOLE[expected] if most is None and expected is not None else most
        try:
            kind, content = self._whole(oid, found, most)
        except IntegrityError as error:
            kind, content = self._other_copy(oid, found, error, most)
        if expected is not None and kind != expected:
            raise IntegrityError(f"object {oid.hex()} is a {kind.decode()}, not a {expected.decode()}")
        return kind, content

    def _whole(self, oid: bytes, found: tuple[Pack, int] | None, most: int | None) -> tuple[bytes, bytes]:
        """(type, content) of one copy: the one in a pack, or (None) the loose one. Without `most`, what it says to be
        is the measure."""
        try:
            if most is None:
                said = TYPES.get(found[0].data.header(found[1])[0], b"blob") if found else b"blob"
                most = limits.WHOLE[said]
            if found is None:
                kind, content = self._read_loose(oid, most)
            else:
                number, content = self._chains.read(*found, most)
                kind = TYPES[number]
        except OSError as error:
            raise _unreadable(error) from None
        if _id(kind, content) != oid:
            raise IntegrityError("its content does not match its id", path=found[0].path if found else None)
        return kind, content

    def _other_copy(
        self, oid: bytes, first: tuple[Pack, int] | None, error: IntegrityError, most: int | None
    ) -> tuple[bytes, bytes]:
        for copy in self._copies(oid):
            if copy != first:
                with suppress(IntegrityError):
                    return self._whole(oid, copy, most)
        raise self._lost(oid, error)

    def _copies(self, oid: bytes) -> Iterator[tuple[Pack, int] | None]:
        self.refresh()
        for pack in self.packs:
            offset = pack.index.find(oid)
            if offset is not None:
                yield pack, offset
        if os.path.exists(self._loose_path(oid)):
            yield None

    def _lost(self, oid: bytes, error: IntegrityError) -> IntegrityError:
        self.damaged.add(oid)
        if oid.hex() in error.message:
            return error
        return IntegrityError(f"object {oid.hex()} is damaged: {error.message}", path=error.path)

    def readable(self, oid: bytes) -> bool:
        """Whether some copy of the object is whole. Reads all of it."""
        try:
            if (stream := self._large(oid, None)) is None:
                self.read(oid)
            for _ in stream or ():
                continue
        except IntegrityError:
            self.damaged.add(oid)
            return False
        self.damaged.discard(oid)
        return True

    def whole_in(self, pack: Pack, oid: bytes) -> bool:
        """Whether the copy of an object that lies in this pack is whole. Reads all of it."""
        copy = pack, pack.index.find(oid) or 0
        try:
            if is_large(copy):
                return passes(large_stream(copy, oid, None))
            self._whole(oid, copy, None)
        except IntegrityError:
            return False
        return True

    def all_readable(self, oids: Collection[bytes], kind: bytes) -> bool:
        """Whether many small objects of type `kind` can be read.

        Those that lie whole in a pack, and that nothing has shown to be damaged, by the checksums of their bytes.
        """
        left = set(oids) - self.as_written(oids, (_NUMBERS[kind],)) - self.damaged
        left -= self.read_many(left, kind).keys()
        return all(self.readable(oid) for oid in (*left, *self.damaged.intersection(oids)))

    def as_written(self, oids: Iterable[bytes], kinds: Container[int] = TYPES) -> set[bytes]:
        """Those of these objects that some pack holds whole, of one of the `kinds`, in bytes as they were once written.

        None that has proved damaged is among them.
        """
        wanted = set(oids) - self.damaged
        left = set(wanted)
        for pack in self._largest_first():
            # A damaged index is no reason not to look into other packs.
            with suppress(IntegrityError):
                left -= pack.as_written(left, kinds)
        return wanted - left

    def blob(self, oid: bytes, size: int | None = None, *, checked: bool = True) -> Iterator[bytes]:
        """A blob's content in pieces; IntegrityError at the end at the latest when the id or `size` is not met.

        Without `checked`, the id of a large one is not computed again: for who has a digest to compare with.
        """
        stream = self._large(oid, size, checked) if size is None or size >= STREAM_FROM else None
        if stream is not None:
            try:
                yield from stream
            except IntegrityError as error:
                raise self._lost(oid, error) from None
            except OSError as error:
                known = _unreadable(error)
                raise self._lost(oid, known) if isinstance(known, IntegrityError) else known from None
            return
        content = self.read(oid, b"blob", _HELD if size is None else None)[1]
        if size is not None and len(content) != size:
            raise IntegrityError(f"object {oid.hex()} has {len(content)} bytes, not {size}")
        yield content

    def loose_blob(self, oid: bytes) -> tuple[Iterator[bytes], int] | None:
        """The content of a blob that has a file of its own, in pieces that end with IntegrityError where they are not
        those of its id, and its size; None for any other object."""
        path = self._loose_path(oid)
        loose = loose_stream(path, oid) if self._locate(oid) is None and os.path.exists(path) else None
        return None if loose is None else (checked_stream(*loose), loose[2])

    def _large(self, oid: bytes, size: int | None, checked: bool = True) -> Iterator[bytes] | None:
        """A stream of a blob that is too large to hold, or loose; None for what read() is for."""
        found = self._find(oid)
        if found is None:
            path = self._loose_path(oid)
            loose = loose_stream(path, oid) if os.path.exists(path) else None
            return checked_stream(*loose) if loose else None
        if not is_large(found):
            return None
        copies = [c for c in self._copies(oid) if c and is_large(c)]
        streams = [large_stream(copy, oid, size) for copy in copies]
        # What was given away cannot be taken back: where there is a choice, each is read once more before.
        while len(streams) > 1 and not passes(streams.pop(0)):
            copies.pop(0)
        return large_stream(copies[0], oid, size, checked)

    def sized_blob(self, oid: bytes) -> tuple[int, Iterator[bytes]] | None:
        """The size of a blob that is too large to hold, or loose, and its content in pieces; None where read() is for
        it, or it is no blob."""
        found = self._find(oid)
        if found is None:
            path = self._loose_path(oid)
            loose = loose_stream(path, oid) if os.path.exists(path) else None
            return (loose[2], checked_stream(*loose)) if loose else None
        stream = self._large(oid, None)
        return (found[0].data.header(found[1])[1], stream) if stream is not None else None

    def pieces(self, oid: bytes) -> tuple[bytes, int, Iterator[bytes]]:
        """Type, size in bytes, and content in pieces of any object; a large blob is never held. Raises IntegrityError,
        for what is damaged at the last piece at the latest."""
        if (large := self.sized_blob(oid)) is not None:
            return b"blob", *large
        kind, content = self.read(oid)
        return kind, len(content), iter([content])

    def stored_in(self, oid: bytes) -> int:
        """The size of the file that holds an object, a pack or its own; 0 where it is missing."""
        found = self._find(oid)
        if found is not None:
            return found[0].data.end
        with suppress(OSError):
            return os.stat(self._loose_path(oid)).st_size
        return 0

    def in_order(self, oids: Iterable[bytes]) -> tuple[Sequence[bytes], list[bytes]]:
        """The ids in the order in which their objects lie on disk, each once: small ones, and those that are better
        streamed. There may be a million: few of them are in memory by themselves."""
        packs = list(self._packs.values())
        placed = [Places(pack.data.end) for pack in packs]
        small, large, loose = PackedList(), list[bytes](), list[bytes]()
        for left in shares(oids):
            for pack, places in zip(packs, placed, strict=True):
                found = pack.index.places_of(left) if left else []
                for at, oid in found:
                    places.put(at, oid)
                left.difference_update([oid for _, oid in found])
            loose += left
        for places in placed:
            # Deflated data is hardly ever a thousandth of the plain: only where the next is far away is a look needed.
            for oid, size in places.in_order():
                (large if size >= STREAM_FROM >> 10 and self._streams(oid) else small).append(oid)
        for oid in sorted(loose):
            (large if self._streams(oid) else small).append(oid)
        return small, large

    def _streams(self, oid: bytes) -> bool:
        found = self._locate(oid)
        if found is None:
            return False
        kind, size, _, _ = found[0].data.header(found[1])
        return kind in TYPES and size >= STREAM_FROM

    def _locate(self, oid: bytes) -> tuple[Pack, int] | None:
        # What is asked for next mostly lies where the last one was.
        for pack in (self._last, *self._packs.values()):
            offset = pack.index.find(oid) if pack is not None else None
            if pack is not None and offset is not None:
                self._last = pack
                return pack, offset
        return None

    def _find(self, oid: bytes) -> tuple[Pack, int] | None:
        found = self._locate(oid)
        if found is None and not os.path.exists(self._loose_path(oid)):
            self.refresh()
            found = self._locate(oid)
        return found

    def _loose_path(self, oid: bytes) -> str:
        name = oid.hex()
        return os.path.join(self._dir, name[:2], name[2:])

    def _read_loose(self, oid: bytes, most: int) -> tuple[bytes, bytes]:
        try:
            return read_loose(self._loose_path(oid), oid, most)
        except FileNotFoundError:
            where = "; the index of a pack is damaged" if self.unusable else ""
            path = next((e.path for e in self.unusable.values()), None)
            raise IntegrityError(f"object {oid.hex()} is missing{where}", path=path) from None


def _raw(name: bytes) -> bytes:
    """A raw id from one that is raw or hex, as dulwich has both."""
    return bytes.fromhex(name.decode("ascii")) if len(name) == 40 else name


def _unreadable(error: OSError) -> OSError | IntegrityError:
    """What a disk cannot read, or is no file, is damaged; what a process lacks (descriptors, memory) is no property of
    the object."""
    if error.errno not in _NOT_READABLE:
        return error
    return IntegrityError(f"it cannot be read: {error.strerror}", path=error.filename)


def _id(kind: bytes, content: bytes) -> bytes:
    check = hashlib.sha1(b"%s %d\0" % (kind, len(content)), usedforsecurity=False)
    check.update(content)
    return check.digest()
