"""The pictures in docs/pictures: real runs on a terminal of tmux, as SVG. Needs tmux and git.

python -m packages.screenshots [OUT]        OUT is docs/pictures by default
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from packages.source import ROOT

_COLUMNS, _LINES = 96, 30
_PATIENCE = 60.0
# The picture loads nothing: the reader's own font will do.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
# A small shop, and its upgrades.
_SHOP = r"""
mkdir -p app/bin app/config app/node_modules/express app/node_modules/left-pad; cd app
printf '#!/bin/sh\necho "shop $(cat VERSION)"\n' >bin/shop; chmod 755 bin/shop
echo 1.9 >VERSION
printf '[shop]\ncurrency = EUR\nport = 8080\ntimeout = 30\n' >config/shop.ini
echo '{"name": "express", "version": "4.21.2"}' >node_modules/express/package.json
echo '{"name": "left-pad", "version": "1.3.0"}' >node_modules/left-pad/package.json
"""
_TO_20 = r"""
echo 2.0 >VERSION; rm -r node_modules/left-pad
echo '{"name": "express", "version": "5.1.0"}' >node_modules/express/package.json
printf '[shop]\ncurrency = EUR\nport = 80\ntimeout = 30\nworkers = 4\n' >config/shop.ini
printf 'welcome() { echo "shop is open"; }\n' >bin/welcome.sh
"""
_TO_21 = "echo 2.1 >VERSION; rm bin/shop\n"


class Terminal:
    """A shell on a terminal of tmux, in a directory of its own."""

    def __init__(self, place: Path, directory: Path) -> None:
        self._socket = place / "tmux"
        self._env = {
            "HOME": str(place), "GITSNAP_HOME": str(place / "sidecars"), "PS1": "$ ", "TZ": "UTC", "LC_ALL": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color", "SHELL": "/bin/sh", "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        self._tmux("new-session", "-d", "-x", str(_COLUMNS), "-y", str(_LINES + 1), "-c", str(directory), "sh")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def press(self, *keys: str, until: str) -> Text:
        """Press keys, or type whole words; what the screen shows when it shows this text."""
        self._tmux("send-keys", *keys)
        end = time.monotonic() + _PATIENCE
        while until not in self._tmux("capture-pane", "-p"):
            if time.monotonic() > end:
                raise SystemExit(f"no {until!r} came:\n{self._tmux('capture-pane', '-p')}")
            time.sleep(0.1)
        return Text.from_ansi(self._tmux("capture-pane", "-e", "-p").rstrip("\n"))

    def shrink(self, lines: int) -> None:
        """Leave so many lines."""
        self._tmux("resize-window", "-y", str(lines))

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-f", os.devnull, "-S", str(self._socket), *words]
        return subprocess.run(command, env=self._env, check=True, capture_output=True, text=True).stdout


def take(out: Path) -> None:
    """Take them all."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gitsnap-pictures-") as name:
        place = Path(name)
        (place / "srv").mkdir()
        subprocess.run(["sh", "-c", _SHOP], cwd=place / "srv", check=True)
        for upgrade, script in (("2.0", _TO_20), ("2.1", _TO_21)):
            (place / f"upgrade-{upgrade}.sh").write_text(script)
        with Terminal(place, place / "srv/app") as terminal:
            run = "gitsnap run --check bin/shop -m 'to %s' -- sh ../../upgrade-%s.sh; echo; gitsnap %s; echo '(end)' %s"
            for upgrade, then in (("2.0", "changelog"), ("2.1", "list")):
                shown = terminal.press(
                    f"clear; {run % (upgrade, upgrade, then, upgrade)}", "Enter", until=f"\n(end) {upgrade}"
                )
                _save(shown, out / f"{then}.svg", f"an upgrade to {upgrade}")
            terminal.shrink(18)
            terminal.press("clear; gitsnap browse", "Enter", until="kept: sh")
            _save(terminal.press("Down", "Down", until="came back"), out / "browse.svg", "gitsnap browse")


def _save(shown: Text, to: Path, title: str) -> None:
    kept = Text("\n").join(line for line in shown.split("\n") if not line.plain.startswith("(end)"))
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(kept, end="", no_wrap=True, crop=True)
    to.write_text(console.export_svg(title=title, code_format=_FORMAT, unique_id=to.stem))


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/pictures")
