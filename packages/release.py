"""Make a release: check, write the CHANGELOG's section, and build all of it in dist/. Uploads nothing.

    python -m packages.release 1.2.3

The commit and the tag stay on this machine until somebody pushes them. Run again after a failure, it goes on.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from packages.source import ROOT

_CHANGELOG = ROOT / "CHANGELOG.md"
_UNRELEASED = "## [Unreleased]\n"


def with_section(changelog: str, version: str, day: str) -> str:
    """The changelog with what is unreleased as the section of this version.

    Raises:
        ValueError: There is nothing unreleased, or such a section already.

    """
    before, found, after = changelog.partition(_UNRELEASED)
    if re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        raise ValueError(f"CHANGELOG.md has a section [{version}] already")
    ours = re.split(r"^## \[", after, maxsplit=1, flags=re.MULTILINE)[0]
    if not found or not ours.strip():
        raise ValueError("CHANGELOG.md has nothing under [Unreleased]")
    return f"{before}{_UNRELEASED}\n## [{version}] - {day}\n{after}"


def release(version: str) -> None:
    """Do it. Ends the program where a check fails; nothing is tagged then."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", version):
        raise SystemExit("make VERSION=1.2.3 release: that is the version, as 1.2.3 or 1.2.3rc1")
    if _git("status", "--porcelain"):
        raise SystemExit("there are changes that are not committed")
    if f"v{version}" not in _git("tag", "--points-at", "HEAD").split():
        _run("make", "--no-print-directory", "check")
        day = datetime.now(UTC).date().isoformat()
        try:
            text = with_section(_CHANGELOG.read_text(), version, day)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        _CHANGELOG.write_text(text)
        _git("commit", "--quiet", "-m", f"Release {version}", "--", str(_CHANGELOG))
        _git("tag", "-a", f"v{version}", "-m", f"gitsnap {version}")
    _run("make", "--no-print-directory", "zipapp", "deb")
    dist = ROOT / "dist"
    made = sorted(p for p in dist.iterdir() if version.replace("rc", "~rc") in p.name or version in p.name)
    _run(sys.executable, "-m", "twine", "check", "--strict", *(p for p in made if p.suffix in (".whl", ".gz")))
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in made if p.name != "SHA256SUMS")
    (dist / "SHA256SUMS").write_text(sums)
    print(
        f"{sums}\nin dist/. Nothing has left this machine: git push --follow-tags, then upload what is to be uploaded."
    )


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, text=True).stdout


def _run(*words: str | Path) -> None:
    if subprocess.run(words, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"failed: {' '.join(map(str, words))}")


if __name__ == "__main__":
    release(sys.argv[1] if len(sys.argv) > 1 else "")
