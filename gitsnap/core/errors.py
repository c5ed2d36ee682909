"""What can go wrong, as facts: each error knows its exit code, and the command line turns it into a sentence."""

from __future__ import annotations

import errno
from collections.abc import Sequence

# What the process or the machine has run out of: it says nothing about the path that was asked for at that moment.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def exhausted(error: BaseException) -> bool:
    """Whether this is a failure of the process (no more descriptors or memory), and so no property of any path."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED)


class GitsnapError(Exception):
    """Base of all expected failures.

    `kind` is a stable word for programs, `exit_code` the process's exit code. `path` (raw bytes, relative to the
    installation, or an absolute path as text) and `hint` (what to type next) are optional facts.
    """

    exit_code = 1
    kind = "failed"
    advice: str | None = None

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        path: bytes | str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint or self.advice
        if kind is not None:
            self.kind = kind


class UsageError(GitsnapError):
    """The request makes no sense as written."""

    exit_code = 2
    kind = "usage"


class NoCommandError(UsageError):
    """What is to be run is no command. Nothing was done."""


class NoSuchSnapshotError(GitsnapError):
    """A selector names no snapshot, or more than one."""

    kind = "no-such-snapshot"


class NoSuchPathError(GitsnapError):
    """No snapshot that is meant holds `path`. From where paths count that are typed, the command line adds."""

    kind = "no-such-path"


class NoSidecarError(GitsnapError):
    """The directory is not protected: there is no sidecar for it."""

    exit_code = 10
    kind = "no-sidecar"


class NotASidecarError(NoSidecarError):
    """A git repository, such as a mirror, is where a sidecar was meant."""

    kind = "not-a-sidecar"


class LockedError(GitsnapError):
    """Another process holds the lock for longer than we were told to wait."""

    exit_code = 11
    kind = "locked"


class IntegrityError(GitsnapError):
    """Stored data is damaged, missing or contradicts itself."""

    exit_code = 12
    kind = "integrity"
    advice = "`gitsnap verify --all` and `gitsnap doctor` tell what is damaged"


class PendingRecoveryError(GitsnapError):
    """A rollback was interrupted; the directory may be between two states until it is settled."""

    exit_code = 14
    kind = "pending-recovery"


class RemoteError(GitsnapError):
    """The other side refused, or is not to be reached. Nothing here has changed."""

    exit_code = 15
    kind = "remote"


class SecretsError(GitsnapError):
    """Secrets would have left the machine: `found` are their paths and keys. Nothing was sent."""

    exit_code = 15
    kind = "secrets-found"

    def __init__(self, message: str, *, found: Sequence[tuple[bytes, str]], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.found = found


class PlanChangedError(GitsnapError):
    """What would be done is not what was agreed to; nothing was touched."""

    kind = "plan-changed"


class StopRequestedError(GitsnapError):
    """The user pressed Ctrl-C or the process was told to stop."""

    exit_code = 130
    kind = "interrupted"
