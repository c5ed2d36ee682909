"""Dropping what nothing reaches and gathering small packs, by copying what lives as it is stored.

What git's gc does, but for the search for deltas, which takes a hundred times as long (docs/adr/0161). A pack is
written anew where something in it went, or where the smaller ones together are more than half as large: packs that
nothing happened to are not touched, and the others stay few. New packs are durable before an old one goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import texts_pack
from gitsnap.sidecar.files import sync_directory
from gitsnap.sidecar.git import notes, pack_copy, refs
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_file import PackFile
from gitsnap.sidecar.git.pack_read import Pack
from gitsnap.sidecar.git.pack_write import PackWriter
from gitsnap.sidecar.repository import Sidecar

# By as much a pack is larger than all smaller ones together, or it is gathered with them.
_TIMES = 2
# What git and dulwich leave of files that they were about to write, when they are killed.
_UNFINISHED = "tmp_"


class _Held(NamedTuple):
    """A pack, the living objects in it, and their size in bytes; `whole` where there are no others."""

    pack: Pack
    living: Set[bytes]
    size: int
    whole: bool


def repack(sidecar: Sidecar) -> None:
    """Remove what nothing reaches, and gather small packs; the caller is alone with the objects.

    Raises IntegrityError, with nothing lost, where something is damaged, or is such as only git knows what to do with.
    """
    living = _living(sidecar)
    _loose(sidecar, living)
    packs = _packs(sidecar, living)
    folder = os.path.join(sidecar.path, "objects", "pack")
    # Whoever lacks room gets some.
    for held in packs:
        if not held.living:
            held.pack.remove()
    current = f"pack-{texts_pack.name(sidecar)}"
    texts = [h for h in packs if h.living and h.pack.stem == current]
    groups = _groups([h for h in packs if h.living and h.pack.stem != current])
    groups += [texts] if texts and not texts[0].whole else []
    with _written(sidecar, groups) as made:
        stems = {out.stem for out in made}
        for held in [h for group in groups for h in group if h.pack.stem not in stems]:
            held.pack.remove()
        sync_directory(folder)
        if texts in groups:
            texts_pack.moved(sidecar, made[groups.index(texts)])


def texts_apart(sidecar: Sidecar) -> list[str]:
    """Have all manifests and metadata in packs of nothing else, as they are stored. The names of these packs' files.

    For whoever has git look for deltas: it finds none among them, as their names in the trees of notes are no hint, and
    loses those that there are. The caller is alone with the objects. Raises IntegrityError as repack() does.
    """
    store = sidecar.objects
    told = [notes.load(store, sidecar.refs.get(ref))[0] for ref in (refs.MANIFESTS, refs.METADATA)]
    packs = [h for h in _packs(sidecar, {oid for each in told for oid in each.values()}) if h.living]
    mixed = [h for h in packs if not h.whole]
    with _written(sidecar, [mixed] if mixed else []) as made:
        return [f"{stem}.pack" for stem in (*(h.pack.stem for h in packs if h.whole), *(out.stem for out in made))]


def _living(sidecar: Sidecar) -> set[bytes]:
    """What refs and indexes reach, as git knows it: those of others as well."""
    listed = sidecar.git("rev-list", "--objects", "--no-object-names", "--all", "--reflog", "--indexed-objects")
    names = bytes.fromhex(listed.decode("ascii"))
    return {names[at : at + 20] for at in range(0, len(names), 20)}


def _loose(sidecar: Sidecar, living: Set[bytes]) -> None:
    """No object has a file of its own any more, and nothing is left of what was never finished."""
    objects = os.path.join(sidecar.path, "objects")
    loose = set(sidecar.objects.loose_ids())
    if loose & living:
        # git's own, which packs what refs need and is in no pack.
        sidecar.git("repack", "-q", "-d")
    for oid in loose - living:
        name = oid.hex()
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(objects, name[:2], name[2:]))
    for folder in [name for name in os.listdir(objects) if len(name) == 2 or name == "pack"]:
        path = os.path.join(objects, folder)
        # A git may have removed it, or what is in it, meanwhile.
        with suppress(FileNotFoundError):
            for name in os.listdir(path):
                if name.startswith(_UNFINISHED):
                    os.unlink(os.path.join(path, name))
        if folder != "pack":
            # Where it is empty.
            with suppress(OSError):
                os.rmdir(path)


def _packs(sidecar: Sidecar, living: Set[bytes]) -> list[_Held]:
    """The packs that may be written anew."""
    store = sidecar.objects
    store.refresh()
    beside = os.listdir(os.path.join(sidecar.path, "objects", "pack"))
    if store.unusable or store.damaged or any(name.endswith(".promisor") for name in beside):
        raise IntegrityError("there is damage, or a pack that is not git's alone", path=sidecar.path)
    found = [(p, set(p.index.oids()) & living) for p in store.packs if f"{p.stem}.keep" not in beside]
    _once(store, found)
    out = []
    for pack, held in found:
        whole = len(held) == len(pack.index)
        size = pack.data.end if whole else sum(end - start for oid, start, end, _ in pack.spans() if oid in held)
        out.append(_Held(pack, held, size, whole))
    return out


def _once(store: ObjectStore, found: list[tuple[Pack, set[bytes]]]) -> None:
    """Of what lies in several of the packs one copy stays, in the largest where it is whole."""
    seen, twice = set[bytes](), set[bytes]()
    for _, held in found:
        twice |= seen & held
        seen |= held
    for oid in twice:
        copies = sorted([(pack, held) for pack, held in found if oid in held], key=lambda copy: -copy[0].data.end)
        best = next((held for pack, held in copies if store.whole_in(pack, oid)), None)
        if best is None:
            raise IntegrityError(f"object {oid.hex()} is damaged", path=copies[0][0].path)
        for _, held in copies:
            if held is not best:
                held.remove(oid)


def _groups(packs: list[_Held]) -> list[list[_Held]]:
    """What is to become one pack each: the small ones, and each larger one in which something went."""
    packs = sorted(packs, key=lambda h: h.size)
    count = len(packs)
    while count > 1 and packs[count - 1].size >= _TIMES * sum(h.size for h in packs[: count - 1]):
        count -= 1
    small, large = packs[:count], [[h] for h in packs[count:] if not h.whole]
    return [small, *large] if count > 1 or not all(h.whole for h in small) else large


@contextmanager
def _written(sidecar: Sidecar, groups: list[list[_Held]]) -> Iterator[list[PackFile]]:
    """A pack of what lives in each of the groups, durable."""
    writer = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        made = [_write(sidecar, group, writer) for group in groups]
        written = writer.finish()
    finally:
        writer.abandon()
    yield made
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def _write(sidecar: Sidecar, group: list[_Held], writer: PackWriter) -> PackFile:
    out = PackFile(sidecar.scratch)
    writer.along(out)
    for held in group:
        pack_copy.copy(held.pack, out, held.living, sidecar.objects.read)
    return out
