"""Commits from the front of a pack: of packs that stock git makes, and of what no git would make."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest
from dulwich.client import Urllib3HttpGitClient
from dulwich.errors import GitProtocolError

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import partial_fetch
from gitsnap.sidecar.git.commit_stream import LARGEST, CommitStream


def git(where: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", "-C", where, *arguments], input=stdin, check=True, capture_output=True).stdout


@pytest.fixture
def packed(tmp_path: Path) -> tuple[bytes, dict[str, bytes]]:
    """A pack with eight commits that are much alike, their tree and a blob; the commits' contents by their ids."""
    git(tmp_path, "init", "-q", "--bare", ".")
    blob = git(tmp_path, "hash-object", "-w", "--stdin", stdin=b"x" * 1000).decode().strip()
    tree = git(tmp_path, "mktree", stdin=f"100644 blob {blob}\tf\n".encode()).decode().strip()
    commits = {}
    for number in range(8):
        text = f"tree {tree}\nauthor a <a> {number} +0000\ncommitter a <a> {number} +0000\n\n".encode()
        text += b"".join(b"Line-%d: the same in all of them\n" % n for n in range(60)) + b"%d\n" % number
        oid = git(tmp_path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text).decode().strip()
        commits[oid] = text
    wanted = "".join(f"{oid}\n" for oid in (*commits, tree, blob))
    return git(tmp_path, "pack-objects", "--stdout", "-q", "--delta-base-offset", stdin=wanted.encode()), commits


@pytest.mark.parametrize("piece", [1, 7, 100, 1 << 20])
def test_all_commits_come_and_nothing_else(packed: tuple[bytes, dict[str, bytes]], piece: int) -> None:
    data, commits = packed
    stream = CommitStream()
    for at in range(0, len(data), piece):
        stream.feed(data[at : at + piece])
    assert {oid: content for oid, (_, content) in stream.found.items()} == commits
    assert stream.beyond
    # Otherwise nothing here has shown that deltas are understood.
    assert len(data) < sum(len(zlib.compress(content)) for content in commits.values())


def _pack(*entries: bytes) -> bytes:
    return b"PACK" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big") + b"".join(entries)


def _entry(kind: int, size: int, content: bytes) -> bytes:
    head, rest = bytearray([kind << 4 | size & 15]), size >> 4
    while rest:
        head[-1] |= 0x80
        head.append(rest & 0x7F)
        rest >>= 7
    return bytes(head) + zlib.compress(content)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 404 Not Found",
        _pack(_entry(1, 10, b"x" * 100_000)),
        _pack(_entry(1, LARGEST + 1, b"x")),
        _pack(b"\x9a\x00" + b"no deflate at all"),
        _pack(_entry(1, 5, b"abcde"), b"\x7a" + b"\0" * 3),
    ],
)
def test_what_is_none_ends_it(data: bytes) -> None:
    stream = CommitStream()
    if data.endswith(b"\0\0\0"):
        # A delta that is cut off: nothing is wrong yet, and nothing more is there.
        stream.feed(data)
        assert (len(stream.found), stream.beyond) == (1, False)
        return
    with pytest.raises(IntegrityError):
        stream.feed(data)


def test_an_endless_object_is_left() -> None:
    """Blocks of deflate that hold nothing: none of them is wrong, and none is the last."""
    stream = CommitStream()
    head = _entry(1, LARGEST, b"")
    stream.feed(_pack(head[: -len(zlib.compress(b""))] + b"\x78\x01"))
    with pytest.raises(IntegrityError, match="larger"):
        for _ in range(100):
            stream.feed(b"\0\0\0\xff\xff" * 13_000)


def test_a_server_is_not_followed_elsewhere() -> None:
    client = Urllib3HttpGitClient("https://127.0.0.1:1/x.git")
    partial_fetch._stay(client)
    with pytest.raises(GitProtocolError, match="elsewhere"):
        client._http_request("https://127.0.0.1:1/elsewhere.pack")
