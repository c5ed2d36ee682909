"""age, the program: what is encrypted by it, `age -d` and nothing else brings back (docs/adr/0137).

It gets its input by a pipe, so that nothing plain lies on a disk, and asks for a passphrase on the terminal by itself.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.sidecar.git import stock_git

_RECIPIENT = re.compile(r"age1[0-9a-z]+|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+=*(?: [^\n]*)?")
# What age adds to the 64 KiB that it encrypts at a time, and before the first of them (age-encryption.org/v1).
_CHUNK, _TAG, _NONCE = 1 << 16, 16, 16
_IDENTITY = "a file that age-keygen wrote, or a private key of ssh"
_BAD_IDENTITY = ("reading ", "identity file ", "failed to decrypt identity file: failed to read header")


@dataclass(slots=True, frozen=True)
class Recipients:
    """To whom something is encrypted: keys as age takes them, and absolute paths of files with such keys."""

    keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys or self.files)


def recipients(keys: Sequence[str], paths: Sequence[str]) -> Recipients:
    """Keys and files as they were given; UsageError for what age would not take, or would take for something else."""
    for key in keys:
        if not _RECIPIENT.fullmatch(key):
            said = "a secret key" if key.startswith("AGE-SECRET-KEY-") else f"'{key[:24]}'"
            raise UsageError(
                f"{said} is no recipient",
                hint="age1... as age-keygen prints it, or a public key: 'ssh-ed25519 AAAA...'",
            )
    for path in paths:
        if not os.path.isfile(path):
            raise UsageError(f"there is no file of recipients at {path}", path=path)
    return Recipients(tuple(keys), tuple(map(os.path.abspath, paths)))


def cover_size(head: int, plain: int) -> int:
    """How many bytes age makes of so many plain ones, with a head of so many."""
    return head + _NONCE + plain + _TAG * max(1, -(-plain // _CHUNK))


@contextmanager
def encrypting(to: Recipients, out: int, installation: str | None) -> Iterator[Callable[[bytes], None]]:
    """What is given bytes to encrypt into the open file `out`; all of it is there, or this raises.

    Raises GitsnapError where age is missing or says no, OSError where the disk is full.
    """
    words = [word for key in to.keys for word in ("-r", key)] + [word for file in to.files for word in ("-R", file)]
    with _age(["--encrypt", *words], installation, stdin=subprocess.PIPE, stdout=out) as process:
        assert process.stdin is not None
        feed = process.stdin.write

        def write(data: bytes) -> None:
            try:
                feed(data)
            except BrokenPipeError:
                raise _failed(process) from None

        yield write
        try:
            process.stdin.close()
        except BrokenPipeError:
            raise _failed(process) from None
        if process.wait():
            raise _failed(process)


@contextmanager
def decrypting(path: str, identity: str, installation: str | None = None) -> Iterator[Callable[[int], bytes]]:
    """What the age file at `path` holds, by a function that gives up to so many bytes, b"" at the end.

    `identity` is a file with a key of age's or of ssh's. What was given is authentic; that it was all of it is certain
    when b"" came. Raises UsageError for what is no identity, GitsnapError where age is missing or the identity does not
    fit, IntegrityError for damage.
    """
    if not os.path.isfile(identity):
        raise UsageError(f"there is no identity at {identity}", path=identity, hint=_IDENTITY)
    if not os.access(identity, os.R_OK):
        raise UsageError(f"the identity {identity} cannot be read: {os.strerror(errno.EACCES)}", path=identity)
    words = ["--decrypt", "-i", os.path.abspath(identity)]
    with open(path, "rb") as file, _age(words, installation, stdin=file.fileno(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        take = process.stdout.read

        def read(most: int) -> bytes:
            data = take(most)
            if not data and process.wait():
                raise _failed(process, identity)
            return data

        yield read


@contextmanager
def _age(words: list[str], installation: str | None, *, stdin: int, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    folders = stock_git.directories(os.environ.get("PATH"), installation)
    program = next((found for folder in folders if (found := shutil.which("age", path=folder))), None)
    if program is None:
        raise GitsnapError(
            "encryption is by age, and PATH leads to none",
            kind="no-age",
            hint="install it (the package is called age), or go without --to",
        )
    # Its plugins are looked for in PATH, too.
    env = {k: v for k, v in os.environ.items() if k in ("HOME", "TERM", "XDG_RUNTIME_DIR")}
    env |= {"PATH": os.pathsep.join(folders), "LC_ALL": "C"}
    process = subprocess.Popen([program, *words], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=env, cwd="/")
    try:
        yield process
    finally:
        # Whoever did not take all of it wants no more.
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        process.wait()


def _failed(process: subprocess.Popen[bytes], identity: str = "") -> GitsnapError | OSError:
    assert process.stderr is not None
    said = process.stderr.read().decode("utf-8", "replace")
    process.wait()
    if "no space left" in said:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    words = next(
        (line.removeprefix("age: error: ") for line in said.splitlines() if line.startswith("age: error:")), said
    )
    words = words.strip() or f"it ended with {process.returncode}"
    # By the file age says it of: its other words for a bad key are those for a bad file.
    if identity and words.startswith(_BAD_IDENTITY):
        return UsageError(f"{identity} is no identity", path=identity, hint=_IDENTITY)
    if "no identity matched" in words:
        return GitsnapError(
            "none of the keys in that identity opens it", kind="wrong-identity", hint="it was encrypted to another key"
        )
    if any(
        sign in words
        for sign in ("authenticate", "unexpected EOF", "truncated", "header", "chunk", "bad HMAC", "failed to read")
    ):
        return IntegrityError(f"age says: {words}", hint="the file is damaged; another copy of it may be whole")
    return GitsnapError(f"age says: {words}", kind="age")
