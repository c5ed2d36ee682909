"""An upgrade that was to wait for what becomes of it, and whose process is gone: another one goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core.errors import GitsnapError, NoSuchSnapshotError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.settings import Service, Settings
from gitsnap.core.upgrade import OnFailure, Outcome, Tell, UpgradePhase, upgrades
from gitsnap.ops.live import in_progress
from gitsnap.ops.process.processes import Waiter
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import Upgraded, UpgradeRequest
from gitsnap.ops.upgrade.waiting import Countdown
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord

_CUT_SHORT = {
    UpgradePhase.COMMAND: "gitsnap was ended while the command ran",
    UpgradePhase.POST: "",
    UpgradePhase.CHECKS: "",
}


@dataclass(slots=True, frozen=True)
class Resumption:
    """How it is gone on with: in which environment its checks run, and who is told."""

    environ: Mapping[str, str]
    clock: Callable[[], datetime]
    tell: Tell = lambda _: None
    observer: Observer = SILENT
    countdown: Countdown = lambda *_: None


def resume(sidecar: Sidecar, settings: Settings, waiter: Waiter, how: Resumption) -> Upgraded | None:
    """Carry out what was decided, or go on waiting for that; None where no upgrade waits.

    Raises LockedError where somebody sees to it, or its command still runs; NoSuchSnapshotError where there is no way
    back any more.
    """
    known = in_progress.take_over(sidecar, settings.lock_wait)
    if known is None:
        return None
    mine = next((u for u in upgrades(catalog.snapshots(sidecar)) if u.id == known.upgrade), None)
    if mine is None:
        raise NoSuchSnapshotError(
            f"the snapshot before the upgrade {known.upgrade} is gone, and with it the way back",
            hint="gitsnap keep keeps what is there",
        )
    if mine.outcome not in (None, Outcome.UNKNOWN, Outcome.ROLLBACK_FAILED):
        # Its end was recorded; what was cut short is saying so in its record.
        in_progress.clear(sidecar)
        return None
    upgrade = Upgrade(
        sidecar,
        request_of(known),
        settings_of(known, settings, how),
        clock=how.clock,
        tell=how.tell,
        observer=how.observer,
        countdown=how.countdown,
    )
    upgrade.go_on(known, mine)
    umask = known.wait.umask if known.wait else -1
    exit_code = known.exit_code if known.exit_code is not None else mine.exit_code
    failure = known.problem or _CUT_SHORT.get(known.stage, "")
    return upgrade.finish(failure, waiter=waiter, exit_code=exit_code, environ=how.environ, umask=umask)


def settings_of(known: UpgradeRecord, settings: Settings, how: Resumption) -> Settings:
    """With the service as it was asked for then."""
    wait = known.wait
    if wait is None or not wait.start:
        return settings
    around = Service(wait.stop, wait.start, upgrade=True, environ=dict(how.environ), umask=wait.umask)
    return replace(settings, service=around)


def request_of(known: UpgradeRecord) -> UpgradeRequest:
    """What was asked for, as far as it is still to be done."""
    wait = known.wait
    if wait is None:
        raise GitsnapError("no upgrade waits")
    return UpgradeRequest(
        command=known.command,
        checks=wait.checks,
        check_timeout=wait.check_timeout,
        # Nobody who could be asked is sure to be there.
        on_failure=OnFailure.KEEP if wait.on_failure == OnFailure.KEEP else OnFailure.ROLLBACK,
        soak=wait.soak,
        every=wait.every,
        confirm=wait.confirm,
        keep_edits=wait.keep_edits,
    )
