"""Commands on a terminal of 80 columns, as a person sees them."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import forking
from tests.support.installation import STARTING_GITSNAP

QUESTION = b"[y/N] "


def on_terminal(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    answer: str | None = None,
    press: bytes | None = None,
    when: bytes = QUESTION,
    columns: int = 80,
    seconds: float = 300,
) -> tuple[int, str]:
    """Run a command on a terminal of its own; exit code, and everything that was shown, line ends as `\\n`.

    `answer` is typed, with a return, when a yes-or-no question has been asked; `press` is typed as it is, when `when`
    has been shown.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    running = subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env=dict(env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    typed = press if press is not None else None if answer is None else answer.encode() + b"\n"
    try:
        shown = _converse(ours, running, typed, when, time.monotonic() + seconds)
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    return running.returncode, shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def gitsnap_on_terminal(*words: str, cwd: Path, env: Mapping[str, str], columns: int = 80) -> tuple[int, str]:
    """Run gitsnap alone on a terminal, as a fork of this process: for tests that run many commands."""
    sys.audit(STARTING_GITSNAP)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pid = forking.start(forking.Start(words, cwd, dict(env), terminal=True), (theirs, theirs, theirs))
    os.close(theirs)
    try:
        shown = b"".join(iter(lambda: _more(ours), b""))
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(ours)
    return code, shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _more(terminal: int) -> bytes:
    """What is shown next; nothing when the last one who had the terminal open is gone."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _converse(ours: int, running: subprocess.Popen[bytes], typed: bytes | None, when: bytes, deadline: float) -> bytes:
    shown = b""
    while True:
        if typed is not None and when in shown:
            os.write(ours, typed)
            typed = None
        ready, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"still running: {shown.decode(errors='replace')}")
        data = _more(ours)
        if not data:
            running.wait(timeout=300)
            return shown
        shown += data


_CONTROL = re.compile("\x1b\\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


def left_on_screen(shown: str) -> list[str]:
    """What a terminal still shows in the end, after all that was erased and overwritten."""
    lines, row, column = [""], 0, 0
    for match in _CONTROL.finditer(shown):
        text = match[0]
        if text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif match[2] == "A":
            row = max(row - int(match[1] or 1), 0)
        elif match[2] == "K":
            lines[row] = "" if match[1] == "2" else lines[row][:column]
        elif match[2] is None:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]


def cursor_is_visible(shown: str) -> bool:
    """Whether the last word about the cursor was to show it."""
    return shown.rfind("\x1b[?25l") <= shown.rfind("\x1b[?25h")
