"""Sending and fetching packs by dulwich's clients, with names and values as text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from dulwich.client import GitClient
from dulwich.errors import GitProtocolError
from dulwich.objects import ObjectID
from dulwich.pack import UnpackedObject
from dulwich.refs import Ref

from gitsnap.core.errors import IntegrityError, RemoteError
from gitsnap.core.remote import shown
from gitsnap.sidecar.git import commits, notes, transport
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.transport import NothingToOffer, Target

_NO_ATOMIC = "does not support atomic"
# Of a ref that its report leaves out, as git's own push has it (gitprotocol-pack(5)): silence is no consent.
_UNTOLD = "the other side did not say what became of it"

# New values by name, of the refs that are there.
Decide = Callable[[dict[str, str]], Mapping[str, str]]
Records = Callable[[], tuple[int, Iterator[UnpackedObject]]]


class NotAtomicError(RemoteError):
    """The other side cannot take several refs at once."""


def send(target: Target, decide: Decide, records: Records, *, atomic: bool) -> dict[str, str]:
    """Have refs changed over there as `decide` says, with the pack of `records`; why each was refused that was, or is
    not known to have been taken.

    Raises RemoteError; NotAtomicError before anything was decided.
    """
    asked: dict[str, str] = {}

    def update(old: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        theirs = {os.fsdecode(n): v.decode() for n, v in old.items() if n.startswith(b"refs/")}
        asked.clear()
        asked.update((n, v) for n, v in decide(theirs).items() if theirs.get(n) != v)
        return {Ref(os.fsencode(n)): ObjectID(v.encode()) for n, v in asked.items()}

    def generate(*_: object, **__: object) -> tuple[int, Iterator[UnpackedObject]]:
        return records()

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
    except RemoteError as error:
        if isinstance(error.__cause__, GitProtocolError) and _NO_ATOMIC in str(error.__cause__):
            raise NotAtomicError(error.message) from None
        raise
    told = {os.fsdecode(name): why for name, why in status.items()}
    return {name: why for name in asked if (why := told.get(name, _UNTOLD)) is not None}


def notes_at(target: Target, value: str, folder: str) -> tuple[dict[str, bytes], str]:
    """The notes that the commit `value` over there holds, commit (hex) and blob, and its tree (hex). `folder` is empty,
    and is for what comes.

    Raises RemoteError.
    """
    os.mkdir(os.path.join(folder, "pack"))
    store = ObjectStore(folder)

    def do(client: GitClient, path: bytes) -> None:
        file, commit, abort = store.add_pack()
        try:
            client.fetch_pack(path, lambda _, depth=None: [ObjectID(value.encode())], NothingToOffer(), file.write)
        except BaseException:
            abort()
            raise
        commit()

    try:
        transport.reach(target, do)
        store.refresh()
        tree = commits.parse(store.read(bytes.fromhex(value), b"commit")[1], value).tree
        return notes.load(store, value)[0], tree
    except IntegrityError as error:
        raise RemoteError(f"what came of the notes over there cannot be read: {error.message}") from None
    finally:
        store.close()
