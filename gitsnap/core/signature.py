"""SSH signatures over commits and tags: as git has them, and what has become known of each.

The form is that of OpenSSH's PROTOCOL.sshsig, in armor. In a commit it stands in the header `gpgsig`, over all but that
header; in a tag at its end, over all before it (gitformat-signature(5)).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError

# What git and we sign with: a signature over a file of somebody's is none over a commit.
NAMESPACE = "git"
BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_END = b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_HEADER = b"gpgsig"
# How many fields the public key in a certificate has, by its type (PROTOCOL.certkeys).
_CERTIFIED = {
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519@openssh.com": 2,
    b"sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
_CERTIFICATE = b"-cert-v01@openssh.com"


class Policy(NamedTuple):
    """What the configuration says of signatures; empty for nothing.

    `key` is the path of a private key, or of a public one whose private part ssh's agent has. `allowed` is a file of
    allowed signers, `revoked` one of revoked keys (ssh-keygen(1)). With `require`, snapshots have to be signed. `ask`
    tells that somebody is there to type a passphrase.
    """

    key: str = ""
    allowed: str = ""
    revoked: str = ""
    require: bool = False
    ask: bool = False


NO_POLICY = Policy()


class Status(StrEnum):
    """What is known of a signature. `UNKNOWN`: nobody may sign with this key. `EXPIRED`: somebody might, at another
    time. `NOT_CHECKED`: there is nothing to tell by who may."""

    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "unknown-signer"
    EXPIRED = "expired"
    REVOKED = "revoked"
    NOT_CHECKED = "not-checked"


class Signature(NamedTuple):
    """What a signature says of itself, which anybody can write: the fingerprint of a public key (`SHA256:…`, as
    ssh-keygen prints it), that key's type, and the key as it stands there."""

    key: str
    key_type: str
    public: bytes


class Checked(NamedTuple):
    """One signature of a snapshot. `where` is `commit`, or the ref of a tag. `when` is when it says that it was made.

    `principal` is who signed, by the file of allowed signers; empty unless it is good. `why` says what is not right in
    a few words. `key` is empty for what cannot be read.
    """

    where: str
    status: Status
    when: datetime
    key: str = ""
    key_type: str = ""
    principal: str = ""
    why: str = ""


def sentence(found: Checked) -> str:
    """Who signed, with which key, and what is not right of that."""
    key = found.key or "a key that cannot be read"
    if found.status is Status.GOOD:
        return f"by {found.principal} with {key}"
    status = found.status.replace("-", " ")
    return f"by {key}, {status}" + (f": {found.why}" if found.why else "")


def parse(armor: bytes) -> Signature:
    """What a signature says of itself; IntegrityError for what is none of SSH, or not for git."""
    begin, _, rest = armor.strip().partition(b"\n")
    body, _, end = rest.rpartition(b"\n")
    if begin != BEGIN or end != _END:
        raise IntegrityError("the signature is not one of SSH")
    try:
        data = base64.b64decode(body.replace(b"\n", b""), validate=True)
        if data[:10] != _MAGIC + b"\0\0\0\1":
            raise IntegrityError("the signature has a form that is not known")
        public, rest = _string(data[10:])
        namespace, _ = _string(rest)
        kind, _ = _string(public)
        key = _plain(public)
    except (binascii.Error, ValueError):
        raise IntegrityError("the signature is damaged") from None
    if namespace != NAMESPACE.encode():
        raise IntegrityError(f"the signature is for '{namespace.decode('ascii', 'replace')}', not for git")
    return Signature(fingerprint(key), kind.decode("ascii", "replace"), public)


def fingerprint(public: bytes) -> str:
    """A public key's, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first string (RFC 4251, 5.) and what follows it; ValueError."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("cut off")
    return data[4 : 4 + size], data[4 + size :]


def _plain(public: bytes) -> bytes:
    """The key that a certificate is for; any other as it is."""
    kind, rest = _string(public)
    if not kind.endswith(_CERTIFICATE):
        return public
    bare = kind.removesuffix(_CERTIFICATE) + (b"@openssh.com" if kind.startswith(b"sk-") else b"")
    _, rest = _string(rest)
    out = _as_string(bare)
    for _ in range(_CERTIFIED.get(bare, 0)):
        field, rest = _string(rest)
        out += _as_string(field)
    return out


def _as_string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def enclose(commit: bytes, armor: bytes) -> bytes:
    """The content of a commit with a signature over it."""
    head, blank, rest = commit.partition(b"\n\n")
    return head + b"\n" + _HEADER + b" " + armor.strip().replace(b"\n", b"\n ") + blank + rest


def split(commit: bytes) -> tuple[bytes, bytes | None]:
    """What a commit's signature is over, and the signature; None where it has none. IntegrityError for several.

    git takes out every header that begins so, and could be shown another one than we.
    """
    head, blank, rest = commit.partition(b"\n\n")
    if b"\n" + _HEADER not in head:
        return commit, None
    kept: list[bytes] = []
    taken: list[bytes] = []
    inside = False
    for line in head.split(b"\n"):
        inside = line.startswith(_HEADER) or (inside and line.startswith(b" "))
        (taken if inside else kept).append(line)
    if not taken[0].startswith(_HEADER + b" ") or any(not line.startswith(b" ") for line in taken[1:]):
        raise IntegrityError("the commit has more than one signature, or one of a kind that is not known")
    armor = b"\n".join([taken[0][len(_HEADER) + 1 :], *(line[1:] for line in taken[1:])])
    return b"\n".join(kept) + blank + rest, armor + b"\n"


def split_tag(tag: bytes) -> tuple[bytes, bytes | None]:
    """What a tag's signature is over, and the signature; None where it has none. IntegrityError for several."""
    at = tag.find(b"\n" + BEGIN)
    if at != tag.rfind(b"\n" + BEGIN):
        raise IntegrityError("the tag has more than one signature")
    return (tag[: at + 1], tag[at + 1 :]) if at >= 0 else (tag, None)


def signed_by(commit: bytes) -> str | None:
    """The key that a commit says to be signed with, "?" for what cannot be read; None where it has no signature."""
    try:
        armor = split(commit)[1]
        return None if armor is None else parse(armor).key
    except IntegrityError:
        return "?"
