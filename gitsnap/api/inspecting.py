"""Looking around. Nothing here writes into the directory or changes a snapshot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gitsnap.api.audited import Path
from gitsnap.api.protected import Protected, now
from gitsnap.core.changelog import Changelog
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Kind, Snapshot
from gitsnap.core.signature import Checked as Signature
from gitsnap.ops.audit import trail
from gitsnap.ops.check import doctor
from gitsnap.ops.check.doctor import Check
from gitsnap.ops.check.preflight import foresee
from gitsnap.ops.compare import components
from gitsnap.ops.compare import diff as difference
from gitsnap.ops.compare.diff import Difference
from gitsnap.ops.query import blame, inspect, log, search
from gitsnap.ops.query import status as standing
from gitsnap.ops.query.blame import Blamed
from gitsnap.ops.query.inspect import Match, Shown
from gitsnap.ops.query.listing import Filter
from gitsnap.ops.query.log import Life
from gitsnap.ops.query.search import Found, Searched
from gitsnap.ops.query.status import State
from gitsnap.ops.remote.remotes import examine as examine_remotes
from gitsnap.ops.remote.remotes import unfinished
from gitsnap.ops.report import changelog as report
from gitsnap.ops.report import history as past
from gitsnap.ops.report.evidence import evidence
from gitsnap.ops.report.history import History
from gitsnap.ops.store import signers
from gitsnap.sidecar import catalog, integrity
from gitsnap.sidecar.selectors import choose


@dataclass(slots=True, frozen=True)
class AuditLine:
    """One thing that was done or refused. `document` is the whole line (docs/internals/audit.md), of which the other
    fields are a part: its number, when, what, as which command line, how it ended, with which exit code, why, and about
    which upgrade and which snapshot."""

    sequence: int
    when: datetime | None
    action: str
    command: str
    outcome: str | None
    exit_code: int | None
    cause: str | None
    upgrade: str | None
    target: str | None
    document: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Audit:
    """The lines of the audit log, oldest first, and what is wrong with it: nothing where it is as gitsnap wrote it."""

    lines: list[AuditLine]
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems


class Inspecting(Protected):
    """What only looks."""

    def snapshots(
        self,
        *,
        kinds: Sequence[str] = (),
        tags: Sequence[str] = (),
        since: datetime | None = None,
        last: int | None = None,
        upgrade: str | None = None,
        text: str = "",
    ) -> list[Snapshot]:
        """List the snapshots.

        Args:
            kinds: Those of one of these kinds: `manual`, `pre`, `post`, `safety`, `imported`.
            tags: Those with one of these tags.
            since: Those taken then or later; a moment with a zone.
            last: Of these the newest so many.
            upgrade: Those of this upgrade: its id, the beginning of it, its label.
            text: Those with this in their message, or in the one that they were taken with, capitals or not.

        Returns:
            The snapshots that can be read, oldest first.

        Raises:
            ValueError: There is no such kind.
            NoSuchSnapshotError: There is no such upgrade.
        """
        wanted = Filter(tuple(map(Kind, kinds)), tuple(tags), since, last, upgrade, text)
        with self.sidecar() as sidecar:
            return wanted.of(catalog.snapshots(sidecar))

    def show(self, selector: str = "latest") -> Shown:
        """Show one snapshot, what it holds and left out.

        Args:
            selector: Which one.

        Returns:
            The snapshot, its components, what is excluded, what could not be captured, who signed it.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            IntegrityError: It is damaged.
        """
        with self._looking() as (sidecar, settings):
            return inspect.show(sidecar, selector, settings.components, settings.signing)

    def signatures(self, selector: str = "latest") -> list[Signature]:
        """Check the signatures of a snapshot, where the configuration names a file of allowed signers.

        Args:
            selector: Which one.

        Returns:
            The signatures that it bears, with what each is worth.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
        """
        with self._looking() as (sidecar, settings):
            return signers.told(sidecar, choose(sidecar, selector), settings.signing)

    def files(self, selector: str = "latest", path: Path = ".", *, recursive: bool = False) -> list[Entry]:
        """List a directory as a snapshot holds it.

        Args:
            selector: Which snapshot.
            path: The directory, relative to the installation's root; or a file, which is listed itself.
            recursive: Everything below it.

        Returns:
            The entries, by path.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            NoSuchPathError: It does not hold the path.
        """
        with self.sidecar() as sidecar:
            return inspect.ls(sidecar, selector, self._inside([path])[0], recursive=recursive)[1]

    def read(self, path: Path, selector: str = "latest") -> bytes:
        """Read a file as a snapshot holds it, whole.

        Args:
            path: Relative to the installation's root.
            selector: Which snapshot.

        Returns:
            Its content, or the text of a symlink.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            NoSuchPathError: It does not hold the path.
            GitsnapError: It is no file (kind `not-a-file`).
            IntegrityError: The content is damaged.
        """
        with self.sidecar() as sidecar:
            return b"".join(inspect.cat(sidecar, selector, self._inside([path])[0]))

    def find(self, pattern: str) -> list[Match]:
        """Find names in all snapshots.

        Args:
            pattern: A glob; without a slash it is about the last component alone. Or a SHA-256, in hex.

        Returns:
            The paths that match, each with the ids of the snapshots that hold it.

        Raises:
            UsageError: It is no glob.
        """
        with self.sidecar() as sidecar:
            return inspect.find(sidecar, pattern)

    def search(
        self,
        text: str,
        *paths: Path,
        regex: bool = False,
        ignore_case: bool = False,
        tags: Sequence[str] = (),
        observer: Observer = SILENT,
    ) -> list[Found]:
        """Find a text in the files of all snapshots. Secrets in the lines are as they are.

        Args:
            text: Part of one line.
            paths: Only in these, relative to the installation's root.
            regex: The text is a regular expression.
            ignore_case: Capitals or not.
            tags: Only in snapshots with one of these tags.
            observer: Is told of the progress.

        Returns:
            For each path the lines, and the ids of the snapshots that have them.

        Raises:
            UsageError: The text is empty, has several lines, or is no regular expression.
            NoSuchPathError: No snapshot holds such a path.
            IntegrityError: A content cannot be read.
        """
        finds = search.matcher(text, regex=regex, ignore_case=ignore_case)
        literal = None if regex or ignore_case else text.encode("utf-8", "surrogateescape")
        among = Filter(tags=tuple(tags))
        with self.sidecar() as sidecar:
            raw = self._inside(paths)
            return [*search.search(sidecar, finds, raw, Searched(), literal=literal, observer=observer, among=among)]

    def log(self, path: Path) -> list[Life]:
        """Follow one path through the snapshots.

        Args:
            path: Relative to the installation's root.

        Returns:
            Its states, oldest first: how each came about, in which snapshot, and in which it stayed.

        Raises:
            NoSuchPathError: No snapshot holds it.
        """
        with self.sidecar() as sidecar:
            return log.log(sidecar, self._inside([path])[0])

    def blame(self, path: Path, selector: str = "latest") -> list[Blamed]:
        """Tell which snapshot last changed each line of a text file. Runs stock git; secrets are not hidden.

        Args:
            path: Relative to the directory, or absolute below it.
            selector: In which snapshot.

        Returns:
            The lines.

        Raises:
            NoSuchSnapshotError: There is no such snapshot.
            GitsnapError: The snapshot does not hold it, or it is no text.
            UsageError: It is outside the directory.
        """
        with self._looking() as (sidecar, _):
            return blame.blame(sidecar, selector, self._inside([path])[0])[1]

    def diff(
        self,
        old: str = "latest",
        new: str = "now",
        *paths: Path,
        component: str | None = None,
        observer: Observer = SILENT,
    ) -> Difference:
        """Compare two states.

        Args:
            old: A snapshot, or `now`, the directory as it is.
            new: The same.
            paths: Only these, relative to the installation's root.
            component: Only this component.
            observer: Is told of the progress.

        Returns:
            The changes, with the entries before and after; `partial` names what could not be read.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            NoSuchPathError: Neither side holds a path.
            UsageError: Both are `now`, or there is no such component.
        """
        with self._looking() as (sidecar, settings):
            found, _ = difference.diff(sidecar, old, new, settings, paths=self._inside(paths), observer=observer)
            if component is not None:
                components.narrow(found, sidecar, component, settings)
            return found

    def changelog(self, *sides: str, component: str | None = None, observer: Observer = SILENT) -> Changelog:
        """Tell what an upgrade changed: packages, repositories, files by component. Values are as they are.

        Args:
            sides: An upgrade, or two snapshots, of which one may be `now`. The latest upgrade where there are none.
            component: Only this component.
            observer: Is told of the progress.

        Returns:
            The changes, those of packages with their versions, and of files which are most likely yours.

        Raises:
            NoSuchSnapshotError: There is no such snapshot or upgrade, or there are several.
        """
        with self._looking() as (sidecar, settings):
            episode, (old, new) = past.sides(sidecar, sides, settings)
            known = evidence(sidecar, episode)
            return report.changelog(sidecar, old, new, settings, component=component, known=known, observer=observer)

    def history(self) -> History:
        """Tell what happened to the directory, as far as its snapshots and the audit log know.

        Returns:
            Upgrades with what became of them, rollbacks and single snapshots, oldest first.

        Raises:
            IntegrityError: The sidecar is damaged so that nothing can be told.
        """
        with self._looking() as (sidecar, settings):
            return past.history(sidecar, settings)

    def status(self, *, observer: Observer = SILENT) -> State:
        """Tell how things stand: the directory against the latest snapshot, and the sidecar.

        Args:
            observer: Is told of the progress.

        Returns:
            The state; `pending` is an interrupted rollback that waits for `recover`.

        Raises:
            IntegrityError: No snapshot can be read.
        """
        with self._looking() as (sidecar, settings):
            return standing.status(sidecar, settings, now=now(), observer=observer)

    def doctor(self, *, before_upgrade: bool = False, observer: Observer = SILENT) -> list[Check]:
        """Ask whether directory, sidecar and remotes are as they should be. Runs stock git.

        Args:
            before_upgrade: Ask instead whether an upgrade could start, and whether one could come back.
            observer: Is told of the progress.

        Returns:
            Each question with its answer; `ok` is False where something is wrong, `refuses` True where no upgrade
            would start.

        Raises:
            GitsnapError: The sidecar cannot be asked at all.
        """
        with self._looking() as (sidecar, settings):
            if before_upgrade:
                return foresee(sidecar, settings, now=now(), observer=observer)
            found = doctor.examine(self._place, settings, now())
            return [*found, *unfinished([os.path.dirname(self.store)]), *examine_remotes(sidecar, settings)]

    def audit(self, *, since: datetime | None = None, upgrade: str | None = None) -> Audit:
        """Read the audit log, and check its chain of digests.

        Args:
            since: Only lines of then or later; a moment with a zone.
            upgrade: Only those about this upgrade.

        Returns:
            The lines, and what is wrong with the log.

        Raises:
            NoSuchSnapshotError: No line is about such an upgrade.
        """
        with self.sidecar() as sidecar:
            found = [_line(each) for each in trail.lines(sidecar, since, upgrade)]
            return Audit(found, [flaw.problem for flaw in integrity.audit_log(sidecar)])


def _line(said: Mapping[str, Any]) -> AuditLine:
    try:
        when = datetime.fromisoformat(str(said.get("time")))
    except ValueError:
        when = None
    exit_code = said.get("exit_code")
    return AuditLine(
        int(said["sequence"]),
        when,
        os.fsdecode(str(said.get("action", ""))),
        str(said.get("command", "")),
        said.get("outcome"),
        exit_code if isinstance(exit_code, int) else None,
        said.get("cause"),
        said.get("upgrade"),
        said.get("target"),
        said,
    )
