"""Passwords and keys come from git's own helpers and ssh's agent; nothing of them is kept, or told to anybody."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.git_servers import PASSWORD, USER, Http, Ssh, host, program
from tests.support.installation import run_gitsnap, same_tree, take_snapshot


@pytest.fixture(scope="module")
def web() -> Iterator[Http]:
    with host("http") as found:
        assert isinstance(found, Http)
        yield found


@pytest.fixture(scope="module")
def ssh() -> Iterator[Ssh]:
    with host("sshd") as found:
        assert isinstance(found, Ssh)
        yield found


@pytest.fixture
def app(installation: Path) -> Path:
    take_snapshot(installation)
    return installation


def _helper(web: Http, says: str) -> dict[str, str]:
    """An environment in which git asks a helper that says this."""
    script = web.script(web.top / "other-helper", says)
    found = web.top / "other-config"
    found.write_text(f"[http]\n\tsslCAInfo = {web.top}/ca.pem\n[credential]\n\thelper = {script}\n")
    return {"GIT_CONFIG_GLOBAL": str(found)}


def test_a_helper_is_asked_and_the_password_stays_with_it(app: Path, web: Http, tmp_path: Path) -> None:
    url = web.fresh("asked").replace("https://", f"https://{USER}@")
    done = [run_gitsnap("-C", app, "remote", "add", "backup", url, env=web.env)]
    done += [run_gitsnap("-C", app, *flags, "push", env=web.env) for flags in ((), ("--json",), ("-v",))]
    take_snapshot(app)
    (web.top / "password").write_text("not" + PASSWORD)
    done += [run_gitsnap("-C", app, "push", env=web.env, check=15)]
    (web.top / "password").write_text(PASSWORD)
    done += [run_gitsnap("-C", app, "push", env=web.env)]
    done += [run_gitsnap("clone", url, tmp_path / "new", env=web.env)]
    done += [run_gitsnap("-C", tmp_path / "new", *words) for words in (["remote"], ["audit"], ["status"])]
    assert {"get", "store", "erase"} <= {*(web.top / "asked").read_text().split()}
    told = "".join(d.stdout + d.stderr for d in done)
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(kept) > 50
    basic = re.compile(rb"(?i)authorization|" + re.escape(PASSWORD.encode()))
    assert PASSWORD not in told
    assert [p for p in kept if basic.search(p.read_bytes())] == []


@pytest.mark.parametrize(
    "says",
    [
        f'test "$1" = get && printf "username={USER}\\npassword=wrong\\n"',
        'test "$1" = get && printf "username=\\npassword=\\n"',
        "exit 1",
        'test "$1" = get && printf "quit=1\\n"',
    ],
    ids=["wrong", "empty", "fails", "quits"],
)
def test_without_a_password_that_is_taken_nobody_waits(app: Path, web: Http, says: str) -> None:
    run_gitsnap("-C", app, "remote", "add", "backup", web.fresh(f"wrong{os.urandom(4).hex()}"))
    told = run_gitsnap("-C", app, "push", env=_helper(web, says), check=15).stderr
    assert "git help credentials" in told
    assert len(told.splitlines()) == 2


def test_a_ca_may_be_in_the_environment(app: Path, web: Http, tmp_path: Path) -> None:
    run_gitsnap("-C", app, "remote", "add", "backup", web.fresh("ca"))
    (tmp_path / "config").write_text(f"[credential]\n\thelper = {web.top}/helper\n")
    alone = {"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    told = run_gitsnap("-C", app, "push", env=alone, check=15).stderr
    assert "its certificate is not trusted: unable to get local issuer certificate" in told
    assert "HTTPSConnectionPool" not in told
    assert len(told.splitlines()) <= 2
    run_gitsnap("-C", app, "push", env=alone | {"GIT_SSL_CAINFO": str(web.top / "ca.pem")})
    web.require_whole("ca")
    for number, ways in enumerate(("GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "sslCAPath")):
        (app / "fresh").write_text(str(number))
        newest = take_snapshot(app)
        folder = web.top / "authorities"
        folder.mkdir(exist_ok=True)
        shutil.copy(web.top / "ca.pem", folder / f"{web.ca_name()}.0")
        if ways == "sslCAPath":
            with (tmp_path / "config").open("a") as file:
                file.write(f'[http "https://127.0.0.1:{web.port}"]\n\tsslCAPath = {folder}\n')
            assert newest in run_gitsnap("-C", app, "push", env=alone).stdout
        else:
            assert newest in run_gitsnap("-C", app, "push", env=alone | {ways: str(folder)}).stdout


def test_a_server_that_is_away_is_told(app: Path, web: Http) -> None:
    url = web.fresh("away").replace(str(web.port), "1")
    run_gitsnap("-C", app, "remote", "add", "backup", url)
    told = run_gitsnap("-C", app, "push", env=web.env, check=15).stderr
    assert "cannot be reached: Connection refused" in told
    assert len(told.splitlines()) <= 2


def test_a_key_of_the_agent_and_a_name_of_sshs_own(app: Path, ssh: Ssh, tmp_path: Path) -> None:
    ssh.configure("agent_config", "IdentityFile none\n")
    url = f"elsewhere:{ssh.repository('agent')}"
    ssh.fresh("agent")
    run_gitsnap("-C", app, "remote", "add", "backup", url)
    without = {"GIT_SSH_COMMAND": f"ssh -F {ssh.top}/agent_config", "SSH_AUTH_SOCK": ""}
    told = run_gitsnap("-C", app, "push", env=without, check=15).stderr
    assert "Permission denied" in told
    agent = ssh.top / "agent"
    process = subprocess.Popen([program("ssh-agent"), "-D", "-a", str(agent)], stdout=subprocess.DEVNULL)
    try:
        ssh.await_(agent)
        key = shutil.copy(ssh.top / "key", tmp_path / "key")
        mine = without | {"SSH_AUTH_SOCK": str(agent)}
        subprocess.run(["ssh-add", "-q", key], env=os.environ | mine, check=True, capture_output=True)
        run_gitsnap("-C", app, "push", env=mine)
        run_gitsnap("clone", url, tmp_path / "new", env=mine)
    finally:
        process.kill()
        process.wait()
    same_tree(app, tmp_path / "new")


def test_a_host_whose_key_has_changed_gets_nothing(app: Path, ssh: Ssh) -> None:
    url = ssh.fresh("changed")
    run_gitsnap("-C", app, "remote", "add", "backup", url)
    other = (ssh.top / "key.pub").read_text()
    (ssh.top / "wrong").write_text(f"[127.0.0.1]:{ssh.port} {other}")
    told = run_gitsnap(
        "-C",
        app,
        "push",
        env={"GIT_SSH_COMMAND": f"{ssh.env['GIT_SSH_COMMAND']} -oUserKnownHostsFile={ssh.top}/wrong"},
        check=15,
    ).stderr
    assert "Host key verification failed" in told
    assert ssh.refs("changed") == {}
