"""Settling an interrupted rollback without its journal: by comparing everything with one of the two snapshots."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from gitsnap.core.content import CHUNK
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSuchSnapshotError, PendingRecoveryError
from gitsnap.core.journal import Record
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.settings import Settings
from gitsnap.installation.apply import stage_dirs
from gitsnap.ops.live.exclusions import RuleTexts
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import Rollback, RollbackOptions
from gitsnap.ops.restore.safety import component_of_snapshot, last_safety, reach_of
from gitsnap.ops.restore.target import EVERYTHING, Extent, Only, Target, merged_paths
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.journal_file import JournalFile


class Comparing:
    """The ways on that need no journal, and what those by the journal share with them."""

    def __init__(
        self,
        sidecar: Sidecar,
        settings: Settings,
        options: RollbackOptions,
        direction: Direction | None,
        journal: JournalFile,
    ) -> None:
        self._sidecar, self._settings, self._options = sidecar, settings, options
        self._asked, self._journal = direction, journal

    def in_another_directory(self, record: Record, what: str) -> Recovered:
        """The journal knows nothing of what lies there now: both snapshots do."""
        root = self._sidecar.installation
        if self._asked is None:
            raise PendingRecoveryError(
                what,
                path=root,
                hint="put that directory back in its place; or `gitsnap recover --finish` makes what is there "
                f"{record.target}, `gitsnap recover --revert` makes it {record.safety}, both by comparing everything; "
                "or `gitsnap recover --give-up` leaves all as it is",
            )
        result = self.result(self._asked is Direction.FINISH, record)
        gone = not os.path.isdir(root)
        with _giving_up_named():
            digests = self._digests_of_both(record.target, record.safety)
            if gone:
                _make_again(root)
            if gone and (record.paths or record.part):
                # All but these paths is as it was before.
                self.roll(result, record.safety, EVERYTHING)
            only = self.only(record.target, record.safety, record.leaving)
            extent = Extent(record.paths, record.part, only)
            self._by_comparing(result, (record.target, record.safety), extent, digests)
        return result

    def by_content(self, error: IntegrityError) -> Recovered:
        """The journal or the stage is of no use: the safety snapshot still knows both ends."""
        try:
            safety = last_safety(catalog.snapshots(self._sidecar))
        except NoSuchSnapshotError:
            error.hint = "no safety snapshot is left: `gitsnap recover --give-up`, then `gitsnap rollback SNAPSHOT`"
            raise error from None
        except IntegrityError as damaged:
            damaged.hint = "`gitsnap recover --give-up` leaves the directory as it is, and keeps what the stage holds"
            raise damaged from None
        if not safety.command:
            raise error
        target, reach = safety.command.split()[2], reach_of(safety.command)
        if self._asked is None:
            error.hint = (
                f"`gitsnap recover --finish` brings back {target}, `gitsnap recover --revert` brings back {safety.id}, "
                "by comparing everything; `gitsnap recover --give-up` leaves all as it is"
            )
            raise error
        result = Recovered(self._asked, None, target, safety.id)
        with _giving_up_named():
            digests = self._digests_of_both(target, safety.id)
            part = component_of_snapshot(self._sidecar, safety, reach.component, self._settings)
            only = self.only(target, safety.id, reach.leaving)
            self._by_comparing(result, (target, safety.id), Extent(reach.paths, part, only), digests)
        return result

    def _by_comparing(self, result: Recovered, names: tuple[str, str], extent: Extent, known: set[bytes]) -> None:
        """Reach the target or the safety snapshot (`names`), whatever the directory holds now."""
        left = stage_dirs.left_behind(self._sidecar.installation)
        self._journal.set_aside()
        self.roll(result, names[self._asked is not Direction.FINISH], extent, frozenset(left))
        result.incomplete += stage_dirs.clear(
            self._sidecar.installation, self._options.disk, left, unknown_to(known), self.beside()
        )
        self._journal.forget()

    def _digests_of_both(self, target: str, safety: str) -> set[bytes]:
        """The contents that the snapshots hold; IntegrityError where the one that is wanted is damaged."""
        wanted, other = (target, safety) if self._asked is Direction.FINISH else (safety, target)
        known = self._digests(wanted)
        with suppress(IntegrityError, NoSuchSnapshotError):
            # Files that only a damaged snapshot knows are kept as if nobody did.
            known |= self._digests(other)
        return known

    def _digests(self, name: str) -> set[bytes]:
        snapshot = selectors.resolve(catalog.snapshots(self._sidecar), name)
        target = Target(self._sidecar, snapshot, RuleTexts(b"", b""))
        return {e.sha256 for e in target.wanted.entries if e.sha256}

    def roll(self, result: Recovered, name: str, extent: Extent, hidden: frozenset[bytes] = frozenset()) -> Recovered:
        """Reach a snapshot by comparing everything with it, in a rollback of its own."""
        snapshot = self.snapshot(name)
        options, reversing = replace(self._options, hidden=hidden), snapshot.kind is Kind.SAFETY
        job = Rollback(self._sidecar, snapshot, self._settings, options, extent, reversing=reversing)
        restored = job.run()
        result.moved, result.verified = True, restored.verified
        result.incomplete += restored.incomplete
        return result

    def result(self, forward: bool, record: Record) -> Recovered:
        """What a recovery begins with."""
        direction = Direction.FINISH if forward else Direction.REVERT
        return Recovered(direction, record.transaction, record.target, record.safety)

    def snapshot(self, name: str) -> Snapshot:
        """The snapshot of that id. Raises NoSuchSnapshotError, IntegrityError."""
        return selectors.resolve(catalog.snapshots(self._sidecar), name)

    def only(self, target: str, safety: str, leaving: tuple[bytes, ...] | None) -> Only | None:
        """What counts where a merge is settled; None where no merge is."""
        if leaving is None:
            return None
        return merged_paths(self._sidecar, self.snapshot(target), self.snapshot(safety), leaving)

    def beside(self) -> str:
        """Where files are kept that no snapshot holds: a new directory beside the sidecar."""
        return os.path.join(os.path.dirname(self._sidecar.path), f"gitsnap-conflicts-{os.urandom(6).hex()}")


def _make_again(root: str) -> None:
    try:
        os.mkdir(root, 0o700)
    except OSError as error:
        raise GitsnapError(f"{root} cannot be made again: {error.strerror}", kind="io", path=root) from None


@contextmanager
def _giving_up_named() -> Iterator[None]:
    """Where no snapshot leads on, there is still the way out."""
    try:
        yield
    except IntegrityError as error:
        error.hint = (
            "`gitsnap recover` with the other of --finish and --revert may still lead on; "
            "`gitsnap recover --give-up` leaves the directory as it is, and keeps what the stage holds"
        )
        raise


def unknown_to(known: set[bytes]) -> Callable[[int], bool]:
    """Tells of an open file whether none of the digests is its own."""

    def unknown(fd: int) -> bool:
        digest = hashlib.sha256()
        while data := os.read(fd, CHUNK):
            digest.update(data)
        return digest.digest() not in known

    return unknown
