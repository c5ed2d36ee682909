"""The sidecar's own small files: private from the first moment, replaced whole, synced."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from typing import AnyStr

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import limits


def private_create(path: str) -> int:
    """A descriptor of a new file that only its owner may read; FileExistsError when the name is taken."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: str, data: bytes | Iterable[bytes], scratch: str, *, durable: bool = True) -> None:
    """Put `data`, or pieces of it, at `path` by a rename: readers see the old or the new file, never a part.

    With `durable` false the content may be lost in a power cut (for caches).
    """
    temporary = os.path.join(scratch, f"file-{os.getpid()}-{os.urandom(6).hex()}")
    try:
        with os.fdopen(private_create(temporary), "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def opened(path: str) -> int:
    """A descriptor to read a regular file with; IntegrityError for what is none, and might never end.

    Raises FileNotFoundError, NotADirectoryError, IsADirectoryError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise IntegrityError(f"{path} is no regular file", path=path)


def read(path: str, most: int = limits.SMALL_FILE) -> bytes | None:
    """The file's bytes, or None when it is not there; IntegrityError where it has more than `most`."""
    try:
        fd = opened(path)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        size = os.fstat(fd).st_size
        if size > most:
            raise IntegrityError(f"{path} has {size} bytes, more than gitsnap ever writes there", path=path)
        return file.read(most)


class Pieces:
    """A regular file that is read piece by piece, until it is closed or nobody holds this: whatever replaces it
    meanwhile.

    Raises what opened() does.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._fd = opened(path)
        self.size = os.fstat(self._fd).st_size

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from an offset on, fewer where the file ends. Raises OSError, also when it is closed."""
        data = os.pread(self._fd, size, at)
        while data and len(data) < size and (more := os.pread(self._fd, size - len(data), at + len(data))):
            data += more
        return data

    def close(self) -> None:
        """Let go of it, unless that was done."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def walk(top: AnyStr) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
    """As os.walk, however deep: before Python 3.12 that ends with a RecursionError below a thousand directories."""
    left = [top]
    while left:
        folder = left.pop()
        names: list[AnyStr] = []
        others: list[AnyStr] = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    (names if entry.is_dir() else others).append(entry.name)
        except OSError:
            continue
        yield folder, names, others
        left += [path for name in names if not os.path.islink(path := os.path.join(folder, name))]
