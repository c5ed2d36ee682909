"""Connections to git servers: dulwich's clients, with the programs, the patience and the words that gitsnap has.

What of git's configuration counts is the user's, never the sidecar's. Programs are found as stock_git finds git. What a
program that we talk to says on stderr is kept, so that it neither blocks the pipe nor is lost.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from dulwich.client import (
    GitClient,
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    SSHGitClient,
    SSHVendor,
    SubprocessWrapper,
    TCPGitClient,
    TraditionalGitClient,
    Urllib3HttpGitClient,
    parse_rsync_url,
)
from dulwich.config import StackedConfig, apply_instead_of
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.objects import ObjectID
from dulwich.protocol import Protocol

from gitsnap.core.errors import RemoteError, UsageError
from gitsnap.core.remote import checked_url, is_local_path, remote_helper, shown
from gitsnap.sidecar.git import stock_git, web

# How much of what the other side says is kept, in bytes.
_SAID = 1 << 14
# What says how to get there, of the variables that git has; those that name a repository must not lead elsewhere.
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_SSL_NO_VERIFY")
_KEPT_TOO = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_KEPT_ALL = ("GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_")


def _unheard(_: str) -> None:
    """Nobody listens."""


class BeyondDulwichError(Exception):
    """dulwich's clients do not get there, and stock git may."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NotAtomicError(RemoteError):
    """The other side cannot take several refs at once."""


@dataclass(slots=True)
class Target:
    """Where to go: a URL that was checked, for the installation at `installation`, whose programs are not run.

    `patience` is how long the other side may be silent, in seconds. With `asks`, programs may ask on the terminal. With
    `pushes`, git's configuration may have another URL for it (url.*.pushInsteadOf). `tell` takes one line.
    """

    url: str
    installation: str
    patience: float = 600.0
    asks: bool = False
    pushes: bool = False
    tell: Callable[[str], None] = _unheard
    # Why stock git goes there (empty: it does not).
    by_git: str = ""
    # What the other side has said to people.
    said: list[str] = field(default_factory=list)

    def listen(self, data: bytes) -> None:
        """Keep what the other side says."""
        if sum(map(len, self.said)) < _SAID:
            self.said.append(data.decode("utf-8", "replace"))

    def leave_to_git(self, why: str) -> BeyondDulwichError:
        """From now on stock git goes there; what to raise."""
        if not self.by_git:
            self.by_git = why
            self.tell(f"stock git goes to {shown(self.url)}: {why}")
        return BeyondDulwichError(why)


@contextmanager
def connection(target: Target) -> Iterator[tuple[GitClient, bytes]]:
    """A client for the target, and the path over there. What goes wrong inside is told as RemoteError."""
    watch = _Watch(target.patience, alone=not target.asks)
    before = socket.getdefaulttimeout()
    # Of sockets that dulwich makes itself.
    socket.setdefaulttimeout(target.patience)
    try:
        client, path = _client(target, watch)
        try:
            yield client, path
        except (HTTPUnauthorized, HTTPProxyUnauthorized):
            raise
        except _FAILURES as error:
            if isinstance(client, Urllib3HttpGitClient) and web.stumbled(error):
                raise target.leave_to_git("dulwich does not understand it") from error
            raise _told(target, error, watch) from error
        finally:
            with suppress(OSError, GitProtocolError):
                client.close()
    finally:
        watch.stop()
        socket.setdefaulttimeout(before)


def reach(target: Target, do: Callable[[GitClient, bytes], Any]) -> Any:
    """What `do` makes of a connection; over http(s) once more with what git's credential helpers know, where the other
    side asks for it.

    Raises RemoteError, and BeyondDulwichError where stock git may get there.
    """
    if target.by_git:
        raise BeyondDulwichError(target.by_git)
    try:
        with connection(target) as (client, path):
            return do(client, path)
    except HTTPProxyUnauthorized:
        raise target.leave_to_git("the proxy on the way wants a password") from None
    except HTTPUnauthorized as error:
        asked = error
    if why := web.other_ways(asked.www_authenticate):
        raise target.leave_to_git(why)
    known = _credential(target, "fill", {})
    if not known.get("password"):
        if os.path.exists(os.path.expanduser("~/.netrc")):
            raise target.leave_to_git("passwords for it may be in ~/.netrc")
        raise unauthorized(target)
    try:
        with connection(target) as (client, path):
            assert isinstance(client, Urllib3HttpGitClient)
            assert client.config is not None
            name, word = known.get("username", ""), known["password"]
            again = web.client(client._base_url, client.config, target.patience, name, word)
            answer = do(again, path)
    except HTTPUnauthorized:
        _credential(target, "reject", known)
        raise unauthorized(target) from None
    _credential(target, "approve", known)
    return answer


def unauthorized(target: Target) -> RemoteError:
    """The other side wants a password that nobody has."""
    return RemoteError(
        f"{shown(target.url)} wants a user and a password, and git's credential helpers have none that it takes",
        kind="remote-refused",
        hint="see `git help credentials`; gitsnap stores none itself",
    )


def environment() -> dict[str, str]:
    """The caller's, without what would lead git to another repository than the one that is named."""
    kept = {*_KEPT, *_KEPT_TOO}
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in kept or k.startswith(_KEPT_ALL)}


def visited(target: Target) -> str:
    """The URL that git's configuration makes of the target's."""
    return apply_instead_of(StackedConfig(StackedConfig.default_backends()), target.url, push=target.pushes)


def _visited(target: Target, config: StackedConfig) -> str:
    """The URL that git's configuration makes of the target's."""
    url = apply_instead_of(config, target.url, push=target.pushes)
    if url != target.url and (helper := remote_helper(url)):
        raise target.leave_to_git(f"git's configuration has {helper}:: for it")
    try:
        return checked_url(url)
    except UsageError as error:
        raise UsageError(f"git's configuration (url.*.insteadOf): {error.message}") from None


def _client(target: Target, watch: _Watch) -> tuple[GitClient, bytes]:
    config = StackedConfig(StackedConfig.default_backends())
    url = _visited(target, config)
    if is_local_path(url):
        return _Local(target, watch), os.fsencode(url)
    if "://" not in url:
        user, host, path = parse_rsync_url(url)
        return _ssh(target, watch, config, (host, user, None)), os.fsencode(path)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _Local(target, watch), os.fsencode(unquote(parts.path))
    if not parts.hostname:
        raise UsageError(f"{shown(url)} names no host")
    if parts.scheme in ("http", "https"):
        # The user name goes with what the credential helpers know.
        base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if why := web.beyond(base, config, os.environ):
            raise target.leave_to_git(why)
        return web.client(base, config, target.patience), b""
    there = os.fsencode(unquote(parts.path))
    if parts.scheme == "git":
        _require_direct(target, config)
        return TCPGitClient(parts.hostname, port=parts.port), there
    user = unquote(parts.username) if parts.username else None
    return _ssh(target, watch, config, (parts.hostname, user, parts.port)), there


def _ssh(
    target: Target, watch: _Watch, config: StackedConfig, where: tuple[str, str | None, int | None]
) -> SSHGitClient:
    host, user, port = where
    variant = os.environ.get("GIT_SSH_VARIANT") or _configured(config, b"ssh", b"variant")
    if variant and variant not in ("auto", "ssh"):
        raise target.leave_to_git(f"ssh is {variant}")
    own = os.environ.get("GIT_SSH_COMMAND")
    if not own and (program := os.environ.get("GIT_SSH")):
        own = shlex.quote(program)
    own = own or _configured(config, b"core", b"sshCommand")
    if not own:
        found = _find("ssh", target)
        own = f"{shlex.quote(found)} -oConnectTimeout={max(1, min(int(target.patience), 60))}"
        own += "" if target.asks else " -oBatchMode=yes"
    return SSHGitClient(host, port, user, vendor=_Ssh(target, watch), ssh_command=own)


def _configured(config: StackedConfig, section: bytes, name: bytes) -> str:
    with suppress(KeyError):
        return os.fsdecode(config.get((section,), name))
    return ""


def _require_direct(target: Target, config: StackedConfig) -> None:
    """Raise BeyondDulwichError where a program is to be the way to git:// servers."""
    if os.environ.get("GIT_PROXY_COMMAND") or _configured(config, b"core", b"gitProxy"):
        raise target.leave_to_git("core.gitProxy or GIT_PROXY_COMMAND is set")


def _find(program: str, target: Target) -> str:
    folders = stock_git.directories(os.environ.get("PATH"), target.installation)
    found = shutil.which(program, path=os.pathsep.join(folders))
    if found is None:
        raise RemoteError(f"this needs {program}, and PATH leads to none", kind="remote-unreachable")
    return found


class _Ssh(SSHVendor):
    """ssh as dulwich starts it, but for what it says, how long it is waited for, and the environment."""

    def __init__(self, target: Target, watch: _Watch) -> None:
        self._target, self._watch = target, watch

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
        return _Process(arguments, self._watch)


class _Local(TraditionalGitClient):
    """A repository on this machine, by stock git: its hooks and settings count, as for any push."""

    def __init__(self, target: Target, watch: _Watch) -> None:
        super().__init__()
        self._git = stock_git.require(os.environ.get("PATH"), target.installation)
        self._watch = watch

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        # Whoever may read may read less. `--` ends the options, and the path is absolute anyway.
        allowed = ["-c", "uploadpack.allowFilter=true"] if cmd == b"upload-pack" else []
        arguments = [self._git, *allowed, cmd.decode(), "--", os.fsdecode(path)]
        process = _Process(arguments, self._watch, protocol_version)
        return Protocol(process.read, process.write, process.close), process.can_read, None


class _Process(SubprocessWrapper):
    """A program that speaks git's protocol on its stdin and stdout."""

    def __init__(self, arguments: list[str], watch: _Watch, protocol_version: int | None = None) -> None:
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
                watch.last_words = plain(_SAID)
                raise
            return len(data)

        self.read = read
        self.write = write  # type: ignore[assignment]


class _Watch:
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
        return self._stderr.read(_SAID).decode("utf-8", "replace").strip()


_COMPLAINTS = ("fatal: ", "ERROR: ", "error: ")
_FAILURES = (GitProtocolError, HangupException, NotGitRepository, SendPackError, OSError, ValueError, AssertionError)


def _told(target: Target, error: BaseException, watch: _Watch) -> BaseException:
    """What has happened, in a sentence."""
    where = shown(target.url)
    words = gist(watch.stderr() or "".join(target.said))
    if watch.gave_up or web.ran_out_of_time(error):
        return unanswered(target)
    if isinstance(error, SendPackError):
        reason = os.fsdecode(error.args[0]) if error.args and isinstance(error.args[0], bytes) else str(error)
        because = f"{reason.removeprefix('unpack ')}{f' ({words})' if words else ''}"
        return RemoteError(f"{where} could not take what was sent: {because}", kind="remote-refused")
    if isinstance(error, BrokenPipeError) and watch.last_words:
        because = _printable(watch.last_words) or words
        return RemoteError(f"{where} ended the connection: {because}", kind="remote-refused")
    if isinstance(error, NotGitRepository):
        words = words or "there is no git repository there"
    elif isinstance(error, (OSError, GitProtocolError)) and not isinstance(error, HangupException):
        words = words or web.why(error) or str(error)
    return unreachable(target, words)


def gist(said: str) -> str:
    """What of all that programs have said is the reason, in one line."""
    lines = [line for line in said.splitlines() if line.strip()]
    words = next((line for line in lines if line.startswith(_COMPLAINTS)), lines[-1] if lines else "")
    return words.partition(": ")[2] if words.startswith(_COMPLAINTS) else words


def unreachable(target: Target, words: str) -> RemoteError:
    """Nobody is there, or nobody that one could speak with."""
    where = shown(target.url)
    return RemoteError(
        f"{where} cannot be reached: {words or 'the connection was closed'}",
        kind="remote-unreachable",
        hint=f"`git ls-remote {shlex.quote(where)}` tells whether git gets there",
    )


def unanswered(target: Target) -> RemoteError:
    """Nothing came for longer than is waited."""
    return RemoteError(f"{shown(target.url)} did not answer for {target.patience:g} s", kind="remote-unreachable")


def _printable(data: bytes) -> str:
    text = "".join(c if c.isprintable() else " " for c in data.decode("utf-8", "replace"))
    return " ".join(text.split())[:500]


def _credential(target: Target, what: str, known: Mapping[str, str]) -> dict[str, str]:
    """What git's credential helpers know (`fill`), or are told (`approve`, `reject`); empty where they know nothing."""
    # Who is asked for a password is the host that gets it, whatever it is called by.
    parts = urlsplit(_visited(target, StackedConfig(StackedConfig.default_backends())))
    given = {"protocol": parts.scheme, "host": parts.netloc.rpartition("@")[2], "path": parts.path.lstrip("/")}
    if user := parts.username:
        given["username"] = unquote(user)
    asks = {} if target.asks else {"GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        [stock_git.require(os.environ.get("PATH"), target.installation), "credential", what],
        input="".join(f"{k}={v}\n" for k, v in (given | dict(known)).items()) + "\n",
        stdout=subprocess.PIPE,
        stderr=None if target.asks else subprocess.DEVNULL,
        text=True,
        # In no repository: what one configures does not count.
        cwd="/",
        env=environment() | asks,
    )
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return {key: value for key, _, value in lines if key in ("protocol", "host", "path", "username", "password")}


class NothingToOffer:
    """What there is here that the other side could build upon, as dulwich asks for it: nothing."""

    shallow: frozenset[ObjectID] = frozenset()

    def __next__(self) -> None:
        return None

    def next(self) -> None:
        """As dulwich asks for it."""
        return

    def ack(self, sha: ObjectID) -> None:
        """Never."""

    def nak(self) -> None:
        """Always."""
