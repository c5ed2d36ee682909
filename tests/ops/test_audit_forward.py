"""Lines of the audit log to the journal and to syslog: what arrives at sockets that stand in for them."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.audit import NOTHING, digest, encode
from gitsnap.core.settings import Audit
from gitsnap.ops.audit import forward
from tests.support.inprocess import workspace

RECORD: dict[str, Any] = {
    "action": "run",
    "phase": "ended",
    "outcome": "rolled-back",
    "exit_code": 20,
    "cause": "the check\nexited with 1",
    "installation": "/srv/app",
    "upgrade": "2026-11-24T15-12-03Z-two",
    "target": None,
    "safety": None,
    "taken": [{"id": "2026-11-24T15-12-03Z-pre"}, {"id": "2026-11-24T15-12-04Z-post"}],
    "removed": [],
    "user": {"uid": 0, "name": "root", "sudo_user": "anna", "login": None},
}
LINE = encode(NOTHING, RECORD)


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        yield place


def listening(path: Path, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, kind)
    found.bind(str(path))
    found.settimeout(10)
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found


def fields(data: bytes) -> list[tuple[str, str]]:
    """A message of the journal's native protocol, taken apart by its rules."""
    out = []
    while data:
        name, _, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            key, size = name, struct.unpack("<Q", rest[:8])[0]
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
            assert rest[8 + size : 8 + size + 1] == b"\n"
        out.append((key.decode(), value.decode()))
    return out


def test_the_journal_gets_fields(where: Path) -> None:
    with closing(listening(where / "socket")) as journal:
        assert forward.tell(Audit(journald=str(where / "socket")), RECORD, LINE) == []
        found = fields(journal.recv(1 << 20))
    told = dict(found)
    assert told["PRIORITY"] == "4"
    assert told["SYSLOG_IDENTIFIER"] == "gitsnap"
    assert told["GITSNAP_OUTCOME"] == "rolled-back"
    # A field with a newline has its length in front.
    assert told["GITSNAP_CAUSE"] == RECORD["cause"]
    assert [v for k, v in found if k == "GITSNAP_TAKEN"] == [s["id"] for s in RECORD["taken"]]
    assert told["GITSNAP_LINE"].encode() + b"\n" == LINE
    assert told["GITSNAP_LINE_SHA256"] == digest(LINE)
    assert "anna" in told["MESSAGE"]
    assert "GITSNAP_TARGET" not in told


def test_what_is_too_large_for_a_datagram_goes_as_a_file(where: Path) -> None:
    large = RECORD | {"cause": "x" * 10_000_000}
    with closing(listening(where / "socket")) as journal:
        assert forward.tell(Audit(journald=str(where / "socket")), large, encode(NOTHING, large)) == []
        data, ancillary, _, _ = journal.recvmsg(100, socket.CMSG_SPACE(4))
    assert data == b""
    passed = array.array("i")
    passed.frombytes(ancillary[0][2])
    with open(passed[0], "rb") as file:
        file.seek(0)
        assert dict(fields(file.read()))["GITSNAP_CAUSE"] == large["cause"]
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(file.fileno(), 0)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_syslog_gets_a_sentence(where: Path, kind: socket.SocketKind) -> None:
    with closing(listening(where / "log", kind)) as syslog:
        assert forward.tell(Audit(syslog=str(where / "log")), RECORD, LINE) == []
        data = (syslog if kind == socket.SOCK_DGRAM else syslog.accept()[0]).recv(1 << 20)
    # user.warning
    assert data.startswith(b"<12>")
    assert f"gitsnap[{os.getpid()}]: run of /srv/app by anna".encode() in data
    assert digest(LINE).encode() in data
    assert b"\n" not in data


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_no_text_begins_another_message(where: Path, kind: socket.SocketKind) -> None:
    forged = RECORD | {"cause": "it said\0<13>Nov 24 15:12:13 sshd[1]: root came in\r\n\x1b[2J"}
    with closing(listening(where / "log", kind)) as syslog:
        assert forward.tell(Audit(syslog=str(where / "log")), forged, LINE) == []
        data = (syslog if kind == socket.SOCK_DGRAM else syslog.accept()[0]).recv(1 << 20)
    message = data[:-1] if kind == socket.SOCK_STREAM else data
    assert message.decode().isprintable()


def test_who_is_not_there_is_named_and_does_no_harm(where: Path) -> None:
    failed = forward.tell(Audit(str(where / "none"), str(where / "neither")), RECORD, LINE)
    assert [
        f"{name} ({where}/{file}) could not be told" in f
        for f, name, file in zip(failed, ("the journal", "syslog"), ("none", "neither"), strict=True)
    ] == [True, True]


def test_who_does_not_listen_is_not_waited_for(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_PATIENCE", 0.05)
    with closing(listening(where / "socket")) as journal:
        journal.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        told = [forward.tell(Audit(journald=str(where / "socket")), RECORD, LINE)]
        while not told[-1] and len(told) < 2000:
            told.append(forward.tell(Audit(journald=str(where / "socket")), RECORD, LINE))
        assert told[0] == []
        assert "could not be told" in told[-1][0]
