"""Build the zipapp: gitsnap and all that it needs in one file, for the Python and the kind of machine that build it.

python -m packages.onefile [OUT]        OUT is dist/ by default, and holds the wheel that is packed
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

from packages.source import ROOT, built, epoch, scratch, version_of
from packages.vendored import install

START = ROOT / "packages" / "onefile_start.py"


def build(out: Path) -> Path:
    """Build it from the wheel in `out`."""
    moment, wheel = epoch(), built(out, ".whl")
    os.umask(0o022)
    for old in out.glob("gitsnap-*.pyz"):
        old.unlink()
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    kind = f"py{minor.replace('.', '')}-{sysconfig.get_platform().replace('-', '_')}"
    target = out / f"gitsnap-{version_of(wheel)}-{kind}.pyz"
    with scratch() as name:
        site = Path(name) / "site"
        install(wheel, site, moment)
        shutil.rmtree(site / "share")
        files = sorted(p for p in site.rglob("*") if p.is_file())
        digest = hashlib.sha256()
        for path in files:
            content = path.read_bytes()
            digest.update(b"%s\0%d\0%b" % (os.fsencode(path.relative_to(site)), len(content), content))
        # Compiled modules are for one version of Python: another one is told so by name, before anything fails.
        with open(target, "wb") as file:
            file.write(f"#!/usr/bin/env python{minor}\n".encode())
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                start = START.read_text().replace("@ID@", digest.hexdigest()[:32]).replace("@MINOR@", minor)
                _add(archive, "__main__.py", start.encode(), moment)
                for path in files:
                    _add(archive, f"site/{path.relative_to(site)}", path.read_bytes(), moment)
    target.chmod(0o755)
    return target


def _add(archive: zipfile.ZipFile, name: str, content: bytes, moment: int) -> None:
    entry = zipfile.ZipInfo(name, time.gmtime(max(moment, 315532800))[:6])
    entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")))
