"""Asking systemd, and writing units for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from gitsnap.core.errors import GitsnapError

_PATIENCE = 60.0


def running() -> bool:
    """Whether this machine was started by systemd (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def systemctl(words: Sequence[str], *, user: bool, environ: Mapping[str, str]) -> str:
    """What `systemctl` prints; the user's own systemd is asked with `user`. GitsnapError with what it said."""
    return ask(["systemctl", *["--user"] * user, *words], environ, f"systemctl {words[0]}")


def moment(text: str) -> datetime | None:
    """As systemctl tells a time: `Mon 2026-11-30 21:07:58 UTC`; nothing, or n/a, where there is none."""
    try:
        return datetime.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


def ask(command: Sequence[str], environ: Mapping[str, str], name: str, text: str | None = None) -> str:
    """What a program prints, in English and UTC, that is given `text`. GitsnapError where it fails, or is not there."""
    try:
        done = subprocess.run(
            command,
            input=None if text is None else text.encode("utf-8", "surrogateescape"),
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            timeout=_PATIENCE,
            env={**environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        )
    except OSError as error:
        raise GitsnapError(f"{name}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise GitsnapError(f"{name}: no answer within {_PATIENCE:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise GitsnapError(f"{name}: {said[-1]}")
    return done.stdout.decode("utf-8", "surrogateescape")


def write_unit(path: str, text: str) -> None:
    """Replace a unit, durably. systemd reads it as anybody would: units are no secret, and are told to be
    world-readable. OSError."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o644)
        file.write(text.encode())
        file.flush()
        os.fsync(fd)
    os.rename(new, path)


def complaints(paths: Sequence[str], *, user: bool, environ: Mapping[str, str]) -> list[str]:
    """What `systemd-analyze verify` says of these units, and not of others."""
    command = ["systemd-analyze", *["--user"] * user, "verify", "--man=no", *paths]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, env={**environ, "LC_ALL": "C"}
        )
        names = [os.path.basename(path) for path in paths]
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        return [line for line in lines if any(name in line for name in names)]
    return []
