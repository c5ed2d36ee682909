"""An upgrade around a `with` block: rolled back when the block raises, or a check fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Literal

from gitsnap.api.audited import Environment, Path, act, ended
from gitsnap.api.installation import Installation
from gitsnap.api.opening import open  # noqa: A004 - gitsnap.open(...) is its name
from gitsnap.api.protected import now
from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.upgrade import Event, OnFailure, Outcome
from gitsnap.ops.audit.act import Act
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.sets import result as sets
from gitsnap.ops.sets.members import Member, belongs_to, named, require_apart
from gitsnap.ops.sets.result import SetUpgraded
from gitsnap.ops.sets.upgrade import SetUpgrade
from gitsnap.ops.store import locate
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import Upgraded, UpgradeRequest, broke_off, failed
from gitsnap.sidecar.modes import close_to_others
from gitsnap.sidecar.repository import Sidecar

_EXIT_CODES = {Outcome.ROLLED_BACK: 20, Outcome.ROLLBACK_FAILED: 21}


class UpgradeFailedError(GitsnapError):
    """A check failed after an upgrade. `result` tells which, and that the directory was rolled back (or kept)."""

    exit_code = 20
    kind = "upgrade-failed"

    def __init__(self, message: str, result: Upgraded | SetUpgraded) -> None:
        super().__init__(message)
        self.result = result


class Guard:
    """An upgrade around a `with` block: rolled back when the block raises or a check fails. See `guard`."""

    def __init__(
        self,
        installations: Sequence[Installation],
        wanted: UpgradeRequest,
        observe: Callable[[Event], object] | None,
    ) -> None:
        self._installations, self._wanted, self._observe = tuple(installations), wanted, observe
        self._opened = ExitStack()
        self._upgrade: Upgrade | SetUpgrade | None = None
        self._acts: list[tuple[Sidecar, Act]] = []
        self.result: Upgraded | SetUpgraded | None = None
        self.observe_error: Exception | None = None

    @property
    def installation(self) -> Installation:
        """The directory that is upgraded; the first of several."""
        return self._installations[0]

    @property
    def installations(self) -> tuple[Installation, ...]:
        """All that are."""
        return self._installations

    @property
    def id(self) -> str:
        """The upgrade's id; empty before `prepare`."""
        return self._upgrade.id if self._upgrade else ""

    @property
    def pre(self) -> Snapshot | None:
        """The snapshot before the upgrade, the first directory's; None before `prepare`."""
        return self._first_snapshot(self._upgrade) if self._upgrade else None

    def _first_snapshot(self, upgrade: Upgrade | SetUpgrade) -> Snapshot:
        found = upgrade.result
        assert found is not None
        return found.parts[self.installation.path].pre if isinstance(found, SetUpgraded) else found.pre

    def prepare(self) -> Snapshot:
        """Take and verify the first snapshots now, perhaps in another thread; entering the block does not wait then.

        Nothing may be changed before this returns. When it raises, there is no upgrade and nothing to undo.

        Returns:
            The snapshot before the upgrade, the first directory's.

        Raises:
            GitsnapError: There is no such snapshot to go back to, or another upgrade is under way.
        """
        if self._upgrade is not None:
            return self._first_snapshot(self._upgrade)
        try:
            upgrade = self._begin()
            upgrade.begin()
            upgrade.start()
            for sidecar, _ in self._acts:
                close_to_others(sidecar)
        except BaseException as error:
            for _, of in self._acts:
                ended(of, getattr(error, "exit_code", 1), error)
            self._acts.clear()
            self._opened.close()
            raise
        self._upgrade = upgrade
        return self._first_snapshot(upgrade)

    def _begin(self) -> Upgrade | SetUpgrade:
        for each in self._installations:
            sidecar = self._opened.enter_context(locate.open_sidecar(locate.Place(each.path, each.store)))
            made = act("guard", each.settings, each.environ)
            made.attach(sidecar)
            self._acts.append((sidecar, made))
        if len(self._acts) == 1:
            settings = self.installation.settings
            return Upgrade(self._acts[0][0], self._wanted, settings, clock=now, tell=self._tell)
        members = [Member(sidecar, i.settings) for (sidecar, _), i in zip(self._acts, self._installations, strict=True)]
        for member in members:
            belongs_to(member, named(members))
        return SetUpgrade(members, self._wanted, clock=now, directory=os.getcwd(), tell=self._tell)

    def _tell(self, event: Event) -> None:
        if self._observe is None:
            return
        try:
            self._observe(event)
        except Exception as error:
            if self._upgrade is None:
                raise
            # From here on the directory counts: the one who only looks must not keep it from coming back.
            self._observe, self.observe_error = None, error

    def __enter__(self) -> Guard:
        self.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        assert self._upgrade is not None
        problem = "" if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
        with self._opened:
            self.result = result = self._upgrade.finish(problem, waiter=Polling())
            for sidecar, of in self._acts:
                ended(of, _EXIT_CODES.get(result.outcome, 0))
                close_to_others(sidecar)
        self._raise_end(result, error)
        return False

    def _raise_end(self, result: Upgraded | SetUpgraded, error: BaseException | None) -> None:
        """Raise what it is where that is no good end, and the block has raised nothing that says so."""
        where = " ".join(f"-C {each.path}" for each in self._installations)
        of_all = isinstance(result, SetUpgraded)
        back = f"gitsnap {where} rollback {result.upgrade}@pre"
        if result.outcome is Outcome.ROLLBACK_FAILED:
            raise (sets.failed(result, back) if isinstance(result, SetUpgraded) else failed(result, back)) from error
        if error is not None:
            return
        if result.broke_off and result.outcome is Outcome.KEPT:
            raise sets.broke_off(result, back) if isinstance(result, SetUpgraded) else broke_off(result, back)
        if result.failure:
            came = "rolled back" if result.outcome is Outcome.ROLLED_BACK else "kept"
            what = "directories were" if of_all else "directory was"
            raise UpgradeFailedError(f"{result.failure}; the {what} {came}", result)


def guard(
    directory: Path,
    *others: Path,
    label: str = "",
    message: str = "",
    checks: Sequence[str | Callable[[], object]] = (),
    check_timeout: float = 300.0,
    observe: Callable[[Event], object] | None = None,
    on_failure: Literal["rollback", "keep"] = "rollback",
    incomplete: bool = False,
    store: Path | None = None,
    environ: Environment | None = None,
) -> Guard:
    """Guard an upgrade: `with gitsnap.guard(directory) as upgrade:` and change what you like.

    On entry a snapshot is taken and every byte of it is read again; a directory that is not protected is from then on.
    At the end a second one is taken, then the checks run. When the block raises, the directory is rolled back,
    verified, and the exception raised again; when a check fails, the same with UpgradeFailedError. With `others` it is
    one upgrade of several directories: all first snapshots stand before anything starts, all go back when it fails, and
    `result` has the `parts`, by directory.

    Args:
        directory: What is upgraded.
        others: More directories, for one upgrade over all of them.
        label: The end of the upgrade's id.
        message: What it is about.
        checks: Shell commands, run in the directory (with `others` where the program stands), or callables, which fail
            by raising or by returning False.
        check_timeout: How long a command may take, in seconds.
        observe: Gets every event as it happens (docs/reference/events.md), in the thread that works. What it raises
            before the block ends the upgrade; after that it is kept in `observe_error`, and it is called no more.
        on_failure: `keep` leaves what there is when it fails.
        incomplete: Go on although paths could not be captured.
        store: The sidecar's path, where it is not the default one.
        environ: As for `open`.

    Returns:
        The upgrade, for the `with` statement. `result` says what became of it.

    Raises:
        UpgradeFailedError: At the end of the block: a check failed; `result` says which.
        RollingBackFailedError: At the end of the block: it failed, and so did going back; both causes are in it.
        BrokeOffError: At the end of the block: it was kept, and could not be brought to its end.
        IncompleteError: On entry: paths could not be captured.
        LockedError: On entry: another upgrade is under way.
        UsageError: A directory is named twice, or lies in another.
    """
    if others and store is not None:
        raise UsageError("a store is the sidecar of one directory", hint="leave it out: each has its own")
    guarded = [open(each, create=True, store=store, environ=environ) for each in _apart([directory, *others])]
    wanted = UpgradeRequest(
        label=label,
        message=message,
        checks=tuple(checks),
        check_timeout=check_timeout,
        on_failure=OnFailure(on_failure),
        incomplete=incomplete,
        directories=tuple(i.path for i in guarded) if others else (),
    )
    return Guard(guarded, wanted, observe)


def _apart(directories: Sequence[Path]) -> Sequence[Path]:
    """UsageError where one is named twice, or lies in another."""
    require_apart([os.path.realpath(each) for each in directories])
    return directories
