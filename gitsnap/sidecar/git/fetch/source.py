"""What can be received from, by the word that names it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

from gitsnap.core.errors import GitsnapError, IntegrityError, NoSidecarError, exhausted
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import checked_url, is_local_path
from gitsnap.sidecar.git.fetch.bundle import Bundle, is_bundle
from gitsnap.sidecar.git.fetch.directory import Directory, is_repository
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.objects import ObjectStore

_TAKEN = "it takes the path or URL of a repository that was pushed to, a bundle, or bundles:DIR for a folder of those"


class Part(Protocol):
    """One pack to receive, and the refs that it leads to, by full names."""

    @property
    def name(self) -> str:
        """How it is shown."""

    @property
    def refs(self) -> Mapping[str, str]:
        """Hex ids."""

    def fetch(self, wants: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Write into a pack what the commits `wants` (hex ids) lead to, and `haves` do not. Raises GitsnapError."""

    def settle(self, objects: ObjectStore) -> None:
        """What came of it can be read now. Raises IntegrityError where it is not what it passes for."""


class Source(Protocol):
    """A repository, a bundle or a server to receive from; nothing of it is believed.

    `path` is None for a server. `refs` are hex ids by full names. `settings` are those that can be seen.
    """

    @property
    def name(self) -> str:
        """How it is shown."""

    @property
    def path(self) -> str | None:
        """Where it lies on this machine."""

    @property
    def refs(self) -> Mapping[str, str]:
        """All that it has."""

    @property
    def damaged(self) -> Mapping[str, IntegrityError]:
        """Those that cannot be read."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What its config says."""

    def fetch(self, wants: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Write into a pack what the commits `wants` (hex ids) lead to, and `haves` do not. Raises GitsnapError."""

    def settle(self, objects: ObjectStore) -> None:
        """What came of it can be read now. Raises IntegrityError where it is not what it passes for."""

    def parts(self) -> Sequence[Part]:
        """What comes in packs of its own, in their order: itself, mostly."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, *_: object) -> None:
        """Release what it holds."""


def open_source(text: str, cwd: str, *, asks: bool = False, observer: Observer = SILENT) -> Source:
    """What `text` names: a path counted from `cwd`, or a URL. UsageError, NoSidecarError or GitsnapError where there
    is nothing to receive from. With `asks`, ssh and git's helpers may ask on the terminal."""
    if is_local_path(text):
        return at_path(os.path.realpath(os.path.join(cwd, text)), text)
    checked_url(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return at_path(os.path.realpath(unquote(parts.path)), text)
    from gitsnap.sidecar.git.fetch.server import Server

    return Server(text, asks=asks, observer=observer)


def at_path(path: str, named: str) -> Source:
    """The repository or the bundle at `path` (absolute), which somebody called `named`."""
    try:
        if os.path.isdir(path):
            inner = os.path.join(path, ".git")
            for each in (path, inner):
                if is_repository(each):
                    return Directory(each)
        elif is_bundle(path):
            return Bundle(path)
        # For the reason why, where it cannot be looked at.
        os.stat(path)
    except OSError as error:
        if exhausted(error):
            raise
        raise GitsnapError(
            f"{named} cannot be read: {error.strerror}", kind="no-source", path=path, hint=_TAKEN
        ) from None
    raise NoSidecarError(f"{named} is neither a git repository nor a bundle", path=path, hint=_TAKEN)
