"""What is packaged: a checkout, or an unpacked source distribution, with its moment and its version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = ROOT / "packages" / "pinned.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def epoch(root: Path = ROOT) -> int:
    """The moment that all that is built carries, in seconds: the last commit's.

    A source distribution has it as the time of its files. SOURCE_DATE_EPOCH goes before both.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    if (root / ".git").exists():
        told = subprocess.run(["git", "-C", root, "log", "-1", "--format=%ct"], check=True, capture_output=True)
        return int(told.stdout)
    return int((root / "PKG-INFO").stat().st_mtime)


def environment(moment: int) -> dict[str, str]:
    """An environment in which the same sources give the same bytes."""
    return {**os.environ, "SOURCE_DATE_EPOCH": str(moment), "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def python(*words: object, moment: int, cwd: Path | None = None) -> None:
    """Run this Python with these words, quietly.

    Raises:
        SystemExit: It failed; what it printed comes first.

    """
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment(moment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        raise SystemExit(f"failed: python {' '.join(map(str, words))}")


def built(folder: Path, ending: str) -> Path:
    """The one file in a folder with this ending."""
    (found,) = folder.glob(f"*{ending}")
    return found


def version_of(distribution: Path) -> str:
    """The version in the name of a wheel or of a source distribution."""
    match = re.match(r"gitsnap-([^-]+?)(?:\.tar\.gz|-)", distribution.name)
    assert match, distribution
    return match[1]


def unpacked(sdist: Path, into: Path) -> Path:
    """Unpack a source distribution; its directory."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    return next(into.iterdir())


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A private directory that is gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="gitsnap-build-")
