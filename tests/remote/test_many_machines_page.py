"""The page on many machines: its rules, as they stand there, against git and gitolite, with real pushes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap import api
from gitsnap.core.errors import RemoteError
from tests.support.git_servers import program
from tests.support.inprocess import workspace
from tests.support.installation import REPOSITORY

PAGE = (REPOSITORY / "docs/how-to/many-machines.md").read_text()
_SHELL = Path("/usr/share/gitolite3/gitolite-shell")


def block(name: str) -> str:
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


class Rules:
    """A server with the rules of the page. `url` is its repository for whoever `become` says."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self._patch = monkeypatch
        self.path = self.start()

    def start(self) -> Path:
        """The repository."""
        found = self.top / "fleet.git"
        subprocess.run(["git", "init", "-q", "--bare", found], check=True)
        script(found / "hooks/update", block("update"))
        script(self.top / "gitsnap-machine", block("gitsnap-machine"))
        return found

    @property
    def url(self) -> str:
        return f"ssh://anyone@anywhere{self.path}"

    def command(self, who: str) -> str:
        """What the server runs for a key."""
        return f"{self.top}/gitsnap-machine {who}" if who != "monitor" else 'git-shell -c "$SSH_ORIGINAL_COMMAND"'

    def become(self, who: str) -> None:
        taken = "for last; do :; done\nSSH_ORIGINAL_COMMAND=$last; export SSH_ORIGINAL_COMMAND"
        script(self.top / "ssh", f"#!/bin/sh\n{taken}\nexec {self.command(who)}\n")
        self._patch.setenv("GIT_SSH_COMMAND", str(self.top / "ssh"))

    def refs(self) -> str:
        return subprocess.check_output(["git", "-C", self.path, "for-each-ref"], text=True)

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A push by stock git, from the repository of whoever has the key."""
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


class Gitolite(Rules):
    """gitolite's own shell, as a key's forced command runs it."""

    def start(self) -> Path:
        if not _SHELL.exists():
            pytest.skip("gitolite3 is not installed")
        conf = self.top / ".gitolite/conf/gitolite.conf"
        self._run("setup", "-a", "admin")
        conf.write_text(block("gitolite.conf"))
        self._run("compile")
        return self.top / "repositories/fleet.git"

    def _run(self, *arguments: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"HOME": str(self.top)}
        subprocess.run([program("gitolite"), *arguments], env=env, check=True, capture_output=True)

    @property
    def url(self) -> str:
        return "ssh://anyone@anywhere/fleet"

    def command(self, who: str) -> str:
        return f"env HOME={self.top} SSH_CONNECTION=x {_SHELL} {who}"


@pytest.fixture(params=[Rules, Gitolite])
def rules(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rules]:
    with workspace() as top:
        yield request.param(top, monkeypatch)


Machine = Callable[[str, str], api.Installation]


@pytest.fixture
def machine(rules: Rules) -> Machine:
    """An installation of a host, under a name."""

    def make(host: str, name: str) -> api.Installation:
        folder = rules.top / f"{host}-{name.replace('/', '-')}"
        folder.mkdir()
        (folder / "f").write_text(f"{host} {name}\n" * 20)
        found = api.open(folder, store=rules.top / f"{folder.name}.git", create=True)
        found.snapshot()
        found.add_remote("fleet", rules.url, installation=name)
        rules.become(host)
        return found

    return make


def test_each_pushes_under_its_own_name(rules: Rules, machine: Machine) -> None:
    for host in ("web-1", "web-2"):
        mine = machine(host, f"{host}/shop")
        assert len(mine.push("fleet").snapshots) == 1
        mine.verify("latest")
        mine.snapshot()
        done = mine.push("fleet")
        assert (len(done.snapshots), done.timeline) == (1, "pushed")
    rules.become("monitor")
    found = api.fleet(rules.url)
    assert [(row.name, row.snapshots, row.problems) for row in found.rows] == [
        ("web-1/shop", 2, ()),
        ("web-2/shop", 2, ()),
    ]
    new = api.clone(rules.url, rules.top / "new", installation="web-2/shop", store=rules.top / "new.git")
    assert new.restored is not None
    assert new.restored.verified
    subprocess.run(["git", "-C", rules.path, "fsck", "--full", "--strict"], check=True, capture_output=True)


def test_nobody_pushes_under_the_name_of_another(rules: Rules, machine: Machine) -> None:
    machine("web-2", "web-2/shop").push("fleet")
    before = rules.refs()
    for name in ("web-2/other", "web-2/shop", "web-10/shop", "web/shop"):
        with pytest.raises(RemoteError):
            machine("web-1", name).push("fleet")
    assert rules.refs() == before


def test_what_is_there_stays(rules: Rules, machine: Machine) -> None:
    """What the thief of a key tries, with stock git."""
    mine = machine("web-1", "web-1/shop")
    first = mine.snapshot(message="another", pin=True)
    mine.push("fleet")
    store = str(rules.top / "web-1-web-1-shop.git")
    below = "refs/gitsnap/fleet/web-1/shop"
    tip = "refs/heads/timeline"
    before = rules.refs()
    for refspec in (
        f":{below}/snapshots/{first.id}",
        f"+{tip}:{below}/snapshots/{first.id}",
        f":{below}/pins/{first.id}",
        f"+{tip}:{below}/audit",
        f":{below}/audit",
        f"{tip}:refs/gitsnap/fleet/web-2/shop/snapshots/2026-01-01T00-00-00Z-manual",
        f"{tip}:refs/gitsnap/snapshots/2026-01-01T00-00-00Z-manual",
        f"{tip}:refs/heads/main",
        f"{tip}:refs/notes/gitsnap/fleet/web-2/shop/manifest",
        f"{tip}:refs/tags/signed/fleet/web-2/shop/x",
    ):
        done = rules.git("-C", store, "push", "-q", rules.url, refspec)
        assert done.returncode != 0, refspec
        assert rules.refs() == before, refspec


def test_who_only_looks_changes_nothing(rules: Rules, machine: Machine) -> None:
    if type(rules) is Rules:
        pytest.skip("what a key may do that is no machine's is no part of these rules")
    machine("web-1", "web-1/shop").push("fleet")
    with pytest.raises(RemoteError):
        machine("monitor", "monitor/shop").push("fleet")
