"""Signing a snapshot's commit while it is taken, and what becomes of one that cannot be signed."""

from __future__ import annotations

from collections.abc import Callable

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.signature import Policy, enclose
from gitsnap.sidecar.repository import Sidecar

# What goes before a change that can wait. After it, and before a rollback, a snapshot counts more than its signature.
_CAN_WAIT = (Kind.MANUAL, Kind.PRE, Kind.IMPORTED)
# Where it is noted why a snapshot is not signed that should be.
UNSIGNED = "unsigned"


def signer(sidecar: Sidecar, policy: Policy, kind: Kind) -> Callable[[bytes], bytes]:
    """What puts a signature by the policy's key into a commit, where there is a key.

    One that does not sign leaves the commit as it is, and that is noted. Where the policy requires signatures, and the
    snapshot can wait, GitsnapError instead.
    """

    def sign(content: bytes) -> bytes:
        if not policy.key:
            return content
        # It starts another program.
        from gitsnap.sidecar.git import ssh_keygen

        try:
            armor = ssh_keygen.sign(content, policy.key, ask=policy.ask, installation=sidecar.installation)
        except (GitsnapError, OSError) as error:
            hint = error.hint if isinstance(error, GitsnapError) else None
            why = error.message if isinstance(error, GitsnapError) else f"it cannot be signed: {error.strerror}"
            if policy.require and kind in _CAN_WAIT:
                raise GitsnapError(
                    f"no snapshot was taken, as none is to be without a signature: {why}",
                    kind="not-signed",
                    path=policy.key,
                    hint=hint,
                ) from error
            sidecar.noted.details[UNSIGNED] = why
            return content
        return enclose(content, armor)

    return sign


def why_unsigned(sidecar: Sidecar, taken: Snapshot) -> str:
    """Why a snapshot that was taken is not signed, though it should be; empty where all is well."""
    return "" if taken.signed_by else str(sidecar.noted.details.get(UNSIGNED, ""))
