"""Real git servers on loopback, each in a private directory, as whoever runs the tests, and ended for sure.

What receives a pack goes through a gate, a script of ours in front of git: by it a test has the server run out of space
at a chosen size, or stand still in the middle of a pack, to be killed there.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.installation import IS_ROOT, remove_tree

USER, PASSWORD = "backup", "tr0ub4dor&3-Zitronenfalter"
_PATIENCE = 60.0

_GATE = """
import os, resource, signal, subprocess, sys
control, command = sys.argv[1], sys.argv[2:]
asked = " ".join([*command, os.environ.get("SSH_ORIGINAL_COMMAND", ""), os.environ.get("PATH_INFO", "")])

def number(name):
    try:
        with open(os.path.join(control, name)) as file:
            return int(file.read())
    except FileNotFoundError:
        return None

# Python ignores both of its own accord.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
room, most = number("room"), number("stall")
if "receive-pack" not in asked:
    room = most = None
if room is None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
if most is not None:
    try:
        os.setpgid(0, 0)
    except PermissionError:
        pass
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    while most > 0:
        data = os.read(0, min(most, 1 << 16))
        if not data:
            break
        child.stdin.write(data)
        child.stdin.flush()
        most -= len(data)
    with open(os.path.join(control, "new"), "w") as file:
        file.write(str(os.getpgid(0)))
    os.rename(os.path.join(control, "new"), os.path.join(control, "stalled"))
    signal.pause()
os.execvp(command[0], command)
"""


def program(name: str) -> str:
    """A program, also where Debian keeps it out of the way; the test is skipped where there is none."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/git-core"]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def git(*arguments: str | Path) -> str:
    """Stock git, by nobody's configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], env=clean | alone, capture_output=True, text=True, check=True)
    return done.stdout


class Host:
    """A bare directory on this machine, and what all kinds of servers have in common.

    `env` is what a client needs in its environment to get there.
    """

    def __init__(self, top: Path) -> None:
        self.top, self.control = top, top / "control"
        self.control.mkdir()
        (top / "gate.py").write_text(_GATE)
        self.env: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def gate(self) -> str:
        """What comes before a command, for a shell."""
        return shlex.join([sys.executable, "-I", "-S", str(self.top / "gate.py"), str(self.control)])

    def start(self) -> None:
        folder, real = self.top / "bin", program("git")
        folder.mkdir()
        self.script(folder / "git", f'case $1 in receive-pack) exec {self.gate} {real} "$@";; esac\nexec {real} "$@"')
        self.env["PATH"] = f"{folder}:{os.environ['PATH']}"

    def url(self, name: str) -> str:
        return str(self.repository(name))

    def repository(self, name: str) -> Path:
        """Where it lies on this machine."""
        return self.top / "repositories" / f"{name}.git"

    def fresh(self, name: str) -> str:
        """A new and empty repository; its URL."""
        git("init", "-q", "--bare", self.repository(name))
        return self.url(name)

    def strict(self, name: str) -> str:
        """One in which nothing is overwritten, and nothing removed."""
        url, where = self.fresh(name), self.repository(name)
        git("--git-dir", where, "config", "receive.denyNonFastForwards", "true")
        git("--git-dir", where, "config", "receive.denyDeletes", "true")
        # As git has them for branches alone.
        self.script(
            where / "hooks/update",
            'case $3 in 0000*) exit 1;; esac; case $2 in 0000*) exit 0;; esac\ntest "$(git merge-base $2 $3)" = $2',
        )
        return url

    def script(self, path: Path, text: str) -> Path:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def stop(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, *command: str, **more: str) -> None:
        """Start a program that stays."""
        with open(self.top / "log", "ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=os.environ | more,
                )
            )

    def await_(self, address: int | Path) -> None:
        """Until somebody listens there."""
        until = time.monotonic() + _PATIENCE
        family, where = (
            (socket.AF_INET, ("127.0.0.1", address)) if isinstance(address, int) else (socket.AF_UNIX, str(address))
        )
        while time.monotonic() < until:
            with socket.socket(family) as probe:
                if probe.connect_ex(where) == 0:
                    return
            gone = [p for p in self._processes if p.poll() is not None]
            assert not gone, f"the server has ended: {(self.top / 'log').read_text()}"
            time.sleep(0.01)
        raise AssertionError("the server does not listen")

    @contextmanager
    def full(self, room: int) -> Iterator[None]:
        """No file that a push makes grows beyond `room` bytes."""
        (self.control / "room").write_text(str(room))
        try:
            yield
        finally:
            (self.control / "room").unlink()

    @contextmanager
    def killed_after(self, received: int) -> Iterator[None]:
        """What receives a push is killed when so many bytes have come: surely there, and before the end of them."""
        (self.control / "stall").write_text(str(received))
        over = threading.Event()
        killed: list[int] = []

        def watch() -> None:
            while not over.is_set():
                with suppress(FileNotFoundError):
                    group = int((self.control / "stalled").read_text())
                    (self.control / "stall").unlink()
                    (self.control / "stalled").unlink()
                    killed.append(group)
                    os.killpg(group, signal.SIGKILL)
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            (self.control / "stall").unlink(missing_ok=True)
        assert killed, "nothing was killed"

    def refs(self, name: str) -> Mapping[str, str]:
        rows = git("--git-dir", self.repository(name), "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        return {row[41:]: row[:40] for row in rows}

    def require_whole(self, name: str) -> None:
        git("--git-dir", self.repository(name), "fsck", "--full", "--strict", "--no-dangling")


class Ssh(Host):
    """OpenSSH's sshd with one key, which may run git-shell and nothing else."""

    def start(self) -> None:
        sshd, keygen = program("sshd"), program("ssh-keygen")
        program("ssh")
        for name in ("host", "key"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(self.top / name)], check=True)
        public = (self.top / "key.pub").read_text()
        command = self.script(self.top / "forced", f"exec {self.forced()}")
        (self.top / "authorized").write_text(f'command="{command}",restrict {public}')
        self.port = free_port()
        (self.top / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.top}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.top}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\n"
        )
        host_key = (self.top / "host.pub").read_text()
        (self.top / "known").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self.configure("ssh_config", f"IdentityFile {self.top}/key\nIdentitiesOnly yes\nIdentityAgent none\n")
        self.env["GIT_SSH_COMMAND"] = f"ssh -F {self.top}/ssh_config"
        if IS_ROOT:
            # Where sshd locks itself in; there is none before the machine's own was started.
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.run(sshd, "-D", "-e", "-f", str(self.top / "sshd_config"))
        self.await_(self.port)

    def configure(self, name: str, identity: str) -> None:
        """Write a configuration of ssh, in which the host is called `elsewhere`."""
        (self.top / name).write_text(
            f"Host elsewhere 127.0.0.1\nHostName 127.0.0.1\nPort {self.port}\nUser {getpass.getuser()}\n"
            f"UserKnownHostsFile {self.top}/known\nStrictHostKeyChecking yes\nBatchMode yes\n{identity}"
        )

    def forced(self) -> str:
        return f'{self.gate} {program("git-shell")} -c "$SSH_ORIGINAL_COMMAND"'

    def url(self, name: str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.repository(name)}"


class Gitolite(Ssh):
    """gitolite3 in a HOME of its own, behind sshd: whoever may make repositories makes them by pushing."""

    def start(self) -> None:
        self._gitolite("setup", "-a", "admin")
        (self.top / ".gitolite/conf/gitolite.conf").write_text(
            "repo free/..*\n    C = admin\n    RW+ = admin\n\nrepo strict/..*\n    C = admin\n    RW = admin\n"
        )
        self._gitolite("compile")
        super().start()

    def _gitolite(self, *arguments: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        subprocess.run(
            [program("gitolite"), *arguments],
            env=clean | {"HOME": str(self.top)},
            check=True,
            capture_output=True,
        )

    def forced(self) -> str:
        shell = "/usr/share/gitolite3/gitolite-shell"
        if not os.path.exists(shell):
            pytest.skip("gitolite3 is not installed")
        return f"env HOME={self.top} {self.gate} {shell} admin"

    def repository(self, name: str) -> Path:
        return self.top / "repositories" / self._path(name) / f"{name}.git"

    def url(self, name: str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{self._path(name)}/{name}"

    def _path(self, name: str) -> str:
        return "strict" if name.startswith("strict") else "free"

    def fresh(self, name: str) -> str:
        return self.url(name)

    def strict(self, name: str) -> str:
        return self.url(f"strict-{name}")


class Http(Host):
    """`git http-backend` behind nginx, with TLS by a CA of its own, and basic authentication."""

    def start(self) -> None:
        nginx, fcgiwrap, backend = program("nginx"), program("fcgiwrap"), program("git-http-backend")
        self._certificates()
        self.script(self.top / "cgi", f"exec {self.gate} {backend}")
        (self.top / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        self.port = free_port()
        (self.top / "nginx.conf").write_text(self._nginx())
        (self.top / "repositories").mkdir()
        self.run(fcgiwrap, "-f", "-c", "4", "-s", f"unix:{self.top}/fcgi", HOME=str(self.top))
        self.await_(self.top / "fcgi")
        self.run(nginx, "-p", str(self.top), "-e", str(self.top / "log"), "-c", str(self.top / "nginx.conf"))
        self.await_(self.port)
        self.script(
            self.top / "helper",
            f'echo "$1" >> {self.top}/asked\ntest "$1" = get && printf "username={USER}\\npassword=%s\\n" '
            f'"$(cat {self.top}/password)"\nexit 0',
        )
        (self.top / "password").write_text(PASSWORD)
        self.configuration(f"[http]\n\tsslCAInfo = {self.top}/ca.pem\n[credential]\n\thelper = {self.top}/helper\n")

    def configuration(self, text: str) -> None:
        """The user's configuration of git."""
        (self.top / "gitconfig").write_text(text)
        self.env["GIT_CONFIG_GLOBAL"] = str(self.top / "gitconfig")

    def _certificates(self) -> None:
        new = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        new += ["-nodes", "-days", "30"]
        top = self.top
        authority = ["-subj", "/CN=a private CA", "-addext", "keyUsage=critical,keyCertSign"]
        subprocess.run(
            [*new, *authority, "-keyout", top / "ca.key", "-out", top / "ca.pem"], check=True, capture_output=True
        )
        mine = [
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-CA",
            top / "ca.pem",
            "-CAkey",
            top / "ca.key",
        ]
        mine += ["-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(
            [*new, *mine, "-keyout", top / "tls.key", "-out", top / "tls.pem"], check=True, capture_output=True
        )

    def ca_name(self) -> str:
        """What the CA's file is called in a directory of them."""
        command = [program("openssl"), "x509", "-noout", "-hash", "-in", str(self.top / "ca.pem")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _nginx(self) -> str:
        top = self.top
        temporary = "".join(f"{k}_temp_path {top}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        given = {
            "SCRIPT_FILENAME": f"{top}/cgi",
            "PATH_INFO": "$uri",
            "QUERY_STRING": "$query_string",
            "REQUEST_METHOD": "$request_method",
            "CONTENT_TYPE": "$content_type",
            "CONTENT_LENGTH": "$content_length",
            "REMOTE_USER": "$remote_user",
            "REMOTE_ADDR": "$remote_addr",
            "SERVER_PROTOCOL": "$server_protocol",
            "GIT_PROJECT_ROOT": f"{top}/repositories",
            "GIT_HTTP_EXPORT_ALL": "1",
        }
        parameters = "".join(f"fastcgi_param {k} {v};\n" for k, v in given.items())
        user = "user root;\n" if IS_ROOT else ""
        return (
            f"{user}daemon off;\nworker_processes 1;\npid {top}/nginx.pid;\nevents {{}}\nhttp {{\n{temporary}"
            f"access_log {top}/access;\nserver {{\nlisten 127.0.0.1:{self.port} ssl;\nssl_certificate {top}/tls.pem;\n"
            f"ssl_certificate_key {top}/tls.key;\nlocation / {{\nauth_basic git;\nauth_basic_user_file {top}/users;\n"
            f"client_max_body_size 0;\nfastcgi_request_buffering off;\nfastcgi_pass unix:{top}/fcgi;\n"
            f"{parameters}}}\n}}\n}}\n"
        )

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.port}/{name}.git"


KINDS: Mapping[str, type[Host]] = {"directory": Host, "sshd": Ssh, "http": Http, "gitolite": Gitolite}


@contextmanager
def host(kind: str) -> Iterator[Host]:
    """A server of that kind, in a directory whose name is short enough for sockets."""
    top = Path(tempfile.mkdtemp(prefix="gitsnap-server-"))
    found = KINDS[kind](top)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        remove_tree(top)


def free_port() -> int:
    """A port on loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
