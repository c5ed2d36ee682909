"""Who signed a snapshot: the signature in its commit, and tags that were signed later, on `refs/tags/signed/<id>`.

A second tag of a snapshot is on `<id>+2`, and so on: no id has a plus. Tags stay with a snapshot that lies in the bin,
as its notes do, and go when it goes for good.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from gitsnap.core import signature
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.message import format_signed, parse_signed
from gitsnap.core.model import Snapshot
from gitsnap.core.signature import Checked, Status
from gitsnap.sidecar.git import refs, tags
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, seal

COMMIT = "commit"
_NUMBER = re.compile(r"\+[1-9][0-9]*\Z")


class Stored(NamedTuple):
    """One signature as it lies there: where (`commit` or the ref of a tag), the text that it is over, when it says to
    have been made. `wrong` says why it cannot be one of that snapshot."""

    where: str
    text: bytes
    armor: bytes
    when: datetime
    wrong: str = ""

    def unchecked(self) -> Checked:
        """What it says of itself."""
        try:
            said = signature.parse(self.armor)
        except IntegrityError as error:
            return Checked(self.where, Status.WRONG, self.when, why=self.wrong or error.message)
        status = Status.WRONG if self.wrong else Status.NOT_CHECKED
        return Checked(self.where, status, self.when, said.key, said.key_type, why=self.wrong)


def tagged(sidecar: Sidecar, damaged: dict[str, IntegrityError] | None = None) -> dict[str, dict[str, str]]:
    """The refs of signed tags and their objects, by the ids of the snapshots. Those that cannot be read are left out,
    or go into `damaged`."""
    found: dict[str, dict[str, str]] = {}
    for name, value in sidecar.refs.below(refs.SIGNED, {} if damaged is None else damaged).items():
        found.setdefault(snapshot_of(name), {})[refs.SIGNED + name] = value
    return found


def snapshot_of(ref: str) -> str:
    """The id of the snapshot that the tag on a ref is about."""
    return _NUMBER.sub("", ref.removeprefix(refs.SIGNED))


def of_ids(sidecar: Sidecar, names: Collection[str]) -> dict[str, str]:
    """The refs of the signed tags of these snapshots, and their objects."""
    every = tagged(sidecar)
    return {ref: value for name in names for ref, value in every.get(name, {}).items()}


def load(sidecar: Sidecar, snapshot: Snapshot, there: Mapping[str, str]) -> list[Stored]:
    """The signatures of a snapshot; `there` are its tags. IntegrityError where its commit cannot be read."""

    def read(oid: str) -> bytes:
        return sidecar.objects.read(bytes.fromhex(oid), b"tag")[1]

    content = sidecar.objects.read(bytes.fromhex(snapshot.commit), b"commit")[1]
    return of(snapshot, content, there, read)


def of(snapshot: Snapshot, content: bytes, there: Mapping[str, str], read: Callable[[str], bytes]) -> list[Stored]:
    """The signatures of a snapshot whose commit has that content. `read` has the contents of its tags by their ids, or
    raises IntegrityError."""
    found = []
    try:
        text, armor = signature.split(content)
        found += [] if armor is None else [Stored(COMMIT, text, armor, snapshot.created)]
    except IntegrityError as error:
        found.append(Stored(COMMIT, content, b"", snapshot.created, error.message))
    for ref, oid in sorted(there.items()):
        try:
            found.append(_tag(snapshot, ref, tags.parse(read(oid), oid)))
        except IntegrityError as error:
            found.append(Stored(ref, b"", b"", datetime.fromtimestamp(0, UTC), error.message))
    return found


def _tag(snapshot: Snapshot, ref: str, tag: tags.Tag) -> Stored:
    text, armor = signature.split_tag(tag.content)
    if armor is None:
        return Stored(ref, text, b"", tag.created, "the tag is not signed")
    named = (snapshot.id, snapshot.manifest_sha256, snapshot.metadata_sha256)
    wrong = "" if tag.target == snapshot.commit and parse_signed(tag.message) == named else "it is of something else"
    return Stored(ref, text, armor, tag.created, wrong)


def text(snapshot: Snapshot, ref: str, when: datetime, by: str) -> bytes:
    """The content of a tag of the snapshot that `ref` will point to, to be signed."""
    return tags.form(snapshot.commit, ref.removeprefix("refs/tags/"), format_signed(snapshot), when, by)


def free_ref(snapshot: Snapshot, there: Collection[str]) -> str:
    """The next ref for a tag of the snapshot; `there` are those that it has."""
    every = [refs.SIGNED + snapshot.id + (f"+{n}" if n > 1 else "") for n in range(1, len(there) + 2)]
    return next(ref for ref in every if ref not in there)


def store(sidecar: Sidecar, made: Sequence[tuple[Snapshot, str, bytes]]) -> None:
    """Write signed tags, each a snapshot, a ref and a content, durably, for a caller who holds the writer's lock.

    GitsnapError, none written, where a snapshot is not what it was any more.
    """
    # Readers have no need of what writes.
    from gitsnap.sidecar.git.pack_write import TAG, PackWriter

    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        wanted = {ref: pack.put(TAG, content).hex() for _, ref, content in made}
        for snapshot, _, _ in made:
            if sidecar.refs.get(refs.SNAPSHOTS + snapshot.id) != snapshot.commit:
                raise GitsnapError(
                    f"snapshot {snapshot.id} was removed or rewritten meanwhile; nothing was signed", kind="ref-moved"
                )
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, wanted):
        for ref, value in wanted.items():
            sidecar.refs.create(ref, value)
    if written is not None:
        written.release()
    sidecar.objects.refresh()


def remove(sidecar: Sidecar, gone: Mapping[str, str], when: datetime) -> None:
    """Remove tags by their refs and objects, durably."""
    if not gone:
        return
    with seal.changing(sidecar, dict.fromkeys(gone)):
        for ref in gone:
            sidecar.refs.discard(ref)
    reflog.remember(sidecar, gone.values(), when)


def strays(sidecar: Sidecar, commits: Collection[str]) -> dict[str, str]:
    """The tags that point to none of these commits, or cannot be read: they would keep what is to go."""
    found = {}
    for ref, oid in (item for each in tagged(sidecar).values() for item in each.items()):
        target = None
        with suppress(IntegrityError):
            target = tags.parse(sidecar.objects.read(bytes.fromhex(oid), b"tag")[1], oid).target
        if target not in commits:
            found[ref] = oid
    return found
