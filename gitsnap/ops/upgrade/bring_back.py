"""What an upgrade that failed brings back, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot
from gitsnap.core.upgrade import (
    Moment,
    OnFailure,
    Outcome,
)
from gitsnap.installation import root as directory
from gitsnap.ops.restore.merge import MergeResult
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.upgrade.preparation import Preparation
from gitsnap.ops.upgrade.problems import describe
from gitsnap.ops.upgrade.result import Upgraded
from gitsnap.ops.upgrade.rollback_of_a_failure import bring_back, keep_edits

_OF_THE_ROLLBACK = {
    "nothing was changed": "nothing was brought back",
    "so the directory is untouched": "so nothing was brought back",
}
# Asked with the reason for the failure: whether to roll back.
Ask = Callable[[str], bool]


class BringBack(Preparation):
    """An upgrade that can bring its directory back."""

    def _fail(self, result: Upgraded, problem: str) -> None:
        # What a rollback by itself rightly says: here the command may have changed much.
        for said, meant in _OF_THE_ROLLBACK.items():
            problem = problem.replace(said, meant)
        result.outcome, result.verified, result.rollback_error = Outcome.ROLLBACK_FAILED, False, problem
        result.half_way = self.sidecar.pending is not None

    def _rolls_back(self, failure: str, ask: Ask) -> bool:
        policy = self._wanted.on_failure
        if policy is not OnFailure.ASK:
            return policy is OnFailure.ROLLBACK
        try:
            return ask(failure)
        except Exception:  # noqa: BLE001 - nobody has said to keep it
            return True

    def _roll_back(self, result: Upgraded, quiesce: Callable[[], None], target: Snapshot | None = None) -> None:
        """To the snapshot before it, with the edits since where they are to be kept; or to what somebody else says."""
        self.tell(Moment.ROLLBACK_STARTED, to=result.pre.id, reason=result.failure)
        try:
            quiesce()
        except Exception as error:  # noqa: BLE001 - what it would have ended may be gone anyway
            result.doubts.append(f"what the command has left running may still write: {describe(error)}")
        try:
            if directory.missing(self.sidecar.installation):
                result.aside = directory.recreate(self.sidecar.installation)
            kept = self._keep_edits(result) if target is None else None
            result.restored = done = kept or bring_back(
                self.sidecar, target or result.pre, self._settings, self._clock, self._observer
            )
        except Exception as error:  # noqa: BLE001 - as in finish
            self._fail(result, describe(error))
        else:
            result.verified = done.verified
            result.outcome = Outcome.ROLLED_BACK if done.verified else Outcome.ROLLBACK_FAILED
            if not done.verified:
                result.rollback_error = "the directory is not the same as the snapshot"
        for turned in result.restored.service.results if result.restored else ():
            self._turned(turned)
            result.doubts += [] if turned.ok else [turned.told]
        if result.outcome is Outcome.ROLLED_BACK:
            safety = result.restored.safety if result.restored else None
            self.tell(
                Moment.ROLLBACK_COMPLETED,
                to=result.pre.id,
                safety_snapshot=safety.id if safety else None,
                verified=result.verified,
                incomplete=len(result.restored.incomplete) if result.restored else 0,
            )
        else:
            self.tell(
                Moment.ROLLBACK_FAILED, to=result.pre.id, reason=result.failure, rollback_error=result.rollback_error
            )

    def _keep_edits(self, result: Upgraded) -> Restored | None:
        """Undo it and keep what was changed since, where that was asked for and there is any of it."""
        if not self._wanted.keep_edits or result.post is None:
            return None
        try:
            merged = keep_edits(self.sidecar, self.id, result.post, self._settings, self._clock, self._observer)
        except (GitsnapError, OSError) as error:
            if self.sidecar.pending is not None:
                raise
            result.doubts.append(f"what was changed since the upgrade could not be kept apart: {describe(error)}")
            return None
        if merged is None:
            return None
        self._note_conflicts(result, merged)
        return merged.restored

    def _note_conflicts(self, result: Upgraded, merged: MergeResult) -> None:
        result.conflicts = len(merged.plan.conflicts)
        if result.conflicts:
            s = "s" * (result.conflicts != 1)
            result.doubts.append(f"{result.conflicts} file{s} changed since the upgrade in what it had changed itself")
