"""One journaled change of a directory: prepared, decided, carried out, and finished or taken back.

docs/internals/journal.md has the argument why a crash at any point leaves the old or the new state within reach.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Protocol

from gitsnap.core.errors import GitsnapError, IntegrityError, PendingRecoveryError, StopRequestedError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.journal import Phase, Record
from gitsnap.core.model import Inventory, Problem
from gitsnap.core.plan import RestorePlan
from gitsnap.core.statcache import Row, StatCache
from gitsnap.installation.apply.conflicts import Rescue
from gitsnap.installation.apply.executor import Content, Executor, Stop, go_on
from gitsnap.installation.apply.stage_content import draft
from gitsnap.installation.apply.stage_dirs import Stages
from gitsnap.installation.apply.times import Retiming
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk
from gitsnap.ops.parallel.set_times import Retimers
from gitsnap.ops.parallel.stage import SharedStager

Check = Callable[[], list[Problem]]


class Journal(Protocol):
    """Keeps the record where a crash cannot reach it; sidecar.journalfile has the real one."""

    def begin(self, record: Record) -> None:
        """Announce the stages."""

    def decide(self, record: Record) -> None:
        """Make the decision."""

    def advance(self, old: Phase, new: Phase) -> None:
        """From one phase to the next."""

    def remove(self) -> None:
        """It is over."""

    def there(self) -> bool:
        """Whether there is one."""


class Unjournaled:
    """Keeps nothing: for a new directory that is no installation, where half a copy can simply be deleted."""

    def begin(self, record: Record) -> None:
        """Keep nothing."""

    def decide(self, record: Record) -> None:
        """Keep nothing."""

    def advance(self, old: Phase, new: Phase) -> None:
        """Keep nothing."""

    def remove(self) -> None:
        """Keep nothing."""

    def there(self) -> bool:
        """Never."""
        return False


class HalfAppliedError(PendingRecoveryError):
    """Bringing back failed, and so did putting the old state back: both causes are told, and the journal stays."""

    kind = "half-applied"


class Transaction:
    """A record, its journal and its stages. `conflicts` is where files are kept that were written to meanwhile.

    Use as a context manager: it holds descriptors.
    """

    def __init__(
        self, record: Record, journal: Journal, disk: Disk, conflicts: str, observer: Observer = SILENT
    ) -> None:
        self.record, self._journal, self._disk, self._observer = record, journal, disk, observer
        self._conflicts = conflicts
        self._phase = Phase.STAGING
        self.incomplete: list[Problem] = []
        self.rows: dict[bytes, Row] = {}
        # What is in the stages of these paths is held by no snapshot: it is kept when they go.
        self.lost: Container[bytes] = ()
        # After an error: whether the directory is as it was before, and nothing is pending.
        self.came_to_nothing = False

    def __enter__(self) -> Transaction:
        self._dirs = Directories(self.record.root)
        self._stages = Stages(self._disk, self._dirs, self.record.stage_name, self.record.stages)
        return self

    def __exit__(self, *_: object) -> None:
        self._stages.close()
        self._dirs.close()

    def prepare(self, plan: RestorePlan, live: Inventory, content: Content, stop: Stop = go_on) -> None:
        """Stage everything that the plan needs and decide.

        Raises GitsnapError; on any error the directory is as it was, without a trace.
        """
        record = self.record
        try:
            draft(record, plan, live, self._dirs)
            # Until the decision only the stages matter.
            self._journal.begin(replace(record, moves=[], metadata_changes=[]))
            self._stages = Stages(self._disk, self._dirs, record.stage_name, record.stages)
            self._stages.make()
            record.stages = self._stages.stages
            stager = SharedStager(self._disk, self._dirs, self._stages, content, self._observer)
            stager.fill(record, plan, stop)
            self._stages.sync()
            self._journal.decide(record)
        except BaseException as cause:
            self._withdraw(cause)
            if isinstance(cause, OSError):
                raise _unchanged(cause) from cause
            raise
        self._phase = Phase.FORWARD
        self.incomplete += stager.incomplete

    def _withdraw(self, cause: BaseException) -> None:
        """Nothing was moved yet: the stages go, and the journal with them."""
        try:
            self._stages.open()
            self._stages.remove(lambda *_: None, untouched=True)
            self._stages.sync_holders()
            self._journal.remove()
            self.came_to_nothing = True
        except (OSError, GitsnapError) as second:
            if not (self._journal.there() or self._stages.present):
                # There is nothing to take back: the cause alone is to be told.
                return
            # Without a journal nothing is pending; recover removes the stage all the same.
            raise (HalfAppliedError if self._journal.there() else GitsnapError)(
                f"{said(cause)}; nothing was changed, but the stage could not be removed ({said(second)})",
                path=self.record.root,
                hint="`gitsnap recover` removes it when the cause is mended",
            ) from cause

    def resume(self, phase: Phase) -> None:
        """Go on from where a crash left things; IntegrityError when the stages are not the ones that were made."""
        self._phase = phase
        self._stages.open()
        if self._stages.missing and phase in (Phase.FORWARD, Phase.BACKWARD) and self.record.moves:
            raise IntegrityError(
                "the stage of the interrupted rollback is gone from the directory", path=self.record.root
            )

    def forward(
        self, old_state: Check, stop: Stop = go_on, *, first: bool = False, known: StatCache | None = None
    ) -> None:
        """Go to the target. An error takes everything back, and `old_state` then tells what is not as it was.

        `first` says that nothing has been done yet, `known` what the directory held then; `rows` tell how much of that
        is proven to be there still. Raises StopRequestedError between two steps, with the journal in place.
        """
        if self._phase is not Phase.FORWARD:
            self._advance(Phase.FORWARD)
        known = known or StatCache()
        try:
            with closing(Retimers(self.record.root, self._disk, known.rows, known.xattrs)) as retiming:
                carrier = self._carrier(first=first, retiming=retiming)
                carrier.forward(stop)
                self.rows = retiming.rows
            carrier.sync()
        except StopRequestedError:
            raise
        except Exception as cause:  # noqa: BLE001 - whatever it was, the old state has to come back; it is raised again
            self._turn_back(cause, old_state)
        self.incomplete += carrier.incomplete

    def _turn_back(self, cause: Exception, old_state: Check) -> None:
        try:
            self.backward()
            wrong = old_state()
            kept = self.finish(forward=False)
        except (OSError, GitsnapError) as second:
            raise HalfAppliedError(
                f"{said(cause)}, and putting everything back failed as well: {said(second)}",
                path=self.record.root,
                hint="when the cause is mended, `gitsnap recover` brings the directory to the target, "
                "`gitsnap recover --revert` puts it back",
            ) from cause
        self.came_to_nothing = not wrong and not kept
        raise _put_back(cause, wrong, kept) from cause

    def backward(self, stop: Stop = go_on) -> None:
        """Go to the old state. Raises OSError, GitsnapError, StopRequestedError, with the journal in place."""
        if self._phase is not Phase.BACKWARD:
            try:
                self._advance(Phase.BACKWARD)
            except OSError as error:
                # A crash from here on would be finished forward by default; both ways are exact.
                self._observer.noticed(f"the journal could not be turned round: {error.strerror}")
        carrier = self._carrier()
        carrier.backward(stop)
        carrier.sync()
        self.incomplete += carrier.incomplete

    def finish(self, *, forward: bool) -> list[Problem]:
        """The directory is as it shall be: the stages go, then the journal.

        By name, what was kept from the stages, and what could not be set of the directories that held them.
        """
        with self.checking():
            return self._finish(forward)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Around what follows when all names have moved: an error there is told as one after which recover goes on."""
        try:
            yield
        except OSError as error:
            state = "as it was before" if self._phase in (Phase.BACKWARD, Phase.REVERTED) else "as the target has it"
            raise HalfAppliedError(
                f"{said(error)}; the directory is {state}, but could not be checked or cleaned up to the end",
                path=self.record.root,
                hint="`gitsnap recover` does that when the cause is mended",
            ) from error

    def _finish(self, forward: bool) -> list[Problem]:
        done = Phase.FINISHED if forward else Phase.REVERTED
        rescue = Rescue(self.record, self._conflicts, forward=forward, lost=self.lost)
        if self._phase is Phase.STAGING:
            # Nothing was moved, so nothing of anyone else's can be in the stages.
            self._stages.remove(lambda *_: None, untouched=True)
        else:
            if self._phase is not done:
                self._advance(done)
            self._stages.remove(rescue)
        carrier = self._carrier()
        holders = [s.holder for s in self.record.stages]
        (carrier.dress_new if forward else carrier.dress_old)(only=holders)
        self._stages.sync_holders()
        self._journal.remove()
        return [*rescue.kept, *carrier.incomplete]

    def _advance(self, phase: Phase) -> None:
        self._journal.advance(self._phase, phase)
        self._phase = phase

    def _carrier(self, *, first: bool = False, retiming: Retiming | None = None) -> Executor:
        return Executor(
            self._disk, self._dirs, self._stages, self.record, self._observer, first=first, retiming=retiming
        )


def said(error: BaseException) -> str:
    """An error in words, with the path that it is about."""
    if isinstance(error, GitsnapError):
        path = f" ({os.fsdecode(error.path)})" if error.path else ""
        return error.message + path
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        path = f" ({os.fsdecode(name)})" if isinstance(name, (str, bytes)) else ""
        return error.strerror + path
    return str(error) or type(error).__name__


def _unchanged(cause: OSError) -> GitsnapError:
    full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
    path = cause.filename if isinstance(cause.filename, (str, bytes)) else None
    return GitsnapError(
        f"{said(cause)}; nothing was changed",
        kind="no-space" if full else "io",
        path=path,
        hint="make room on the installation's file system" if full else "mend the cause and try again",
    )


def _put_back(cause: Exception, wrong: list[Problem], kept: list[Problem]) -> GitsnapError:
    kind = cause.kind if isinstance(cause, GitsnapError) else "io"
    path = cause.path if isinstance(cause, GitsnapError) else getattr(cause, "filename", None)
    message, hint = f"{said(cause)}; everything was put back", "mend the cause and try again"
    if not wrong:
        message += " as it was before, and verified"
    else:
        first = f"'{os.fsdecode(wrong[0].path) or '.'}' ({wrong[0].reason})"
        message += f", but {len(wrong)} paths are not as the safety snapshot has them, {first} among them"
        hint = "`gitsnap diff` tells what differs; the safety snapshot holds the state before"
    if kept:
        message += f"; '{os.fsdecode(kept[0].path)}' {kept[0].reason}" + (
            f", as {len(kept) - 1} more" * (len(kept) > 1)
        )
    return GitsnapError(message, kind=kind, path=path, hint=hint)
