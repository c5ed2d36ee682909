"""Writers of SQLite databases, each a process of its own, and whether a copy holds a state that was committed.

Every transaction writes its number into all rows of a table that spans many pages, and into another table: a copy in
which they are not all the same was never committed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROWS = 120

_WRITER = """
import os, sqlite3, sys, time
path, mode, pause, hold, acked = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
c = sqlite3.connect(path, timeout=30, isolation_level=None)
c.execute(f"pragma journal_mode={mode}")
# Few pages fit: a transaction is written to the database before it is committed.
c.execute("pragma cache_size=8"), c.execute("pragma synchronous=off"), c.execute("pragma wal_autocheckpoint=60")
number = c.execute("select number from turn").fetchone()[0]
acked = os.open(acked, os.O_WRONLY | os.O_CREAT, 0o600)
while True:
    c.execute("begin immediate")
    number += 1
    c.execute("update turn set number=?", (number,))
    c.execute("update block set number=?, filling=randomblob(400)", (number,))
    if hold:
        time.sleep(hold)
    c.execute("commit")
    os.pwrite(acked, b"%12d" % number, 0)
    time.sleep(pause)
"""


@dataclass
class Writer:
    """A process that commits to a database, again and again."""

    process: subprocess.Popen[bytes]
    database: Path
    _acked: Path

    @property
    def committed(self) -> int:
        """The number of a transaction that is surely committed."""
        try:
            return int(self._acked.read_bytes() or b"0")
        except FileNotFoundError:
            return 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped where it is, with its files open and its locks held."""
        self.process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"T":
            time.sleep(0.005)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def create(path: Path, mode: str = "delete", filling: int = 0) -> None:
    """A database with transaction 0, and so many bytes that no transaction touches."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        c.execute(f"pragma journal_mode={mode}")
        c.executescript("create table turn(number); insert into turn values(0);")
        c.execute("create table block(id integer primary key, number, filling)")
        c.executemany("insert into block(number, filling) values(0, randomblob(400))", [()] * ROWS)
        c.execute("create table filling(bytes)")
        for _ in range(filling >> 20):
            c.execute("insert into filling values(randomblob(1048576))")


@contextmanager
def writing(
    path: Path, acked: Path, mode: str, *, pause: float = 0.001, hold: float = 0.0, filling: int = 0
) -> Iterator[Writer]:
    """A writer at work. `pause` and `hold` (with a transaction open) are in seconds, `filling` in bytes."""
    create(path, mode, filling)
    command = [sys.executable, "-c", _WRITER, str(path), mode, str(pause), str(hold), str(acked)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    writer = Writer(process, path, acked)
    try:
        deadline = time.monotonic() + 300
        while writer.committed < 2:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield writer
        assert process.poll() is None, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


_HOLDER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("begin exclusive"), c.execute("update turn set number=number+1")
print("locked", flush=True)
sys.stdin.read()
c.execute("rollback")
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Locked by a transaction that is taken back in the end. In another process: a lock goes with any descriptor."""
    command = [sys.executable, "-c", _HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield


def state(path: Path) -> int:
    """The number of the transaction that a database holds; AssertionError, or sqlite3.Error, when it is none."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        assert c.execute("pragma integrity_check").fetchall() == [("ok",)]
        (number,) = c.execute("select number from turn").fetchone()
        found = c.execute("select count(*), min(number), max(number) from block").fetchone()
        assert found == (ROWS, number, number), f"torn: {found}, {number}"
    return int(number)


def stock_state(path: Path) -> int:
    """The same by the sqlite3 command."""
    question = "pragma integrity_check; select count(*), min(number), max(number) from block; select number from turn"
    done = subprocess.run(["sqlite3", path, question], capture_output=True, text=True, check=True)
    whole, block, number = done.stdout.split()
    assert (whole, block) == ("ok", f"{ROWS}|{number}|{number}")
    return int(number)


def tree_state(root: Path) -> list[tuple[str, int, int, int, int, bytes]]:
    """All that a look from outside shows of a directory's files."""
    out = []
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            found = path.stat()
            out.append(
                (str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, path.read_bytes())
            )
    return sorted(out)
