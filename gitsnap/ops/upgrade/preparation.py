"""The first half of an upgrade: what must stand before anything changes."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Kind, Snapshot, slug
from gitsnap.core.outcome import Ending
from gitsnap.core.settings import Settings
from gitsnap.core.space import told
from gitsnap.core.upgrade import (
    Event,
    Moment,
    OnFailure,
    Stored,
    Tell,
    UpgradePhase,
    upgrade_id,
    upgrades,
)
from gitsnap.installation import open_files
from gitsnap.ops.capture.hooks import HookResult
from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.capture.snapshot import take
from gitsnap.ops.check.verify import verify
from gitsnap.ops.live import in_progress, service
from gitsnap.ops.live.feasible import lasting, owned, require_some_way_in
from gitsnap.ops.live.service import Turned
from gitsnap.ops.store import outcomes, retention
from gitsnap.ops.upgrade.problems import describe, named
from gitsnap.ops.upgrade.progress import Reporting
from gitsnap.ops.upgrade.result import IncompleteError, Upgraded, UpgradeRequest
from gitsnap.ops.upgrade.rollback_of_a_failure import Clock
from gitsnap.ops.upgrade.waiting import Countdown
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import disk_reserve, register
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord, Wait

# How many paths are named of those that a rollback could not put back; the rest is counted.
_FORESEEN = 100
# That is for information: what processes have open, and then what they have mapped, is looked at for no longer.
_SECONDS_FOR_OPEN_FILES = (0.25, 0.02)


class Preparation:
    """One upgrade of a sidecar's installation, up to the moment at which its directory may be changed."""

    def __init__(
        self,
        sidecar: Sidecar,
        wanted: UpgradeRequest,
        settings: Settings,
        *,
        clock: Clock,
        tell: Tell = lambda _: None,
        observer: Observer = SILENT,
        countdown: Countdown = lambda *_: None,
    ) -> None:
        self.sidecar, self._wanted, self._settings = sidecar, wanted, settings
        self._clock, self._tell, self._countdown = clock, tell, countdown
        self._observer = Reporting(observer, lambda **facts: self.tell(Moment.SNAPSHOT_PROGRESS, **facts))
        self._started = time.monotonic()
        self.id = ""
        self.result: Upgraded | None = None
        self._reserve: disk_reserve.Reserve | None = None
        self._is_started = False
        # Where another process had begun it: what that one has written down last.
        self._known: UpgradeRecord | None = None
        # Seconds for which it had gone on then.
        self.waited = 0.0

    def tell(self, moment: Moment, **facts: Any) -> None:
        """Tell of something that happened to this upgrade. Once that is started, who cannot listen changes nothing."""
        try:
            self._tell(Event(moment, self._clock(), self.id, facts))
        except Exception as error:
            if not self._is_started or self.result is None:
                raise
            self._tell = lambda _: None
            self.result.doubts.append(f"what happened could not be told any more: {describe(error)}")

    def begin(self, umask: int = -1) -> Snapshot:
        """Take the first snapshot and read every byte of it again. Nothing may be changed before this returns.

        `umask` is what checks are to run with, should another process have to go on.

        Raises GitsnapError or OSError: LockedError while another upgrade of the directory is under way,
        IncompleteError, IntegrityError. There is no first snapshot then.
        """
        now = self._clock()
        wanted = self._wanted
        known = {u.id for u in upgrades(catalog.snapshots(self.sidecar))} | register.load(self.sidecar).upgrades()
        self.id = self.sidecar.noted.upgrade = upgrade_id(now, wanted.label, known)
        in_progress.claim(self.sidecar, self.id, wanted.command, self._settings.lock_wait, self._wait(umask))
        self.tell(
            Moment.UPGRADE_STARTED,
            installation=self.sidecar.installation,
            command=wanted.command,
            on_failure=wanted.on_failure.value,
            checks=[c if isinstance(c, str) else getattr(c, "__name__", "callable") for c in wanted.checks],
            soak=wanted.soak or None,
            every=wanted.every if wanted.soak else None,
            confirm=wanted.confirm or None,
        )
        pre = None
        try:
            around = self._settings.service
            if around is not None and around.upgrade:
                service.stop(self.sidecar, around, self._turned)
            pre = self._take(Kind.PRE, now, None).snapshot
            self._prove(pre)
            self._foresee(pre)
            # Whatever happens from now on: nobody knows how it ends until somebody does.
            outcomes.record(self.sidecar, pre, Ending(self.id, command=wanted.command), now, self._settings.lock_wait)
        except BaseException:
            self._forsake(pre)
            raise
        self.result = Upgraded(self.id, pre, wanted.command)
        in_progress.update(self.sidecar, stage=UpgradePhase.READY, pre=pre.id)
        self._reserve = disk_reserve.hold(self.sidecar)
        return pre

    def _wait(self, umask: int) -> Wait | None:
        wanted = self._wanted
        if not wanted.waits:
            return None
        return Wait(
            soak=wanted.soak,
            every=wanted.every,
            confirm=wanted.confirm,
            keep_edits=wanted.keep_edits,
            on_failure=wanted.on_failure.value,
            checks=tuple(c for c in wanted.checks if isinstance(c, str)),
            check_timeout=wanted.check_timeout,
            umask=umask,
            stop=self._settings.service.stop if self._settings.service else "",
            start=self._settings.service.start if self._settings.service else "",
        )

    def go_on(self, known: UpgradeRecord, mine: Stored) -> None:
        """It is the upgrade `mine`, which another process has begun, and of which this is known. `finish` comes next.

        The directory may be changed from now on.
        """
        self.id = self.sidecar.noted.upgrade = known.upgrade
        self.result = result = Upgraded(known.upgrade, mine.pre, known.command, post=mine.post)
        if mine.ending is not None:
            result.changes = mine.ending.changes
            passed = known.wait.term.seen if known.wait and known.wait.term else 0.0
            self.waited = (mine.ending.duration or 0.0) + passed
            self._started -= self.waited
        self._known, self._is_started = known, True
        self.sidecar.noted.begin()

    def forsake(self) -> None:
        """Give it up before `start`: nothing has begun, and there is no first snapshot."""
        assert self.result is not None
        disk_reserve.release(self._reserve)
        self._forsake(self.result.pre)

    def _forsake(self, pre: Snapshot | None) -> None:
        """Nothing was started, so nothing may look as if it had been."""
        try:
            if pre is not None:
                retention.delete(self.sidecar, [pre.id], self._settings, now=self._clock(), by=self.id)
            in_progress.clear(self.sidecar)
        finally:
            if self._settings.service is not None and service.is_ours(self.sidecar):
                service.start(self.sidecar, self._settings.service, self._turned)

    def _turned(self, done: Turned) -> None:
        """The service was stopped or started, or could not be."""
        how = Moment.SERVICE_STOPPED if done.word == service.STOP else Moment.SERVICE_STARTED
        self.tell(how if done.ok else Moment.SERVICE_FAILED, **done.document())

    def start(self) -> None:
        """Write down that from now on the directory may be changed. Nothing may be changed before this returns.

        Raises GitsnapError where that cannot be written: whoever comes after a kill would not know of it.
        """
        assert self.result is not None
        try:
            in_progress.started(self.sidecar)
        except OSError as error:
            with suppress(OSError, GitsnapError):
                disk_reserve.release(self._reserve)
                self._forsake(self.result.pre)
            problem = f"that the upgrade begins could not be written down: {describe(error)}; nothing was started"
            raise GitsnapError(problem, kind="io", path=self.sidecar.path) from None
        self._is_started = True
        self.sidecar.noted.begin()

    def runs_as(self, pid: int) -> None:
        """This process is the command."""
        in_progress.update(self.sidecar, child=pid)

    def note_left(self, processes: list[dict[str, Any]]) -> None:
        """For the audit log: what the command has left running."""
        self.sidecar.noted.details["left_running"] = processes

    @property
    def doubts(self) -> list[str]:
        """Why going back may not be exact."""
        assert self.result is not None
        return self.result.doubts

    def _take(self, kind: Kind, now: datetime, exit_code: int | None) -> Captured:
        wanted = self._wanted
        word = "before" if kind is Kind.PRE else "after"
        request = Request(
            kind=kind,
            label=f"{slug(wanted.label, 'upgrade')[:50]}-{kind}" if wanted.label else "",
            message=wanted.message or f"{word} {wanted.command or wanted.label or 'the upgrade'}",
            upgrade=self.id,
            command=wanted.command or None,
            exit_code=exit_code,
            directories=wanted.directories,
        )

        def report(done: HookResult) -> None:
            self.tell(Moment.HOOK_PASSED if done.ok else Moment.HOOK_FAILED, role=kind.value, **done.document())

        taken = take(self.sidecar, request, self._settings, now=now, observer=self._observer, report=report)
        if taken.partial and kind is Kind.PRE and not wanted.incomplete:
            retention.delete(self.sidecar, [taken.snapshot.id], self._settings, now=now, by=self.id)
            raise IncompleteError(
                f"{len(taken.partial)} path{'s' * (len(taken.partial) != 1)} could not be captured: "
                f"{taken.partial[0].reason}; nothing was started",
                path=taken.partial[0].path,
                hint="make them readable, exclude them, or say --incomplete to go without them",
            )
        s = taken.snapshot
        self.tell(
            Moment.SNAPSHOT_COMPLETED,
            role=kind.value,
            snapshot=s.id,
            files=s.files,
            bytes=s.bytes,
            new_files=taken.counts.new_files,
            changed_files=taken.counts.changed_files,
            removed_files=taken.counts.removed_files,
            summary=taken.counts.summary,
            directories=taken.counts.directory_summary,
            partial=len(taken.partial),
            databases_running=[r.document() for r in taken.running],
            hooked=bool(self._settings.hooks and self._settings.hooks.before),
            pruned=[{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in taken.pruned],
            retention_held=taken.held.document() if taken.held else None,
            limits=[kept.document() for kept in taken.kept],
            limits_told=[line for kept in taken.kept for line in told(kept)],
            duration=round(taken.duration, 3),
        )
        return taken

    def _prove(self, pre: Snapshot) -> None:
        started = time.monotonic()
        verdict = verify(self.sidecar, [pre.id], self._settings, now=self._clock(), observer=self._observer)[0]
        if not verdict.ok:
            problem = verdict.problems[0]
            raise IntegrityError(
                f"the snapshot before the upgrade did not pass verification ({problem.problem}); nothing was started",
                path=problem.path,
            )
        self.tell(
            Moment.VERIFIED,
            snapshot=pre.id,
            files=verdict.files,
            bytes=verdict.bytes,
            duration=round(time.monotonic() - started, 3),
        )

    def _foresee(self, pre: Snapshot) -> None:
        """Tell what a rollback could not put back. GitsnapError where that is all of it, and one is wanted."""
        root = self.sidecar.installation
        opened = open_files.look(root, *_SECONDS_FOR_OPEN_FILES)
        if opened.holders:
            shown = [h.document() for h in opened.holders[:_FORESEEN]]
            self.tell(Moment.FILES_OPEN, count=len(opened.holders), processes=shown)
        found = lasting(root, owned(self.sidecar.load_cache().rows), pre.bytes)
        if not found:
            return
        self.tell(
            Moment.FORESEEN,
            paths=len(found),
            problems=[named(p) for p in found[:_FORESEEN]],
        )
        if self._wanted.on_failure is OnFailure.ROLLBACK:
            require_some_way_in(root)

    @property
    def variables(self) -> dict[str, str]:
        """What the command and the checks find in their environment."""
        assert self.result is not None
        return {
            "GITSNAP_UPGRADE": self.id,
            "GITSNAP_PRE": self.result.pre.id,
            "GITSNAP_DIR": self.sidecar.installation,
        }
