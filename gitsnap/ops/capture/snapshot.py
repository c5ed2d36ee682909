"""Taking a snapshot, between the hooks that are set and under the writer's lock."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Kind
from gitsnap.core.settings import Settings
from gitsnap.ops.capture import reuse
from gitsnap.ops.capture.request import Capture, Captured, Request
from gitsnap.ops.live import database_servers, exclusions
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.core.space import Kept
    from gitsnap.ops.capture.hooks import HookObserver, HookResult


def take(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    *,
    now: datetime,
    observer: Observer = SILENT,
    report: HookObserver = lambda _: None,
) -> Captured:
    """Take one snapshot of the sidecar's installation, between the hooks of the settings; `report` is told of each.

    Raises GitsnapError or OSError; no snapshot is visible then.
    """
    request.refuse_running = request.kind in (Kind.MANUAL, Kind.PRE) and database_servers.refuses(
        settings, upgrade=request.kind is Kind.PRE
    )
    before = _keep_limits(sidecar, settings, now) if settings.limits else None
    taken = _between_hooks(sidecar, request, settings, now, observer, report)
    after = _keep_limits(sidecar, settings, now) if settings.limits else None
    taken.kept = [kept for kept in (before, after) if kept is not None]
    noted = sidecar.noted
    noted.name(taken.partial)
    if taken.counted:
        noted.counts |= {
            "new_files": taken.counts.new_files,
            "changed_files": taken.counts.changed_files,
            "removed_files": taken.counts.removed_files,
        }
    if taken.skipped:
        noted.target, noted.details["unchanged"] = taken.snapshot.id, True
    return taken


def _keep_limits(sidecar: Sidecar, settings: Settings, now: datetime) -> Kept | None:
    # Who has none does not load what measures.
    from gitsnap.ops.store import limits

    return limits.keep(sidecar, settings, now=now)


def _between_hooks(
    sidecar: Sidecar, request: Request, settings: Settings, now: datetime, observer: Observer, report: HookObserver
) -> Captured:
    if settings.hooks is None:
        return _take(sidecar, request, settings, now, observer)
    # Most installations have none, and whoever runs a hook needs much that nobody else does.
    from gitsnap.ops.capture.hooks import SnapshotHooks

    variables = {
        "GITSNAP_DIR": sidecar.installation,
        "GITSNAP_STORE": sidecar.path,
        "GITSNAP_KIND": request.kind.value,
        "GITSNAP_LABEL": request.label,
        "GITSNAP_UPGRADE": request.upgrade or "",
    }

    def noting(done: HookResult) -> None:
        sidecar.noted.details.setdefault("hooks", []).append(done.document())
        report(done)

    with SnapshotHooks(settings.hooks, sidecar.installation, variables, noting) as hooks:
        # It is taken when the first hook is done, and what that one has taken itself comes before it.
        taken = _take(sidecar, request, settings, now + hooks.elapsed, observer)
        hooks.done("unchanged" if taken.skipped else "taken", taken.snapshot.id)
    taken.hooks = hooks.results
    return taken


def _take(sidecar: Sidecar, request: Request, settings: Settings, now: datetime, observer: Observer) -> Captured:
    """Take one under the writer's lock."""
    with sidecar.writing(settings.lock_wait):
        rules = exclusions.current(sidecar.installation, settings)
        capture = Capture(sidecar, request, settings, now, observer, list(rules.rules), exclusions.as_predicate(rules))
        shared = reuse.take_unchanged(capture)
        if shared is not None:
            return shared
        # All that reads and stores is a third of what there is to load.
        from gitsnap.ops.capture import space_needed
        from gitsnap.ops.capture.scan import take_locked

        space_needed.require(capture)
        return take_locked(capture)[0]
