"""One snapshot read again: every byte, and every text that speaks of it compared with the others."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import Observer
from gitsnap.core.manifest import parse_manifest
from gitsnap.core.model import Entry, Snapshot, Type
from gitsnap.core.mtree import parse_metadata
from gitsnap.ops.check.verdict import Finding, Verdict
from gitsnap.ops.parallel.read_back import ReadBack, ReadBacks, Rereading
from gitsnap.sidecar import contents
from gitsnap.sidecar.contents_in_order import ContentsInOrder
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar

_FILE, _LINK = Type.FILE, Type.LINK
# A file's content: its id, and the size and SHA-256 that it is said to have.
_SAID = struct.Struct("<20sQ32s")


def verify_snapshot(sidecar: Sidecar, snapshot: Snapshot, known: ReadBacks, observer: Observer) -> Verdict:
    """Read every byte again, and compare every text that speaks of it. `known` is what was read before, by object."""
    # What is whole is told entry by entry. What is not is looked at as a whole, to name everything that is wrong.
    with suppress(GitsnapError):
        counted = _whole(sidecar, snapshot, known, observer)
        if counted is not None:
            return Verdict(snapshot.id, *counted)
    return _in_full(sidecar, snapshot, known, observer)


def _whole(sidecar: Sidecar, snapshot: Snapshot, known: ReadBacks, observer: Observer) -> tuple[int, int] | None:
    """How many files are in a snapshot, and of how many bytes. None or GitsnapError where anything is wrong with it."""
    said, pack = bytearray(), _SAID.pack
    with contents.opened(sidecar, snapshot) as opened:
        # For the workers, and beside the texts.
        read_twice = trees.Remembered(sidecar.objects)
        stored = ContentsInOrder(read_twice, snapshot, opened.texts)
        files = trees.contents(read_twice, bytes.fromhex(snapshot.tree))
        with Rereading(sidecar.objects, files, known, observer) as rereading:
            # The texts are read while the workers are at it.
            for entry in stored.entries():
                kind = entry.type
                if kind is _FILE:
                    said += pack(entry.oid, entry.size, entry.sha256)
                elif kind is _LINK and _link_problem(sidecar, entry):
                    return None
            if snapshot.partial != len(stored.end().partial):
                return None
            rereading.finish()
    return None if known.wrong(_SAID.iter_unpack(said)) else (stored.files, stored.bytes)


def _in_full(sidecar: Sidecar, snapshot: Snapshot, known: ReadBacks, observer: Observer) -> Verdict:
    """The same with everything that is wrong."""
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


def _content_problem(entry: Entry, held: Mapping[bytes, ReadBack]) -> Finding | None:
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
