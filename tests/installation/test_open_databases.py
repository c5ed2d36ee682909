"""Which databases are open is told by locks and processes: no false alarm, and none missed that can be seen."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitsnap.core.database_servers import Candidate, Database, Running, candidates
from gitsnap.installation.servers import running
from tests.support.installation import IS_ROOT
from tests.support.processes import in_child
from tests.support.servers import holding


@contextmanager
def server(top: Path, name: str, cwd: Path, **who: object) -> Iterator[int]:
    """A process that looks like a server of this name; its number."""
    program = top / "bin" / name
    program.parent.mkdir(exist_ok=True)
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([str(program), "60"], cwd=cwd, **who) as process:  # type: ignore[call-overload]
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != name:
            time.sleep(0.005)
        yield process.pid
        process.kill()


def found(root: Path) -> list[Running]:
    paths = [os.fsencode(p.relative_to(root)) for p in root.rglob("*")]
    return running(str(root), candidates(paths))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


def cluster(folder: Path, pid: object, *more: object) -> Path:
    (folder / "base/1").mkdir(parents=True)
    for where in (folder, folder / "base/1"):
        (where / "PG_VERSION").write_text("15\n")
    (folder / "postmaster.pid").write_text("\n".join(map(str, [pid, folder, *more])) + "\n")
    return folder


@pytest.mark.parametrize(
    ("files", "evidence", "database"),
    [
        (["ibdata1"], "ibdata1", Database.MARIADB),
        (["aria_log_control", "ibdata1"], "aria_log_control", Database.MARIADB),
        (["mongod.lock", "WiredTiger.lock", "WiredTiger"], "mongod.lock", Database.MONGODB),
        (["WiredTiger.lock"], "WiredTiger.lock", Database.MONGODB),
        (["data.mdb", "lock.mdb"], "lock.mdb", Database.LMDB),
        (["LOCK", "CURRENT", "000003.log"], "LOCK", Database.LEVELDB),
    ],
)
@pytest.mark.parametrize("folder", ["", "var/lib/db"])
@pytest.mark.parametrize("how", ["exclusive", "shared"])
def test_a_lock_tells(app: Path, files: list[str], evidence: str, database: Database, folder: str, how: str) -> None:
    (app / folder).mkdir(parents=True, exist_ok=True)
    for name in files:
        (app / folder / name).write_bytes(b"x" * 64)
    assert found(app) == []
    with holding(app / folder / evidence, how, start=3) as pid:
        assert found(app) == [Running(database, folder.encode(), pid)]
    assert found(app) == []


def test_a_file_called_lock_is_no_database(app: Path) -> None:
    (app / "LOCK").write_text("x")
    with holding(app / "LOCK"):
        assert found(app) == []


def test_nothing_is_followed_waited_for_or_locked(app: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (app / "ibdata1").symlink_to(tmp_path / "outside")
    (app / "sub").mkdir()
    os.mkfifo(app / "sub/mongod.lock")
    (app / "pg").mkdir()
    (app / "pg/PG_VERSION").write_text("15")
    os.mkfifo(app / "pg/postmaster.pid")
    (app / "up").symlink_to(tmp_path)
    with holding(tmp_path / "outside"):
        assert found(app) == []
        assert running(str(app), [Candidate(Database.MARIADB, b"up", b"outside")]) == []


def test_our_own_lock_is_told_and_stays_where_it_is_of_the_open_file(app: Path) -> None:
    path = app / "mongod.lock"
    path.write_text("x")
    with open(path, "r+b") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        for _ in range(2):
            assert [r.database for r in found(app)] == [Database.MONGODB]


def test_postgresql(app: Path, tmp_path: Path) -> None:
    data = cluster(app / "pg", 0)
    with server(tmp_path, "postgres", data) as pid:
        assert found(app) == [Running(Database.POSTGRESQL, b"pg", pid)], "the number in the file is not seen from here"
        (data / "postmaster.pid").write_text(f"{pid}\n{data}\n")
        assert found(app) == [Running(Database.POSTGRESQL, b"pg", pid)], "once, whatever databases it has"
    assert found(app) == [], "what a crash leaves is no server"


def test_several_clusters(app: Path, tmp_path: Path) -> None:
    first, second = cluster(app / "a/15/main", 0), cluster(app / "b", 0)
    with server(tmp_path, "postgres", first) as one:
        # Two files of before a crash name the server of another cluster.
        for folder in (first, second):
            (folder / "postmaster.pid").write_text(f"{one}\n{folder}\n")
        assert found(app) == [Running(Database.POSTGRESQL, b"a/15/main", one)]
        with server(tmp_path, "postmaster", second) as two:
            (second / "postmaster.pid").write_text(f"{two}\n{second}\n")
            assert [(r.path, r.pid) for r in found(app)] == [(b"a/15/main", one), (b"b", two)]


@pytest.mark.parametrize("text", ["", "x\n", "-1\n", "999999999999\n", "1\n", "\0" * 5000])
def test_a_file_that_says_nothing(app: Path, text: str) -> None:
    (cluster(app / "pg", 0) / "postmaster.pid").write_text(text)
    assert found(app) == []


def test_the_number_is_another_programs_by_now(app: Path, tmp_path: Path) -> None:
    data = cluster(app / "pg", 0)
    with server(tmp_path, "nginx", data) as pid:
        (data / "postmaster.pid").write_text(f"{pid}\n{data}\n{int(time.time())}\n")
        assert found(app) == []


@pytest.mark.parametrize(
    ("names", "folder"),
    [(["dump.rdb"], ""), (["appendonly.aof"], ""), (["appendonlydir/appendonly.aof.manifest"], ""), (["my.rdb"], "r")],
)
def test_redis(app: Path, tmp_path: Path, names: list[str], folder: str) -> None:
    for name in names:
        (app / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (app / folder / name).write_text("x")
    with server(tmp_path, "redis-server", tmp_path):
        assert found(app) == [], "it works elsewhere"
    with server(tmp_path, "valkey-server", app / folder) as pid:
        assert found(app) == [Running(Database.REDIS, folder.encode(), pid)]
    assert found(app) == []


@pytest.mark.skipif(not IS_ROOT, reason="another user's processes take root")
def test_an_ordinary_user_is_told_what_may_be() -> None:
    with tempfile.TemporaryDirectory(prefix="gitsnap-db-", dir="/tmp") as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "app").mkdir()
        _as_an_ordinary_user(top / "app", top)


def _as_an_ordinary_user(app: Path, tmp_path: Path) -> None:
    data = cluster(app / "pg", 0)
    (app / "redis").mkdir()
    (app / "redis/dump.rdb").write_text("x")
    (app / "my").mkdir()
    (app / "my/ibdata1").write_text("x")
    (app / "my/ibdata1").chmod(0o600)
    with (
        server(tmp_path, "postgres", data) as pg,
        server(tmp_path, "redis-server", app / "redis") as redis,
        holding(app / "my/ibdata1") as mariadb,
    ):
        (data / "postmaster.pid").write_text(f"{pg}\n{data}\n")
        told = in_child(lambda: found(app), user=True)
        assert told == [
            Running(Database.MARIADB, b"my", mariadb),
            Running(Database.POSTGRESQL, b"pg", pg, certain=False),
            Running(Database.REDIS, b"redis", redis, certain=False),
        ]
        (data / "postmaster.pid").write_text(f"{pg}\n{data}\n{int(time.time())}\n5432\n")
        assert in_child(lambda: found(app), user=True)[1].certain, "it was started when the file says"
        (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
        assert len(in_child(lambda: found(app), user=True)) == 2


def test_names() -> None:
    paths = [
        b"PG_VERSION", b"base/5/PG_VERSION", b"pg_tblspc/16385/PG_15_1/7/PG_VERSION", b"sub/base/PG_VERSION",
        b"x/PG_VERSIONS", b"LOCKS", b"a/LOCK", b"ibdata1.bak", b"yarn.lock", b"db.mdb-lock", b"flake.lock",
    ]  # fmt: skip
    assert [(c.database, c.path) for c in candidates(paths)] == [
        (Database.POSTGRESQL, b""),
        (Database.POSTGRESQL, b"sub/base"),
        (Database.LEVELDB, b"a"),
        (Database.LMDB, b""),
    ]
