"""A small web application that runs as a service, upgrades of it, and gitsnap watching over them in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.installation import REPOSITORY, run_gitsnap

# In seconds: for whatever must happen, however slow the machine is.
PATIENCE = 60.0

# Answers /health; a version that has `broken` in it does so no more once the file `fail` lies beside its port.
# This one and its client are started hundreds of times: to load Python's modules for HTTP takes most of that.
_SERVER = """\
import os, socket, sys
where, run = os.path.dirname(os.path.abspath(__file__)), sys.argv[1]
version = open(where + "/version").read().strip()
server = socket.create_server(("127.0.0.1", 0), backlog=100)
with open(run + "/port.new", "w") as file:
    file.write(str(server.getsockname()[1]))
os.rename(run + "/port.new", run + "/port")
while True:
    connection, _ = server.accept()
    with connection:
        try:
            asked = b""
            while b"\\r\\n\\r\\n" not in asked and (more := connection.recv(4096)):
                asked += more
            bad = "broken" in version and os.path.exists(run + "/fail")
            status = "500 Internal Server Error" if bad else "200 OK"
            connection.sendall(f"HTTP/1.0 {status}\\r\\nContent-Length: {len(version)}\\r\\n\\r\\n{version}".encode())
        except ConnectionError:
            pass
"""
_CLIENT = """\
import socket, sys
try:
    with socket.create_connection(("127.0.0.1", int(open("port").read()))) as server:
        server.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
        answer = b"".join(iter(lambda: server.recv(4096), b""))
except OSError as error:
    sys.exit(str(error))
head, _, body = answer.decode().partition("\\r\\n\\r\\n")
status = head.partition("\\r\\n")[0].partition(" ")[2]
sys.stdout.write(body) if status[:3] == "200" else sys.exit("HTTP Error " + status)
"""
_CONTROL = """\
#!/bin/sh
# start, stop, check
cd {run} || exit 1
case $1 in
start)
    echo start >>said
    test ! -e cannot-start || exit 1
    $0 quit
    rm -f port
    setsid {python} -I -S {app}/server.py {run} </dev/null >/dev/null 2>&1 &
    echo $! >pid
    n=0; while ! test -e port; do n=$((n+1)); test $n -lt 600 || exit 1; sleep 0.05; done ;;
stop)
    echo stop >>said
    test ! -e cannot-stop || exit 1
    $0 quit ;;
quit)
    test -e pid || exit 0
    kill $(cat pid) 2>/dev/null
    n=0; while kill -0 $(cat pid) 2>/dev/null; do
        case $(sed 's/.*) //' /proc/$(cat pid)/stat) in Z*) break; esac
        n=$((n+1)); test $n -lt 600 || exit 1; sleep 0.05
    done
    rm -f pid port ;;
check)
    echo check >>checked
    {python} -I -S {client} ;;
esac
"""


class Shop:
    """The application in `app`, at version 1 and running. `control` is what starts, stops and checks it."""

    def __init__(self, where: Path) -> None:
        self.app, self.home, self.state, self.control = (
            where / "app",
            where / "home",
            where / "state",
            where / "control",
        )
        for path in (self.app, self.state):
            path.mkdir(parents=True)
        (self.app / "server.py").write_text(_SERVER)
        (self.app / "version").write_text("1\n")
        client = where / "client.py"
        client.write_text(_CLIENT)
        given = {"run": self.state, "app": self.app, "python": sys.executable, "client": client}
        self.control.write_text(_CONTROL.format(**given))
        self.control.chmod(0o755)
        self.ctl("start")

    @property
    def where(self) -> list[str]:
        """What says which directory is meant."""
        return ["-C", str(self.app)]

    def ctl(self, word: str, check: bool = True) -> str:
        return subprocess.run([self.control, word], check=check, capture_output=True, text=True).stdout

    @property
    def version(self) -> str:
        return (self.app / "version").read_text().strip()

    @property
    def serves(self) -> str:
        """The version that answers; empty where none does."""
        return self.ctl("check", check=False)

    def fail(self) -> None:
        """A broken version answers no more from now on."""
        (self.state / "fail").touch()

    def said(self) -> list[str]:
        path = self.state / "said"
        return path.read_text().split() if path.exists() else []

    def rounds(self) -> int:
        path = self.state / "checked"
        return len(path.read_text().split()) if path.exists() else 0

    def upgrade(self, version: str) -> list[str]:
        """The command of an upgrade to it."""
        return ["sh", "-c", f"echo {version} >version && {self.control} start"]

    def gitsnap(self, *words: str, check: bool | int = True) -> subprocess.CompletedProcess[str]:
        return run_gitsnap(*self.where, *words, home=self.home, check=check)

    def document(self, *words: str) -> Any:
        return json.loads(self.gitsnap("--json", *words).stdout)

    @property
    def last(self) -> dict[str, Any]:
        """The newest upgrade, as `history` tells it."""
        return [e for e in self.document("history")["history"] if e["type"] == "upgrade"][-1]  # type: ignore[no-any-return]

    @property
    def record(self) -> Path:
        return next(self.home.glob("app-*")) / "gitsnap/upgrade.json"

    @contextmanager
    def running(self, *words: str, **more: Any) -> Iterator[Running]:
        """gitsnap in the background; killed in the end, should it still run."""
        found = Running(self, words, **more)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.wait()

    def close(self) -> None:
        self.ctl("quit", check=False)


class Running:
    """`gitsnap run WORDS` (or another command, where `events` is false), and the events that it has told."""

    def __init__(
        self, shop: Shop, words: tuple[str, ...], *, events: bool = True, units: Path | None = None, **more: Any
    ) -> None:
        self._shop = shop
        self._events = shop.state / f"events-{os.urandom(4).hex()}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_"))}
        told = ["--events", str(self._events)] if events else []
        first, *rest = words
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gitsnap", *shop.where, first, *told, *rest],
            env=clean
            | {"GITSNAP_HOME": str(shop.home), "PYTHONPATH": str(REPOSITORY)}
            | ({"GITSNAP_UNITS": str(units)} if units else {}),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | more,
        )

    def events(self) -> list[dict[str, Any]]:
        lines = self._events.read_text().splitlines(keepends=True) if self._events.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, name: str) -> dict[str, Any]:
        """The first event of this name."""

        def found() -> dict[str, Any] | None:
            event = next((e for e in self.events() if e["event"] == name), None)
            assert event or self.process.poll() is None, self.output()
            return event

        return until(found)

    def output(self) -> str:
        return self.process.stdout.read().decode() if self.process.stdout else ""

    def ends(self, code: int) -> str:
        """What it has printed; it has to end with this code."""
        output = self.output()
        assert self.process.wait(PATIENCE) == code, output
        return output

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


def ended(pid: int) -> bool:
    """Whether a process is at its end; whoever has it for a child need not have asked for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(found: Callable[[], Any]) -> Any:
    """What `found` returns once that counts."""
    deadline = time.monotonic() + PATIENCE
    while not (what := found()):
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.02)
    return what


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    with suppress(OSError):
        path.chmod(0o600)
    path.write_text(json.dumps(content))
