"""Lines of the audit log, told to systemd's journal and to syslog: out of reach of whoever can write the sidecar.

Both by their sockets, without a library: systemd.io/JOURNAL_NATIVE_PROTOCOL, and what syslog(3) sends to a local one,
RFC 3164 without the name of the host. RFC 5424, which has fields, is for the network: rsyslog's imuxsock takes its
header for text unless it is told otherwise.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gitsnap.core.audit import digest
from gitsnap.core.settings import Audit

# Seconds. Whoever does not listen is not waited for.
_PATIENCE = 1.0
# syslog(3): LOG_USER, and the severities.
_FACILITY = 1
_ERROR, _WARNING, _NOTICE, _INFO = 3, 4, 5, 6
_SEVERITIES = {
    "rollback-failed": _ERROR,
    "damaged": _ERROR,
    "failed": _ERROR,
    "rolled-back": _WARNING,
    "refused": _WARNING,
    "incomplete": _WARNING,
    "interrupted": _WARNING,
    "conflicts": _WARNING,
}
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def tell(where: Audit, record: Mapping[str, Any], line: bytes) -> list[str]:
    """Tell whoever is to be told of a line; a sentence for each who could not be."""
    failed = []
    for name, path, send in (("the journal", where.journald, to_journal), ("syslog", where.syslog, to_syslog)):
        try:
            if path:
                send(path, record, line)
        except OSError as error:
            failed.append(f"audit log: {name} ({path}) could not be told: {error.strerror or error}")
    return failed


def sentence(record: Mapping[str, Any], line: bytes) -> str:
    """A line in a few words, with its digest: whoever keeps that can tell later whether the log is still the same."""
    who = record["user"]["sudo_user"] or record["user"]["login"] or record["user"]["name"] or record["user"]["uid"]
    became = record["outcome"] or record["phase"]
    cause = f" because {record['cause']}" if record["cause"] else ""
    upgrade = f" upgrade {record['upgrade']}" if record["upgrade"] else ""
    return f"{record['action']} of {record['installation']} by {who}:{upgrade} {became}{cause} [sha256 {digest(line)}]"


def to_journal(path: str, record: Mapping[str, Any], line: bytes) -> None:
    """Send it to the journal's native socket at `path`. OSError."""
    data = b"".join(_field(name, value) for name, value in _fields(record, line))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
        sending.settimeout(_PATIENCE)
        sending.connect(path)
        try:
            sending.sendall(data)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            _as_file(sending, data)


def _as_file(sending: socket.socket, data: bytes) -> None:
    """What is too large for a datagram goes as the descriptor of a sealed file in memory."""
    fd = os.memfd_create("gitsnap-audit", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with open(fd, "wb", buffering=0) as file:
        file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        sending.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def _fields(record: Mapping[str, Any], line: bytes) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", sentence(record, line)
    yield "PRIORITY", str(_severity(record))
    yield "SYSLOG_IDENTIFIER", "gitsnap"
    yield "SYSLOG_FACILITY", str(_FACILITY)
    for name in ("action", "phase", "outcome", "exit_code", "cause", "installation", "upgrade", "target", "safety"):
        if record[name] is not None:
            yield f"GITSNAP_{name.upper()}", str(record[name])
    for word, field in (("taken", "GITSNAP_TAKEN"), ("removed", "GITSNAP_REMOVED")):
        for snapshot in record[word]:
            yield field, snapshot["id"]
    yield "GITSNAP_LINE_SHA256", digest(line)
    yield "GITSNAP_LINE", line.decode().rstrip("\n")


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def to_syslog(path: str, record: Mapping[str, Any], line: bytes) -> None:
    """Send it to the syslog socket at `path`, which takes datagrams or a stream. OSError."""
    now = datetime.now()
    stamp = f"{now:%b} {now.day:2d} {now:%H:%M:%S}"
    # Some receivers begin another message at a zero byte or a newline.
    text = _CONTROL.sub(b" ", sentence(record, line).encode("utf-8", "backslashreplace"))
    head = f"<{_FACILITY * 8 + _severity(record)}>{stamp} gitsnap[{os.getpid()}]: ".encode()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC) as sending:
            sending.settimeout(_PATIENCE)
            try:
                sending.connect(path)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE and kind is socket.SOCK_DGRAM:
                    continue
                raise
            sending.sendall(head + text + (b"\0" if kind is socket.SOCK_STREAM else b""))
            return


def _severity(record: Mapping[str, Any]) -> int:
    if record["outcome"] is None:
        return _INFO
    return _SEVERITIES.get(record["outcome"], _NOTICE)
