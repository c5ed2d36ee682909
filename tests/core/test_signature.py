"""Signatures in commits and tags as text: put in and taken out as git does, read as OpenSSH writes them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from dulwich.objects import Commit
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import signature
from gitsnap.core.errors import IntegrityError
from gitsnap.core.signature import Checked, Status

COMMIT = (
    b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
    b"author A <a@b> 1772379000 +0000\ncommitter A <a@b> 1772379000 +0000\n\nsubject\n\nbody\n"
)
# By OpenSSH 9.2 with `ssh-keygen -Y sign -n git`.
ARMOR = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgQYKsO/45Qy+P6Nz5tbUf10ayBv
8knb1F+WEX+EH9eewAAAADZ2l0AAAAAAAAAAZzaGE1MTIAAABTAAAAC3NzaC1lZDI1NTE5
AAAAQG+1rW1BoMwf1/gCqXJFH8s0dXG7naCCHujKLEZICL/gpBN5MUWXl/iogpvwiKGmhP
YTwHgW1VTh9DxiVK936wo=
-----END SSH SIGNATURE-----
"""
KEY = "SHA256:S+r6rTVRwIYQyL6qRRvZVD+xFJwT6RMAAP9BdKlvi7g"


def test_what_ssh_keygen_writes_is_read() -> None:
    found = signature.parse(ARMOR)
    assert (found.key, found.key_type) == (KEY, "ssh-ed25519")


def test_a_commit_and_its_signature_are_told_apart_again() -> None:
    signed = signature.enclose(COMMIT, ARMOR)
    assert signature.split(signed) == (COMMIT, ARMOR)
    assert signature.split(COMMIT) == (COMMIT, None)
    assert signature.signed_by(signed) == KEY
    assert signature.signed_by(COMMIT) is None


def test_dulwich_has_the_same_commit() -> None:
    theirs = Commit.from_string(COMMIT)
    theirs.gpgsig = ARMOR.rstrip(b"\n")
    assert theirs.as_raw_string() == signature.enclose(COMMIT, ARMOR)
    assert Commit.from_string(signature.enclose(COMMIT, ARMOR)).gpgsig == ARMOR.rstrip(b"\n")


@given(st.binary(max_size=200).filter(lambda message: b"\0" not in message))
def test_whatever_the_message_the_signature_is_found(message: bytes) -> None:
    commit = COMMIT.partition(b"\n\n")[0] + b"\n\n" + message
    assert signature.split(signature.enclose(commit, ARMOR)) == (commit, ARMOR)
    assert signature.split(commit) == (commit, None)


def test_a_message_that_looks_like_a_signature_is_none() -> None:
    commit = COMMIT + b"gpgsig " + ARMOR
    assert signature.split(commit) == (commit, None)


@pytest.mark.parametrize(
    "headers",
    [
        b"gpgsig -----BEGIN\n x\ngpgsig -----BEGIN\n y\n",
        b"gpgsig-sha256 -----BEGIN\n x\n",
        b"gpgsig -----BEGIN\n x\ngpgsig-sha256 -----BEGIN\n y\n",
        b"gpgsigx -----BEGIN\n",
    ],
)
def test_a_commit_with_several_or_unknown_signatures_is_none_that_can_be_checked(headers: bytes) -> None:
    commit = COMMIT.replace(b"\n\nsubject", b"\n" + headers + b"\nsubject")
    with pytest.raises(IntegrityError, match="more than one signature"):
        signature.split(commit)
    assert signature.signed_by(commit) == "?"


def test_a_tags_signature_is_over_all_before_it() -> None:
    tag = b"object x\n\nmessage\n"
    assert signature.split_tag(tag + ARMOR) == (tag, ARMOR)
    assert signature.split_tag(tag) == (tag, None)
    with pytest.raises(IntegrityError):
        signature.split_tag(tag + ARMOR + ARMOR)


def _armor(namespace: bytes = b"git", public: bytes | None = None, version: int = 1) -> bytes:
    def text(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    key = text(b"ssh-ed25519") + text(b"\1" * 32) if public is None else public
    data = (
        b"SSHSIG" + version.to_bytes(4, "big") + text(key) + text(namespace) + text(b"") + text(b"sha512") + text(b"")
    )
    lines = base64.encodebytes(data)
    return signature.BEGIN + b"\n" + lines + b"-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    "armor, why",
    [
        (_armor(b"file"), "for 'file', not for git"),
        (_armor(b""), "for '', not for git"),
        (_armor(version=2), "not known"),
        (_armor(public=b"\0\0\0\xffx"), "damaged"),
        (ARMOR.replace(b"U1NI", b"U1N!"), "damaged"),
        (ARMOR.replace(b"SSH", b"PGP"), "not one of SSH"),
        (b"-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n", "not one of SSH"),
        (b"", "not one of SSH"),
        (ARMOR[:60], "not one of SSH"),
        (signature.BEGIN + b"\n\n-----END SSH SIGNATURE-----\n", "not known"),
    ],
)
def test_what_is_no_signature_for_git_is_refused(armor: bytes, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        signature.parse(armor)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    for armor in (
        data,
        signature.BEGIN + b"\n" + base64.encodebytes(b"SSHSIG\0\0\0\1" + data) + b"-----END SSH SIGNATURE-----",
    ):
        try:
            signature.parse(armor)
        except IntegrityError:
            continue


def test_it_is_said_who_signed_and_what_is_not_right() -> None:
    found = Checked("commit", Status.GOOD, datetime(2026, 3, 1, tzinfo=UTC), KEY, "ssh-ed25519", "anna@example.org")
    assert signature.sentence(found) == f"by anna@example.org with {KEY}"
    assert signature.sentence(found._replace(status=Status.NOT_CHECKED)) == f"by {KEY}, not checked"
    revoked = found._replace(status=Status.REVOKED, why="its key is in F")
    assert signature.sentence(revoked) == f"by {KEY}, revoked: its key is in F"
    assert signature.sentence(Checked("commit", Status.WRONG, found.when, why="x")).startswith("by a key that cannot")
