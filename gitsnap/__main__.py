"""The entry point: arguments in, exit code out. The one place where errors become sentences and codes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from gitsnap import supported
from gitsnap.core.errors import GitsnapError, NoCommandError, NoSuchSnapshotError, StopRequestedError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from gitsnap.cli.arguments import Line
    from gitsnap.cli.session import Session

# An installation of a million files is a few million objects that all stay: looking through them for garbage again and
# again would take a tenth of the time.
_YOUNG_OBJECTS = 200_000
_ROOM = "nothing is said by that of any file: give it more room (ulimit -v, a larger cgroup) and try again"


def main() -> NoReturn:
    """Run the command line and exit."""
    refusal = supported.refusal()
    if refusal is not None:
        sys.exit(refusal.tell(sys.argv[1:]))
    gc.set_threshold(_YOUNG_OBJECTS, 20, 100)
    _open_standard_streams()
    # What fails while objects are cleared away has been reported by whoever used them.
    sys.unraisablehook = lambda _: None
    code = _complete() if sys.argv[1:2] == ["__complete"] else run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        # Whoever wrote there has told of it, or nobody is left to be told.
        with suppress(OSError):
            stream.flush()
    # Loaded only where there was work for several.
    pool = sys.modules.get("gitsnap.ops.parallel.pool")
    if pool is not None:
        pool.reap()
    # Everything is closed and written: freeing the memory piece by piece first would take a twentieth of a rollback.
    os._exit(code)


def _complete() -> int:
    """Answer a shell that completes a command line."""
    from gitsnap.cli.completion.answer import complete

    return complete(sys.argv[2:])


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Nothing escapes as a traceback."""
    # What is ignored stays ignored.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
    code, told = 0, None
    try:
        from gitsnap.cli.render import terminal

        terminal.work_is_done(answer_counts=True)
        code = _dispatch(arguments)
        terminal.flush()
    except GitsnapError as error:
        told = error
    except KeyboardInterrupt:
        told = StopRequestedError("interrupted", hint="gitsnap status shows how things stand")
    except BrokenPipeError:
        # As a shell tells of a program that SIGPIPE has ended.
        _discard(sys.stdout)
        code = 128 + signal.SIGPIPE
    except OSError as error:
        _discard(sys.stdout)
        from gitsnap.cli.render import formatting

        told = formatting.from_system(error)
    except MemoryError:
        told = GitsnapError("out of memory", kind="no-memory", hint=_ROOM)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes a sentence and a log
        lacking = supported.lacking(error) if isinstance(error, ImportError) else None
        if lacking is not None:
            # What would tell of it otherwise may need the same module.
            return lacking.tell(arguments)
        told = _from_bug(error, arguments)
    # What is to be said of the log comes before the one sentence that says what went wrong.
    invocation = _write_down(told.exit_code if told else code, told)
    code = _fail(told, arguments) if told else code
    if invocation is not None:
        _tell_hooks(invocation)
    return code


def _write_down(code: int, error: GitsnapError | None) -> Session | None:
    """Have the audit log tell how it ended. That it cannot changes nothing of what was done, nor of the exit code.

    The invocation, where there was one.
    """
    if "gitsnap.cli.session" not in sys.modules:
        return None
    from gitsnap.cli import session

    invocation, session.current = session.current, None
    if invocation is None:
        return None
    with suppress(Exception, KeyboardInterrupt):
        warnings = []
        for act in (invocation.act, *invocation.beside):
            act.ended(code, error)
            warnings += act.warnings
        if warnings:
            from gitsnap.cli.render import terminal

            terminal.clear()
        for warning in warnings:
            invocation.out.warn(f"warning: {warning}")
    return invocation


def _tell_hooks(invocation: Session) -> None:
    """Have those hooks told that are to be told how it ended: they may take their time, so everything is said first."""
    with suppress(Exception, KeyboardInterrupt):
        for act in (invocation.act, *invocation.beside):
            for failed in act.tell():
                invocation.out.warn(f"warning: {failed}; what was done is done")


def _open_standard_streams() -> None:
    """Give a process that was started without them its three streams.

    A file of the sidecar would get the free descriptor otherwise, and with it whatever is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the missing one: those below it are open by now.
            fd = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(fd, "w" if number else "r", encoding="utf-8"))


def _dispatch(arguments: list[str]) -> int:
    # typer vendors click without re-exporting its base exception; its version is pinned (docs/adr/0003).
    import typer
    from typer._click.exceptions import ClickException, MissingParameter, NoSuchOption

    from gitsnap.cli.app import parse
    from gitsnap.cli.process import prepare_process

    prepare_process()
    command, line = parse(arguments)
    words = line.arranged() or ["--help"]
    try:
        outcome = command.main(words, prog_name="gitsnap", standalone_mode=False, obj=arguments)
    except ClickException as error:
        where = getattr(error, "ctx", None)
        name = where.command_path if where else " ".join(["gitsnap", *filter(None, [_known(line, command)])])
        if isinstance(error, NoSuchOption):
            # The parser takes words for alike that are not.
            from difflib import get_close_matches

            from gitsnap.cli import did_you_mean

            error.possibilities = get_close_matches(error.option_name, error.possibilities or (), cutoff=0.7)
            advice = did_you_mean.no_such_option(error.option_name, command.commands) if name == "gitsnap" else None
        elif isinstance(error, MissingParameter):
            from gitsnap.cli import did_you_mean

            advice = _instead(line, command) or did_you_mean.lacking(line.name, error.param)
        else:
            advice = _instead(line, command)
        raise UsageError(_in_our_words(error.format_message()), hint=advice or f"{name} --help") from None
    except (NoCommandError, NoSuchSnapshotError) as error:
        # What several, or an upgrade, are called is no path.
        if error.kind != "ambiguous-snapshot":
            error.hint = _instead(line, command) or error.hint
        raise
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as end:
        # What the parser makes of a reader that went away.
        if isinstance(end.__context__, BrokenPipeError):
            raise BrokenPipeError from None
        raise
    if outcome == StopRequestedError.exit_code:
        # What typer makes of a KeyboardInterrupt.
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else 0


def _known(line: Line, group: Any) -> str | None:
    return line.name if line.name in group.commands else None


def _instead(line: Line, group: Any) -> str | None:
    """What to type instead, where it can be told."""
    from gitsnap.cli import did_you_mean

    return did_you_mean.instead(line, group.commands.get(line.name))


def _in_our_words(message: str) -> str:
    """The parser's message as ours are: no capital, no full stop, bytes that are not UTF-8 as bytes."""
    import re

    text = message[:1].lower() + message[1:].rstrip(".").replace("a valid int", "a whole number")
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", text)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _discard(stream: TextIO) -> None:
    """Nobody takes the rest of our output: keep the interpreter from failing when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _from_bug(error: Exception, arguments: list[str]) -> GitsnapError:
    import tempfile
    import traceback

    path = None
    # Where there is no room for it, the sentence has to do.
    with suppress(OSError):
        fd, path = tempfile.mkstemp(prefix="gitsnap-bug-", suffix=".log")
        with os.fdopen(fd, "w", errors="backslashreplace") as file:
            file.write(f"{' '.join(arguments)}\n{''.join(traceback.format_exception(error))}")
    if "-v" in arguments or "--verbose" in arguments:
        traceback.print_exception(error)
    return GitsnapError(
        f"this is a bug in gitsnap: {type(error).__name__}: {error}",
        kind="bug",
        path=path,
        hint=f"please report it with {path}" if path else "please report it",
    )


def _taken_apart(arguments: list[str]) -> Line:
    """The arguments, even where the commands cannot be loaded: that may be what has failed."""
    with suppress(Exception):
        from gitsnap.cli.app import parse

        return parse(arguments)[1]
    from gitsnap.cli.arguments import take_apart

    return take_apart(arguments)


def _fail(error: GitsnapError, arguments: list[str]) -> int:
    from gitsnap.cli.arguments import in_place
    from gitsnap.cli.render import terminal

    terminal.clear()

    line = _taken_apart(arguments)
    if error.hint is None and isinstance(error, UsageError):
        from gitsnap.cli import did_you_mean

        error.hint = did_you_mean.at_least(error, line)
    error.hint = error.hint and in_place(error.hint, line.placing)
    from gitsnap.cli.render.masking import Masking

    # An error may repeat a command, or what a program said.
    conceal = Masking()
    error.message, error.hint = conceal.text(error.message), error.hint and conceal.text(error.hint)
    if line.json:
        from gitsnap.cli.render import json

        report = json.encode(json.failure(error))
    else:
        from gitsnap.cli.render import formatting

        report = formatting.failure(error).encode(sys.stderr.encoding, "backslashreplace")
    with suppress(OSError):
        sys.stdout.flush()
    try:
        sys.stderr.flush()
        sys.stderr.buffer.write(report)
        sys.stderr.buffer.flush()
    except OSError:
        _discard(sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
