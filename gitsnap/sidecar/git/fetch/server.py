"""A git server to receive from: ssh, http(s) and git by dulwich's transports, the pack written to disk as it comes.

A server is not followed to other hosts for parts of a pack, which only the newer protocol has. Where dulwich does not
get there stock git does; and for one that only serves files, since dulwich would hold all of what it has (1.2.21).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

from dulwich.client import GitClient, LsRemoteResult
from dulwich.objects import ObjectID

from gitsnap.core.errors import IntegrityError, RemoteError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import shown
from gitsnap.sidecar.git import stock_exchange, transport
from gitsnap.sidecar.git.fetch.directory import Directory
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.refs import is_name
from gitsnap.sidecar.git.transport import BeyondDulwichError, Target

_PROTOCOL = 0
_SPEAKS_NONE = "serves files at most, and speaks no protocol of git"
_FILES = f"it {_SPEAKS_NONE}"
_MOST_REFS = 1 << 21


class _Haves:
    """What is here already, as dulwich walks over it: snapshots have nothing behind them."""

    shallow: frozenset[ObjectID] = frozenset()

    def __init__(self, oids: Sequence[str]) -> None:
        self._left = iter([ObjectID(oid.encode()) for oid in oids])

    def __next__(self) -> ObjectID | None:
        return next(self._left, None)

    def next(self) -> ObjectID | None:
        """As dulwich asks for it."""
        return next(self._left, None)

    def ack(self, sha: ObjectID) -> None:
        """Nothing lies behind it that could be left out."""

    def nak(self) -> None:
        """Nothing is in common."""


class Server:
    """The server at `url`, which was checked (core.remote.checked_url). With `asks`, ssh and git's helpers may ask on
    the terminal. Raises RemoteError."""

    path: str | None = None

    def __init__(self, url: str, *, asks: bool, observer: Observer = SILENT) -> None:
        self.name = shown(url)
        self.settings: dict[str, str] = {}
        self.damaged: dict[str, IntegrityError] = {}
        self._target = Target(url, "", asks=asks, tell=observer.noticed)
        try:
            self.refs = self._named(transport.reach(self._target, self._ask))
        except BeyondDulwichError:
            self.refs = stock_exchange.refs(self._target)
            if self._target.by_git == _FILES and not self.refs:
                # git takes any page for a repository of files that has nothing yet.
                raise RemoteError(f"{self.name} {_SPEAKS_NONE}", kind="remote-refused") from None
        if len(self.refs) > _MOST_REFS:
            raise IntegrityError(f"{self.name} has {len(self.refs):,} refs, more than gitsnap takes")

    def _ask(self, client: GitClient, path: bytes) -> LsRemoteResult:
        found = client.get_refs(path, protocol_version=_PROTOCOL)
        self._require_smart(client)
        return found

    def _named(self, found: LsRemoteResult) -> dict[str, str]:
        if (names := str(found.object_format or "sha1")) != "sha1":
            raise RemoteError(
                f"{self.name} names its objects by {names}; gitsnap's are named by SHA-1", kind="object-format"
            )
        return {
            ref.decode("utf-8", "surrogateescape"): value.decode("ascii")
            for ref, value in found.refs.items()
            if value is not None and is_name(ref)
        }

    def _require_smart(self, client: GitClient) -> None:
        if getattr(client, "dumb", False):
            raise self._target.leave_to_git(_FILES)

    def parts(self) -> Sequence[Server]:
        """Itself: all that it sends is one pack."""
        return [self]

    def settle(self, _: ObjectStore) -> None:
        """It passes for nothing but what its objects say."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held between two questions."""

    def fetch(self, wants: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Ask for what these lead to, and write it down as it comes. RemoteError."""
        asked = [ObjectID(oid.encode()) for oid in wants]

        def write(data: bytes) -> int:
            observer.advanced(0, len(data))
            return into.write(data)

        def do(client: GitClient, path: bytes) -> None:
            def determine(*_: Any, **__: Any) -> list[ObjectID]:
                self._require_smart(client)
                return asked

            # What comes has to be whole by itself.
            client._fetch_capabilities.discard(b"thin-pack")
            client.fetch_pack(path, determine, _Haves(haves), write, self._target.listen, protocol_version=_PROTOCOL)

        observer.started("receiving")
        try:
            transport.reach(self._target, do)
        except BeyondDulwichError:
            into.rewind(0)
            self._fetch_by_git(wants, into, observer)
        observer.finished()

    def _fetch_by_git(self, wants: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Beside the pack that it is for; then as what any repository on this machine has."""
        scratch = os.path.dirname(into.path)
        with stock_exchange.fetched(self._target, wants, scratch) as room, Directory(room.git_dir) as there:
            there.fetch(wants, (), into, observer)
