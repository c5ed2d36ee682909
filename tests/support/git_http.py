"""`git http-backend` behind a small server on loopback that wants a user and a password, and a proxy of the kind."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

USER, PASSWORD = "me", "geheim"
# Seconds until a server sees that it is to end.
_POLL = 0.02


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What comes in two writes would wait for the other side's word on the first.
    disable_nagle_algorithm = True
    top: Path
    # Whether others than git get an answer without the line that it begins with, and the cookie that is wanted.
    odd, cookie = False, ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Say nothing."""

    def _answer(self) -> None:
        body = self._body()
        given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {given}":
            self._send(401, [("WWW-Authenticate", 'Basic realm="test"')], b"")
            return
        if self.cookie not in self.headers.get("Cookie", ""):
            self._send(403, [], b"")
            return
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(self.top),
            # What the user of the other side has set is not the server's.
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": USER,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, data = said.partition(b"\r\n\r\n")
        if self.odd and "dulwich" in self.headers.get("User-Agent", "") and data[4:14] == b"# service=":
            data = data[data.index(b"\n") + 5 :]
        rows = [tuple(line.decode().split(": ", 1)) for line in head.split(b"\r\n")]
        status = next((int(v.split()[0]) for k, v in rows if k == "Status"), 200)
        self._send(status, [(k, v) for k, v in rows if k != "Status"], data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(data)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 - as the library has it


@contextmanager
def served(top: Path, **more: object) -> Iterator[str]:
    """The URL of the repositories below a directory; pushing is allowed where `http.receivepack` is set. `more` are
    attributes of the handler."""
    handler = type("_Here", (_Handler,), {"top": top, **more})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Proxy(BaseHTTPRequestHandler):
    """Passes requests on once a password has come with them; over http they name the whole URL."""

    protocol_version = "HTTP/1.1"
    # What comes in two writes would wait for the other side's word on the first.
    disable_nagle_algorithm = True
    passed: list[str]
    _body = _Handler._body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Say nothing."""

    def _answer(self) -> None:
        body = self._body()  # type: ignore[misc]
        given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Proxy-Authorization") != f"Basic {given}":
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.passed.append(self.path)
        left_out = ("Proxy-Authorization", "Transfer-Encoding", "Content-Length", "Connection", "Proxy-Connection")
        headers = {k: v for k, v in self.headers.items() if k not in left_out}
        parts = urlsplit(self.path)
        there = HTTPConnection(parts.netloc)
        there.request(self.command, f"{parts.path}?{parts.query}".rstrip("?"), body or None, headers)
        answer = there.getresponse()
        data = answer.read()
        there.close()
        self.send_response(answer.status)
        for name, value in [*answer.getheaders(), ("Content-Length", str(len(data)))]:
            if name not in ("Content-Length", "Transfer-Encoding") or value == str(len(data)):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 - as the library has it


@contextmanager
def proxy(passed: list[str]) -> Iterator[str]:
    """`host:port` of a proxy for http that wants the user and the password; what it has passed on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Here", (_Proxy,), {"passed": passed}))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
