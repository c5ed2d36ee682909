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
        Audit,
        AuditLine,
        BrokeOffError,
        Bundled,
        Change,
        Changelog,
        CheckResult,
        Cloned,
        Collected,
        Comparison,
        DatabaseRunningError,
        Decision,
        Difference,
        Direction,
        Ending,
        Entry,
        Environment,
        Episode,
        Event,
        FileChange,
        Finding,
        Fleet,
        Found,
        GitsnapError,
        Guard,
        HalfAppliedError,
        History,
        HookFailedError,
        IncompleteError,
        Installation,
        IntegrityError,
        Kind,
        Life,
        LockedError,
        Looked,
        Match,
        NoSidecarError,
        NoSuchPathError,
        NoSuchSnapshotError,
        NotASidecarError,
        Observer,
        Outcome,
        PendingRecoveryError,
        PlanChangedError,
        Policy,
        Problem,
        Pulled,
        Pushed,
        Recovered,
        Remote,
        RemoteError,
        Restored,
        RestorePlan,
        RollingBackFailedError,
        RulesChangedError,
        SecretsError,
        SetUpgraded,
        Shown,
        Signature,
        Signed,
        Snapshot,
        State,
        Status,
        StopRequestedError,
        Taken,
        Type,
        Upgraded,
        UpgradeFailedError,
        UsageError,
        Verdict,
        adopt,
        clone,
        fleet,
        guard,
        open,  # noqa: A004 - gitsnap.open(...) is its name
        verify_bundles,
    )

__all__ = [
    "Audit",
    "AuditLine",
    "BrokeOffError",
    "Bundled",
    "Change",
    "Changelog",
    "CheckResult",
    "Cloned",
    "Collected",
    "Comparison",
    "DatabaseRunningError",
    "Decision",
    "Difference",
    "Direction",
    "Ending",
    "Entry",
    "Environment",
    "Episode",
    "Event",
    "FileChange",
    "Finding",
    "Fleet",
    "Found",
    "GitsnapError",
    "Guard",
    "HalfAppliedError",
    "History",
    "HookFailedError",
    "IncompleteError",
    "Installation",
    "IntegrityError",
    "Kind",
    "Life",
    "LockedError",
    "Looked",
    "Match",
    "NoSidecarError",
    "NoSuchPathError",
    "NoSuchSnapshotError",
    "NotASidecarError",
    "Observer",
    "Outcome",
    "PendingRecoveryError",
    "PlanChangedError",
    "Policy",
    "Problem",
    "Pulled",
    "Pushed",
    "Recovered",
    "Remote",
    "RemoteError",
    "RestorePlan",
    "Restored",
    "RollingBackFailedError",
    "RulesChangedError",
    "SecretsError",
    "SetUpgraded",
    "Shown",
    "Signature",
    "Signed",
    "Snapshot",
    "State",
    "Status",
    "StopRequestedError",
    "Taken",
    "Type",
    "UpgradeFailedError",
    "Upgraded",
    "UsageError",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
