"""Cloning from servers: stock git behind git's own protocol, ssh and http(s), as each of them answers."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gitsnap.core.errors import RemoteError
from gitsnap.ops.remote import clone as operation
from gitsnap.ops.remote import receive
from gitsnap.ops.store import locate
from gitsnap.sidecar.git.fetch.source import open_source
from tests.support.inprocess import SETTINGS, Protected, bare_git, workspace
from tests.support.installation import same_tree


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with `m.git`, the mirror of a sidecar with two snapshots of `app`."""
    with workspace() as where:
        monkeypatch.setenv("HOME", str(where))
        (where / "app" / "deep").mkdir(parents=True)
        (where / "app" / "deep" / "large").write_bytes(os.urandom(1 << 20))
        with Protected(where / "app", where / "home") as place:
            for number in range(2):
                (where / "app" / "f").write_text(f"{number}")
                place.take()
            subprocess.run(["git", "clone", "-q", "--mirror", place.store, where / "m.git"], check=True)
        yield where


def clones(top: Path, url: str) -> None:
    place = locate.place_for(str(top / "new"), None, str(top / "home"), "/", "")
    with open_source(url, "/") as source:
        done = operation.clone(source, place, None, receive.Asked(SETTINGS, Protected(top / "app", top / "home").now))
    assert done.restored is not None
    assert done.restored.verified
    assert len(done.received.whole) == 2
    same_tree(top / "app", top / "new")
    assert bare_git(Path(place.store), "fsck", "--full", "--strict") == b""


def test_ssh(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = top / "ssh"
    # What ssh does at the other end: the last word is a line for the shell.
    program.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    clones(top, f"ssh://nobody@host.example{top}/m.git")


def test_a_server_that_misses_an_object_sends_all_else(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = top / "m.git"
    first, last = bare_git(repository, "for-each-ref", "--format=%(refname)", "refs/gitsnap/snapshots").split()
    blob = bare_git(repository, "rev-parse", f"{first.decode()}:f").decode().strip()
    for pack in list((repository / "objects" / "pack").glob("*.pack")):
        moved = pack.rename(top / "moved")
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            subprocess.run(["git", "--git-dir", repository, "unpack-objects", "-q"], stdin=file, check=True)
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    program = top / "ssh"
    program.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    place = locate.place_for(str(top / "new"), None, str(top / "home"), "/", "")
    with open_source(f"ssh://host.example{repository}", "/") as source:
        done = operation.clone(source, place, None, receive.Asked(SETTINGS, Protected(top / "app", top / "home").now))
    assert [v.snapshot for v in done.received.damaged] == [first.decode().rpartition("/")[2]]
    assert [s.id for s in done.received.whole] == [last.decode().rpartition("/")[2]]
    same_tree(top / "app", top / "new")


def test_gits_own_protocol(top: Path) -> None:
    (top / "m.git" / "git-daemon-export-ok").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={top}", str(top)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _reached(port)
        clones(top, f"git://127.0.0.1:{port}/m.git")
        with pytest.raises(RemoteError, match="cannot be reached"):
            open_source(f"git://127.0.0.1:{port}/none.git", "/")
    finally:
        os.killpg(daemon.pid, 15)
        daemon.communicate()


def _reached(port: int) -> None:
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return


class _Backend(BaseHTTPRequestHandler):
    """git-http-backend(1) behind a server that may ask for a password."""

    root, password = "", ""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="here"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        sent = self._body()
        done = subprocess.run(["git", "http-backend"], env=env, input=sent, capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


@contextmanager
def serving(root: Path, password: str = "", handler: type[BaseHTTPRequestHandler] = _Backend) -> Iterator[str]:
    kind = type("Handler", (handler,), {"root": str(root), "password": password})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_http(top: Path) -> None:
    with serving(top) as url:
        clones(top, f"{url}/m.git")


def test_http_with_a_password_that_a_helper_of_git_knows(top: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(top, "of nobody else") as url:
        with pytest.raises(RemoteError, match="credential helpers"):
            open_source(f"{url}/m.git", "/")
        helper = '!f() { test "$1" = get && echo username=me && echo "password=of nobody else"; }; f'
        (top / ".gitconfig").write_text(f'[credential]\n\thelper = "{helper.replace(chr(34), chr(92) + chr(34))}"\n')
        clones(top, f"{url}/m.git")
    told = "".join(capfd.readouterr())
    assert "of nobody else" not in told
    stored = [p for p in (top / "home").rglob("*") if p.is_file() and b"of nobody else" in p.read_bytes()]
    assert not stored


def test_a_server_that_speaks_no_git(top: Path) -> None:
    class Files(_Backend):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(top, handler=Files) as url, pytest.raises(RemoteError, match="no protocol of git"):
        open_source(f"{url}/m.git", "/")
