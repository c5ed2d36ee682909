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
from contextlib import ExitStack, contextmanager
from pathlib import Path

# FS_IOC_SHUTDOWN and FS_SHUTDOWN_FLAGS_NOLOGFLUSH (linux/fs.h, include/uapi/linux/ext4.h): from then on nothing
# reaches the disk any more, the journal's unwritten part included.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_MEGABYTES = {"ext4": 96, "xfs": 320, "btrfs": 160}
FILE_SYSTEMS = tuple(_MEGABYTES)


class Disk:
    """A small file system of its own, mounted at `where`. `below` is the disk that holds its image, where it has one.

    btrfs knows no such ioctl: its image lies on a disk that does. What btrfs has written and not flushed is then lost,
    or not, as in the cache of a disk.
    """

    def __init__(self, image: Path, where: Path, below: Disk | None = None) -> None:
        self._image, self.where, self._below = image, where, below

    @property
    def cut_command(self) -> str:
        """A shell command that cuts the power."""
        if self._below is not None:
            return self._below.cut_command
        return shlex.join([sys.executable, "-S", "-E", os.path.abspath(__file__), str(self.where)])

    def cut(self) -> None:
        """Cut the power now."""
        if self._below is not None:
            self._below.cut()
        else:
            cut(str(self.where))

    def restart(self) -> None:
        """What the machine does when the power is back: mount, and with that replay the file system's journal."""
        subprocess.run(["umount", self.where], check=True)
        if self._below is not None:
            self._below.restart()
        self.mount()

    def mount(self) -> None:
        """Mount it. Raises OSError."""
        done = subprocess.run(["mount", "-o", "loop", self._image, self.where], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"no loop mounts here: {done.stderr.strip()}")


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
    where = top / kind
    where.mkdir()
    with ExitStack() as stack:
        below = stack.enter_context(_disk_below(top)) if kind == "btrfs" else None
        image = (below.where if below is not None else top) / f"{kind}.img"
        with open(image, "wb") as file:
            # Room for all of it: a disk does not grow.
            os.posix_fallocate(file.fileno(), 0, _MEGABYTES[kind] << 20)
        subprocess.run([maker, "-q", image], check=True, capture_output=True)
        made = Disk(image, where, below)
        made.mount()
        stack.callback(subprocess.run, ["umount", "-l", where], check=True)
        yield made


@contextmanager
def _disk_below(top: Path) -> Iterator[Disk]:
    """A disk to hold the image of another."""
    image, where = top / "below.img", top / "below"
    where.mkdir()
    with open(image, "wb") as file:
        file.truncate((_MEGABYTES["btrfs"] + 64) << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    made = Disk(image, where)
    made.mount()
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", where], check=True)


if __name__ == "__main__":
    cut(sys.argv[1])
