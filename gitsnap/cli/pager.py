"""Long results through a pager, on a terminal only, as git does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

_DEFAULT = "less"
# What would have a pager run something on what it is given, or on its own name.
_DROPPED = ("LESSOPEN", "LESSCLOSE", "LESSKEY", "LESSKEYIN", "LESSKEY_CONTENT", "LESSEDIT", "VISUAL", "EDITOR")


def command(environ: Mapping[str, str]) -> str | None:
    """What to run, a line for the shell; None for no pager."""
    for name in ("GITSNAP_PAGER", "PAGER"):
        if (chosen := environ.get(name)) is not None:
            return None if chosen.strip() in ("", "cat") else chosen
    return _DEFAULT if shutil.which(_DEFAULT) and environ.get("TERM", "dumb") != "dumb" else None


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The pager's environment: nothing in it makes `less` write files or start programs."""
    kept = {k: v for k, v in environ.items() if k not in _DROPPED and not k.startswith(("GIT_", "GITSNAP_"))}
    return {"LESS": "FRX", "LV": "-c", **kept, "LESSSECURE": "1", "LESSHISTFILE": "-"}


@contextmanager
def paged(session: Session, *, wanted: bool = True) -> Iterator[None]:
    """Send what goes to stdout meanwhile through the pager. Who leaves it early ends the output: no error."""
    line = command(session.environ) if wanted and not session.options.json and sys.stdout.isatty() else None
    if line is None:
        yield
        return
    sys.stdout.flush()
    shell = subprocess.Popen(["/bin/sh", "-c", line], stdin=subprocess.PIPE, env=environment(session.environ))
    assert shell.stdin is not None
    kept = os.dup(sys.stdout.fileno())
    os.dup2(shell.stdin.fileno(), sys.stdout.fileno())
    shell.stdin.close()
    try:
        with suppress(BrokenPipeError):
            yield
            sys.stdout.flush()
    finally:
        # What is still to be flushed must not fail later, nor reach the terminal.
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        os.dup2(kept, sys.stdout.fileno())
        os.close(kept)
        _wait(shell)


def _wait(shell: subprocess.Popen[bytes]) -> None:
    """Until the reader is done: Ctrl-C is the pager's meanwhile."""
    while True:
        try:
            shell.wait()
            return
        except KeyboardInterrupt:
            continue
