"""Commands that are about several directories: which are meant, opened for one operation or looked at one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from gitsnap.core.errors import GitsnapError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.restore.result import Direction
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.ops.sets.interrupted import Unsettled
    from gitsnap.ops.sets.members import Member, Open
    from gitsnap.ops.sets.result import SetUpgraded
    from gitsnap.ops.sets.rollback import Changed, SetRestored
    from gitsnap.ops.upgrade.keep import Kept
    from gitsnap.sidecar.repository import Sidecar


_LEAVE = "`gitsnap recover --give-up` leaves all as it is"


def chosen(session: Session, name: str | None) -> list[str]:
    """The real paths of the directories that several -C or a set name, in order; none where it is about one directory.

    UsageError where they are not apart, or where there is no such set.
    """
    from gitsnap.config import files

    given: Sequence[str] = session.options.directories
    if name is None and len(given) < 2:
        return []
    if name is not None:
        if given:
            raise UsageError("-C and --set both say which directories are meant", hint="leave one of them out")
        sets = files.sets(session.environ)
        if name not in sets:
            known = f"there are {', '.join(sets)}" if sets else "gitsnap set create NAME DIR DIR..."
            raise UsageError(f"there is no set '{name}'", hint=known)
        given = sets[name]
    if session.options.store is not None:
        raise UsageError(
            "a --store is the sidecar of one directory", hint="leave --store and GITSNAP_STORE out: each has its own"
        )
    if "" in given:
        raise UsageError("the directory's name is empty", hint="`-C .` means the working directory")
    from gitsnap.ops.sets.members import require_apart

    roots = [os.path.realpath(os.path.join(session.cwd, path)) for path in given]
    require_apart(roots)
    return roots


def open_one(
    session: Session, running_databases: str | None = None
) -> Callable[[str, str], AbstractContextManager[Member]]:
    """How each directory of several is opened."""
    from gitsnap.cli.session import with_running
    from gitsnap.ops.sets.members import Member

    @contextmanager
    def opening(root: str, store: str) -> Iterator[Member]:
        with session.using_one_of_several(root, store) as (sidecar, settings):
            yield Member(sidecar, with_running(settings, running_databases))

    return opening


@contextmanager
def all_of(session: Session, roots: Sequence[str], running_databases: str | None = None) -> Iterator[list[Member]]:
    """All of them, open; who cannot be had is named before anything happens."""
    from gitsnap.ops.sets.members import opened

    with (
        _hints_that_lead(session, roots),
        opened(
            tuple((root, "") for root in roots),
            open_one(session, running_databases),
            "`gitsnap -C DIR status` tells of each",
        ) as members,
    ):
        yield members


@contextmanager
def _hints_that_lead(session: Session, roots: Sequence[str]) -> Iterator[None]:
    """What is to be typed next is about these directories, also where a set has named them."""
    from gitsnap.cli.arguments import in_place

    try:
        yield
    except GitsnapError as error:
        if error.hint and not session.options.directories:
            error.hint = in_place(error.hint, [word for root in roots for word in ("-C", root)])
        raise


def placed(roots: Sequence[str], words: str) -> str:
    """A command about all of these directories, to be typed next."""
    from gitsnap.cli.arguments import in_place

    return in_place(f"gitsnap {words}", [word for root in roots for word in ("-C", root)])


def each(session: Session, name: str | None, show: Callable[[], None]) -> None:
    """Have it shown of each directory that is meant. One that cannot be shown keeps no other from it."""
    roots = chosen(session, name)
    if not roots:
        show()
        return
    code, documents = 0, []
    for at, root in enumerate(roots):
        session.turn_to(root)
        if session.options.json:
            session.out.gathered = []
        else:
            from gitsnap.cli.render import formatting

            session.out.line(session.out.style(f"{chr(10) * (at > 0)}{formatting.name(root)}:", "bold"))
        failure: dict[str, Any] = {}
        try:
            show()
        except typer.Exit as end:
            code = code or end.exit_code
        except GitsnapError as error:
            code = code or error.exit_code
            failure = _failed(session, error)
        content = session.out.gathered or [{}]
        documents.append({"installation": root} | content[0] | failure)
    if session.options.json:
        session.out.gathered = None
        session.out.document({"installations": documents})
    if code:
        raise typer.Exit(code)


def _failed(session: Session, error: GitsnapError) -> dict[str, Any]:
    from gitsnap.cli.render import formatting, json

    if session.options.json:
        return {"error": json.failure(error)["error"]}
    session.out.warn(formatting.failure(error).rstrip())
    return {}


def latest_of_all(session: Session, name: str | None) -> str | None:
    """The last upgrade that was over all the directories that are meant, where they are several."""
    from gitsnap.core.errors import NoSuchSnapshotError
    from gitsnap.ops.sets.rollback import shared

    roots = chosen(session, name)
    if not roots:
        return None
    with all_of(session, roots) as members:
        known = shared(members)
    session.beside.clear()
    if not known:
        raise NoSuchSnapshotError(f"no upgrade was over all of {', '.join(roots)}", hint="gitsnap history tells of all")
    return known[-1]


def go_back(
    session: Session,
    roots: Sequence[str],
    selector: str | None,
    *,
    dry_run: bool,
    yes: bool,
    running_databases: str | None = None,
    how: str = "",
) -> None:
    """`rollback`, and with `how` (all_or_nothing.UNDOES, REDOES) `undo` and `redo`, of several directories."""
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.render import sets as render
    from gitsnap.cli.render import terminal
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.ops.restore.safety import last_to_redo, last_to_undo
    from gitsnap.ops.sets import rollback as operation
    from gitsnap.ops.sets.all_or_nothing import UNDOES

    asks = not yes and not dry_run
    if asks and not session.out.interactive:
        raise UsageError(
            "a rollback asks first, and there is no terminal to ask on", hint="add --yes, or --dry-run to see the plan"
        )

    def confirm(planned: SetRestored) -> bool:
        _name_changed(session, planned.changed)
        if not asks:
            return True
        render.plans(session.out, planned)
        agreed = session.out.ask("Go ahead?")
        for act in session.beside:
            act.noted.declined = not agreed
        return agreed

    options = RollbackOptions(session.now, dry_run=dry_run, observer=session.out.progress(), interrupts=Signals())
    with all_of(session, roots, running_databases) as members:
        wait = session.options.lock_wait
        if how:
            last = last_to_undo if how == UNDOES else last_to_redo
            result = operation.undo(members, options, confirm, wait, last=last, how=how)
        else:
            result = operation.rollback(members, selector, options, confirm, wait)
    terminal.work_is_done(answer_counts=not result.applied)
    if dry_run:
        _name_changed(session, result.changed)
    elif not result.applied:
        session.out.warn("Nothing was touched.")
        raise typer.Exit(1)
    if session.options.json:
        session.out.document(render.restored_document(result))
    else:
        render.restored(session.out, result, placed(roots, "redo" if how == UNDOES else "undo"))
    render.services(session.out, result.services)
    if result.applied and (result.services or any(part.incomplete for part in result.parts.values())):
        raise typer.Exit(3)


def reverse(
    session: Session, roots: Sequence[str], *, dry_run: bool, yes: bool, running_databases: str | None, how: str
) -> None:
    """`undo` and `redo` of several directories: as of one, only a terminal is asked."""
    yes = yes or not session.out.interactive
    go_back(session, roots, None, dry_run=dry_run, yes=yes, running_databases=running_databases, how=how)


def _name_changed(session: Session, changed: Sequence[Changed]) -> None:
    from gitsnap.cli.render import sets as render

    for one in changed:
        session.out.warn(f"warning: {render.changed(one)}")


def _waits(session: Session, opening: Open, find: Callable[[Sidecar, Open], Unsettled | None]) -> Unsettled | None:
    """What waits over several directories, that which is meant among them."""
    place = session.place(gone=True)
    with opening(place.root, place.store) as member:
        found = find(member.sidecar, opening)
    session.beside.clear()
    return found


def recover(session: Session, direction: Direction | None, options: RollbackOptions, *, at_boot: bool = False) -> bool:
    """Settle what waits over several directories, or go on with it, if that is what waits; whether it was. `at_boot`
    nothing is gone on with, and no service started."""
    from gitsnap.cli.render import sets as render
    from gitsnap.cli.render import terminal
    from gitsnap.ops.live.in_progress import WatchedError
    from gitsnap.ops.sets import interrupted, recovery

    opening = open_one(session)
    found = _waits(session, opening, interrupted.find)
    if found is None:
        return False
    session.act.recorded = False
    roots = [root for root, _ in found.members]
    with _hints_that_lead(session, roots):
        if at_boot and (why := _left_alone(found, opening)):
            session.beside.clear()
            session.out.remark(why)
            return True
        if direction is None and not at_boot:
            try:
                upgraded = _go_on(session, found, opening)
            except WatchedError as error:
                session.out.remark(error.message)
                return True
            if upgraded is not None:
                _end(session, upgraded, roots)
        wait = session.options.lock_wait
        result = recovery.settle(found, opening, direction, options, wait, at_boot=at_boot)
    terminal.work_is_done()
    remove_timer(session, found)
    if session.options.json:
        session.out.document(render.recovered_document(result, roots))
    else:
        render.recovered(session.out, result, roots)
    render.services(session.out, result.services)
    incomplete = any(part.incomplete or part.unverified for part in result.parts.values())
    if result.services or (incomplete and not result.given_up):
        raise typer.Exit(3)
    return True


def _left_alone(found: Unsettled, opening: Open) -> str | None:
    """Why a unit that the service waits for has nothing to do with it; None where it has."""
    from gitsnap.ops.sets.at_boot import left_alone
    from gitsnap.ops.sets.members import opened

    with opened(found.members, opening, _LEAVE) as members:
        return left_alone(found, members)


def _go_on(session: Session, found: Unsettled, opening: Open) -> SetUpgraded | None:
    """Go on with an upgrade that waits and that nobody sees to; None where there is none."""
    from gitsnap.cli.render.upgrade import Narrator
    from gitsnap.ops.process.processes import SignalWaiter
    from gitsnap.ops.sets.members import opened
    from gitsnap.ops.sets.resume import resume
    from gitsnap.ops.upgrade.resume import Resumption

    out = session.out
    root = found.members[0][0]
    tell = Narrator(out, root).tell
    how = Resumption(session.environ, lambda: session.now, tell, out.progress(), out.countdown(root))
    with opened(found.members, opening, _LEAVE) as members, SignalWaiter() as signals:
        result = resume(members, found.upgrade, signals, how)
    if result is None:
        # Nothing was done here: whoever settles it is written down.
        session.beside.clear()
    elif not result.left:
        remove_timer(session, found)
    return result


def _end(session: Session, result: SetUpgraded, roots: Sequence[str]) -> NoReturn:
    """Leave, with the exit code that says how it ended. What was decided was carried out: that is no failure."""
    from gitsnap.cli.render import sets as render

    if session.options.json:
        session.out.document({"upgrade": result.upgrade, "direction": None} | result.document())
    else:
        tell_end(session, result, roots)
    raise_end(result, roots)
    raise typer.Exit(3 if render.is_incomplete(result) else 0)


def tell_end(session: Session, result: SetUpgraded, roots: Sequence[str]) -> None:
    """How an upgrade of several directories ended, for people."""
    from gitsnap.cli.render import sets as render

    back, log = placed(roots, f"rollback {result.upgrade}@pre"), placed(roots, f"changelog {result.upgrade}")
    render.upgraded(session.out, result, back, log)


def raise_end(result: SetUpgraded, roots: Sequence[str]) -> None:
    """Raise what it is where that is no good end: nothing is decided, not all are back, or gitsnap itself failed."""
    from gitsnap.core.upgrade import Outcome
    from gitsnap.ops.sets.result import broke_off, failed, left

    if result.left:
        raise left(result, f"{placed(roots, 'recover')} goes on with it, {placed(roots, 'keep')} keeps it")
    if result.outcome is Outcome.ROLLBACK_FAILED:
        raise failed(result, f"what was there is kept; try again: {placed(roots[:1], 'recover')}")
    if result.outcome is Outcome.KEPT and result.broke_off:
        raise broke_off(result, f"to go back: {placed(roots, f'rollback {result.upgrade}@pre')}")


def keep(session: Session, selector: str | None) -> tuple[Kept, list[str]] | None:
    """Keep what waits over several directories, if that is what waits, and which they are; None where it is not."""
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.ops.sets import keep as waiting

    opening = open_one(session)
    found = _waits(session, opening, waiting.find)
    if found is None:
        return None
    session.act.recorded = False
    roots = [root for root, _ in found.members]
    with _hints_that_lead(session, roots):
        done = waiting.keep(found, opening, selector, RollbackOptions(session.now), session.options.lock_wait)
    if done.process is None:
        remove_timer(session, found)
    return done, roots


def remove_timer(session: Session, found: Unsettled) -> None:
    """Nothing waits any more. The first directory's is the one."""
    with suppress(GitsnapError), open_one(session)(*found.members[0]) as first:
        session.beside.pop()
        session.remove_timer(first.sidecar)


def protect(session: Session, roots: Sequence[str]) -> None:
    """Each has a sidecar now. Which of them cannot be used is told before any is made."""
    from gitsnap.ops.store import locate

    for root in roots:
        locate.real_directory(root, session.cwd)
    for root in roots:
        place, created = session.protect(root, one_of_several=True)
        if created:
            session.tell_of_sidecar(place)
