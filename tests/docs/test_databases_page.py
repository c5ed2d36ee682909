"""The page about databases, executed: PostgreSQL dumped by the hook that it shows, broken, and brought back."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import IS_ROOT, REPOSITORY, remove_tree, run_gitsnap
from tests.support.processes import NOBODY, give

PAGE = (REPOSITORY / "docs/how-to/databases.md").read_text()


def program(name: str) -> str:
    """A program of PostgreSQL, which Debian keeps out of the way; empty when there is none."""
    known = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (known[-1] if known else "")


NEEDED = ("initdb", "pg_ctl", "pg_dump", "psql")
needs_postgresql = pytest.mark.skipif(not all(map(program, NEEDED)), reason="PostgreSQL is not installed")


def block(section: str, language: str) -> str:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def server() -> Iterator[dict[str, str]]:
    """A server of its own, as an ordinary user; the environment that leads to it."""
    where = Path(tempfile.mkdtemp(prefix="gitsnap-pg-", dir="/tmp"))
    give(where)
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}
    data, quiet = where / "data", {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    options = f"-c listen_addresses='' -c unix_socket_directories={where} -c fsync=off"
    environ = os.environ | {"PGHOST": str(where), "PGUSER": "app", "LC_ALL": "C"}
    try:
        subprocess.run([program("initdb"), "-D", data, "-U", "app", "-A", "trust", "-N"], env=environ, **quiet, **who)  # type: ignore[call-overload]
        start = [program("pg_ctl"), "-D", data, "-w", "-o", options, "-l", where / "log", "start"]
        subprocess.run(start, env=environ, **quiet, **who)  # type: ignore[call-overload]
        yield environ
        stop = [program("pg_ctl"), "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, env=environ, **quiet, **who)  # type: ignore[call-overload]
    finally:
        remove_tree(where)


@needs_postgresql
def test_postgresql(tmp_path: Path, server: dict[str, str]) -> None:
    app, home, commands = tmp_path / "app", tmp_path / "home", tmp_path / "bin"
    for folder in (app, commands):
        folder.mkdir()
    (commands / "gitsnap").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitsnap "$@"\n')
    (commands / "gitsnap").chmod(0o755)
    path = f"{commands}:{os.path.dirname(program('pg_dump'))}:{os.environ['PATH']}"
    env = server | {"PATH": path, "GITSNAP_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}

    def sql(text: str, database: str = "app") -> str:
        command = [program("psql"), "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    sql("create database app", "postgres")
    sql("create table t(n int); insert into t select generate_series(1, 100)")
    run_gitsnap("-C", app, "init", home=home)
    (next(home.glob("app-*")) / "gitsnap.toml").write_text(block("PostgreSQL", "toml"))
    snapshot = run_gitsnap("-C", app, "snapshot", home=home, env=env).stdout.strip()
    assert "COPY public.t" in run_gitsnap("-C", app, "cat", snapshot, "app.sql", home=home).stdout
    # The server goes on, and what an upgrade does to it is undone by the dump.
    sql("delete from t where n > 50; create table more(n int)")
    run_gitsnap("-C", app, "snapshot", home=home, env=env)
    script = block("PostgreSQL", "sh").replace("/srv/app", str(app)).replace("SNAPSHOT", snapshot)
    done = subprocess.run(["sh", "-ec", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sql("select count(*), sum(n) from t") == "100|5050"
    # A server that is gone: no dump, no snapshot, and the last dump still there.
    dump = (app / "app.sql").read_bytes()
    failed = run_gitsnap("-C", app, "snapshot", home=home, env=env | {"PGHOST": str(tmp_path)}, check=1)
    assert "the hook before-snapshot exited with 1" in failed.stderr
    assert (app / "app.sql").read_bytes() == dump


def test_the_other_hooks_are_tables_that_gitsnap_takes(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    run_gitsnap("-C", tmp_path / "app", "init", home=tmp_path / "home")
    toml = next((tmp_path / "home").glob("app-*")) / "gitsnap.toml"
    for section in ("MySQL and MariaDB", "Redis", "Anything that has to be stopped"):
        toml.write_text(block(section, "toml"))
        run_gitsnap("-C", tmp_path / "app", "list", home=tmp_path / "home")
