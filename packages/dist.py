"""Build the source distribution and the wheel: the same bytes wherever and whenever it is done.

    python -m packages.dist [OUT]        OUT is dist/ by default

The wheel is built from the source distribution, so that one is complete.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path

from packages.source import ROOT, built, epoch, python, scratch, unpacked


def build(out: Path, root: Path = ROOT) -> tuple[Path, Path]:
    """Build both into `out`, where those of other versions are removed; the source distribution and the wheel."""
    moment = epoch(root)
    os.umask(0o022)
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("gitsnap-*.tar.gz"), *out.glob("gitsnap-*.whl")):
        old.unlink()
    with scratch() as name:
        work = Path(name)
        python("-m", "build", "--no-isolation", "--sdist", "--outdir", work, root, moment=moment)
        sdist = out / built(work, ".tar.gz").name
        sdist.write_bytes(normalised(built(work, ".tar.gz"), moment))
        tree = unpacked(sdist, work / "tree")
        python("-m", "build", "--no-isolation", "--wheel", "--outdir", out.resolve(), tree, moment=moment)
    return sdist, built(out, ".whl")


def normalised(archive: Path, moment: int) -> bytes:
    """A tar.gz with the same files, sorted, without owners, with one time and two modes."""
    packed = io.BytesIO()
    with (
        tarfile.open(archive) as old,
        gzip.GzipFile("", "wb", 9, packed, moment) as stream,
        tarfile.open(mode="w", fileobj=stream, format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.linkname, plain.mtime = member.type, member.linkname, moment
            plain.size = member.size
            plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(plain, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


if __name__ == "__main__":
    for made in build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")):
        print(made)
