"""What can be received from, encrypted bundles and folders of bundles among it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from gitsnap.core import bundle as form
from gitsnap.core.bundle import Heading, Label
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.ops.remote import bundle, bundle_folder
from gitsnap.ops.remote.receive import naming
from gitsnap.sidecar import files, location
from gitsnap.sidecar.git import commits
from gitsnap.sidecar.git.fetch import source as plain
from gitsnap.sidecar.git.fetch.directory import is_repository
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.fetch.source import Source
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_check import Reading

_FOLDER = "bundles:"
_PIECE = 1 << 18


@dataclass(slots=True)
class Chain:
    """Bundles that build on each other, as one source: what the last one names, in as many packs as there are.

    `name` is how it is shown, `path` where it lies. `key` is the file that opens what is encrypted.
    """

    name: str
    path: str
    files: Sequence[str]
    key: str | None
    refs: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, IntegrityError] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    _links: list[_Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        with naming(self.files[-1]), _Link(self.files[-1], self.key).open() as (heading, _):
            self.refs = {ref: oid for ref, oid in heading.refs.items() if ref != "HEAD"}
        before: _Link | None = None
        for file in self.files:
            before = _Link(file, self.key, before)
            self._links.append(before)

    def parts(self) -> Sequence[_Link]:
        """The bundles in their order."""
        return self._links

    def fetch(self, wants: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """The pack of the only one that there is."""
        [link] = self.parts()
        link.fetch(wants, haves, into, observer)

    def settle(self, objects: ObjectStore) -> None:
        """As its only link."""
        [link] = self.parts()
        link.settle(objects)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""


@dataclass(slots=True)
class _Link:
    """One bundle, which may come after another. `refs` are known once it was read, and `label` then: what it says to
    be."""

    path: str
    key: str | None
    before: _Link | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    label: Label | None = None
    heading: Heading = field(default_factory=Heading)

    @property
    def name(self) -> str:
        """Its file."""
        return self.path

    @contextmanager
    def open(self) -> Iterator[tuple[form.Heading, Reading]]:
        with bundle.opened(self.path, self.key) as read:
            reading = Reading(read)
            yield form.read_heading(reading.line), reading

    def fetch(self, _: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Take its pack. GitsnapError where it builds on what is not in `haves` (hex ids)."""
        with self.open() as (heading, reading):
            lacking = {oid: word for oid, word in heading.needs.items() if oid not in haves}
            if lacking:
                oid, word = next(iter(lacking.items()))
                raise GitsnapError(
                    f"the bundle {self.path} builds on {word or oid}, which is not here",
                    kind="bundle-incomplete",
                    path=self.path,
                    hint="begin with the first bundle of the chain, and pull the others",
                )
            observer.started("copying")
            while data := reading.take(_PIECE):
                into.write(data)
                observer.advanced(0, len(data))
            observer.finished()
            self.refs, self.heading = heading.refs, heading

    def settle(self, objects: ObjectStore) -> None:
        """In a folder, it is the one that its name says. IntegrityError for another one."""
        place = form.read_name(os.path.basename(self.path))
        if place is None:
            return
        oid = self.refs.get(form.REF)
        if oid is not None:
            content = objects.read(bytes.fromhex(oid), b"commit")[1]
            self.label = form.parse_label(commits.parse(content, oid).message)
        wrong = form.displaced(self.label, place, self.before.label if self.before else None)
        if self.label is not None and self.label.heading != form.digest(self.heading):
            wrong = "its heading is not the one that it was made with"
        if wrong is not None:
            raise IntegrityError(
                f"{self.path} is not the bundle of that place: {wrong}",
                path=self.path,
                hint="`gitsnap bundle verify FILE...` tells of each; what somebody has put there may go",
            )


def open_source(
    text: str, cwd: str, identity: str | None = None, *, asks: bool = False, observer: Observer = SILENT
) -> Source:
    """What `text` names: a folder of bundles (`bundles:PATH`), an encrypted bundle that `identity` opens, or whatever
    git has. With `asks`, ssh and git's helpers may ask on the terminal. UsageError, NoSidecarError, GitsnapError.
    """
    if text.startswith(_FOLDER):
        folder = os.path.realpath(os.path.join(cwd, text.removeprefix(_FOLDER)))
        return Chain(f"{_FOLDER}{folder}", folder, bundle_folder.chain(folder), identity)
    path = os.path.realpath(os.path.join(cwd, text))
    if os.path.isfile(path) and _encrypted(path):
        return Chain(path, path, [path], identity)
    if os.path.isdir(path) and not is_repository(path) and bundle_folder.look(path):
        raise UsageError(f"{text} is a folder of bundles", path=path, hint=f"name it {_FOLDER}{text}")
    return plain.open_source(text, cwd, asks=asks, observer=observer)


def pushable(source: Source) -> str | None:
    """The URL by which copies go back to where they came from; None where there is none to push to."""
    if source.path is None or source.name.startswith(_FOLDER):
        return source.name
    ours = location.exists(source.path) or os.path.basename(source.path) == ".git"
    return None if ours or not location.is_bare_repository(source.path) else source.path


def _encrypted(path: str) -> bool:
    with suppress(OSError, IntegrityError), open(files.opened(path), "rb") as file:
        return file.read(64).startswith(form.AGE)
    return False
