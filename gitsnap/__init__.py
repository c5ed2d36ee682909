"""gitsnap: the undo button for upgrades. `gitsnap.api` describes what a program can do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from gitsnap._version import __version__ as __version__
except ImportError:
    # A checkout that was never built.
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from gitsnap.api import (
        Bundled,
        CheckResult,
        Cloned,
        Event,
        Fleet,
        GitsnapError,
        Guard,
        Installation,
        Looked,
        Outcome,
        Pulled,
        Pushed,
        Remote,
        Restored,
        RollingBackFailedError,
        SetUpgraded,
        Signature,
        Signed,
        Snapshot,
        Upgraded,
        UpgradeFailedError,
        Verdict,
        adopt,
        clone,
        fleet,
        guard,
        open,  # noqa: A004 - gitsnap.open(…) is its name
        verify_bundles,
    )

__all__ = [
    "Bundled",
    "CheckResult",
    "Cloned",
    "Event",
    "Fleet",
    "GitsnapError",
    "Guard",
    "Installation",
    "Looked",
    "Outcome",
    "Pulled",
    "Pushed",
    "Remote",
    "Restored",
    "RollingBackFailedError",
    "SetUpgraded",
    "Signature",
    "Signed",
    "Snapshot",
    "UpgradeFailedError",
    "Upgraded",
    "Verdict",
    "adopt",
    "clone",
    "fleet",
    "guard",
    "open",
    "verify_bundles",
]


def __getattr__(name: str) -> object:
    # Loaded when it is first used: the command line starts in half the time without.
    if name in __all__:
        from gitsnap import supported

        refusal = supported.refusal()
        if refusal is not None:
            raise ImportError(f"{refusal.message}: {refusal.hint}", name=__name__)
        from gitsnap import api

        return getattr(api, name)
    raise AttributeError(f"module 'gitsnap' has no attribute '{name}'")
