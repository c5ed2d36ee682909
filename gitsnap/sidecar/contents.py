"""What a snapshot holds: its manifest, its metadata, and both joined with its tree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Inventory, Snapshot, Type
from gitsnap.core.stored_text import Text
from gitsnap.sidecar import catalog, limits
from gitsnap.sidecar.git import notes, refs, trees
from gitsnap.sidecar.git.trees import Leaf
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.spool import Spool
from gitsnap.sidecar.state import reflog

# Parsers are loaded where something is parsed: most snapshots only share the texts of the last one.
if TYPE_CHECKING:
    from gitsnap.core.manifest import Manifest
    from gitsnap.core.stored_difference import Texts

# Looked up once, because access to an enumeration's members is slow.
_Found = TypeVar("_Found")
_FILE, _DIR, _LINK = Type.FILE, Type.DIR, Type.LINK
# A text of more bytes is not held.
_SPOOLED = 4 << 20
_DISAGREE = "the tree and the metadata disagree about this path"


def _note(sidecar: Sidecar, snapshot: Snapshot, ref: str, what: str, digest: str) -> bytes:
    return find_note(sidecar, snapshot, ref, what, digest)[1]


def find_note(sidecar: Sidecar, snapshot: Snapshot, ref: str, what: str, digest: str) -> tuple[bytes, bytes]:
    """(raw id, text) of a note whose SHA-256 is `digest`; IntegrityError when there is none.

    Where the notes are damaged, those that they replaced since the last gc may still lead to it.
    """

    return _first_whole(sidecar, snapshot, ref, what, lambda oid: (oid, _checked(sidecar, oid, what, digest)))


def _checked(sidecar: Sidecar, oid: bytes, what: str, digest: str) -> bytes:
    text = sidecar.objects.read(oid, b"blob", limits.text_of(sidecar.objects.stored_in(oid)))[1]
    if hashlib.sha256(text).hexdigest() != digest:
        raise IntegrityError(f"its {what} is not the one its commit names")
    return text


def require_texts(sidecar: Sidecar, snapshot: Snapshot) -> None:
    """IntegrityError unless manifest and metadata are there, as the digests in the commit have them.

    Large ones are read in pieces.
    """
    for ref, what, digest in (
        (refs.MANIFESTS, "manifest", snapshot.manifest_sha256),
        (refs.METADATA, "metadata", snapshot.metadata_sha256),
    ):

        def require(oid: bytes, what: str = what, digest: str = digest) -> None:
            found = sidecar.objects.sized_blob(oid)
            text = found[1] if found else [sidecar.objects.read(oid, b"blob")[1]]
            check = hashlib.sha256()
            for piece in text:
                check.update(piece)
            if check.hexdigest() != digest:
                raise IntegrityError(f"its {what} is not the one its commit names")

        _first_whole(sidecar, snapshot, ref, what, require)


def _first_whole(sidecar: Sidecar, snapshot: Snapshot, ref: str, what: str, read: Callable[[bytes], _Found]) -> _Found:
    """What is read of the first note that is whole."""
    cause: IntegrityError | None = None
    for commit in _places(sidecar, ref):
        try:
            oid = notes.find(sidecar.objects, commit, snapshot.commit)
            if oid is None:
                raise IntegrityError(f"it has no {what}: the note is missing")
            return read(oid)
        except IntegrityError as error:
            cause = cause or error
    raise cause or IntegrityError(f"it has no {what}")


def _places(sidecar: Sidecar, ref: str) -> Iterator[str | None]:
    yield sidecar.refs.get(ref)
    yield from reflog.ids(sidecar)


@contextmanager
def _named(snapshot: Snapshot) -> Iterator[None]:
    """Whatever is damaged in there, the error says of which snapshot, and what to type."""
    try:
        yield
    except IntegrityError as error:
        raise catalog.lost(snapshot.id, error) from None


def manifest_text(sidecar: Sidecar, snapshot: Snapshot) -> bytes:
    """The manifest's bytes, checked against the digest in the commit."""
    return _note(sidecar, snapshot, refs.MANIFESTS, "manifest", snapshot.manifest_sha256)


def manifest(sidecar: Sidecar, snapshot: Snapshot) -> Manifest:
    """The parsed manifest."""
    from gitsnap.core.manifest import parse_manifest

    with _named(snapshot):
        return parse_manifest(manifest_text(sidecar, snapshot))


def metadata_text(sidecar: Sidecar, snapshot: Snapshot) -> bytes:
    """The metadata's bytes, checked against the digest in the commit."""
    return _note(sidecar, snapshot, refs.METADATA, "metadata", snapshot.metadata_sha256)


@dataclass(slots=True, frozen=True)
class Opened:
    """Both texts of a snapshot, and their raw ids."""

    texts: Texts
    manifest_oid: bytes
    metadata_oid: bytes


@contextmanager
def opened(sidecar: Sidecar, snapshot: Snapshot) -> Iterator[Opened]:
    """Both texts, to be read block by block; IntegrityError, which names the snapshot.

    What would have to be inflated to be held lies in a file without a name meanwhile, where one can be written.
    """
    from gitsnap.core.stored_difference import Texts

    with ExitStack() as stack:
        with _named(snapshot):
            first = _open(sidecar, snapshot, refs.MANIFESTS, "manifest", snapshot.manifest_sha256, stack)
            second = _open(sidecar, snapshot, refs.METADATA, "metadata", snapshot.metadata_sha256, stack)
        yield Opened(Texts(first[1], second[1]), first[0], second[0])


@contextmanager
def opened_manifest(sidecar: Sidecar, snapshot: Snapshot) -> Iterator[Text]:
    """The same of the manifest alone."""
    with ExitStack() as stack:
        with _named(snapshot):
            text = _open(sidecar, snapshot, refs.MANIFESTS, "manifest", snapshot.manifest_sha256, stack)[1]
        yield text


def _open(
    sidecar: Sidecar, snapshot: Snapshot, ref: str, what: str, digest: str, stack: ExitStack
) -> tuple[bytes, Text]:
    """(raw id, text) of a note whose SHA-256 is `digest`."""

    def opened(oid: bytes) -> tuple[bytes, Text]:
        found, most = sidecar.objects.sized_blob(oid), limits.text_of(sidecar.objects.stored_in(oid))
        held = b""
        if found is None or found[0] > most:
            held = _checked(sidecar, oid, what, digest)
            if len(held) < _SPOOLED:
                return oid, Text.of(held)
        spool = stack.enter_context(closing(Spool(sidecar.scratch)))
        try:
            spool.write_all([held] if held or found is None else found[1])
        except OSError:
            # A sidecar that cannot be written to can be read all the same.
            return oid, Text.of(held or _checked(sidecar, oid, what, digest))
        if spool.sha256 != digest:
            raise IntegrityError(f"its {what} is not the one its commit names")
        return oid, Text(spool.size, spool.read)

    return _first_whole(sidecar, snapshot, ref, what, opened)


def metadata(sidecar: Sidecar, snapshot: Snapshot) -> Inventory:
    """The inventory that the metadata note holds; no digests in it."""
    from gitsnap.core.mtree import parse_metadata

    with _named(snapshot):
        return parse_metadata(metadata_text(sidecar, snapshot))


def inventory(sidecar: Sidecar, snapshot: Snapshot) -> Inventory:
    """The whole snapshot: metadata, manifest and tree joined. IntegrityError when the three disagree.

    File contents are not read here; that is what verify does.
    """
    return whole(sidecar, snapshot)[0]


def whole(sidecar: Sidecar, snapshot: Snapshot) -> tuple[Inventory, list[bytes]]:
    """inventory(), and the ids of all trees."""
    found, listed = metadata(sidecar, snapshot), manifest(sidecar, snapshot)
    with _named(snapshot):
        tree = leaves(sidecar, snapshot, len(found.entries))
        for problem_path, message in disagreements(sidecar, snapshot, found, listed, tree):
            raise IntegrityError(message, path=problem_path)
    found.rules, found.excluded = listed.rules, listed.excluded
    return found, [bytes.fromhex(snapshot.tree), *(leaf.oid for leaf in tree if leaf.mode == trees.DIRECTORY)]


def of_entry(sidecar: Sidecar, entry: Entry) -> Iterator[bytes]:
    """The content of a file in pieces, to be compared with its SHA-256; IntegrityError for damage that shows before."""
    assert entry.oid is not None
    return sidecar.objects.blob(entry.oid, entry.size, checked=False)


def leaves(sidecar: Sidecar, snapshot: Snapshot, limit: int) -> list[Leaf]:
    """Everything in the snapshot's tree; IntegrityError for more than `limit` entries."""
    return list(trees.flatten(sidecar.objects, bytes.fromhex(snapshot.tree), limit))


def files_of(tree: Iterable[Leaf]) -> list[bytes]:
    """The ids of the regular files' contents in a tree."""
    return [leaf.oid for leaf in tree if leaf.mode not in (trees.DIRECTORY, trees.LINK)]


def disagreements(
    sidecar: Sidecar, snapshot: Snapshot, found: Inventory, listed: Manifest, tree: Iterable[Leaf] | None = None
) -> Iterator[tuple[bytes, str]]:
    """Join manifest and tree into `found`, yielding (path, what is wrong) wherever the three do not say the same."""
    yield from joined(snapshot, found, listed, leaves(sidecar, snapshot, len(found.entries)) if tree is None else tree)


def joined(snapshot: Snapshot, found: Inventory, listed: Manifest, tree: Iterable[Leaf]) -> Iterator[tuple[bytes, str]]:
    """The same of a snapshot that may be in no sidecar."""
    held = {leaf.path: leaf for leaf in tree}
    digests, files, size = listed.digests, 0, 0
    for entry in found.entries:
        path, kind = entry.path, entry.type
        leaf = held.pop(path, None)
        expected = trees.DIRECTORY if kind is _DIR else entry.git_mode if kind is _FILE or kind is _LINK else None
        if leaf is not None and leaf.mode != expected:
            yield path, _DISAGREE
            leaf = None
        if kind is _FILE or kind is _LINK:
            if leaf is None:
                yield path, "the metadata names it, the tree does not hold it"
            else:
                entry.oid = leaf.oid
        if kind is _FILE:
            files += 1
            size += entry.size
            entry.sha256 = digests.get(path)
            if entry.sha256 is None:
                yield path, "the manifest does not name it"
    for path in sorted(held):
        yield path, _DISAGREE
    if files != len(listed.digests):
        for path in sorted(listed.digests.keys() - {e.path for e in found.files()}):
            yield path, "the manifest names it, the metadata does not"
    if (snapshot.files, snapshot.bytes) != (files, size) or (listed.files, listed.bytes) != (files, size):
        said = f"the commit says {snapshot.files} files and {snapshot.bytes} bytes"
        yield b"", f"counts disagree: {said}, the metadata {files} and {size}"
