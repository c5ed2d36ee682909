"""Giving space back: what nothing reaches goes. In full, all is packed anew by stock git, with deltas that it would not
look for by itself.

git takes two objects that lie in one pack without being deltas for tried already (try_delta in git's pack-objects), and
keeps the deflated bytes that it finds. What gitsnap writes has never been tried, and is deflated for speed. So whatever
came since the last compaction is worth looking at again, unless there is little of it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files, repack
from gitsnap.sidecar.git.pack_read import Pack
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog

_LIST = "compacted"
_BESIDE_A_PACK = (".idx", ".rev", ".bitmap", ".mtimes")
_LITTLE = 0.1
_LARGE = 1 << 26


def compact(sidecar: Sidecar, *, full: bool) -> None:
    """Remove what nothing reaches; `full`, pack the rest well. Raises GitsnapError with git's own words.

    The caller is alone with the objects.
    """
    _drop_derived(sidecar)
    reflog.forget(sidecar)
    # Another gc was looked for already (gitlocks).
    sidecar.git("pack-refs", "--all", "--prune")
    before = _packs(sidecar)
    try:
        repack.repack(sidecar)
        if not full:
            return
        # Where the search for deltas is to be passed by.
        texts = repack.texts_apart(sidecar)
    except IntegrityError:
        # git passes over a damaged copy where there is a whole one, and says what is wrong where there is none.
        sidecar.close()
        texts = []
    known = (files.read(sidecar.own(_LIST)) or b"").decode("ascii", "replace").split()
    fresh = sum(size for name, size in before.items() if name not in known)
    if not _repack(sidecar, texts, anew=fresh > _LITTLE * sum(before.values())):
        sidecar.git("gc", "--quiet", "--prune=now", "--force")
    files.replace(sidecar.own(_LIST), "".join(f"{name}\n" for name in _packs(sidecar)).encode(), sidecar.scratch)


def _drop_derived(sidecar: Sidecar) -> None:
    """Remove what git has made out of objects that may go now: it would be named wrong by fsck, and nobody needs it.

    A stock gc leaves a commit-graph, maintenance a chain of them and an index over several packs.
    """
    objects = os.path.join(sidecar.path, "objects")
    for folder in ("info/commit-graphs", "pack/multi-pack-index.d"):
        shutil.rmtree(os.path.join(objects, folder), ignore_errors=True)
    pack = os.path.join(objects, "pack")
    derived = [n for n in os.listdir(pack) if n.startswith("multi-pack-index")]
    stems = {n.partition(".")[0] for n in os.listdir(pack) if n.endswith(".pack")}
    orphans = [n for n in os.listdir(pack) if n.endswith(_BESIDE_A_PACK) and n.partition(".")[0] not in stems]
    for path in (os.path.join(objects, "info", "commit-graph"), *(os.path.join(pack, n) for n in derived + orphans)):
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(path)


def _repack(sidecar: Sidecar, texts: list[str], *, anew: bool) -> bool:
    """The steps of gc, with another repacking, of all but the packs of `texts`; whether it went well.

    It reads every object anew, and stumbles over a damaged copy even where there is a whole one. gc takes that.
    """
    # Large files have no deltas, and hardly deflate better for being tried longer, at 15 MB a second: where they are
    # most of it, all deflated bytes stay as they are.
    again = [] if not anew else ["-f"] if _mostly_large(sidecar) else ["-F"]
    kept = [f"--keep-pack={name}" for name in texts]
    try:
        sidecar.git("repack", "-q", "-n", "-a", "-d", *again, *kept, "--window=10", "--depth=50")
    except IntegrityError:
        return False
    sidecar.git("prune", "--expire=now")
    return True


def _mostly_large(sidecar: Sidecar) -> bool:
    """Whether most of what is packed is entries of large files."""
    large = whole = 0
    for name, size in _packs(sidecar).items():
        whole += size
        if size >= _LARGE:
            # What is damaged is git's to tell.
            with (
                suppress(IntegrityError, OSError),
                closing(Pack(os.path.join(sidecar.path, "objects", "pack", f"{name[:-5]}.idx"))) as pack,
            ):
                large += sum(end - start for _, start, end, _ in pack.spans() if end - start >= _LARGE)
    return large > whole / 2


def _packs(sidecar: Sidecar) -> dict[str, int]:
    """The packs' names and sizes in bytes."""
    folder = os.path.join(sidecar.path, "objects", "pack")
    sizes = {}
    for name in sorted(os.listdir(folder)):
        # A git may remove one meanwhile.
        with suppress(FileNotFoundError):
            if name.endswith(".pack"):
                sizes[name] = os.path.getsize(os.path.join(folder, name))
    return sizes
