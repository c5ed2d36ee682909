"""Sending and fetching packs by dulwich's clients, or by stock git where they do not get there; names and values are
text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Protocol

from dulwich.client import GitClient
from dulwich.errors import GitProtocolError
from dulwich.objects import ObjectID
from dulwich.pack import UnpackedObject
from dulwich.refs import Ref

from gitsnap.core.errors import IntegrityError, RemoteError
from gitsnap.core.remote import shown
from gitsnap.sidecar.git import commits, notes, stock_exchange, transport
from gitsnap.sidecar.git.new_objects import NewObjects
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.stock_exchange import UNTOLD
from gitsnap.sidecar.git.stock_git import Room
from gitsnap.sidecar.git.transport import BeyondDulwichError, NotAtomicError, NothingToOffer, Target

_NO_ATOMIC = "does not support atomic"

# New values by name, of the refs that are there.
Decide = Callable[[dict[str, str]], Mapping[str, str]]


class Parcel(Protocol):
    """What goes, once it is decided."""

    def records(self) -> tuple[int, Iterator[UnpackedObject]]:
        """How many objects, and these. IntegrityError, also on the way, for what is damaged."""

    def wanted(self) -> NewObjects:
        """Which they are."""


def send(target: Target, decide: Decide, parcel: Parcel, *, atomic: bool) -> dict[str, str]:
    """Have refs changed over there as `decide` says, with the pack of the parcel; why each was refused that was, or is
    not known to have been taken.

    Raises RemoteError; NotAtomicError before anything was decided, or with nothing changed.
    """
    asked: dict[str, str] = {}

    def update(old: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        theirs = {os.fsdecode(n): v.decode() for n, v in old.items() if n.startswith(b"refs/")}
        asked.clear()
        asked.update((n, v) for n, v in decide(theirs).items() if theirs.get(n) != v)
        return {Ref(os.fsencode(n)): ObjectID(v.encode()) for n, v in asked.items()}

    def generate(*_: object, **__: object) -> tuple[int, Iterator[UnpackedObject]]:
        return parcel.records()

    def do(client: GitClient, path: bytes) -> dict[bytes, str | None]:
        def with_refs(old: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            # dulwich asks only later, and ends with a NotImplementedError.
            if getattr(client, "dumb", False):
                raise RemoteError(
                    f"{shown(target.url)} serves files at most, and speaks no protocol of git", kind="remote-refused"
                )
            return update(old)

        done = client.send_pack(path, with_refs, generate, progress=target.listen, atomic=atomic)
        return done.ref_status or {}

    try:
        status: dict[bytes, str | None] = transport.reach(target, do)
    except BeyondDulwichError:
        return _by_git(target, decide, parcel, atomic=atomic)
    except RemoteError as error:
        if isinstance(error.__cause__, GitProtocolError) and _NO_ATOMIC in str(error.__cause__):
            raise NotAtomicError(error.message) from None
        raise
    told = {os.fsdecode(name): why for name, why in status.items()}
    return {name: why for name in asked if (why := told.get(name, UNTOLD)) is not None}


def _by_git(target: Target, decide: Decide, parcel: Parcel, *, atomic: bool) -> dict[str, str]:
    theirs = stock_exchange.refs(target)
    asked = {name: value for name, value in decide(theirs).items() if theirs.get(name) != value}
    if not asked:
        return {}
    # git would say of damage that something has ended, and not what it is.
    for record in parcel.records()[1]:
        for _ in record.comp_chunks or ():
            pass
    return stock_exchange.push(target, asked, theirs, parcel.wanted(), atomic=atomic)


def _objects(room: Room) -> ObjectStore:
    return ObjectStore(os.path.join(room.git_dir, "objects"))


def notes_at(target: Target, value: str, folder: str) -> tuple[dict[str, bytes], str]:
    """The notes that the commit `value` over there holds, commit (hex) and blob, and its tree (hex). `folder` is empty,
    and is for what comes.

    Raises RemoteError.
    """
    os.mkdir(os.path.join(folder, "pack"))
    store = ObjectStore(folder)

    def found(store: ObjectStore) -> tuple[dict[str, bytes], str]:
        store.refresh()
        tree = commits.parse(store.read(bytes.fromhex(value), b"commit")[1], value).tree
        return notes.load(store, value)[0], tree

    def do(client: GitClient, path: bytes) -> None:
        file, commit, abort = store.add_pack()
        try:
            client.fetch_pack(path, lambda _, depth=None: [ObjectID(value.encode())], NothingToOffer(), file.write)
        except BaseException:
            abort()
            raise
        commit()

    try:
        try:
            transport.reach(target, do)
        except BeyondDulwichError:
            with stock_exchange.fetched(target, [value], folder) as room, closing(_objects(room)) as there:
                return found(there)
        return found(store)
    except IntegrityError as error:
        raise RemoteError(f"what came of the notes over there cannot be read: {error.message}") from None
    finally:
        store.close()
