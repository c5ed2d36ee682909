"""Programs that speak git's protocol for us, as dulwich's clients talk to them: waited for as long as is asked, and
what they say on stderr kept, so that it neither blocks the pipe nor is lost."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from dulwich.client import SSHVendor, SubprocessWrapper, TraditionalGitClient
from dulwich.protocol import Protocol

from gitsnap.sidecar.git import stock_git

# How much of what the other side says is kept, in bytes.
SAID = 1 << 14
# What says how to get there, of the variables that git has; those that name a repository must not lead elsewhere.
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_SSL_NO_VERIFY")
_KEPT_TOO = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_KEPT_ALL = ("GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_")


def environment() -> dict[str, str]:
    """The caller's, without what would lead git to another repository than the one that is named."""
    kept = {*_KEPT, *_KEPT_TOO}
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in kept or k.startswith(_KEPT_ALL)}


class Watch:
    """Ends the programs of a connection on which nothing has moved for too long; knows what they said."""

    def __init__(self, patience: float, *, alone: bool) -> None:
        # With a group of their own, programs end with all that they have started; and none can ask on a terminal.
        self._patience, self.alone = patience, alone
        self._timer: threading.Timer | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._moved = False
        self.gave_up = False
        self.last_words = b""

    def follow(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        """This is the program that is talked to."""
        self._process, self._stderr = process, stderr
        self._wait()

    def seen(self) -> None:
        """Something has moved."""
        self._moved = True

    def _wait(self) -> None:
        self._timer = threading.Timer(self._patience, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        moved, self._moved = self._moved, False
        if moved:
            self._wait()
        elif self._process is not None:
            self.gave_up = True
            with suppress(OSError):
                if self.alone:
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()

    def stop(self) -> None:
        """The connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stderr is not None:
            self._stderr.close()

    def stderr(self) -> str:
        """What the programs said on stderr."""
        if self._stderr is None or self._stderr.closed:
            return ""
        self._stderr.seek(0)
        return self._stderr.read(SAID).decode("utf-8", "replace").strip()


class Process(SubprocessWrapper):
    """A program that speaks git's protocol on its stdin and stdout."""

    def __init__(self, arguments: list[str], watch: Watch, protocol_version: int | None = None) -> None:
        self._watch = watch
        self._stderr = tempfile.TemporaryFile()
        extra = {"GIT_PROTOCOL": f"version={protocol_version}"} if protocol_version else {}
        process = subprocess.Popen(
            arguments,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment() | extra,
            process_group=0 if watch.alone else None,
        )
        super().__init__(process)
        watch.follow(process, self._stderr)
        plain, stdin = self.read, process.stdin
        assert stdin is not None

        def read(size: int | None = -1) -> bytes:
            data = plain(size)
            watch.seen()
            return data

        def write(data: bytes) -> int:
            left = memoryview(data)
            try:
                while left:
                    left = left[stdin.write(left) :]
                    watch.seen()
            except BrokenPipeError:
                # It has ended, and may have said why.
                watch.last_words = plain(SAID)
                raise
            return len(data)

        self.read = read
        self.write = write  # type: ignore[assignment]


class Ssh(SSHVendor):
    """ssh as dulwich starts it, but for what it says, how long it is waited for, and the environment."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def run_command(
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        password: str | None = None,
        key_filename: str | None = None,
        ssh_command: str | None = None,
        protocol_version: int | None = None,
    ) -> SubprocessWrapper:
        """Run git over there."""
        arguments = [*shlex.split(ssh_command or "ssh"), *(["-p", str(port)] if port else [])]
        if protocol_version:
            arguments += ["-o", f"SetEnv=GIT_PROTOCOL=version={protocol_version}"]
        # checked_url() has seen to it that this is no option.
        arguments += [f"{username}@{host}" if username else host, os.fsdecode(command)]
        return Process(arguments, self._watch)


class LocalClient(TraditionalGitClient):
    """A repository on this machine, by stock git: its hooks and settings count, as for any push."""

    def __init__(self, installation: str, watch: Watch) -> None:
        super().__init__()
        self._git = stock_git.require(os.environ.get("PATH"), installation)
        self._watch = watch

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        # Whoever may read may read less. `--` ends the options, and the path is absolute anyway.
        allowed = ["-c", "uploadpack.allowFilter=true"] if cmd == b"upload-pack" else []
        arguments = [self._git, *allowed, cmd.decode(), "--", os.fsdecode(path)]
        process = Process(arguments, self._watch, protocol_version)
        return Protocol(process.read, process.write, process.close), process.can_read, None
