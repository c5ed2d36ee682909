"""Getting to servers: by git's credential helpers, by the ssh that the user has chosen, and not for ever."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dulwich.pack import UnpackedObject

from gitsnap.core.errors import RemoteError
from gitsnap.sidecar.git import pack_exchange
from gitsnap.sidecar.git.new_objects import NewObjects
from gitsnap.sidecar.git.transport import Target
from tests.support.git_http import PASSWORD, USER, served
from tests.support.inprocess import workspace


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with workspace() as where:
        subprocess.run(["git", "init", "-q", "--bare", str(where / "there.git")], check=True)
        subprocess.run(["git", "--git-dir", str(where / "there.git"), "config", "http.receivepack", "true"], check=True)
        (where / "home").mkdir()
        for name in (
            "GIT_CONFIG_GLOBAL",
            "XDG_CONFIG_HOME",
            "GIT_SSH_COMMAND",
            "GIT_SSH",
            "GIT_ASKPASS",
            "SSH_ASKPASS",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(where / "home"))
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield where


class Nothing:
    """What goes where nothing goes."""

    def records(self) -> tuple[int, Iterator[UnpackedObject]]:
        return 0, iter(())

    def wanted(self) -> NewObjects:
        raise AssertionError("nothing goes")


def refs_at(url: str, patience: float = 60.0, *, pushes: bool = True) -> dict[str, str]:
    """What the other side has; nothing is sent."""
    found: dict[str, str] = {}

    def decide(theirs: dict[str, str]) -> dict[str, str]:
        found.update(theirs, asked="")
        return {}

    pack_exchange.send(Target(url, "/nowhere", patience, pushes=pushes), decide, Nothing(), atomic=True)
    return found


def helper(top: Path, password: str) -> Path:
    """A credential helper that knows this password, and the log of what it was asked."""
    log, script = top / "log", top / "helper"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" = get ] && printf "username={USER}\\npassword={password}\\n"\nexit 0\n'
    )
    script.chmod(0o755)
    (top / "home/.gitconfig").write_text(f"[credential]\n\thelper = {script}\n")
    return log


def test_credentials_are_those_of_gits_helpers(top: Path) -> None:
    log = helper(top, PASSWORD)
    with served(top) as url:
        assert refs_at(f"{url}/there.git") == {"asked": ""}
    assert log.read_text().split() == ["get", "store"]


@pytest.mark.parametrize("alias", ["https://other.example/", "mine:"])
def test_who_is_asked_for_a_password_is_the_host_that_gets_it(top: Path, alias: str) -> None:
    helper(top, PASSWORD)
    (top / "helper").write_text((top / "helper").read_text().replace("\necho", f"\ncat > {top}/given; echo"))
    with served(top) as url:
        with (top / "home/.gitconfig").open("a") as settings:
            settings.write(f'[url "{url}/"]\n\tinsteadOf = {alias}\n')
        assert refs_at(f"{alias}there.git") == {"asked": ""}
    given = dict(line.split("=", 1) for line in (top / "given").read_text().splitlines() if "=" in line)
    assert f"{given['protocol']}://{given['host']}" == url


def test_a_wrong_password_is_taken_back(top: Path) -> None:
    log = helper(top, "falsch")
    with served(top) as url, pytest.raises(RemoteError) as error:
        refs_at(f"{url}/there.git")
    assert error.value.kind == "remote-refused"
    assert "falsch" not in str(error.value)
    assert log.read_text().split() == ["get", "erase"]


def test_without_a_helper_nobody_is_asked(top: Path) -> None:
    with served(top) as url, pytest.raises(RemoteError) as error:
        refs_at(f"{url}/there.git")
    assert error.value.kind == "remote-refused"


@pytest.mark.parametrize("by", ["GIT_SSH_COMMAND", "GIT_SSH", "core.sshCommand"])
def test_the_ssh_that_the_user_has_chosen(top: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    script = top / "an ssh"
    script.write_text(f'#!/bin/sh\necho "$@" > {top}/args\nfor last; do :; done\nexec sh -c "$last"\n')
    script.chmod(0o755)
    if by == "core.sshCommand":
        (top / "home/.gitconfig").write_text(f"[core]\n\tsshCommand = \"'{script}'\"\n")
    else:
        monkeypatch.setenv(by, f"'{script}'" if by == "GIT_SSH_COMMAND" else str(script))
    assert refs_at(f"ssh://me@host:2222{top}/there.git") == {"asked": ""}
    assert (top / "args").read_text().startswith("-p 2222 me@host git-receive-pack")
    assert refs_at(f"host:{top}/there.git") == {"asked": ""}


def test_the_users_other_names_for_urls_count_and_lead_to_no_program(top: Path) -> None:
    (top / "home/.gitconfig").write_text(f'[url "{top}/"]\n\tpushInsteadOf = mine:\n')
    assert refs_at("mine:there.git") == {"asked": ""}
    with (top / "home/.gitconfig").open("a") as settings:
        settings.write("[core]\n\tsshCommand = false\n")
    with pytest.raises(RemoteError):
        refs_at("mine:there.git", pushes=False)
    (top / "home/.gitconfig").write_text(f'[url "ext::touch {top}/started "]\n\tinsteadOf = mine:\n')
    with pytest.raises(RemoteError, match="transport 'ext' not allowed"):
        refs_at("mine:there.git")
    assert not (top / "started").exists()


def test_what_an_ssh_says_is_told(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than a pipe holds: nobody may wait for anybody.
    monkeypatch.setenv(
        "GIT_SSH_COMMAND", "sh -c 'head -c 300000 /dev/zero | tr \"\\0\" x >&2; echo; echo no route >&2; exit 255'"
    )
    with pytest.raises(RemoteError) as error:
        refs_at("host:there.git")
    assert error.value.kind == "remote-unreachable"


def test_a_server_of_files_takes_nothing(top: Path) -> None:
    subprocess.run(["git", "--git-dir", str(top / "there.git"), "update-server-info"], check=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(top))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        target = Target(f"http://127.0.0.1:{server.server_address[1]}/there.git", "/nowhere", 60.0)
        try:
            with pytest.raises(RemoteError, match="speaks no protocol of git"):
                pack_exchange.send(target, lambda _: {"refs/heads/new": "1" * 40}, Nothing(), atomic=False)
        finally:
            server.shutdown()
            thread.join()


def test_who_is_silent_is_not_waited_for(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "sh -c 'sleep 1000; exit'")
    with pytest.raises(RemoteError) as error:
        refs_at("host:there.git", patience=0.3)
    assert "did not answer" in str(error.value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("git", "http"):
            with pytest.raises(RemoteError):
                refs_at(f"{scheme}://127.0.0.1:{port}/x", patience=0.3)
