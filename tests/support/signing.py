"""SSH keys and files of allowed signers, by ssh-keygen itself; a test is skipped where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.inprocess import bare_git


class Key(NamedTuple):
    """A key pair: the private part's path, and the public one as text."""

    path: Path
    public: str

    @property
    def blob(self) -> str:
        return " ".join(self.public.split()[:2])

    @property
    def fingerprint(self) -> str:
        return keygen("-l", "-f", f"{self.path}.pub").split()[1]

    def allowed(self, principal: str = "anna@example.org", options: str = "") -> str:
        """A line of a file of allowed signers."""
        return f"{principal} {options}{' ' if options else ''}{self.blob}\n"


def keygen(*arguments: str) -> str:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Key:
    # The shortest that every program takes: to find a longer one takes seconds.
    short = ("-b", "2048") if kind == "rsa" else ()
    keygen("-q", "-t", kind, *short, "-N", passphrase, "-C", "a comment", "-f", str(path))
    return Key(path, Path(f"{path}.pub").read_text())


@contextmanager
def agent(*keys: Key) -> Iterator[dict[str, str]]:
    """ssh's agent with these keys (without passphrases): what the environment has for it."""
    for program in ("ssh-agent", "ssh-add"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(part.split("=", 1) for line in said.splitlines() for part in line.split("; ") if "=" in part)
    try:
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key.path)], env={**os.environ, **found}, check=True)
        yield {"SSH_AUTH_SOCK": found["SSH_AUTH_SOCK"]}
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), 15)


def git_verifies(store: Path, allowed: Path, *what: str) -> str:
    """What stock git's verify-commit or verify-tag says; an AssertionError where it does not take the signature."""
    return bare_git(store, "-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={allowed}", *what).decode()
