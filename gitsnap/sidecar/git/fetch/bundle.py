"""A git bundle to receive from: refs as text, and then a pack (gitformat-bundle(5), versions 2 and 3)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Self

from gitsnap.core.content import CHUNK
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.events import Observer
from gitsnap.sidecar import files, limits
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.refs import is_name

_SIGNATURES = {b"# v2 git bundle\n": 2, b"# v3 git bundle\n": 3}
_REF = re.compile(rb"([0-9a-f]{40}) ([^\n]+)\n")
_NEEDED = re.compile(rb"-([0-9a-f]{40})(?: [^\n]*)?\n")
_CAPABILITY = re.compile(rb"@([a-z-]+)(?:=([^\n]*))?\n")


def is_bundle(path: str) -> bool:
    """Whether the file at `path` begins as a git bundle does."""
    with suppress(OSError, IntegrityError), open(files.opened(path), "rb") as file:
        return file.read(16) in _SIGNATURES
    return False


class Bundle:
    """The bundle at `path` (absolute). `needs` are the commits (hex ids) that it builds on."""

    def __init__(self, path: str) -> None:
        self.path = self.name = path
        self.settings: dict[str, str] = {}
        self.damaged: dict[str, IntegrityError] = {}
        self.refs: dict[str, str] = {}
        self.needs: list[str] = []
        self._file: BinaryIO = open(files.opened(path), "rb")
        try:
            self._read_head()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release its descriptor."""
        self._file.close()

    def parts(self) -> Sequence[Self]:
        """The one pack."""
        return (self,)

    def settle(self, _: ObjectStore) -> None:
        """It passes for nothing but what its objects say."""

    def fetch(self, _: Sequence[str], haves: Sequence[str], into: IncomingPack, observer: Observer) -> None:
        """Take its pack, all of it. GitsnapError where it builds on what is not in `haves` (hex ids)."""
        lacking = [oid for oid in self.needs if oid not in haves]
        if lacking:
            raise GitsnapError(
                f"the bundle {self.path} goes on from others: it lacks {len(lacking)} commits, {lacking[0]} among them",
                kind="bundle-incomplete",
                path=self.path,
                hint="begin with the first bundle of the chain, and pull the others",
            )
        left = os.fstat(self._file.fileno()).st_size - self._file.tell()
        observer.started("copying", size=left)
        while data := self._file.read(CHUNK):
            into.write(data)
            observer.advanced(0, len(data))
        observer.finished()

    def _read_head(self) -> None:
        version, room = _SIGNATURES.get(self._line()), limits.SMALL_FILE
        if version is None:
            raise IntegrityError(f"{self.path} is no git bundle", path=self.path)
        while (line := self._line()) != b"\n":
            room -= len(line)
            if room < 0:
                raise IntegrityError("the head of the bundle does not end", path=self.path)
            if version == 3 and (found := _CAPABILITY.fullmatch(line)):
                self._require_known(found[1], found[2] or b"")
            elif found := _NEEDED.fullmatch(line):
                self.needs.append(found[1].decode())
            elif (found := _REF.fullmatch(line)) and is_name(found[2]):
                self.refs[os.fsdecode(found[2])] = found[1].decode()
            elif not found or found[2] != b"HEAD":
                raise IntegrityError("the head of the bundle is damaged", path=self.path)

    def _line(self) -> bytes:
        return self._file.readline(1 << 16)

    def _require_known(self, name: bytes, value: bytes) -> None:
        if (name, value) != (b"object-format", b"sha1"):
            raise GitsnapError(
                f"the bundle {self.path} asks for {(name + b'=' + value).decode('ascii', 'replace')}, "
                "which gitsnap does not know",
                kind="object-format",
                path=self.path,
            )
