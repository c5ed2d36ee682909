"""Signing and checking by OpenSSH's ssh-keygen: every way in which a signature is not good is told from the others."""

from __future__ import annotations

import os
import pty
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitsnap.core import signature
from gitsnap.core.errors import UsageError
from gitsnap.core.signature import Checked, Policy, Status
from gitsnap.sidecar.git import ssh_keygen
from gitsnap.sidecar.git.ssh_keygen import Checker, SigningError
from tests.support.inprocess import workspace
from tests.support.signing import Key, agent, keygen, new_key

TEXT = b"tree x\n\nsubject\n"
WHEN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as found:
        (found / "app").mkdir()
        yield found


@pytest.fixture
def key(top: Path) -> Key:
    return new_key(top / "key")


def sign(key: Path, top: Path, text: bytes = TEXT) -> bytes:
    return ssh_keygen.sign(text, str(key), ask=False, installation=str(top / "app"))


def check(top: Path, armor: bytes, allowed: str, revoked: Path | None = None, text: bytes = TEXT) -> Checked:
    (top / "allowed").write_text(allowed)
    policy = Policy(allowed=str(top / "allowed"), revoked=str(revoked or ""))
    with Checker(policy, str(top / "app")) as checker:
        return checker.check("commit", text, armor, WHEN)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_good_signature_says_who_and_with_which_key(top: Path, kind: str) -> None:
    key = new_key(top / "key", kind=kind)
    found = check(top, sign(key.path, top), key.allowed())
    assert (found.status, found.principal, found.key) == (Status.GOOD, "anna@example.org", key.fingerprint)
    assert found.key_type == key.public.split()[0]


def test_a_certificate_is_told_by_the_key_that_it_is_for(top: Path, key: Key) -> None:
    authority = new_key(top / "authority")
    keygen(
        "-q",
        "-s",
        str(authority.path),
        "-I",
        "id",
        "-n",
        "anna@example.org",
        "-V",
        "20200101:20300101",
        f"{key.path}.pub",
    )
    with agent(key) as environ, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", environ["SSH_AUTH_SOCK"])
        armor = sign(Path(f"{key.path}-cert.pub"), top)
    said = signature.parse(armor)
    assert (said.key, said.key_type) == (key.fingerprint, "ssh-ed25519-cert-v01@openssh.com")
    found = check(top, armor, authority.allowed(options="cert-authority"))
    assert (found.status, found.principal) == (Status.GOOD, "anna@example.org")


@pytest.mark.parametrize(
    "options, status",
    [
        ('valid-after="20260101"', Status.GOOD),
        ('valid-before="20270101"', Status.GOOD),
        ('valid-before="20260301"', Status.EXPIRED),
        ('valid-after="20260401"', Status.EXPIRED),
        ('namespaces="git"', Status.GOOD),
        ('namespaces="file"', Status.UNKNOWN),
    ],
)
def test_the_time_that_counts_is_the_snapshots(top: Path, key: Key, options: str, status: Status) -> None:
    found = check(top, sign(key.path, top), key.allowed(options=options))
    assert found.status is status, found
    assert bool(found.why) is (status is not Status.GOOD)


def test_of_two_lines_the_one_that_holds_then_counts(top: Path, key: Key) -> None:
    lines = key.allowed("old@example.org", 'valid-before="20260101"') + key.allowed(
        "new@example.org", 'valid-after="20260101"'
    )
    assert check(top, sign(key.path, top), lines).principal == "new@example.org"


@pytest.mark.parametrize("principal", ["*", "git", "*@example.org", "a@example.org,b@example.org"])
def test_whatever_the_principal_is_called(top: Path, key: Key, principal: str) -> None:
    found = check(top, sign(key.path, top), key.allowed(principal))
    assert (found.status, found.principal) == (Status.GOOD, principal.partition(",")[0])


def test_one_more_byte_makes_it_wrong(top: Path, key: Key) -> None:
    assert check(top, sign(key.path, top), key.allowed(), text=TEXT + b"x").status is Status.WRONG


def test_a_signature_for_something_else_is_wrong(top: Path, key: Key) -> None:
    (top / "text").write_bytes(TEXT)
    keygen("-Y", "sign", "-n", "file", "-f", str(key.path), str(top / "text"))
    found = check(top, (top / "text.sig").read_bytes(), key.allowed())
    assert (found.status, found.why) == (Status.WRONG, "the signature is for 'file', not for git")


def test_a_key_that_nobody_allows_is_unknown(top: Path, key: Key) -> None:
    other = new_key(top / "other")
    assert check(top, sign(key.path, top), other.allowed()).status is Status.UNKNOWN
    assert check(top, sign(key.path, top), "").status is Status.UNKNOWN
    assert check(top, sign(key.path, top), "neither key nor sense\n").status is Status.UNKNOWN


@pytest.mark.parametrize("form", ["keys", "krl"])
def test_a_revoked_key_is_told_as_that(top: Path, key: Key, form: str) -> None:
    other, armor = new_key(top / "other"), sign(key.path, top)
    for one, status in ((key, Status.REVOKED), (other, Status.GOOD)):
        revoked = top / f"revoked-{status}"
        if form == "keys":
            revoked.write_text(f"# gone\n{one.public}")
        else:
            keygen("-q", "-k", "-f", str(revoked), f"{one.path}.pub")
        assert check(top, armor, key.allowed(), revoked).status is status
    # That it is wrong matters more.
    assert check(top, armor, key.allowed(), top / "revoked-revoked", text=b"x").status is Status.WRONG


@pytest.mark.parametrize("content", [b"neither\n", b"SSHKRL\n\0cut off", b"\xff\xfe\n"])
def test_a_list_of_revoked_keys_that_cannot_be_read_revokes_nobody(top: Path, key: Key, content: bytes) -> None:
    (top / "revoked").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        check(top, sign(key.path, top), key.allowed(), top / "revoked")


def test_a_key_known_once_is_looked_up_again_where_it_does_not_hold(top: Path, key: Key) -> None:
    (top / "allowed").write_text(key.allowed(options='valid-after="20260101"'))
    armor = sign(key.path, top)
    with Checker(Policy(allowed=str(top / "allowed")), str(top / "app")) as checker:
        found = [checker.check("commit", TEXT, armor, when).status for when in (WHEN, WHEN.replace(year=2025), WHEN)]
        found.append(checker.check("commit", b"x", armor, WHEN).status)
    assert found == [Status.GOOD, Status.EXPIRED, Status.GOOD, Status.WRONG]


def test_without_a_file_of_allowed_signers_nothing_is_good(top: Path, key: Key) -> None:
    with Checker(Policy(), str(top / "app")) as checker:
        armor = sign(key.path, top)
        assert checker.check("commit", TEXT, armor, WHEN).status is Status.NOT_CHECKED
        assert checker.check("commit", b"x", armor, WHEN).status is Status.WRONG


@pytest.mark.parametrize("what", ["allowed", "revoked"])
def test_a_list_that_lies_in_the_installation_is_not_believed(top: Path, key: Key, what: str) -> None:
    (top / "app/list").write_text(key.allowed())
    (top / "link").symlink_to(top / "app/list")
    for path in (top / "app/list", top / "link"):
        with pytest.raises(UsageError, match="lies in the installation"):
            Checker(Policy(**{"allowed": str(path), what: str(path)}), str(top / "app"))
    for path, why in ((top / "none", "cannot be read: No such file"), (top, "cannot be read: Is a directory")):
        with pytest.raises(UsageError, match=why):
            Checker(Policy(**{what: str(path)}), str(top / "app"))


def _refused(top: Path, key: Path) -> SigningError:
    with pytest.raises(SigningError) as raised:
        sign(key, top)
    return raised.value


def test_a_key_that_does_not_sign_says_why(top: Path, key: Key) -> None:
    locked = new_key(top / "locked", "a passphrase")
    (top / "garbage").write_text("no key\n")
    (top / "garbage").chmod(0o600)
    os.mkfifo(top / "pipe")
    assert "No such file" in _refused(top, top / "none").message
    assert "passphrase was not given" in _refused(top, locked.path).message
    assert "is no file" in _refused(top, top / "pipe").message
    (top / "alone.pub").write_text(key.public)
    assert "does not have its private part" in _refused(top, top / "alone.pub").message
    assert "does not sign" in _refused(top, top / "garbage").message
    key.path.chmod(0o644)
    found = _refused(top, key.path)
    assert "others can read it" in found.message
    assert found.hint == f"chmod 600 {key.path}"


def test_a_key_in_the_installation_is_not_used(top: Path) -> None:
    key = new_key(top / "app/key")
    (top / "link").symlink_to(key.path)
    for path in (key.path, top / "link"):
        assert "lies in the installation" in _refused(top, path).message


def test_nobody_waits_for_a_passphrase_even_on_a_terminal(top: Path) -> None:
    """A terminal is there, and nobody at it: it must not be asked on."""
    locked = new_key(top / "locked", "a passphrase")
    child, terminal = pty.fork()
    if child == 0:
        code = 1
        try:
            sign(locked.path, top)
        except SigningError as error:
            code = 7 if "passphrase was not given" in error.message else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.close(terminal)


def test_who_is_there_is_asked_on_the_terminal(top: Path) -> None:
    locked = new_key(top / "locked", "a passphrase")
    child, terminal = pty.fork()
    if child == 0:
        code = 1
        try:
            armor = ssh_keygen.sign(TEXT, str(locked.path), ask=True, installation=str(top / "app"))
            code = 7 if signature.parse(armor).key else 1
        finally:
            os._exit(code)
    said, deadline = b"", time.monotonic() + 60
    while b"passphrase" not in said and time.monotonic() < deadline:
        said += os.read(terminal, 1000)
    os.write(terminal, b"a passphrase\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.close(terminal)


def test_an_agent_signs_for_a_public_key_and_for_a_locked_one(
    top: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = top / "elsewhere.pub"
    alone.write_text(key.public)
    with agent(key) as environ:
        monkeypatch.setenv("SSH_AUTH_SOCK", environ["SSH_AUTH_SOCK"])
        keygen("-q", "-p", "-f", str(key.path), "-P", "", "-N", "a passphrase")
        for path in (alone, key.path):
            assert check(top, sign(path, top), key.allowed()).status is Status.GOOD
    assert "does not have its private part" in _refused(top, alone).message


def test_a_program_in_the_installation_is_not_run(top: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = top / "app/ssh-keygen"
    trap.write_text(f"#!/bin/sh\ntouch {top}/ran\n")
    trap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{top}/app:.:{os.environ['PATH']}")
    monkeypatch.chdir(top / "app")
    assert check(top, sign(key.path, top), key.allowed()).status is Status.GOOD
    assert not (top / "ran").exists()
    monkeypatch.setenv("PATH", f"{top}/app:.")
    assert "PATH leads to none" in _refused(top, key.path).message


def test_nothing_stays_behind(top: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(top / "tmp"))
    check(top, sign(key.path, top), key.allowed())
    _refused(top, new_key(top / "locked", "x" * 8).path)
    assert os.listdir(top / "tmp") == []
