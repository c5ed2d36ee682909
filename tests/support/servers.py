"""Real database servers, each in a directory of its own, on a Unix socket alone, and ended for sure."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import IS_ROOT, remove_tree
from tests.support.processes import NOBODY, give


def program(name: str) -> str:
    """A program, also where Debian keeps it out of the way; empty when there is none."""
    known = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}") + glob.glob(f"/usr/sbin/{name}"))
    return shutil.which(name) or (known[-1] if known else "")


NEEDED = {
    "PostgreSQL": ("initdb", "postgres"),
    "Redis": ("redis-server",),
    "MariaDB or MySQL": ("mariadbd", "mariadb-install-db"),
}
needs = {
    server: pytest.mark.skipif(not all(map(program, names)), reason=f"{names[0]} is not installed")
    for server, names in NEEDED.items()
}


@dataclass
class Server:
    """A server that is at work in `app/data`, and what it belongs to."""

    name: str
    app: Path
    process: subprocess.Popen[bytes]

    @property
    def data(self) -> Path:
        return self.app / "data"


_HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX, 1, int(sys.argv[3]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(path: Path, how: str = "exclusive", start: int = 0) -> Iterator[int]:
    """A process that has a lock on the file; its number."""
    command = [sys.executable, "-c", _HOLD, str(path), how, str(start)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process.pid
        process.kill()


def _who() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}


def _prepare(name: str, data: Path, environ: Mapping[str, str]) -> None:
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    if name == "PostgreSQL":
        command = [program("initdb"), "-D", data, "-U", "app", "-A", "trust", "-N"]
    elif name == "MariaDB or MySQL":
        command = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        command += ["--auth-root-authentication-method=normal", "--innodb-log-file-size=4M"]
    else:
        return
    subprocess.run(command, env=environ, **quiet, **_who())


def _command(name: str, data: Path, where: Path) -> list[str]:
    if name == "PostgreSQL":
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={where}", "-c", "fsync=off"]
        return [program("postgres"), "-D", str(data), *options]
    if name == "Redis":
        return [
            program("redis-server"),
            *("--port", "0", "--unixsocket", f"{where}/redis.sock", "--dir", str(data)),
            *("--appendonly", "yes", "--save", ""),
        ]
    return [
        program("mariadbd"),
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={where}/mariadb.sock",
        f"--pid-file={where}/mariadb.pid",
        "--skip-networking",
        "--innodb-log-file-size=4M",
        "--innodb-buffer-pool-size=8M",
        "--innodb-flush-method=fsync",
        "--skip-log-bin",
    ]


def _ready(name: str, data: Path, where: Path) -> bool:
    if name == "PostgreSQL":
        with suppress(OSError):
            return (data / "postmaster.pid").read_text().rstrip().endswith("ready")
        return False
    if name == "Redis":
        return (where / "redis.sock").exists() and any(data.rglob("*.manifest"))
    return (where / "mariadb.sock").exists()


@contextmanager
def server(name: str) -> Iterator[Server]:
    """One of these servers, ready, run by an ordinary user."""
    where = Path(tempfile.mkdtemp(prefix="gitsnap-db-", dir="/tmp"))
    app = where / "app"
    app.mkdir()
    (app / "data").mkdir(mode=0o700)
    (app / "VERSION").write_text("1\n")
    for path in (where, app / "data"):
        give(path)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C", "HOME": str(where)}
    process = None
    try:
        _prepare(name, app / "data", environ)
        process = subprocess.Popen(
            _command(name, app / "data", where),
            env=environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **_who(),
        )
        until = time.monotonic() + 60
        while not _ready(name, app / "data", where):
            assert process.poll() is None, f"{name} has ended with {process.returncode}"
            assert time.monotonic() < until, f"{name} is not ready"
            time.sleep(0.05)
        yield Server(name, app, process)
    finally:
        if process is not None:
            stop(process)
        remove_tree(where)


def stop(process: subprocess.Popen[bytes], how: int = signal.SIGQUIT) -> None:
    """End a server, by default at once and tidily; it is gone when this returns."""
    with suppress(ProcessLookupError):
        process.send_signal(how)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
