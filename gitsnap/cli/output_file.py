"""Files that commands write for others: pages, and figures for monitoring."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress

from gitsnap.core.errors import GitsnapError, UsageError


def require_page(target: str, command: str, store: str | None = None) -> None:
    """Refuse a page's place where something would be lost or do harm, in the sidecar `store` too; before the work.
    `command` is what works."""
    from gitsnap.cli.report.document import BEGINNING

    real = os.path.realpath(target)
    if store is not None and (real + "/").startswith(os.path.realpath(store) + "/"):
        raise UsageError(f"{target} is in the sidecar, where nothing but snapshots belongs", path=target, hint=command)
    try:
        # Not of `real`: what /dev/stdout leads to may have no name of its own.
        found = os.stat(target)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(real)):
            raise _no_directory(target, real) from None
        return
    except OSError as error:
        raise _unwritable(target, error) from None
    if stat.S_ISDIR(found.st_mode):
        name = command.rpartition(" ")[2]
        raise GitsnapError(f"{target} is a directory", kind="exists", path=target, hint=f"-o {target}/{name}")
    if stat.S_ISREG(found.st_mode) and found.st_size:
        with open(real, "rb") as file:
            if file.read(len(BEGINNING)) == BEGINNING:
                return
        raise GitsnapError(
            f"{target} is there already, and is no report",
            kind="exists",
            path=target,
            hint="choose another name, or remove it first",
        )


def write_page(target: str, data: bytes) -> None:
    """Put the page there whole or not at all, for its owner alone; into a FIFO or device as it comes."""
    from gitsnap.sidecar import files

    real = os.path.realpath(target)
    try:
        before = os.stat(target) if os.path.exists(target) else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            with open(target, "wb") as file:
                file.write(data)
            return
        files.replace(real, data, os.path.dirname(real))
        if before is not None:
            os.chmod(real, stat.S_IMODE(before.st_mode))
    except OSError as error:
        raise _unwritable(target, error) from None


def _no_directory(target: str, real: str) -> GitsnapError:
    above = os.path.dirname(real)
    return GitsnapError(
        f"there is no directory for {target}", kind="io", path=target, hint=f"mkdir -p {shlex.quote(above)}"
    )


def _unwritable(target: str, error: OSError) -> GitsnapError:
    return GitsnapError(f"{target} cannot be written: {error.strerror}", kind="io", path=target)


def replace_public(path: str, data: bytes) -> None:
    """Put `data` in the place of the file at once, for everybody to read: whoever reads it sees the old one or the new
    one. GitsnapError where it cannot be written."""
    try:
        _replace_public(path, data)
    except FileNotFoundError:
        raise _no_directory(path, os.path.realpath(path)) from None
    except OSError as error:
        raise _unwritable(path, error) from None


def _replace_public(path: str, data: bytes) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as file:
                file.write(data)
            return
    folder, name = os.path.split(os.path.realpath(path))
    # A collector of text files reads what ends in .prom.
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            # For the collector, which is another user.
            os.fchmod(fd, 0o644)
        os.replace(temporary, path if not os.path.islink(path) else os.path.realpath(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
