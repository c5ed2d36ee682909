"""The refs of a server and some of its commits and tags, without a tree or a blob, and without a repository here.

dulwich's clients fetch them, or stock git where they do not get there.

Servers are asked to filter (`tree:0`). dulwich asks for it in protocol 2 alone (1.2.21), so in the older one, which is
what ssh has where a server takes no GIT_PROTOCOL, a line is added to what it says. Where a server does not filter, the
connection is ended when the commits have come: git sends them first. A server is not followed to other hosts.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from dulwich.client import AbstractHttpGitClient, GitClient, TraditionalGitClient
from dulwich.errors import GitProtocolError
from dulwich.objects import ObjectID
from dulwich.protocol import pkt_line
from dulwich.refs import Ref

from gitsnap.core.errors import IntegrityError, RemoteError
from gitsnap.core.remote import shown
from gitsnap.sidecar.git import stock_exchange, transport
from gitsnap.sidecar.git.commit_stream import MOST, CommitStream
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.refs import is_name
from gitsnap.sidecar.git.transport import BeyondDulwichError, NothingToOffer, Target

_FILTER = b"tree:0"
_MOST_REFS = 1 << 21
# So many connections are made where objects are damaged over there, and more within so many seconds.
_TRIES, _PATIENCE = 60, 20.0
_UNSENT = "the server did not send it"
_TOO_MUCH = "it was not asked for alone: too much is damaged over there"
# No ref begins so: what is there is known already.
_NOTHING = (b"refs/gitsnap/none/",)

# Hex ids to ask for, of the refs that are there.
Choose = Callable[[Mapping[str, str]], Sequence[str]]


@dataclass(slots=True)
class Looked:
    """`refs` are hex ids by full names. `found` are kind (`commit`, `tag`) and content of what was asked for, by hex
    id; `unread` says why something did not come. `taken` are the bytes of packs that came."""

    refs: dict[str, str] = field(default_factory=dict)
    found: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    taken: int = 0


class _Enough(Exception):  # noqa: N818 - nothing is wrong
    """What follows is not wanted."""


def look(target: Target, prefixes: Sequence[str], choose: Choose) -> Looked:
    """The refs below the prefixes, and what `choose` wants of them. RemoteError where the refs cannot be had; what is
    damaged over there hides nothing else."""
    out = Looked()
    asked: list[str] = []

    def determine(found: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        if len(found) > _MOST_REFS:
            raise IntegrityError(f"{shown(target.url)} has {len(found):,} refs, more than gitsnap takes")
        out.refs = {n.decode("utf-8", "surrogateescape"): v.decode() for n, v in found.items() if is_name(n)}
        asked[:] = dict.fromkeys(choose(out.refs))
        return [ObjectID(oid.encode()) for oid in asked]

    ahead = tuple(prefix.encode() for prefix in prefixes)
    said = _UNSENT
    try:
        _take(target, ahead, determine, out)
    except (RemoteError, IntegrityError) as error:
        if not asked:
            raise
        said = error.message
    _again(target, asked, out, said)
    return out


def read(target: Target, wants: Sequence[str], into: Looked) -> None:
    """More of what is over there; what does not come is in `unread`."""
    wanted = [oid for oid in dict.fromkeys(wants) if oid not in into.found and oid not in into.unread]
    if wanted:
        _again(target, wanted, into, _ask(target, wanted, into))


def _ask(target: Target, wanted: Sequence[str], into: Looked) -> str:
    """Ask for objects, whatever comes; why some may be missing."""
    try:
        _take(target, _NOTHING, lambda *_, **__: [ObjectID(oid.encode()) for oid in wanted], into)
    except (RemoteError, IntegrityError) as error:
        return error.message
    return _UNSENT


def _again(target: Target, asked: Sequence[str], out: Looked, said: str) -> None:
    """Ask again for what has not come: for all but what the server names as what stopped it; where it names nothing,
    for all of that where some has come, else for its halves. A server that meets damage sends nothing."""
    left = [(asked, said)]
    tries, begun = 0, time.monotonic()
    while left:
        group, said = left.pop(0)
        named = [oid for oid in group if oid in said and oid not in out.found]
        out.unread.update(dict.fromkeys(named, f"the server does not send it: {said.rpartition(': ')[2]}"))
        missing = [oid for oid in group if oid not in out.found and oid not in out.unread]
        middle = len(missing) // 2
        parts = [missing] if len(missing) < len(group) else [missing[:middle], missing[middle:]]
        given_up = tries >= _TRIES and time.monotonic() - begun > _PATIENCE
        if (len(missing) <= 1 and len(group) == len(missing)) or given_up:
            out.unread.update(dict.fromkeys(missing, _TOO_MUCH if given_up else said))
            continue
        for part in filter(None, parts):
            tries += 1
            left.append((part, _ask(target, part, out)))


def _take(target: Target, prefixes: Sequence[bytes], determine: Callable[..., list[ObjectID]], out: Looked) -> None:
    """One connection: the refs go to `determine`, the commits and tags that come into `out`."""
    stream = CommitStream()

    def write(data: bytes) -> int:
        stream.feed(data)
        if stream.beyond or stream.taken > MOST:
            raise _Enough
        return len(data)

    def do(client: GitClient, path: bytes) -> None:
        if isinstance(client, AbstractHttpGitClient):
            _stay(client)
        if isinstance(client, TraditionalGitClient):
            _filtering(client)
        client._fetch_capabilities.discard(b"thin-pack")
        client._warn_filter_objects = lambda: None  # type: ignore[method-assign]

        def chosen(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            if getattr(client, "dumb", False):
                raise RemoteError(
                    f"{shown(target.url)} serves files at most, and speaks no protocol of git", kind="remote-refused"
                )
            return determine(refs, depth)

        client.fetch_pack(
            path,
            chosen,
            NothingToOffer(),
            write,
            target.listen,
            depth=1,
            ref_prefix=prefixes,
            filter_spec=_FILTER,
            protocol_version=2,
        )

    try:
        transport.reach(target, do)
    except _Enough:
        pass
    except BeyondDulwichError:
        _take_by_git(target, prefixes, determine, out)
    finally:
        out.found.update(stream.found)
        out.taken += stream.taken


def _take_by_git(
    target: Target, prefixes: Sequence[bytes], determine: Callable[..., list[ObjectID]], out: Looked
) -> None:
    theirs = {} if prefixes == _NOTHING else stock_exchange.refs(target)
    found = {Ref(os.fsencode(n)): ObjectID(v.encode()) for n, v in theirs.items()}
    wanted = [oid.decode() for oid in determine({n: v for n, v in found.items() if n.startswith(tuple(prefixes))})]
    if not wanted:
        return
    with (
        stock_exchange.fetched(target, wanted, tempfile.gettempdir(), commits_only=True) as room,
        closing(ObjectStore(os.path.join(room.git_dir, "objects"))) as there,
    ):
        out.taken += sum(os.path.getsize(pack.path) for pack in there.packs)
        for oid in wanted:
            with suppress(IntegrityError):
                kind, data = there.read(bytes.fromhex(oid))
                if kind in (b"commit", b"tag"):
                    out.found[oid] = (kind, data)


def _filtering(client: TraditionalGitClient) -> None:
    """Have the older protocol filter, too, where the server offers it: dulwich then lists the capability with what it
    wants first, and gitprotocol-pack(5) has the filter after that."""
    client._fetch_capabilities.add(b"filter")
    plain = client._connect

    def connect(cmd: bytes, path: str | bytes, protocol_version: int | None = None) -> Any:
        proto, can_read, stderr = plain(cmd, path, protocol_version)
        write = proto.write

        def writing(data: bytes) -> int | None:
            done = write(data)
            if data[4:9] == b"want " and b"filter" in data.split():
                write(pkt_line(b"filter " + _FILTER))
            return done

        proto.write = writing
        return proto, can_read, stderr

    client._connect = connect  # type: ignore[method-assign]


def _stay(client: AbstractHttpGitClient) -> None:
    """Refuse parts of a pack from elsewhere, which a server may name in protocol 2 whether it was asked or not. dulwich
    asks for them without headers, and for nothing else so (1.2.21)."""
    plain: Callable[..., Any] = client._http_request

    def request(url: str, *arguments: Any, **named: Any) -> Any:
        if not arguments and not named:
            raise GitProtocolError("the server leads elsewhere for a part of what it sends")
        return plain(url, *arguments, **named)

    client._http_request = request  # type: ignore[method-assign]
