"""Copies to real servers and back: sshd, git behind nginx with TLS, gitolite, a directory, each at its worst."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.git_servers import KINDS, Host, host
from tests.support.installation import differences, run_gitsnap, take_snapshot


@pytest.fixture(scope="module", params=list(KINDS))
def there(request: pytest.FixtureRequest) -> Iterator[Host]:
    with host(request.param) as found:
        yield found


@pytest.fixture
def app(installation: Path) -> Path:
    take_snapshot(installation, "-m", "one")
    return installation


def push(app: Path, there: Host, *more: str, check: int = 0) -> str:
    done = run_gitsnap("-C", app, "push", *more, env=there.env, check=check)
    return done.stdout + done.stderr


def add(app: Path, url: str, *more: str) -> None:
    run_gitsnap("-C", app, "remote", "add", "backup", url, *more)


def grow(app: Path, size: int = 400_000) -> str:
    """A snapshot with so many bytes more that nothing makes smaller."""
    (app / "data" / "fresh").write_bytes(os.urandom(size))
    return take_snapshot(app)


def comes_back(app: Path, there: Host, url: str) -> None:
    """All of it, on a machine that has nothing else."""
    new, home = app.with_name("new"), app.with_name("other-sidecars")
    run_gitsnap("clone", url, new, env=there.env, home=home)
    assert differences(app, new) == ""
    run_gitsnap("-C", new, "verify", "--all", home=home)
    ids = [
        [s["id"] for s in json.loads(run_gitsnap("-C", d, "--json", "list", home=h).stdout)["snapshots"]]
        for d, h in ((app, None), (new, home))
    ]
    assert ids[0] == ids[1]
    shutil.rmtree(new)
    shutil.rmtree(home)


def test_a_fresh_host(app: Path, there: Host) -> None:
    url = there.fresh("fresh")
    add(app, url)
    push(app, there)
    second = grow(app)
    assert second in push(app, there)
    there.require_whole("fresh")
    before = there.refs("fresh")
    assert "has everything" in push(app, there)
    assert there.refs("fresh") == before
    comes_back(app, there, url)


def test_one_that_lets_nothing_be_overwritten(app: Path, there: Host) -> None:
    add(app, there.strict("plain"))
    push(app, there, check=0)
    grow(app)
    assert "heads" in push(app, there, check=15)
    run_gitsnap("-C", app, "remote", "remove", "backup")
    url = there.strict("named")
    add(app, url, "--refspec", "heads")
    push(app, there)
    gone = grow(app)
    push(app, there)
    run_gitsnap("-C", app, "delete", gone)
    grow(app)
    push(app, there)
    assert "refused" in push(app, there, "--prune", check=15)
    name = url.rpartition("/")[2].removesuffix(".git")
    assert f"refs/tags/gitsnap/snapshots/{gone}" in there.refs(name)
    there.require_whole(name)


def test_one_that_is_killed_while_the_pack_comes(app: Path, there: Host) -> None:
    url = there.fresh("killed")
    add(app, url)
    push(app, there)
    before, newest = there.refs("killed"), grow(app)
    with there.killed_after(100_000):
        told = push(app, there, check=15)
    assert len(told.splitlines()) <= 2
    assert "Traceback" not in told
    assert there.refs("killed") == before
    there.require_whole("killed")
    assert newest in push(app, there)
    there.require_whole("killed")
    comes_back(app, there, url)


def test_one_that_is_full(app: Path, there: Host) -> None:
    url = there.fresh("full")
    add(app, url)
    push(app, there)
    before, newest = there.refs("full"), grow(app)
    with there.full(200_000):
        told = push(app, there, check=15)
    assert "Traceback" not in told
    assert there.refs("full") == before
    there.require_whole("full")
    assert newest in push(app, there)
    comes_back(app, there, url)


def test_what_is_not_there_is_told(app: Path, there: Host) -> None:
    add(
        app,
        there.url("none/such") if there.__class__ is not KINDS["gitolite"] else there.url("x").replace("free", "no"),
    )
    told = push(app, there, check=15)
    assert "Traceback" not in told
    assert len(told.splitlines()) <= 2


def test_one_of_many_is_listed(there: Host, app: Path) -> None:
    """By whatever protocol the server speaks; a password is asked for as for a push."""
    there.fresh("many")
    url = there.url("many")
    run_gitsnap("-C", app, "remote", "add", "many", url, "--installation", "web-1/shop")
    push(app, there, "many")
    done = run_gitsnap("fleet", url, "--json", env=there.env)
    [row] = json.loads(done.stdout)["installations"]
    assert (row["installation"], row["snapshots"], row["problems"]) == ("web-1/shop", 1, [])
    assert row["machine"]["directory"] == str(app)
