"""The commit's message: its exact text, what reading it refuses, and git as the judge."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_message, parse_message
from gitsnap.core.model import Kind, Snapshot

SNAPSHOT = Snapshot(
    id="2025-08-10T03-40-11Z-pre",
    commit="c" * 40,
    tree="d" * 40,
    created=datetime(2025, 8, 10, 3, 40, 11, tzinfo=UTC),
    kind=Kind.PRE,
    label="pre",
    message="Before the upgrade",
    files=68,
    bytes=540_000,
    manifest_sha256="e" * 64,
    metadata_sha256="f" * 64,
)
FULL = dataclasses.replace(
    SNAPSHOT,
    id="2025-08-10T03-40-11Z-upgrade-2",
    label="upgrade",
    kind=Kind.POST,
    message="After the upgrade\n\nIt went well.\n\nGitsnap-Id: 1999-01-01T00-00-00Z-forged",
    previous_manifest_sha256="a" * 64,
    tags=("v2", "näch\tste \\ "),
    pinned=True,
    upgrade="2025-08-10T03-40-11Z-pre",
    command="./upgrade.sh 'two\nlines' \\x \x1b[1m \u2028 \udcff",
    exit_code=-9,
    partial=3,
)
FULL_TEXT = rf"""post: After the upgrade

It went well.

Gitsnap-Id: 1999-01-01T00-00-00Z-forged

Gitsnap-Id: 2025-08-10T03-40-11Z-upgrade-2
Gitsnap-Kind: post
Gitsnap-Label: upgrade
Gitsnap-Files: 68
Gitsnap-Bytes: 540000
Gitsnap-Manifest-SHA256: {"e" * 64}
Gitsnap-Metadata-SHA256: {"f" * 64}
Gitsnap-Previous-Manifest-SHA256: {"a" * 64}
Gitsnap-Upgrade: 2025-08-10T03-40-11Z-pre
Gitsnap-Command: ./upgrade.sh 'two\nlines' \\x \x1b[1m \u2028 \udcff
Gitsnap-Exit-Code: -9
Gitsnap-Tag: v2
Gitsnap-Tag: näch\tste \\\x20
Gitsnap-Partial: 3
"""


def parse(message: bytes, like: Snapshot = SNAPSHOT) -> Snapshot:
    return parse_message(message, commit=like.commit, tree=like.tree, created=like.created, pinned=like.pinned)


def replaced(**facts: Any) -> Snapshot:
    return dataclasses.replace(SNAPSHOT, **facts)


def test_the_text_is_what_the_format_says() -> None:
    assert format_message(FULL).decode() == FULL_TEXT
    assert parse(FULL_TEXT.encode(), FULL) == FULL


def test_what_does_not_apply_is_left_out() -> None:
    text = format_message(SNAPSHOT).decode()
    assert [line.partition(":")[0] for line in text.split("\n\n")[1].splitlines()] == [
        "Gitsnap-Id",
        "Gitsnap-Kind",
        "Gitsnap-Label",
        "Gitsnap-Files",
        "Gitsnap-Bytes",
        "Gitsnap-Manifest-SHA256",
        "Gitsnap-Metadata-SHA256",
    ]
    assert parse(text.encode()) == SNAPSHOT


@pytest.mark.parametrize(
    ("message", "stored", "head"),
    [
        ("one", "one", "pre: one\n\nGitsnap-Id"),
        ("  one\r\n\r\ntwo\r\n", "one\n\ntwo", "pre: one\n\ntwo\n\nGitsnap-Id"),
        ("one\rtwo\r\r\nthree", "one\ntwo\n\nthree", "pre: one\n\n\ntwo\n\nthree\n\nGitsnap-Id"),
        ("one\ntwo", "one\ntwo", "pre: one\n\n\ntwo\n\nGitsnap-Id"),
        ("one\n\ntwo", "one\n\ntwo", "pre: one\n\ntwo\n\nGitsnap-Id"),
        ("one\n\n\ntwo", "one\n\n\ntwo", "pre: one\n\n\n\ntwo\n\nGitsnap-Id"),
        ("one\n\n\n\ntwo", "one\n\n\n\ntwo", "pre: one\n\n\n\n\ntwo\n\nGitsnap-Id"),
        ("one\n \ntwo", "one\n \ntwo", "pre: one\n\n\n \ntwo\n\nGitsnap-Id"),
        ("pre: one", "pre: one", "pre: pre: one\n\nGitsnap-Id"),
        ("", "snapshot", "pre: snapshot\n\nGitsnap-Id"),
        (" \n\t", "snapshot", "pre: snapshot\n\nGitsnap-Id"),
        ("\udcff", "\udcff", "pre: \udcff\n\nGitsnap-Id"),
    ],
)
def test_messages_come_back_as_they_are_stored(message: str, stored: str, head: str) -> None:
    text = format_message(replaced(message=message))
    assert text.decode("utf-8", "surrogateescape").startswith(head)
    assert parse(text).message == stored
    assert format_message(parse(text)) == text


def test_without_a_message_the_label_says_more_than_the_kind() -> None:
    facts = {"message": "", "label": "weekly", "id": "2025-08-10T03-40-11Z-weekly"}
    assert format_message(replaced(**facts)).startswith(b"pre: weekly\n\n")


@pytest.mark.parametrize(
    "facts",
    [
        {"message": "a\0b"},
        {"message": "\ud800"},
        {"id": "latest"},
        {"id": "2025-08-10T03-40-11Z-"},
        {"id": "2025-08-10T03-40-11Z-a\n"},
        {"id": "2025-08-10T03-40-11Z-A"},
        {"label": ""},
        {"label": "two words"},
        {"label": "a\nGitsnap-Tag: b"},
        {"files": -1},
        {"bytes": 10**19},
        {"manifest_sha256": "e" * 63},
        {"manifest_sha256": "E" * 64},
        {"metadata_sha256": ""},
        {"previous_manifest_sha256": ""},
        {"command": ""},
        {"upgrade": ""},
        {"tags": ("",)},
        {"partial": -1},
    ],
)
def test_what_no_message_can_hold_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        format_message(replaced(**facts))


GOOD = FULL_TEXT


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ("", "no final newline"),
        (GOOD[:-1], "no final newline"),
        (GOOD + "\n", "no final newline"),
        (GOOD + "\n\n", "no final newline"),
        ("post: x\n\nno trailers\n", "malformed trailer"),
        (GOOD.replace("post: After", "pre: After"), "snapshot's kind"),
        (GOOD.replace("post: After", "After"), "snapshot's kind"),
        (GOOD.partition("\n\n")[2], "snapshot's kind"),
        (GOOD.rpartition("\n\n")[2], "snapshot's kind"),
        (GOOD.replace("Kind: post", "Kind: other"), "malformed trailer"),
        (GOOD.replace("Kind: post\n", "Kind: post\nGitsnap-Kind: post\n"), "Gitsnap-Kind twice"),
        (GOOD.replace("Gitsnap-Kind: post\n", ""), "no trailer Gitsnap-Kind"),
        (GOOD.replace("Gitsnap-Label: upgrade\n", ""), "no trailer Gitsnap-Label"),
        (GOOD.replace("Gitsnap-Files: 68\n", ""), "no trailer Gitsnap-Files"),
        (GOOD.replace("Files: 68", "Files: 068"), "malformed trailer"),
        (GOOD.replace("Files: 68", "Files: -68"), "malformed trailer"),
        (GOOD.replace("Files: 68", "Files: " + "9" * 5000), "malformed trailer"),
        (GOOD.replace("Files: 68", "Files: \u0666"), "malformed trailer"),
        (GOOD.replace("Code: -9", "Code: -0"), "malformed trailer"),
        (GOOD.replace("Partial: 3", "Partial: 0"), "malformed trailer"),
        (GOOD.replace("Id: 2025-08-10T03-40-11Z-upgrade-2", "Id: 2025-08-10 upgrade"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Color: v2\n"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "gitsnap-tag: v2\n"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag:v2\n"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag: v2 \n"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag: v2\n more\n"), "malformed trailer"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag: v\\72\n"), "not one that gitsnap writes"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag: v\\x32\n"), "not one that gitsnap writes"),
        (GOOD.replace("Gitsnap-Tag: v2\n", "Gitsnap-Tag: v\t2\n"), "not one that gitsnap writes"),
        (GOOD.replace("Gitsnap-Files: 68\nGitsnap-Bytes: 540000\n", "Gitsnap-Bytes: 1\nGitsnap-Files: 1\n"), "not one"),
        (GOOD.replace("post: After", "post:  After"), "not one that gitsnap writes"),
        (GOOD.replace("went well.\n\nGit", "went well.\r\n\nGit"), "not one that gitsnap writes"),
        (GOOD.replace("post: After", "post: Af\0ter"), "not one that gitsnap writes"),
        (GOOD.replace("upgrade\n\nIt", "upgrade\nIt"), "not one that gitsnap writes"),
    ],
)
def test_a_message_that_gitsnap_did_not_write_is_refused(damaged: str, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        parse(damaged.encode())


def git(where: Path, *arguments: str, data: bytes = b"") -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b"}
    return subprocess.run(
        ["git", *arguments], cwd=where, input=data, env=environment, capture_output=True, check=True
    ).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_sees_the_same_trailers_and_subject(tmp_path: Path) -> None:
    message = format_message(FULL)
    ours = message.rpartition(b"\n\n")[2]
    assert git(tmp_path, "interpret-trailers", "--parse", data=message) == ours

    git(tmp_path, "init", "-q", "--bare", ".")
    tree = git(tmp_path, "mktree").strip().decode()
    commit = git(tmp_path, "hash-object", "-t", "commit", "-w", "--stdin", data=b"tree %b\nauthor a <a@b> 1 +0000\n"
                 b"committer a <a@b> 1 +0000\n\n%b" % (tree.encode(), message)).strip().decode()  # fmt: skip
    assert git(tmp_path, "show", "-s", "--format=%s", commit) == b"post: After the upgrade\n"
    assert git(tmp_path, "show", "-s", "--format=%(trailers:only)", commit) == ours + b"\n"
    assert (
        git(tmp_path, "show", "-s", "--format=%(trailers:key=Gitsnap-Id,valueonly)", commit).strip() == FULL.id.encode()
    )
    assert git(tmp_path, "show", "-s", "--format=%B", commit) == message + b"\n"
    git(tmp_path, "update-ref", "refs/heads/master", commit)
    git(tmp_path, "symbolic-ref", "HEAD", "refs/heads/master")
    assert git(tmp_path, "fsck", "--full", "--strict") == b""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "message", ["one\ntwo", "one\n\n---\ntwo", "one\n\nGitsnap-Tag: forged\nGitsnap-Tag: two", "# one\n#"]
)
def test_no_message_hides_or_forges_trailers(tmp_path: Path, message: str) -> None:
    text = format_message(replaced(message=message))
    # The divider `---` ends a message only for tools that read mailed patches.
    assert git(tmp_path, "interpret-trailers", "--parse", "--no-divider", data=text) == text.rpartition(b"\n\n")[2]
