"""Which upgrade goes on now: what many ask, and hardly ever is there one."""

from __future__ import annotations

from gitsnap.sidecar.repository import Sidecar


def running(sidecar: Sidecar) -> str | None:
    """The id of the upgrade that is under way now, if there is one. Where there is no record, one look at the disk."""
    if not sidecar.upgrading:
        return None
    from gitsnap.ops.live import in_progress

    return in_progress.living(sidecar)


def needed(sidecar: Sidecar) -> str | None:
    """The id of the upgrade whose snapshots somebody may have to go back to: it is under way, or waits."""
    if not sidecar.upgrading:
        return None
    from gitsnap.ops.live import in_progress

    return in_progress.needed(sidecar)


def require_decided(sidecar: Sidecar) -> None:
    """LockedError where somebody waits for what becomes of an upgrade."""
    if sidecar.upgrading:
        from gitsnap.ops.live import in_progress

        in_progress.require_decided(sidecar)
