"""Taking paths out of snapshots that are there: each is written anew without them, under its id and in its place.

Objects and notes first, for the old commits and the new; then ref by ref, so that each snapshot is the old one or the
new one whatever is killed when; then the timeline, and notes for the new ones alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core.coverage import PURGED
from gitsnap.core.manifest import format_manifest
from gitsnap.core.message import format_message
from gitsnap.core.model import Inventory, Problem, Snapshot
from gitsnap.core.mtree import format_metadata
from gitsnap.core.order import in_order
from gitsnap.core.statcache import StatCache
from gitsnap.core.vis import visible_path
from gitsnap.sidecar import contents, publish, rollbacks, signatures, timeline
from gitsnap.sidecar.catalog import Deleted
from gitsnap.sidecar.git import commits, notes, refs, trees
from gitsnap.sidecar.git.pack_write import BLOB, COMMIT, TREE, PackWriter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import growth, reflog, register, seal

_NOTES = (refs.MANIFESTS, refs.METADATA)


@dataclass(slots=True, frozen=True)
class Rewritten:
    """One snapshot as it was, and as it is now."""

    old: Snapshot
    new: Snapshot


def without(inventory: Inventory, paths: Sequence[bytes]) -> Inventory:
    """The inventory without the paths and what lies below them; they count as not known in it."""
    entries = [e for e in inventory.entries if not below(e.path, paths)]
    held = [path for path in paths if len(entries) < len(inventory.entries) and _holds(inventory, path)]
    links = [tuple(p for p in group if not below(p, paths)) for group in inventory.hardlinks]
    return replace(
        inventory,
        entries=entries,
        hardlinks=[group for group in links if len(group) > 1],
        partial=[p for p in inventory.partial if not below(p.path, paths)] + [Problem(p, PURGED) for p in held],
        skipped=[p for p in inventory.skipped if not below(p, paths)],
        images={path: image for path, image in inventory.images.items() if not below(path, paths)},
        unlisted=[p for p in inventory.unlisted if not below(p, paths)],
    )


def below(path: bytes, tops: Sequence[bytes]) -> bool:
    """Whether a path is one of `tops`, or lies below one."""
    return any(path == top or path.startswith(top + b"/") for top in tops)


def _holds(inventory: Inventory, path: bytes) -> bool:
    return any(below(e.path, (path,)) for e in inventory.entries)


def concerned(
    sidecar: Sidecar, snapshots: Sequence[Snapshot], paths: Sequence[bytes]
) -> tuple[list[Snapshot], dict[tuple[str, bytes], int]]:
    """The snapshots that hold one of the paths, or name something below one; and the sizes of the files there, by the
    snapshot's id and the path. IntegrityError where one cannot be read."""
    found, sizes = [], dict[tuple[str, bytes], int]()
    for snapshot in snapshots:
        text = contents.metadata_text(sidecar, snapshot)
        if not any(visible_path(path).encode() in text for path in paths):
            # Each name that it knows stands in there whole.
            continue
        inventory = contents.metadata(sidecar, snapshot)
        entries = [e for e in inventory.entries if below(e.path, paths)]
        known = [p for p in inventory.partial if below(p.path, paths) and (p.path not in paths or p.reason != PURGED)]
        if entries or known:
            found.append(snapshot)
        sizes |= {(snapshot.id, e.path): e.size for e in entries}
    return found, sizes


def rewrite(
    sidecar: Sidecar,
    living: Sequence[Snapshot],
    binned: Sequence[Deleted],
    wanted: Sequence[Snapshot],
    paths: Sequence[bytes],
    when: datetime,
) -> list[Rewritten]:
    """Take `paths` out of the `wanted` snapshots, for a caller who is alone with the objects. The old ones can be found
    until a gc. What an earlier one has left half done is brought to its end."""
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        texts: dict[str, dict[str, bytes]] = {ref: {} for ref in _NOTES}
        fresh: dict[str, bytes] = {}
        done = [_write(sidecar, pack, snapshot, paths, texts, fresh) for snapshot in wanted]
        new = {r.new.id: r.new for r in done}
        after = in_order(new.get(s.id, s) for s in living)
        bin_after = [d._replace(snapshot=new.get(d.snapshot.id, d.snapshot)) for d in binned]
        returns, records = _records(sidecar, pack, paths)
        changes: dict[str, str | None] = {**records}
        changes |= {refs.PINS + s.id: s.commit for s in after if s.pinned}
        changes |= {refs.DELETED + d.snapshot.id: d.snapshot.commit for d in bin_after}
        moved = {refs.SNAPSHOTS + s.id: s.commit for s in after if s.id in new}
        chain = timeline.chain(sidecar.objects, after, fresh, returns)
        tip = timeline.write(pack, chain, None)
        changes |= moved | ({refs.TIMELINE: tip} if tip else {})
        # A signature is over what was; its tag would keep that alive.
        staying = {s.commit for s in (*after, *(d.snapshot for d in bin_after))}
        changes |= dict.fromkeys(signatures.strays(sidecar, staying))
        changes = {ref: value for ref, value in changes.items() if sidecar.refs.get(ref) != value}
        every, kept = _new_notes(sidecar, pack, texts, [*after, *(d.snapshot for d in bin_after)], when)
        written = pack.finish()
    finally:
        pack.abandon()
    old = [sidecar.refs.get(ref) for ref in (*every, *changes)]
    for step in (every, changes, kept):
        with seal.changing(sidecar, step):
            for ref, value in step.items():
                if value is None:
                    sidecar.refs.discard(ref)
                else:
                    sidecar.refs.change(ref, sidecar.refs.get(ref), value)
    _write_down(sidecar, done, after, bin_after)
    reflog.remember(sidecar, [*old, *every.values()], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
    sidecar.catalog.clear()
    # It vouches for what is in no snapshot any more.
    sidecar.save_cache(StatCache())
    return done


def _write(
    sidecar: Sidecar,
    pack: PackWriter,
    old: Snapshot,
    paths: Sequence[bytes],
    texts: dict[str, dict[str, bytes]],
    fresh: dict[str, bytes],
) -> Rewritten:
    """Write one snapshot anew: trees, notes and commit, whose content goes to `fresh`."""
    inventory = without(contents.inventory(sidecar, old), paths)
    tree = trees.without(sidecar.objects, bytes.fromhex(old.tree), paths, lambda data: pack.put(TREE, data))
    manifest, metadata = format_manifest(inventory), format_metadata(inventory)
    found = publish.notes_from(manifest, metadata)
    files = inventory.files()
    new = replace(
        old,
        tree=tree.hex(),
        files=len(files),
        bytes=sum(e.size for e in files),
        manifest_sha256=found.manifest_sha256,
        metadata_sha256=found.metadata_sha256,
        partial=len(inventory.partial),
        purged=old.purged + 1,
        signed_by=None,
    )
    content = _reformed(sidecar, old.commit, tree, format_message(new))
    new = replace(new, commit=pack.put(COMMIT, content).hex())
    fresh[new.commit] = content
    texts[refs.MANIFESTS][new.commit] = pack.put(BLOB, manifest)
    texts[refs.METADATA][new.commit] = pack.put(BLOB, metadata)
    return Rewritten(old, new)


def _reformed(sidecar: Sidecar, commit: str, tree: bytes, message: bytes | None = None) -> bytes:
    """The content of a commit with another tree, and perhaps message: who and when stay."""
    parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
    author = parsed.author.rsplit(b" ", 2)[0].decode("utf-8", "surrogateescape")
    return commits.form(tree, parsed.message if message is None else message, parsed.created, author=author)


def _records(
    sidecar: Sidecar, pack: PackWriter, paths: Sequence[bytes]
) -> tuple[list[rollbacks.Return], dict[str, str]]:
    """The records of rollbacks as they will be, and the refs of all records that change for it: their trees are those
    of snapshots."""
    changes: dict[str, str] = {}
    for prefix in refs.RECORDS:
        for name, commit in sidecar.refs.below(prefix, {}).items():
            data = sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
            old = bytes.fromhex(commits.parse(data, commit).tree)
            tree = trees.without(sidecar.objects, old, paths, lambda data: pack.put(TREE, data))
            if tree != old:
                changes[prefix + name] = pack.put(COMMIT, _reformed(sidecar, commit, tree)).hex()
    returns = []
    for each in rollbacks.load(sidecar.refs, sidecar.objects):
        commit = changes.get(refs.ROLLBACKS + each.after, each.commit)
        if commit == each.commit:
            returns.append(each)
        else:
            old = bytes.fromhex(each.tree)
            tree = trees.without(sidecar.objects, old, paths, lambda data: pack.put(TREE, data))
            returns.append(rollbacks.read(_reformed(sidecar, each.commit, tree), commit))
    return returns, changes


def _new_notes(
    sidecar: Sidecar,
    pack: PackWriter,
    texts: Mapping[str, Mapping[str, bytes]],
    staying: Sequence[Snapshot],
    when: datetime,
) -> tuple[dict[str, str], dict[str, str]]:
    """The commits of notes for the old and the new, and of those for what stays alone."""
    there = {s.commit for s in staying}
    every, kept = {}, {}
    for ref in _NOTES:
        known = {**notes.load(sidecar.objects, sidecar.refs.get(ref))[0], **texts[ref]}
        what = ref.rpartition("/")[2]
        every[ref] = notes.write(pack, known, what, when)
        kept[ref] = notes.write(pack, {c: note for c, note in known.items() if c in there}, what, when)
    return every, kept


def _write_down(
    sidecar: Sidecar, done: Sequence[Rewritten], living: Sequence[Snapshot], binned: Sequence[Deleted]
) -> None:
    """The register and what else names commits."""
    register.rewritten(sidecar, living, [(s, max(int(when.timestamp()), 1) if when else 1) for s, when in binned])
    growth.rename(sidecar, {r.old.commit: r.new.commit for r in done})
