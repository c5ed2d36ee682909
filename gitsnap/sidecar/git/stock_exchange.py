"""Exchanges by stock git, where dulwich's clients do not get there (docs/adr/0150).

git is led into a directory made for the moment, as everywhere (stock_git). Of configurations only the user's counts,
since it says how to get there; what it says of hooks, signatures and options of pushes does not.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from gitsnap.core.remote import shown
from gitsnap.sidecar.git import remote_programs, stock_git, transport
from gitsnap.sidecar.git.new_objects import NAMES, NewObjects
from gitsnap.sidecar.git.refs import is_name
from gitsnap.sidecar.git.stock_git import Room
from gitsnap.sidecar.git.transport import Target

_NOBODY = "0" * 40
# Of a ref that no report names, as git's own push has it (gitprotocol-pack(5)): silence is no consent.
UNTOLD = "the other side did not say what became of it"
_REMOTE = "gitsnap-there"
# Hooks, and what git would fetch, ask, write or run besides what it is told to.
_SETTINGS = """\
[push]
\tgpgSign = false
\tfollowTags = false
\trecurseSubmodules = no
\tuseForceIfIncludes = false
\tpushOption =
[fetch]
\tunpackLimit = 1
\twriteCommitGraph = false
\trecurseSubmodules = false
\turiProtocols =
\tbundleURI =
[transfer]
\tunpackLimit = 1
\tbundleURI = false
\tadvertiseSID = false
[core]
\talternateRefsCommand = :
[advice]
\tgraftFileDeprecated = false
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = {patience}
[remote "{remote}"]
\turl = {url}
"""
_FETCH = ("fetch", "--no-tags", "--no-write-fetch-head", "--progress")
_NOTES = "refs/notes/"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")
_NO_PASSWORD = (
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "terminal prompts disabled",
)
_PUSHED = re.compile(r"(.)\t[^\t]*:([^\t]+)\t(.*)")
_BECAUSE = re.compile(r"\[[^\]]*\] \((.*)\)")
_READ = 1 << 16


class _Done(NamedTuple):
    """How a git has ended, what it has told, and what it has said on stderr."""

    code: int
    told: bytes
    said: str


def refs(target: Target) -> dict[str, str]:
    """The refs over there, hex ids by full names. RemoteError."""
    with _room(target) as room:
        told = _require(target, _run(target, room, ["ls-remote", "--refs", _REMOTE])).told
    rows = [line.partition(b"\t") for line in told.splitlines()]
    return {os.fsdecode(name): oid.decode("ascii", "replace") for oid, _, name in rows if is_name(name)}


@contextmanager
def fetched(target: Target, wants: Sequence[str], within: str, *, commits_only: bool = False) -> Iterator[Room]:
    """A repository below the directory `within` with what these lead to (hex ids), to look at; with `commits_only`
    perhaps not more than the commits and tags themselves. RemoteError."""
    few = ["--depth=1", "--filter=tree:0"] if commits_only else []
    with _room(target, within=within) as room:
        _require(target, _run(target, room, [*_FETCH, *few, "--stdin", _REMOTE], given=_lines(wants)))
        yield room


def push(
    target: Target, updates: Mapping[str, str], theirs: Mapping[str, str], wanted: NewObjects, *, atomic: bool
) -> dict[str, str]:
    """Set refs over there, those that are there only while they are as in `theirs`; why each was refused that was.

    What is `wanted` has to be in the sidecar, or made. Raises RemoteError.
    """
    pairs = (f"{'' if value == _NOBODY else value}:{name}" for name, value in updates.items())
    specs = "".join(f"\tpush = {_quoted(pair)}\n" for pair in pairs)
    leases = [f"--force-with-lease={name}:{theirs[name]}" for name in updates if name in theirs]
    notes = {updates[name]: theirs[name] for name in updates if name.startswith(_NOTES) and name in theirs}
    with _room(target, wanted.directory, specs) as room:
        lacking = [oid for oid in notes.values() if not wanted.is_here(oid)]
        if lacking:
            # Of notes that others have pushed, we know the names: git has to have them, though they do not go.
            _require(target, _run(target, room, [*_FETCH, "--stdin", _REMOTE], given=_lines(lacking)))
        _add(room, wanted, notes)
        words = ["push", "--porcelain", "--progress", "--no-verify", *(["--atomic"] if atomic else [])]
        done = _run(target, room, [*words, *leases, _REMOTE])
    found: dict[str, str | None] = {}
    for flag, name, summary in _PUSHED.findall(done.told.decode("utf-8", "surrogateescape")):
        because = _BECAUSE.fullmatch(summary)
        found[name] = (because[1] if because else summary) if flag == "!" else None
    if done.code and not any(found.values()):
        _require(target, done)
    return {name: why for name in updates if (why := found.get(name, UNTOLD)) is not None}


@contextmanager
def _room(target: Target, store: str | None = None, more: str = "", *, within: str | None = None) -> Iterator[Room]:
    patience = max(1, int(target.patience))
    text = _SETTINGS.format(patience=patience, remote=_REMOTE, url=_quoted(target.url)) + more
    url = transport.visited(target)
    if url != target.url:
        # The longest prefix wins: git comes to the same, for what is looked at before a push as well.
        text += f"[url {_quoted(url)}]\n\tinsteadOf = {_quoted(target.url)}\n"
    with stock_git.workshop(store, os.fsencode(text), within=within) as room:
        yield room


def _quoted(text: str) -> str:
    """As a value, or a part of a heading, in git's configuration."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _lines(oids: Sequence[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()


def _add(room: Room, wanted: NewObjects, like: Mapping[str, str]) -> None:
    """What was made for the other side, and what its commits are like."""
    for oid, (kind, data) in wanted.made.items():
        folder = os.path.join(room.git_dir, "objects", oid.hex()[:2])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, oid.hex()[2:]), "wb") as file:
            file.write(zlib.compress(b"%s %d\0%s" % (NAMES[kind], len(data), data), 1))
    with open(os.path.join(room.git_dir, "info", "grafts"), "w") as grafts:
        grafts.writelines(f"{commit} {' '.join(parents)}\n" for commit, parents in wanted.grafts(like))


def _run(target: Target, room: Room, words: Sequence[str], given: bytes = b"") -> _Done:
    """Run git for as long as something is heard of it."""
    git = stock_git.require(os.environ.get("PATH"), target.installation)
    path = os.pathsep.join(stock_git.directories(os.environ.get("PATH"), target.installation))
    alone = {"GIT_DIR": room.git_dir, "PATH": path, "LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    alone |= {"GIT_ATTR_NOSYSTEM": "1", "GIT_NO_LAZY_FETCH": "1"} | (
        {} if target.asks else {"GIT_TERMINAL_PROMPT": "0"}
    )
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        process = subprocess.Popen(
            stock_git.command(words, git),
            cwd=room.git_dir,
            env=remote_programs.environment() | alone,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o077,
            process_group=None if target.asks else 0,
        )
        try:
            told, said = _listen(process, target)
        except BaseException:
            _end(process, target)
            raise
    text = said.decode("utf-8", "replace").replace("\r", "\n")
    for line in text.splitlines():
        if line.startswith("remote: "):
            target.listen(line.removeprefix("remote: ").encode() + b"\n")
    return _Done(process.wait(), told, _URL.sub(lambda found: shown(found[0]), text))


def _listen(process: subprocess.Popen[bytes], target: Target) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    heard: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    with selectors.DefaultSelector() as waiting, process.stdout, process.stderr:
        for fd in heard:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(target.patience)
            if not ready:
                raise transport.unanswered(target)
            for key, _ in ready:
                data = os.read(key.fd, _READ)
                heard[key.fd].append(data)
                if not data:
                    waiting.unregister(key.fd)
        told, said = heard.values()
    return b"".join(told), b"".join(said)


def _end(process: subprocess.Popen[bytes], target: Target) -> None:
    with suppress(OSError):
        if target.asks:
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _require(target: Target, done: _Done) -> _Done:
    if done.code == 0:
        return done
    if any(words in done.said for words in _NO_PASSWORD):
        raise transport.unauthorized(target)
    if "does not support --atomic" in done.said:
        raise transport.NotAtomicError("the other side cannot take several refs at once")
    words = transport.gist(done.said)
    raise transport.unreachable(target, re.sub(r"^unable to access '[^']*': ", "", words))
