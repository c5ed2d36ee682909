"""Reading and packing small files in several processes, beside the walk that finds them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from isal.isal_zlib import crc32

from gitsnap.core.content import Digests, Look, ReadResult, SizeChanged
from gitsnap.core.model import Entry, Xattrs
from gitsnap.core.sqlite import HEADER
from gitsnap.core.statcache import ROW_BYTES, Row, cut
from gitsnap.installation import attributes
from gitsnap.installation.directories import Directories
from gitsnap.installation.scan.fast_path import DirectoryScan, FastPath, Read
from gitsnap.installation.stable_read import ReadFailedError, UnstableError, read_whole
from gitsnap.ops.parallel.pool import LARGEST_REQUEST, Pool, processors
from gitsnap.sidecar.git.pack_write import PackWriter, digest_blob, pack_blob

_WORKERS = 4
_FIELDS = attrgetter(*(f.name for f in fields(DirectoryScan)))
# Kinds of requests.
_LOOKS, _FOLDERS = 0, 1
_BATCH_FOLDERS = 8
# Fewer entries are walked in less time than it takes to start a process.
_WORTH_ENTRIES = 8000
_BATCH_FILES, _BATCH_BYTES = 128, 1 << 20
# Fewer are read and packed in less time than it takes to start a process.
_WORTH_FILES, _WORTH_BYTES = 300, 8 << 20


class DigestingReaders:
    """Takes looks from a scan of `root`, and has what they show read and digested.

    Nothing is started before it is worth while; what comes to less is left to the walk. Close it.

    `known` are the rows of the stat cache: a file that has the SHA-256 of its row has the git blob id of its row, which
    need not be computed then. So has one that has the SHA-256 of its `staged` entry: who wrote it has compared both.
    """

    def __init__(
        self, root: str, known: Mapping[bytes, Row], staged: Mapping[bytes, Entry] = MappingProxyType({})
    ) -> None:
        self._root, self._known, self._staged = root, known, staged
        self._batch: list[Look] = []
        self._waiting: list[list[Look]] = []
        self._size = self._letters = self._total_files = self._total_bytes = 0
        self._outcomes: list[ReadResult] = []
        self._make: Callable[[Directories, Read], FastPath] | None = None
        self._folders: list[tuple[bytes, int]] = []
        # Directories that workers have in hand, and what has become of others.
        self._walking = 0
        self._findings: list[DirectoryScan] = []
        self._pool: Pool | None = None
        self._workers = min(processors(), _WORKERS)

    def read(self, look: Look) -> None:
        """Take on one file."""
        self._batch.append(look)
        self._size += look.size
        self._letters += len(look.folder) + len(look.name) + 100
        if len(self._batch) >= _BATCH_FILES or self._size >= _BATCH_BYTES or self._letters > LARGEST_REQUEST // 2:
            self._send()

    def done(self, *, everything: bool = False) -> Iterable[ReadResult]:
        """What became of the looks since."""
        if everything:
            self._send()
            if self._pool is None:
                # Not worth while: the walk reads them itself.
                waiting, self._waiting = self._waiting, []
                return [ReadResult(look.number, None, tried=False) for batch in waiting for look in batch]
            self._take(self._pool.finish())
        elif self._pool is not None:
            self._take(self._pool.answers())
        self._take_lost()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def prepare_walk(self, make: Callable[[Directories, Read], FastPath]) -> None:
        """How directories are looked at, should any be walked here."""
        self._make = make

    def walk(self, folder: bytes, device: int) -> bool:
        """Take on one directory; may wait for room. False where that is not worth while."""
        if self._pool is None:
            if self._make is None or self._workers < 2 or len(self._known) < _WORTH_ENTRIES:
                return False
            self._start()
        self._folders.append((folder, device))
        if len(self._folders) >= _BATCH_FOLDERS:
            self._send_folders()
        return True

    def found(self, *, wait: bool = False) -> Iterable[DirectoryScan]:
        """What became of the directories since; with `wait`, of one at least, while any is under way."""
        if wait:
            self._send_folders()
        if self._pool is not None:
            self._take(self._pool.answers())
            while wait and self._walking and not self._findings:
                self._take(self._pool.answers(wait=True))
                self._take_lost()
        findings, self._findings = self._findings, []
        return findings

    def _send_folders(self) -> None:
        if self._folders:
            assert self._pool is not None
            folders, self._folders = self._folders, []
            self._walking += 1
            self._take(self._pool.hand_over((_FOLDERS, folders)))

    def _send(self) -> None:
        if not self._batch:
            return
        self._total_files += len(self._batch)
        self._total_bytes += self._size
        self._waiting.append(self._batch)
        self._batch, self._size, self._letters = [], 0, 0
        if self._pool is None:
            if self._workers < 2 or (self._total_files < _WORTH_FILES and self._total_bytes < _WORTH_BYTES):
                return
            self._start()
        assert self._pool is not None
        for batch in self._waiting:
            self._take(self._pool.hand_over((_LOOKS, [tuple(look) for look in batch])))
        self._waiting = []

    def _start(self) -> None:
        self._get_ready()
        self._pool = Pool(self._prepare, self._workers)

    def _take(self, answers: Iterator[tuple[Any, Any, bytes]]) -> None:
        for (kind, _), answer, data in answers:
            if kind == _FOLDERS:
                self._take_finding(answer, data)
                continue
            at = 0
            for number, oid, sha256, size, crc, xattrs in answer:
                if oid is None:
                    self._outcomes.append(ReadResult(number, None))
                    continue
                if size:
                    self._adopt(oid, data[at : at + size], crc)
                    at += size
                self._outcomes.append(ReadResult(number, Digests(oid, sha256), xattrs))

    def _take_finding(self, answer: Any, data: bytes) -> None:
        about, blobs = answer
        finding, count = DirectoryScan(*about), len(about[0])
        at = count * ROW_BYTES
        finding.rows = cut(data[:at])
        for oid, size, crc in blobs:
            self._adopt(oid, data[at : at + size], crc)
            at += size
        self._walking -= 1
        self._findings.append(finding)

    def _take_lost(self) -> None:
        """What no worker lived to do is left to the walk."""
        for kind, batch in self._pool.lost() if self._pool is not None else ():
            if kind == _FOLDERS:
                self._walking -= 1
                self._findings.append(DirectoryScan(walked=batch))
            else:
                self._outcomes += [ReadResult(Look(*look).number, None, tried=False) for look in batch]

    def _prepare(self) -> Callable[[Any], tuple[Any, bytes]]:
        """What a worker does, with its own descriptors of the directories."""
        dirs = Directories(self._root)
        kept, known, staged, sent = self._keeps, self._known, self._staged, set[bytes]()
        blobs: list[tuple[bytes, int, int]] = []
        packed: list[bytes] = []

        def read(look: Look, _found: os.stat_result, _started: int) -> tuple[Digests | None, Xattrs]:
            (_, oid, sha256, size, crc, xattrs), entry = _one(dirs, look, known, staged, kept, sent)
            if oid is None:
                return None, ()
            if size:
                blobs.append((oid, size, crc))
                packed.append(entry)
            return Digests(oid, sha256), xattrs

        fast_path = self._make(dirs, read) if self._make is not None else None

        def work(request: tuple[int, list[Any]]) -> tuple[Any, bytes]:
            kind, batch = request
            if kind == _FOLDERS:
                assert fast_path is not None
                found = fast_path.look(batch)
                rows, found.rows = found.rows, []
                answer = (_FIELDS(found), list(blobs)), b"".join([*rows, *packed])
                blobs.clear()
                packed.clear()
                return answer
            done = [_one(dirs, Look(*look), known, staged, kept, sent) for look in batch]
            return [row for row, _ in done], b"".join([entry for _, entry in done])

        return work

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _get_ready(self) -> None:
        """Do once what every worker would have to do."""

    def _keeps(self, _oid: bytes) -> bool:
        """Whether a blob need not be deflated and sent: none need be, here."""
        return True

    def _adopt(self, oid: bytes, packed: bytes, crc: int) -> None:
        """Take in a blob that a worker has deflated, because it was not kept."""


class PackingReaders(DigestingReaders):
    """The same with what is read deflated into `pack`. `kept` tells which blobs need none of that."""

    def __init__(self, root: str, known: Mapping[bytes, Row], pack: PackWriter, kept: Callable[[bytes], bool]) -> None:
        super().__init__(root, known)
        self._pack, self._kept = pack, kept

    def _get_ready(self) -> None:
        # Asked for something that is there, it looks up all that is.
        for row in self._known.values():
            if row.has_content:
                self._kept(row.oid)
                break

    def _keeps(self, oid: bytes) -> bool:
        return self._kept(oid)

    def _adopt(self, oid: bytes, packed: bytes, crc: int) -> None:
        self._pack.adopt(oid, packed, crc)


def _one(
    dirs: Directories,
    look: Look,
    known: Mapping[bytes, Row],
    staged: Mapping[bytes, Entry],
    kept: Callable[[bytes], bool],
    sent: set[bytes],
) -> tuple[tuple[int, bytes | None, bytes, int, int, Xattrs], bytes]:
    """One file's row of the answer and its entry for the pack; any trouble is left to the walk, which names it."""

    def use(file: int, chunks: Iterable[bytes]) -> tuple[Digests, bytes, tuple[tuple[str, bytes], ...]]:
        data = b"".join(chunks)
        if len(data) != look.size:
            raise SizeChanged
        if look.twice and data.startswith(HEADER):
            # A transaction may be under way in it, which reading alone does not tell.
            raise UnstableError
        path = look.folder + b"/" + look.name if look.folder else look.name
        digests = digest_blob(data, known.get(path), staged.get(path))
        new = digests.oid not in sent and not kept(digests.oid)
        return digests, pack_blob(data) if new else b"", attributes.read_at(file)

    try:
        folder = dirs.fd(look.folder)
        digests, packed, xattrs = read_whole(folder, look.name, look.key, look.size, use, twice=look.twice)
    except (UnstableError, ReadFailedError, SizeChanged, OSError):
        return (look.number, None, b"", 0, 0, ()), b""
    if packed:
        sent.add(digests.oid)
    return (look.number, digests.oid, digests.sha256, len(packed), crc32(packed), xattrs), packed
