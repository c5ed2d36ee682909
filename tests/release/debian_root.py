"""A clean Debian root: debootstrap's smallest, made once below build/. What a test does to it is thrown away."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from packages.source import ROOT

_CACHE = ROOT / "build"
# In a mount namespace of its own: nothing stays mounted, whatever ends.
_INSIDE = """
set -e
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER/upper,workdir=$UPPER/work" "$UPPER/root"
mount -t proc proc "$UPPER/root/proc"
mkdir -p "$UPPER/root/var/cache/apt/archives"
mount --bind "$ARCHIVES" "$UPPER/root/var/cache/apt/archives"
exec chroot "$UPPER/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \\
    TERM=dumb DEBIAN_FRONTEND=noninteractive sh -c "$1"
"""


@dataclass(frozen=True)
class DebianRoot:
    """One such root. What is written lies in a directory of the test's."""

    lower: Path
    upper: Path

    def try_(self, script: str) -> tuple[int, str]:
        """Run a script of sh inside; its exit code and all that it printed."""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", _INSIDE, "sh", script],
            env={**os.environ, "LOWER": str(self.lower), "UPPER": str(self.upper), "ARCHIVES": str(_archives())},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def run(self, script: str) -> str:
        """Run a script of sh that must end well; all that it printed."""
        code, told = self.try_(f"set -e; {script}")
        assert code == 0, f"{script}\n{told}"
        return told

    def files(self) -> set[str]:
        """The paths of all files, but for those of apt, dpkg and logs, and those that tests handed in."""
        told = self.run(
            "find / -xdev ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/var/cache/apt/*'"
            " ! -path '/var/log/*' ! -path '/var/cache/ldconfig/*' ! -path '/var/cache/man/*' ! -path '/handed/*'"
            " ! -path '/proc/*' ! -name __pycache__ ! -path '*/__pycache__/*'"
        )
        own = self.run("find / -xdev -path '*gitsnap*' -name '*.pyc' ! -path '/handed/*'")
        return set((told + own).splitlines())

    def hand_in(self, *files: Path) -> None:
        """Put files below /handed."""
        place = self.upper / "upper/handed"
        place.mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, place)


@contextmanager
def debian_root(tmp_path: Path) -> Iterator[DebianRoot]:
    """A fresh one of the Debian that runs here, or the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("debootstrap", "unshare", "dpkg-deb"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        pytest.skip("no Debian")
    lower = _made(release["VERSION_CODENAME"])
    for name in ("upper", "work", "root"):
        (tmp_path / "debian" / name).mkdir(parents=True)
    root = DebianRoot(lower, tmp_path / "debian")
    code, told = root.try_("apt-get -qq update")
    if code:
        pytest.skip(f"no overlay, or nothing to install from: {told.splitlines()[-1:]}")
    yield root


def _made(codename: str) -> Path:
    place = _CACHE / f"debian-{codename}"
    _CACHE.mkdir(exist_ok=True)
    with open(_CACHE / "debian.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            making = _CACHE / f"debian-{codename}.making"
            shutil.rmtree(making, ignore_errors=True)
            done = subprocess.run(
                ["debootstrap", "--variant=minbase", codename, making], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"debootstrap: {done.stdout.splitlines()[-1:]}")
            for name in ("resolv.conf", "hosts"):
                shutil.copy(f"/etc/{name}", making / "etc" / name)
            for proxy in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
                shutil.copy(proxy, making / "etc/apt/apt.conf.d")
            making.rename(place)
    return place


def _archives() -> Path:
    place = _CACHE / "debian-archives"
    (place / "partial").mkdir(parents=True, exist_ok=True)
    return place
