"""Gathering the small packs that snapshots leave, one each, into few: a lookup should not ask a thousand of them.

Entries are copied as they are, each against the checksum in its index, with deltas of what lies before them in the same
pack. The new pack is durable before an old one goes. gc does the rest, and better.
"""

from __future__ import annotations

import os

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import texts_pack
from gitsnap.sidecar.files import sync_directory
from gitsnap.sidecar.git import pack_copy
from gitsnap.sidecar.git.pack_file import PackFile
from gitsnap.sidecar.git.pack_read import Pack
from gitsnap.sidecar.git.pack_write import PackWriter
from gitsnap.sidecar.repository import Sidecar

_MANY, _FEW = 32, 8
_LARGEST = 64 << 20


def gather(sidecar: Sidecar) -> None:
    """Gather packs where there are many; whoever calls holds the writer's lock. Nothing is lost when it fails."""
    packs = sidecar.objects.packs
    folder = os.path.join(sidecar.path, "objects", "pack")
    # git would look for the old packs in it.
    if len(packs) <= _MANY or os.path.exists(os.path.join(folder, "multi-pack-index")):
        return
    current = texts_pack.name(sidecar)
    chosen = _choose(
        [
            p
            for p in packs
            if p.data.end <= _LARGEST and p.stem != f"pack-{current}" and not os.path.exists(p.path[:-5] + ".keep")
        ]
    )
    if len(chosen) < 2:
        return
    writer = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    out = PackFile(sidecar.scratch)
    writer.along(out)
    try:
        for pack in chosen:
            pack_copy.copy(pack, out, set(pack.index.oids()), sidecar.objects.read)
        written = writer.finish()
    except IntegrityError:
        # What is damaged stays where it is, for verify to name.
        return
    finally:
        writer.abandon()
    for pack in chosen:
        if pack.stem != out.stem:
            pack.remove()
    sync_directory(folder)
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def _choose(packs: list[Pack]) -> list[Pack]:
    """The smallest packs: so many that few are left, and that the next is twice as large as all of them together, so
    that a large pack is not copied again and again for the sake of small ones."""
    packs = sorted(packs, key=lambda p: p.data.end)
    total = 0
    for number, pack in enumerate(packs):
        if number > len(packs) - _FEW and pack.data.end > 2 * total:
            return packs[:number]
        total += pack.data.end
    return packs
