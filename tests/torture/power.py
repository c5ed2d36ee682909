"""Power cuts: a file system on a loop device that loses whatever was not made durable."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# FS_IOC_SHUTDOWN and FS_SHUTDOWN_FLAGS_NOLOGFLUSH (linux/fs.h, include/uapi/linux/ext4.h): from then on nothing
# reaches the disk any more, the journal's unwritten part included.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_MEGABYTES = {"ext4": 96, "xfs": 320}


class Disk:
    """A small file system of its own, mounted at `where`."""

    def __init__(self, image: Path, where: Path) -> None:
        self._image, self.where = image, where

    @property
    def cut_command(self) -> str:
        """A shell command that cuts the power."""
        return shlex.join([sys.executable, "-S", "-E", os.path.abspath(__file__), str(self.where)])

    def cut(self) -> None:
        """Cut the power now."""
        cut(str(self.where))

    def restart(self) -> None:
        """What the machine does when the power is back: mount, and with that replay the file system's journal."""
        subprocess.run(["umount", self.where], check=True)
        subprocess.run(["mount", "-o", "loop", self._image, self.where], check=True)


def cut(where: str) -> None:
    """Cut the power of the file system mounted there."""
    fd = os.open(where, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(fd)


@contextmanager
def disk(kind: str, top: Path) -> Iterator[Disk]:
    """A fresh disk with this file system; raises OSError where there cannot be one."""
    maker = shutil.which(f"mkfs.{kind}")
    if os.geteuid() != 0 or maker is None:
        raise OSError(f"loop mounts of {kind} need root and mkfs.{kind}")
    image, where = top / f"{kind}.img", top / kind
    where.mkdir()
    with open(image, "wb") as file:
        file.truncate(_MEGABYTES[kind] << 20)
    subprocess.run([maker, "-q", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", image, where], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"no loop mounts here: {done.stderr.strip()}")
    try:
        yield Disk(image, where)
    finally:
        subprocess.run(["umount", "-l", where], check=True)


if __name__ == "__main__":
    cut(sys.argv[1])
