"""Interactive shells on a terminal of their own, in which keys are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]
_READY = "ready%"
_START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--private", "-i"],
}
_PREPARE = {
    "bash": "PS1='re''ady%'; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; "
    "bind 'set page-completions off'; bind 'set completion-query-items 0'; "
    "args() {{ printf '[%s]' \"$@\"; echo end; }}; . {script}",
    "zsh": "unsetopt prompt_sp; PS1='re''ady%%'; unset zle_bracketed_paste; LISTMAX=9999; "
    "autoload -Uz compinit; compinit -u -D; "
    "args() {{ printf '[%s]' \"$@\"; echo end; }}; . {script}",
    "fish": "function fish_prompt; echo -n 're''ady%'; end; function args; printf '[%s]' $argv; echo end; end; "
    "set -g fish_autosuggestion_enabled 0; set -g fish_greeting; source {script}",
}
_CONTROL = re.compile(r"\x1b\[[0-9;?>=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07]*\x07|[\x00\x07\x0e\x0f]")
# Nothing that is waited for takes as long.
_SECONDS = 60


class Shell:
    """A shell that runs in `cwd`, knows gitsnap and its completion, and is asked by keys."""

    def __init__(self, name: str, cwd: Path, home: Path) -> None:
        self.name = name
        programs = home / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        program = programs / "gitsnap"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m gitsnap "$@"\n')
        program.chmod(0o755)
        script = home / f"completion.{name}"
        script.write_bytes((REPOSITORY / f"gitsnap/cli/shells/gitsnap.{name}").read_bytes())
        environ = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(cwd)
            os.execvpe(_START[name][0], _START[name], environ)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 500, 200, 0, 0))
        self._send(_PREPARE[name].format(script=script) + "\r")
        self._until(re.escape(_READY))

    def completed(self, line: str) -> list[str]:
        """The words that the shell takes the line for, after Tab was pressed at its end."""
        # To the beginning of the line, to have the shell itself say what it takes its words for.
        self._send(line + "\t\x01args \x05\r")
        shown = self._until(r"\[gitsnap\].*?end\s*\n.*" + re.escape(_READY))
        found = re.search(r"(\[gitsnap\].*?)end\r?\n", shown, re.DOTALL)
        assert found is not None
        return found[1][1:-1].split("][")

    def listed(self, line: str, mark: str) -> str:
        """What is shown when Tab is pressed until there is a list, in which `mark` (a pattern) comes
        last. The shell is of no use for more then."""
        self._send(line + ("\t\t" if self.name == "bash" else "\t"))
        return self._until(mark)

    def _send(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def _until(self, pattern: str) -> str:
        shown, deadline = "", time.monotonic() + _SECONDS
        while not re.search(pattern, _CONTROL.sub("", shown), re.DOTALL):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                raise AssertionError(f"{self.name} never showed {pattern!r}: {shown!r}")
            shown += os.read(self._fd, 1 << 16).decode("utf-8", "replace")
        return _CONTROL.sub("", shown)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
