"""Database servers whose files lie in the installation: told by names alone, and what to do about one that runs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Database(StrEnum):
    """What a server or library is called, in words and in trailers."""

    POSTGRESQL = "PostgreSQL"
    MARIADB = "MariaDB or MySQL"
    REDIS = "Redis"
    MONGODB = "MongoDB"
    LMDB = "LMDB"
    LEVELDB = "LevelDB or RocksDB"


class Policy(StrEnum):
    """What becomes of an operation that a running database stands in the way of. `LEAVE`: its files are left alone."""

    REFUSE = "refuse"
    WARN = "warn"
    LEAVE = "leave"


class Candidate(NamedTuple):
    """A directory that by its names holds a database, and the file in it that tells whether it is open."""

    database: Database
    path: bytes
    evidence: bytes


class Running(NamedTuple):
    """A database in the directory `path` that is open. `pid` is the process, 0 where that cannot be seen; not `certain`
    where all that is known is that such a server runs, and may be at work there."""

    database: Database
    path: bytes
    pid: int = 0
    certain: bool = True

    @property
    def told(self) -> str:
        """As a snapshot's trailer has it."""
        return f"{self.database}: {self.path.decode('utf-8', 'surrogateescape') or '.'}"

    def document(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "database": self.database.value,
            "path": self.path.decode("utf-8", "replace") or ".",
            "process": self.pid or None,
            "certain": self.certain,
            "told": sentence(self),
        }

    def covers(self, path: bytes) -> bool:
        """Whether a path lies in its directory."""
        return not self.path or path == self.path or path.startswith(self.path + b"/")


def sentence(one: Running) -> str:
    """Which one runs where, in words."""
    verb = "is running" if one.certain else "may be running"
    process = f" (process {one.pid})" if one.pid else ""
    return f"{one.database} {verb} in {one.path.decode('utf-8', 'surrogateescape') or 'the directory itself'}{process}"


# What a directory of each has a file called, the one to look at for locks or processes.
_BY_NAME = {
    b"PG_VERSION": (Database.POSTGRESQL, b"postmaster.pid"),
    b"ibdata1": (Database.MARIADB, b"ibdata1"),
    b"aria_log_control": (Database.MARIADB, b"aria_log_control"),
    b"appendonly.aof": (Database.REDIS, b""),
    b"mongod.lock": (Database.MONGODB, b"mongod.lock"),
    b"WiredTiger.lock": (Database.MONGODB, b"WiredTiger.lock"),
    b"lock.mdb": (Database.LMDB, b"lock.mdb"),
    b"LOCK": (Database.LEVELDB, b"LOCK"),
}
# How the files are called that tell of one.
ENDINGS = (*_BY_NAME, b".rdb", b".aof.manifest", b"-lock")

# The hook to paste, or None where only stopping will do.
HOOKS = {
    Database.POSTGRESQL: "pg_dump --clean --if-exists --file=app.sql.new app && mv app.sql.new app.sql",
    Database.MARIADB: "mysqldump --single-transaction --routines app >app.sql.new && mv app.sql.new app.sql",
    Database.REDIS: "redis-cli save",
}
STOP = ('before-snapshot = "systemctl stop app"', 'after-snapshot = "systemctl start app"')


def hook(database: Database) -> tuple[str, ...]:
    """The lines below `[hooks]` that make its snapshots good."""
    command = HOOKS.get(database)
    return (f'before-snapshot = "{command}"',) if command else STOP


def candidates(paths: Iterable[bytes]) -> list[Candidate]:
    """The databases that there may be, by the names of all files; each directory and evidence once."""
    found: dict[Candidate, None] = {}
    for path in [p for p in paths if p.endswith(ENDINGS)]:
        folder, _, name = path.rpartition(b"/")
        if known := _BY_NAME.get(name):
            found[Candidate(known[0], folder, known[1])] = None
        elif name.endswith(b".rdb"):
            found[Candidate(Database.REDIS, folder, b"")] = None
        elif name.endswith(b".aof.manifest"):
            # Redis 7 keeps these in a directory of their own below the one that it works in.
            found[Candidate(Database.REDIS, folder.rpartition(b"/")[0], b"")] = None
        elif name.endswith((b".mdb-lock", b".lmdb-lock", b".db-lock")):
            found[Candidate(Database.LMDB, folder, name)] = None
    # A cluster's databases have a PG_VERSION each.
    clusters = {c.path for c in found if c.database is Database.POSTGRESQL}
    return [c for c in found if c.database is not Database.POSTGRESQL or not _inside(c.path, clusters)]


def _inside(path: bytes, clusters: set[bytes]) -> bool:
    # PGDATA/base/OID, PGDATA/pg_tblspc/OID/PG_15_…/OID
    above = path
    while above:
        above = above.rpartition(b"/")[0]
        if above in clusters and path[len(above) :].lstrip(b"/").startswith((b"base/", b"pg_tblspc/")):
            return True
    return False


def read_told(text: str) -> tuple[str, str]:
    """(database, path) of what a snapshot's trailer says."""
    name, _, path = text.partition(": ")
    return name, path
