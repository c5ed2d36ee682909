"""Making a snapshot visible: with `withdraw` and `purge`, the only code that changes the refs of snapshots.

The order is the argument (docs/internals/invariants.md): objects in one synced pack held by a `.keep`, then notes,
then the snapshot's ref, then the timeline, then the `.keep` goes. Whoever sees the ref can read everything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.message import format_message, parse_return
from gitsnap.core.model import Entry, Inventory, Snapshot
from gitsnap.core.order import in_order, newest
from gitsnap.core.signature import signed_by
from gitsnap.core.statcache import StatCache, ids_in
from gitsnap.core.stored_text import Text
from gitsnap.sidecar import catalog, contents, rollbacks, texts_pack, timeline
from gitsnap.sidecar.git import commits, notes, refs, trees
from gitsnap.sidecar.git.pack_write import BLOB, COMMIT, TREE, PackWriter, object_id
from gitsnap.sidecar.kept_objects import KeptObjects
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.spool import Spool
from gitsnap.sidecar.state import growth, reflog, register, seal
from gitsnap.sidecar.withdraw import staying_notes, withdraw

# What forms texts is loaded where some are new: most snapshots share those of the last one.
if TYPE_CHECKING:
    from gitsnap.sidecar.streamed_texts import StreamedTexts

# Inside a class, `bytes` may be one of its fields.
_Bytes = bytes


@dataclass(slots=True, frozen=True)
class Published:
    """A snapshot that is visible now, and the ids of its trees (for the stat cache)."""

    snapshot: Snapshot
    trees: Sequence[bytes]
    objects: int


@dataclass(slots=True, frozen=True)
class Content:
    """What a snapshot holds: the raw id of its root, those of its trees, one for each directory, how many files of how
    many bytes, and how many that could not be read whole. `oids` are all that has to be there."""

    root: bytes
    trees: Sequence[bytes]
    files: int
    bytes: int
    oids: Iterable[_Bytes]
    partial: int = 0


Check = Callable[[Published], None]


@dataclass(slots=True)
class Notes:
    """What a snapshot's notes hold: an inventory's manifest and metadata as text, and their hex SHA-256."""

    manifest: bytes | Spool
    metadata: bytes | Spool
    manifest_sha256: str
    metadata_sha256: str

    def release(self) -> None:
        """Let go of the texts, which may be a hundred megabytes."""
        for text in (self.manifest, self.metadata):
            if isinstance(text, Spool):
                text.close()
        self.manifest = self.metadata = b""


class Written(NamedTuple):
    """Contents of which the trees are written, the notes of them, and how many directories there are, with the root,
    and how much else."""

    content: Content
    notes: Notes
    others: int
    directories: int


def notes_of(inventory: Inventory) -> Notes:
    """The notes of a snapshot of the inventory."""
    from gitsnap.core.manifest import format_manifest
    from gitsnap.core.mtree import format_metadata

    return notes_from(format_manifest(inventory), format_metadata(inventory))


def notes_from(manifest: bytes, metadata: bytes) -> Notes:
    """The notes of these texts."""
    return Notes(manifest, metadata, hashlib.sha256(manifest).hexdigest(), hashlib.sha256(metadata).hexdigest())


class Draft:
    """A snapshot that is written but not yet visible, beside those that are `living`. publish() or abandon() it.

    `cache` is the stat cache that it is written by, `author` who takes it, and `sign` puts a signature into its commit,
    or raises GitsnapError. `stored` is what a scan has to ask about
    digests in there; None where living snapshots hold all of them.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        living: Sequence[Snapshot],
        cache: StatCache,
        author: str = "",
        sign: Callable[[bytes], bytes] = lambda content: content,
    ) -> None:
        self._sidecar, self._author, self._sign = sidecar, author, sign
        self.living, self.cache = list(living), cache
        alive = cache.commit.hex() in {s.commit for s in living}
        self._kept = KeptObjects(sidecar, living, cache if alive else None)
        # Asked about every file, so only with need: what a living snapshot holds is kept unless something is damaged.
        self.stored: Callable[[bytes], bool] | None = self.keeps if not alive or sidecar.objects.damaged else None
        self.pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, self._kept)
        self._texts = texts_pack.TextsPack(sidecar)
        self._forming: StreamedTexts | None = None
        self._spools: tuple[Spool, ...] = ()

    def keeps(self, oid: bytes) -> bool:
        """Whether the object needs no writing: it is in the draft, or live refs keep it."""
        return self.pack.has(oid)

    def abandon(self) -> None:
        """Leave no trace. Harmless after publish()."""
        self.pack.abandon()
        if self._forming is not None:
            self._forming.close()
        for spool in self._spools:
            spool.close()

    def write(
        self, entries: Iterable[Entry], about: Inventory, counted: tuple[int, int], oids: Callable[[], Iterable[bytes]]
    ) -> Written:
        """Write the trees of a live tree, and form its texts, in one go, since making the sorted `entries` may cost
        something. `about` has the rest of the inventory, `counted` are the files and their bytes, and `oids` gives the
        ids of all contents. ValueError for what could not be read back."""
        from gitsnap.sidecar.streamed_texts import StreamedTexts

        texts = self._forming = StreamedTexts(self._sidecar.scratch, about, *counted)
        root, tree_ids = trees.build(texts.pass_by(entries), self.add_tree)
        texts.end()
        content = Content(root, tree_ids, *counted, oids(), len(about.partial))
        notes = Notes(texts.manifest, texts.metadata, texts.manifest.sha256, texts.metadata.sha256)
        return Written(content, notes, texts.entries - texts.directories, texts.directories)

    def publish(
        self, wanted: Snapshot, inventory: Inventory, new: Notes, when: datetime, also: Check = lambda _: None
    ) -> Published:
        """Write trees, notes and commits, make all durable, create the ref, and read all of it back.

        `wanted` needs no commit, tree, counts or digests yet; `new` are the notes of `inventory`, which are released.
        `also` checks further, and raises IntegrityError for what does not pass. Raises GitsnapError; the snapshot is
        then absent.
        """
        root, tree_ids = trees.build(inventory.entries, self.add_tree)
        files = inventory.files()
        size, oids = sum([e.size for e in files]), (e.oid for e in inventory.entries if e.oid)
        content = Content(root, tree_ids, len(files), size, oids, len(inventory.partial))
        return self.publish_content(wanted, content, new, when, also)

    def publish_content(
        self, wanted: Snapshot, content: Content, new: Notes, when: datetime, also: Check = lambda _: None
    ) -> Published:
        """The same of contents of which the trees are written."""
        snapshot = replace(
            wanted,
            tree=content.root.hex(),
            files=content.files,
            bytes=content.bytes,
            manifest_sha256=new.manifest_sha256,
            metadata_sha256=new.metadata_sha256,
            partial=content.partial,
        )
        written = {refs.MANIFESTS: new.manifest, refs.METADATA: new.metadata}
        published = self._reveal(snapshot, written, content.trees, when)
        written.clear()
        new.release()
        return self._checked(published, content.oids, when, also)

    def add_tree(self, data: bytes) -> bytes:
        """Write a tree; its raw id."""
        return self.pack.add(TREE, data)

    def spooled(self, manifest: Iterable[bytes], metadata: Iterable[bytes]) -> Notes:
        """The notes of texts that are formed in pieces."""
        first, second = self._spools = Spool(self._sidecar.scratch), Spool(self._sidecar.scratch)
        first.write_all(manifest)
        second.write_all(metadata)
        return Notes(first, second, first.sha256, second.sha256)

    def knows(self, oid: bytes, text: Text) -> None:
        """The text of an earlier snapshot, which need not be read again."""
        self._texts.known[oid] = text

    def share(
        self,
        wanted: Snapshot,
        prior: Snapshot,
        when: datetime,
        also: Check = lambda _: None,
        held: Iterable[bytes] | None = None,
    ) -> Published:
        """The same for a directory that is what the living snapshot `prior` holds, to which the cache belongs: nothing
        but commits is new. `held` are the ids that the cache vouches for, where it has been read through."""
        snapshot = replace(
            wanted,
            tree=prior.tree,
            files=prior.files,
            bytes=prior.bytes,
            manifest_sha256=prior.manifest_sha256,
            metadata_sha256=prior.metadata_sha256,
        )
        shared = dict.fromkeys((refs.MANIFESTS, refs.METADATA), prior.commit)
        published = self._reveal(snapshot, shared, [], when)
        return self._checked(published, self._vouched() if held is None else held, when, also)

    def _vouched(self) -> Iterator[bytes]:
        yield from ids_in(self.cache.read_through()[1])

    def _checked(self, published: Published, oids: Iterable[bytes], when: datetime, also: Check) -> Published:
        """What does not pass goes again, and with it the cache that may be to blame."""
        fresh = published.snapshot
        try:
            check(self._sidecar, fresh, oids)
            also(published)
        except IntegrityError:
            self._sidecar.save_cache(StatCache())
            withdraw(self._sidecar, [*self.living, fresh], [fresh], when)
            raise
        return published

    def _reveal(
        self, wanted: Snapshot, texts: Mapping[str, bytes | Spool | str], tree_ids: Sequence[bytes], when: datetime
    ) -> Published:
        """Commit and show what is in the pack. `texts` are new notes, or the commits whose notes are to be shared."""
        sidecar, pack = self._sidecar, self.pack
        last = newest(self.living)
        snapshot = replace(wanted, previous_manifest_sha256=last.manifest_sha256 if last else None)
        root = bytes.fromhex(snapshot.tree)
        plain = commits.form(root, format_message(snapshot), when, author=self._author)
        content = self._sign(plain)
        signer = None if content is plain else signed_by(content)
        snapshot = replace(snapshot, commit=pack.put(COMMIT, content).hex(), signed_by=signer)
        old_notes = {ref: sidecar.refs.get(ref) for ref in texts}
        new_notes = {ref: self._write_notes(ref, old_notes[ref], snapshot, texts[ref], when) for ref in texts}
        living = in_order([*self.living, snapshot])
        old_tip = sidecar.refs.get(refs.TIMELINE)
        returns = rollbacks.load(sidecar.refs, sidecar.objects)
        chain = timeline.chain(sidecar.objects, living, {snapshot.commit: content}, returns)
        tip = timeline.write(pack, chain, old_tip if timeline.is_whole(sidecar.objects, chain, old_tip) else None)
        if (made := self._texts.pack()) is not None:
            pack.along(made)
        written = pack.finish()
        assert tip is not None
        with seal.changing(sidecar, {**new_notes, refs.SNAPSHOTS + snapshot.id: snapshot.commit, refs.TIMELINE: tip}):
            for ref in texts:
                sidecar.refs.change(ref, old_notes[ref], new_notes[ref])
            sidecar.refs.create(refs.SNAPSHOTS + snapshot.id, snapshot.commit)
            try:
                sidecar.refs.change(refs.TIMELINE, old_tip, tip)
            except BaseException:
                # The caller is told that there is no snapshot, so there must be none.
                with suppress(OSError, GitsnapError):
                    sidecar.refs.remove(refs.SNAPSHOTS + snapshot.id, snapshot.commit)
                raise
        sidecar.noted.took(snapshot)
        with suppress(OSError):
            # It stands; the next one writes it down.
            register.take(sidecar, living)
        reflog.remember(sidecar, [*old_notes.values(), _off_chain(old_tip, chain)], when)
        growth.note(sidecar, snapshot.commit, written.names if written else (), less=self._texts.replaces)
        self._texts.settle()
        if written is not None:
            written.release()
        sidecar.objects.refresh()
        return Published(snapshot, tree_ids, written.objects if written else 0)

    def _write_notes(
        self, ref: str, old: str | None, snapshot: Snapshot, text: bytes | Spool | str, when: datetime
    ) -> str:
        known, held = notes.load(self._sidecar.objects, old)
        living = staying_notes(self._sidecar, ref, self.living, known)
        self._kept.include(living.values())
        if isinstance(text, str) and text not in living:
            raise IntegrityError(f"the note of commit {text} is missing")
        origin = living.get(self.cache.commit.hex())
        living[snapshot.commit] = living[text] if isinstance(text, str) else self._add_text(ref, text, origin)
        return notes.write(self.pack, living, ref.rpartition("/")[2], when, held)

    def _add_text(self, ref: str, given: bytes | Spool, origin: bytes | None) -> bytes:
        text = Text.of(given) if isinstance(given, bytes) else Text(given.size, given.read)
        if text.size > texts_pack.LARGEST:
            return self.pack.add_blob(text.size, text.pieces(0, text.size), alone=False).oid
        oid = object_id(BLOB, text.whole())
        if not self.pack.has(oid):
            self._texts.add(ref, oid, text, origin)
        return oid


def check(sidecar: Sidecar, snapshot: Snapshot, oids: Iterable[bytes]) -> None:
    """What every new snapshot is put through: ref, commit, notes, tree and counts are read back from disk.

    `oids` are the contents that it needs. Raises IntegrityError. File contents were digested while they were written;
    verify reads them again.
    """
    commit = sidecar.refs.get(refs.SNAPSHOTS + snapshot.id)
    if commit != snapshot.commit:
        raise IntegrityError(f"the ref of snapshot {snapshot.id} does not point to its commit")
    stored = catalog.load(sidecar, snapshot.id, commit, pinned=snapshot.pinned)
    if stored != replace(snapshot, created=stored.created):
        raise IntegrityError(f"the commit of snapshot {snapshot.id} does not say what was written")
    # Their digests in the commit, which is as it was written, are those of what was captured.
    contents.require_texts(sidecar, stored)
    sidecar.objects.read(bytes.fromhex(stored.tree), b"tree")
    missing = sidecar.objects.missing(oids)
    if missing:
        raise IntegrityError(f"snapshot {snapshot.id} lacks the content of a file: object {min(missing).hex()}")


def go_back(
    sidecar: Sidecar, living: Sequence[Snapshot], message: bytes, target: Snapshot, when: datetime, author: str
) -> None:
    """Let the timeline go on with the state of `target`, which the directory has now, by the record `message`.

    For a caller who holds the writer's lock. Raises GitsnapError or OSError.
    """
    _, after, _ = parse_return(message)
    ref, old_tip = refs.ROLLBACKS + after, sidecar.refs.get(refs.TIMELINE)
    old, returns = sidecar.refs.get(ref), rollbacks.load(sidecar.refs, sidecar.objects)
    content = commits.form(bytes.fromhex(target.tree), message, when, author=author)
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        commit = pack.put(COMMIT, content).hex()
        fresh = rollbacks.read(content, commit)
        chain = timeline.chain(sidecar.objects, living, returns=[*(r for r in returns if r.after != after), fresh])
        tip = timeline.write(pack, chain, old_tip if timeline.is_whole(sidecar.objects, chain, old_tip) else None)
        written = pack.finish()
    finally:
        pack.abandon()
    assert tip is not None
    with seal.changing(sidecar, {ref: commit, refs.TIMELINE: tip}):
        sidecar.refs.change(ref, old, commit)
        sidecar.refs.change(refs.TIMELINE, old_tip, tip)
    reflog.remember(sidecar, [old, _off_chain(old_tip, chain)], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def _off_chain(tip: str | None, chain: Sequence[timeline.Link]) -> str | None:
    return tip if tip not in {link.commit for link in chain} else None
