"""Connections to git servers: dulwich's clients, with the programs, the patience and the words that gitsnap has.

What of git's configuration counts is the user's, never the sidecar's. Programs are found as stock_git finds git.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from dulwich.client import (
    GitClient,
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    SSHGitClient,
    TCPGitClient,
    Urllib3HttpGitClient,
    parse_rsync_url,
)
from dulwich.config import StackedConfig, apply_instead_of
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.objects import ObjectID

from gitsnap.core.errors import RemoteError, UsageError
from gitsnap.core.remote import checked_url, is_local_path, remote_helper, shown
from gitsnap.sidecar.git import stock_git, web
from gitsnap.sidecar.git.credentials import credential
from gitsnap.sidecar.git.remote_programs import SAID, LocalClient, Ssh, Watch


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
        if sum(map(len, self.said)) < SAID:
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
    watch = Watch(target.patience, alone=not target.asks)
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
    url = _visited(target, StackedConfig(StackedConfig.default_backends()))
    ask = partial(credential, url, installation=target.installation, asks=target.asks)
    known = ask("fill", {})
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
        ask("reject", known)
        raise unauthorized(target) from None
    ask("approve", known)
    return answer


def unauthorized(target: Target) -> RemoteError:
    """The other side wants a password that nobody has."""
    return RemoteError(
        f"{shown(target.url)} wants a user and a password, and git's credential helpers have none that it takes",
        kind="remote-refused",
        hint="see `git help credentials`; gitsnap stores none itself",
    )


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


def _client(target: Target, watch: Watch) -> tuple[GitClient, bytes]:
    config = StackedConfig(StackedConfig.default_backends())
    url = _visited(target, config)
    if is_local_path(url):
        return LocalClient(target.installation, watch), os.fsencode(url)
    if "://" not in url:
        user, host, path = parse_rsync_url(url)
        return _ssh(target, watch, config, (host, user, None)), os.fsencode(path)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalClient(target.installation, watch), os.fsencode(unquote(parts.path))
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
    target: Target, watch: Watch, config: StackedConfig, where: tuple[str, str | None, int | None]
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
    return SSHGitClient(host, port, user, vendor=Ssh(watch), ssh_command=own)


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


_COMPLAINTS = ("fatal: ", "ERROR: ", "error: ")
_FAILURES = (GitProtocolError, HangupException, NotGitRepository, SendPackError, OSError, ValueError, AssertionError)


def _told(target: Target, error: BaseException, watch: Watch) -> BaseException:
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
