"""Signing and checking by OpenSSH's ssh-keygen, in an environment of ours: it asks nobody unless somebody is there.

dulwich's SSHCliSignatureVendor asks for the principal `git` whoever signed (1.2.21), and tells no failure from another.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from types import TracebackType

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.signature import NAMESPACE, Checked, Policy, Status, parse
from gitsnap.sidecar import files
from gitsnap.sidecar.git import stock_git

# Who is to touch a key or to confirm has so long, in seconds. Whoever types a passphrase has any time.
_PATIENCE = 60.0
_KRL = b"SSHKRL\n\0"
_KEY = (
    "name a private key of ssh's, or the public one whose private half ssh's agent has: ssh-keygen -t ed25519 makes one"
)
# A list of revoked keys may be that long, in bytes.
_MOST = 64 << 20
# What ssh-keygen says, and what that means here; in the order in which it is looked for.
_REFUSALS = (
    ("are too open", "others can read it, so ssh-keygen does not use it", "chmod 600 {key}"),
    ("incorrect passphrase", "its passphrase was not given", "ssh-add {key}, so that ssh's agent signs"),
    ("agent refused", "ssh's agent refused to sign with it", None),
    ("No private key found", "ssh's agent does not have its private part", "ssh-add, then gitsnap sign"),
    ("No user exists", "this user has no account by which ssh-keygen could go", None),
    ("invalid format", "it is not an SSH key", None),
    ("not a key file", "it is not an SSH key", None),
)


class SigningError(GitsnapError):
    """A key does not sign. `message` says why; nothing of the key is in it but its path."""

    kind = "not-signed"


def sign(text: bytes, key: str, *, ask: bool, installation: str) -> bytes:
    """A signature over the text, in armor, by the key at the path `key`; SigningError.

    With `ask`, a passphrase is asked for on the terminal; without, nothing waits for anybody but a key to be touched.
    """
    _require_key(key, installation)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gitsnap-sign-") as folder:
        path = os.path.join(folder, "text")
        with open(path, "xb") as file:
            file.write(text)
        # A file, where it could be standard input as well: ssh-keygen takes that for the passphrase (9.2).
        arguments = ["-Y", "sign", "-n", NAMESPACE, "-f", key, path]
        agent = {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in os.environ}
        done = _run(arguments, installation, agent=agent, alone=not ask)
        armor = files.read(path + ".sig") if done.returncode == 0 else None
    if armor is None:
        raise _refused(done.stderr.decode("utf-8", "replace"), key)
    parse(armor)
    return armor


def examine(key: str, installation: str) -> str:
    """The fingerprint and type of the key at a path, which signs now; SigningError. One that is to be touched for it is
    not tried."""
    _require_key(key, installation)
    done = _run(["-l", "-f", key], installation, alone=True)
    if done.returncode:
        raise _refused(done.stderr.decode("utf-8", "replace"), key)
    # `256 SHA256:... whose it is (ED25519)`
    words = done.stdout.decode("utf-8", "replace").split()
    kind = words[-1].strip("()")
    if not kind.endswith("-SK"):
        sign(b"", key, ask=False, installation=installation)
    return f"{words[1]} ({kind})"


def _require_key(key: str, installation: str) -> None:
    if is_within(key, installation):
        raise SigningError(f"the key {key} lies in the installation: what is there is never used to sign", path=key)
    try:
        os.close(files.opened(key))
    except IntegrityError:
        raise SigningError(f"the key {key} is no file", path=key, hint=_KEY) from None
    except OSError as error:
        raise SigningError(f"the key {key} cannot be read: {error.strerror}", path=key, hint=_KEY) from None


def is_within(path: str, installation: str) -> bool:
    """Whether a path leads into the installation ("" for none), where anybody may have written."""
    return bool(installation) and os.path.realpath(path).startswith(os.path.join(os.path.realpath(installation), ""))


def _refused(said: str, key: str) -> SigningError:
    for words, meaning, hint in _REFUSALS:
        if words in said:
            return SigningError(f"the key {key} does not sign: {meaning}", path=key, hint=hint and hint.format(key=key))
    last = [line for line in said.splitlines() if line][-1:]
    return SigningError(f"the key {key} does not sign: {last[0][:200] if last else 'ssh-keygen failed'}", path=key)


def _run(
    arguments: Sequence[str], installation: str, *, agent: dict[str, str] | None = None, text: bytes = b"", alone: bool
) -> subprocess.CompletedProcess[bytes]:
    path = os.environ.get("PATH")
    program = stock_git.find(path, installation, "ssh-keygen")
    if program is None:
        raise SigningError("this needs ssh-keygen, and PATH leads to none", hint="install OpenSSH's client")
    # The zone, as times in a file of allowed signers are local ones.
    zone = {name: os.environ[name] for name in ("TZ",) if name in os.environ}
    try:
        return subprocess.run(
            [program, *arguments],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"} | zone | (agent or {}),
            stdin=None if text else subprocess.DEVNULL,
            input=text or None,
            capture_output=True,
            # Without a terminal of its own there is none to ask on.
            start_new_session=alone,
            timeout=_PATIENCE if alone else None,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise SigningError(f"ssh-keygen did not answer within {_PATIENCE:g} s") from None


class Checker:
    """Checks signatures by the files that a policy names; a context manager.

    UsageError where one of them cannot be read, or lies in the installation: it would say whatever its writer likes.
    """

    def __init__(self, policy: Policy, installation: str) -> None:
        self._allowed, self._revoked, self._installation = policy.allowed, policy.revoked, installation
        for what, path in (("allowed signers", policy.allowed), ("revoked keys", policy.revoked)):
            if path:
                _require_list(what, path, installation)
        self._stack = ExitStack()
        self._principals: dict[str, list[str]] = {}

    def __enter__(self) -> Checker:
        import tempfile

        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gitsnap-check-"))
        self._signature = os.path.join(self._folder, "signature")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def check(self, where: str, text: bytes, armor: bytes, when: datetime) -> Checked:
        """Whether the signature is over the text, by whom, and whether they might sign at that moment."""
        try:
            said = parse(armor)
        except IntegrityError as error:
            return Checked(where, Status.WRONG, when, why=error.message)
        with open(self._signature, "wb") as file:
            file.write(armor)
        known = Checked(where, Status.GOOD, when, said.key, said.key_type)
        if not self._allowed:
            wrong = self._wrong(text)
            return known._replace(status=Status.WRONG if wrong else Status.NOT_CHECKED, why=wrong)
        # One program for most: who signs with this key was mostly asked before.
        for principal in self._principals.get(said.key, ()):
            if self._verifies(text, when, principal, self._revoked):
                return known._replace(principal=principal)
        return self._look_closely(known, text, said.public)

    def _look_closely(self, known: Checked, text: bytes, public: bytes) -> Checked:
        if wrong := self._wrong(text):
            return known._replace(status=Status.WRONG, why=wrong)
        principals, said = self._find(known.when)
        for principal in principals:
            if self._verifies(text, known.when, principal, self._revoked):
                self._principals[known.key] = principals
                return known._replace(principal=principal)
        if self._revoked and any(self._verifies(text, known.when, p, "") for p in principals):
            self._require_revoked(public)
            return known._replace(status=Status.REVOKED, why=f"its key is in {self._revoked}")
        for words, why in (("has expired", "allowed no more"), ("not yet valid", "not allowed yet")):
            if not principals and words in said:
                return known._replace(status=Status.EXPIRED, why=f"its key was {why} at that time, by {self._allowed}")
        purpose = "for git" if principals else "with this key"
        return known._replace(status=Status.UNKNOWN, why=f"{self._allowed} lets nobody sign {purpose}")

    def _wrong(self, text: bytes) -> str:
        done = self._ask("check-novalidate", text)
        return "" if done.returncode == 0 else "it is not over what stands there"

    def _find(self, when: datetime) -> tuple[list[str], str]:
        """Whose the key is, as patterns; and what else was said."""
        done = self._ask("find-principals", b"", "-f", self._allowed, _at(when))
        found = done.stdout.decode("utf-8", "surrogateescape").splitlines() if done.returncode == 0 else []
        return found, done.stderr.decode("utf-8", "replace")

    def _verifies(self, text: bytes, when: datetime, principal: str, revoked: str) -> bool:
        more = ["-r", revoked] if revoked else []
        return self._ask("verify", text, "-f", self._allowed, "-I", principal, _at(when), *more).returncode == 0

    def _ask(self, what: str, text: bytes, *more: str) -> subprocess.CompletedProcess[bytes]:
        named = [] if what == "find-principals" else ["-n", NAMESPACE]
        return _run(["-Y", what, *named, "-s", self._signature, *more], self._installation, text=text, alone=True)

    def _require_revoked(self, public: bytes) -> None:
        """ssh-keygen fails in the same way for a key that is revoked and for a list that it cannot read."""
        data = files.read(self._revoked, _MOST) or b""
        written = base64.b64encode(public)
        if data.startswith(_KRL):
            key = os.path.join(self._folder, "key.pub")
            kind = public[4 : 4 + int.from_bytes(public[:4], "big")]
            with open(key, "wb") as file:
                file.write(kind + b" " + written + b"\n")
            if _run(["-Q", "-f", self._revoked, key], self._installation, alone=True).returncode == 1:
                return
        elif any(written in line.split() for line in data.splitlines()):
            return
        raise UsageError(
            f"the list of revoked keys {self._revoked} cannot be read: ssh-keygen refuses it", path=self._revoked
        )


def _at(when: datetime) -> str:
    # In local time, as every version takes it; the times in the file are local ones, too.
    return f"-Overify-time={when.astimezone():%Y%m%d%H%M%S}"


def _require_list(what: str, path: str, installation: str) -> None:
    if is_within(path, installation):
        raise UsageError(f"the file of {what} {path} lies in the installation, where anybody may have written it")
    with suppress(IntegrityError):
        try:
            os.close(files.opened(path))
        except OSError as error:
            raise UsageError(f"the file of {what} {path} cannot be read: {error.strerror}", path=path) from None
        return
    raise UsageError(f"the file of {what} {path} is no file", path=path)
