"""`run`: a command as an upgrade."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from gitsnap.cli import copies, sets
from gitsnap.cli.app import Follows, Group, command
from gitsnap.cli.parameters import OfSet, RunningDatabases, Takes
from gitsnap.cli.process import callers_umask
from gitsnap.cli.render import terminal
from gitsnap.core.errors import NoCommandError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from gitsnap.cli.session import Session
    from gitsnap.core.settings import Settings
    from gitsnap.core.upgrade import Event, OnFailure, Tell
    from gitsnap.ops.sets.result import SetUpgraded
    from gitsnap.ops.store.locate import Place
    from gitsnap.ops.upgrade.result import Upgraded, UpgradeRequest
    from gitsnap.ops.upgrade.run import Launch, Watched


@command(group=Group.UPGRADE, order=10, follows=Follows.COMMAND_LINE, recorded=True, several=True)
def run(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    label: Annotated[str, typer.Option("--label", metavar="L", help="What the upgrade is called.")] = "",
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="What this is about.")] = "",
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="CMD", help="A shell command that must succeed afterwards; may be repeated."),
    ] = None,
    check_timeout: Annotated[
        str, typer.Option("--check-timeout", metavar="TIME", help="How long a check may take.")
    ] = "300",
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="How long the command may take. Default: for ever."),
    ] = None,
    on_failure: Annotated[
        str,
        typer.Option("--on-failure", metavar="WHAT", help="rollback, keep or ask."),
        Takes("rollback", "keep", "ask"),
    ] = "rollback",
    watch: Annotated[bool, typer.Option("--watch", help="Verify the snapshot while the command runs.")] = False,
    events: Annotated[
        str | None,
        typer.Option("--events", metavar="FILE", help="JSON Lines to a file, a FIFO, fd:N, or - for stdout."),
    ] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Go on when the snapshot lacks paths that cannot be read.")
    ] = False,
    soak: Annotated[
        str | None, typer.Option("--soak", metavar="TIME", help="Go on with the checks for so long: 10m, 1h.")
    ] = None,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="How often, while --soak lasts.")] = "30s",
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="TIME", help="Go back unless `gitsnap keep` comes in time.")
    ] = None,
    keep_edits: Annotated[
        bool,
        typer.Option("--keep-edits", help="When going back from --soak or --confirm, keep what was changed since."),
    ] = False,
    timer: Annotated[
        bool, typer.Option("--timer", help="Have systemd go on with --soak and --confirm, should gitsnap be gone.")
    ] = False,
    stop: Annotated[
        str | None, typer.Option("--stop", metavar="CMD", help="Stop the service by this, before the first snapshot.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="CMD", help="Start it again by this, before the checks.")
    ] = None,
    running_databases: RunningDatabases = None,
    set_name: OfSet = None,
) -> None:
    """Run a command as an upgrade; roll back when it fails.

    A snapshot, verified; the command; a second snapshot; the checks; the time it has to prove itself.

    With one -C DIR the command runs inside DIR; without, with several or with --set, where you stand. The checks run in
    the directory, over several where you stand.
    """
    from gitsnap.core.upgrade import Outcome
    from gitsnap.ops.upgrade.result import UpgradeRequest, broke_off, failed, left

    session: Session = context.obj
    policy = _policy(session, on_failure)
    wanted = UpgradeRequest(
        command=_text(words),
        label=label,
        message=message,
        checks=tuple(check or ()),
        check_timeout=_span(check_timeout, "--check-timeout"),
        on_failure=policy,
        incomplete=incomplete,
        soak=_span(soak, "--soak"),
        every=_span(every, "--every"),
        confirm=_span(confirm, "--confirm"),
        keep_edits=keep_edits,
    )
    _require_sense(wanted)
    if timer and not wanted.waits:
        raise UsageError("--timer goes with --soak or --confirm")
    if bool(stop) is not bool(start):
        raise UsageError("--stop and --start go with each other")
    limit = _span(timeout, "--timeout") if timeout is not None else None
    asked = Asked(words, limit, watch, events)
    around = Around(running_databases, (stop, start) if stop and start else None, timer)
    if roots := sets.chosen(session, set_name):
        raise typer.Exit(_run_all(session, roots, wanted, asked, around))
    result = _carry_out(session, wanted, asked, around)
    # Whoever has read all this may have gone away: what was done counts, and so does the exit code.
    with suppress(Exception):
        if not session.options.json:
            from gitsnap.cli.render import upgrade

            upgrade.upgraded(session.out, result)
            sys.stderr.flush()
    terminal.work_is_done()
    if result.left:
        go_on, keep = session.out.command("recover"), session.out.command("keep")
        raise left(result, f"{go_on} goes on with it, {keep} keeps it")
    if result.outcome is Outcome.ROLLBACK_FAILED:
        again = session.out.command("recover" if result.half_way else f"rollback {result.pre.id}")
        raise failed(result, f"what was there is kept; try again: {again}")
    if result.outcome is Outcome.KEPT and result.broke_off:
        raise broke_off(result, f"to go back: {session.out.command(f'rollback {result.pre.id}')}")
    raise typer.Exit(_exit_code(result))


class Asked(NamedTuple):
    """The command, the seconds it may take, whether the first snapshots are watched meanwhile, and where events go."""

    words: list[str]
    limit: float | None
    watch: bool
    events: str | None


class Around(NamedTuple):
    """What the command line says of servers and services: of running databases, and what stops and starts them."""

    running_databases: str | None
    service: tuple[str, str] | None
    timer: bool

    def settings(self, session: Session, place: Place) -> Settings:
        """The settings, with that."""
        return self.with_service(session, session.settings(place, self.running_databases))

    def with_service(self, session: Session, settings: Settings) -> Settings:
        """The settings, with what the command line says of the service."""
        from dataclasses import replace

        from gitsnap.core.settings import HOOK_TIMEOUT, Service

        if self.service is None:
            return settings
        stop, start = self.service
        timeout = settings.service.timeout if settings.service else HOOK_TIMEOUT
        environ = dict(session.environ)
        service = Service(stop, start, timeout, upgrade=True, environ=environ, umask=callers_umask())
        return replace(settings, service=service)


def _carry_out(session: Session, wanted: UpgradeRequest, asked: Asked, around: Around) -> Upgraded:
    from gitsnap.ops.process.processes import SignalWaiter
    from gitsnap.ops.upgrade.lifecycle import Upgrade
    from gitsnap.ops.upgrade.run import findable
    from gitsnap.ops.upgrade.run import run as operation

    where = session.directory
    if not findable(asked.words[0], session.environ, where or session.cwd):
        raise _no_command(asked.words[0], session, where)
    place, created = session.place_to_snapshot()
    tell = _events(session, asked.events, place.root)
    if created:
        session.tell_of_sidecar(place)
    _stop_on_hangup()
    with session.using(place) as sidecar:
        settings = around.settings(session, place)
        session.hide_secrets(sidecar, settings)
        # What is a secret in a command is one wherever it stands.
        for said in (wanted.command, *wanted.checks, *(around.service or ())):
            session.out.secrets.text(str(said))
        session.mention_cut_short(sidecar)
        upgrade = Upgrade(
            sidecar,
            wanted,
            settings,
            clock=lambda: session.now,
            tell=tell,
            observer=session.out.progress(),
            countdown=session.out.countdown(place.root),
        )
        timer = session.timer(sidecar) if around.timer else None
        pre = upgrade.begin(callers_umask())
        if timer is not None:
            try:
                timer.install()
            except BaseException:
                upgrade.forsake()
                raise
        watched = [_watcher(place.root, place.store, pre.id)] if asked.watch else []
        launch = _launch(session, asked, watched, where)
        with SignalWaiter() as signals:
            result = operation(upgrade, launch, signals, ask=lambda reason: _ask(session, reason))
        if timer is not None and not result.left:
            timer.remove()
        copies.send(session, sidecar, settings)
        return result


def _launch(session: Session, asked: Asked, watched: list[Watched], directory: str | None = None) -> Launch:
    from gitsnap.ops.upgrade.run import Launch

    return Launch(
        asked.words,
        session.environ,
        directory=directory,
        timeout=asked.limit,
        umask=callers_umask(),
        quiet_stdout=session.options.json or asked.events in ("-", "fd:1"),
        watch=watched,
    )


def _require_sense(wanted: UpgradeRequest) -> None:
    from gitsnap.core.upgrade import OnFailure

    if wanted.soak and not wanted.checks:
        raise UsageError("--soak goes on with the checks, and there are none", hint="add --check CMD")
    if wanted.confirm and wanted.on_failure is not OnFailure.ROLLBACK:
        raise UsageError(
            f"--confirm goes back unless somebody says keep: it does not go with --on-failure {wanted.on_failure}"
        )
    if wanted.keep_edits and not wanted.waits:
        raise UsageError("--keep-edits goes with --soak or --confirm: until then there is nobody's edit to keep")


def _span(text: str | None, name: str) -> float:
    from gitsnap.core.duration import parse

    return 0.0 if text is None else parse(text, name)


def _run_all(session: Session, roots: list[str], wanted: UpgradeRequest, asked: Asked, around: Around) -> int:
    """One upgrade over several directories; its exit code."""
    from dataclasses import replace

    from gitsnap.ops.process.processes import SignalWaiter
    from gitsnap.ops.sets.upgrade import SetUpgrade
    from gitsnap.ops.upgrade.run import findable
    from gitsnap.ops.upgrade.run import run as operation

    if not findable(asked.words[0], session.environ, session.cwd):
        raise _no_command(asked.words[0], session, None)
    tell = _events(session, asked.events, roots[0])
    sets.protect(session, roots)
    _stop_on_hangup()
    with sets.all_of(session, roots, around.running_databases) as (first, *others):
        for said in (wanted.command, *wanted.checks, *(around.service or ())):
            session.out.secrets.text(str(said))
        # It is stopped before the first snapshot of any, whoever's it is.
        first = replace(first, settings=around.with_service(session, first.settings))
        upgrade = SetUpgrade(
            [first, *others],
            wanted,
            clock=lambda: session.now,
            directory=session.cwd,
            tell=tell,
            observer=session.out.progress(),
            countdown=session.out.countdown(roots[0]),
        )
        timer = session.timer(first.sidecar) if around.timer else None
        upgrade.begin(callers_umask())
        if timer is not None:
            try:
                timer.install()
            except BaseException:
                upgrade.forsake()
                raise
        watched = [_watcher(*one, of_several=True) for one in upgrade.watchable] if asked.watch else []
        with SignalWaiter() as signals:
            launch = _launch(session, asked, watched)
            result = operation(upgrade, launch, signals, ask=lambda reason: _ask(session, reason))
        if timer is not None and not result.left:
            timer.remove()
        for one in (first, *others):
            copies.send(session, one.sidecar, one.settings)
    with suppress(Exception):
        if not session.options.json:
            sets.tell_end(session, result, roots)
            sys.stderr.flush()
    terminal.work_is_done()
    sets.raise_end(result, roots)
    return _exit_code(result)


def _stop_on_hangup() -> None:
    """A closed terminal stops what has not begun yet as Ctrl-C does, unless nohup has said otherwise."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, stop)


def _no_command(word: str, session: Session, where: str | None) -> NoCommandError:
    from gitsnap.cli.render import formatting
    from gitsnap.ops.upgrade.run import findable

    name, hint = formatting.name(word), "gitsnap run --help"
    if where is not None and "/" in word and findable(word, session.environ, session.cwd):
        here = os.path.abspath(os.path.join(session.cwd, word))
        return NoCommandError(
            f"there is no command '{name}' in {formatting.name(where)}, where -C has it run; it is in "
            f"{formatting.name(session.cwd)}, where you stand; nothing was started",
            hint=f"say {formatting.name(here)}",
        )
    at = f" in {formatting.name(where or session.cwd)}" if "/" in word and not word.startswith("/") else ""
    return NoCommandError(f"there is no command '{name}'{at}; nothing was started", hint=hint)


def _events(session: Session, target: str | None, root: str) -> Tell:
    """Where events go: to people in words, to programs as lines."""
    from gitsnap.cli.render import upgrade
    from gitsnap.cli.render.event_stream import open_stream

    spoken = upgrade.Narrator(session.out, root)
    if target is None and not session.options.json:
        return spoken.tell
    stream = open_stream(target or "-", session.out.warn, lambda document: session.out.secrets.document(document))
    # With --json, stdout has the last line even when the others go elsewhere.
    only_last = session.options.json and target not in (None, "-")

    def tell(event: Event) -> None:
        stream.tell(event)
        spoken.tell(event)
        if only_last:
            upgrade.last_line(session.out, event)

    return tell


def _watcher(root: str, store: str, pre: str, *, of_several: bool = False) -> Watched:
    from gitsnap.ops.process import ourselves
    from gitsnap.ops.upgrade.run import Watched

    words = (*ourselves.command(), "-C", root, "--store", store, "-q", "verify", "--beside", pre)
    return Watched(pre, words, root if of_several else "")


def _policy(session: Session, text: str) -> OnFailure:
    from gitsnap.core.upgrade import OnFailure

    try:
        policy = OnFailure(text)
    except ValueError:
        raise UsageError(f"--on-failure: '{text}' is none of rollback, keep, ask") from None
    if policy is OnFailure.ASK and not session.out.interactive:
        raise UsageError("--on-failure ask needs a terminal to ask on", hint="say rollback or keep")
    return policy


def _ask(session: Session, reason: str) -> bool:
    """Whether to roll back. No answer, and a terminal that is gone, mean yes: that is what the snapshot is for."""
    from gitsnap.cli.render import formatting

    try:
        session.out.warn(f"the upgrade failed: {formatting.name(reason)}")
        return not session.out.ask("Keep the directory as it is now? Otherwise it is rolled back.")
    except OSError:
        return True


def _text(words: list[str]) -> str:
    """The command as one would type it, for the snapshots' messages and trailers."""
    import shlex

    return shlex.join(words)


def _exit_code(result: Upgraded | SetUpgraded) -> int:
    """20 when it was rolled back; of what was kept, the command's own, as a shell has it."""
    from gitsnap.core.upgrade import Outcome

    if result.outcome is Outcome.ROLLED_BACK:
        return 20
    code = result.exit_code or 0
    if code < 0:
        return 128 - code
    return code or int(bool(result.failure))
