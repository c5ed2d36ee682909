"""The texts of a snapshot, formed by another process while this one builds the trees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitsnap.core.model import Inventory
from gitsnap.ops.crew import Crew, Work, processors
from gitsnap.sidecar import publish
from gitsnap.sidecar.publish import Texts

# Fewer are formed in less time than it takes to start a process and to take over what it has formed.
_WORTH_ENTRIES = 2000


class Forming:
    """Forms the texts of an inventory, which must not change meanwhile, from the moment it is entered."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._crew: Crew | None = None
        self._formed: Texts | None = None

    def __enter__(self) -> Forming:
        if processors() > 1 and len(self._inventory.entries) >= _WORTH_ENTRIES:
            self._crew = Crew(self._prepare, 1)
            try:
                self._take(self._crew.hand_over(None))
            except BaseException:
                self._crew.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._crew is not None:
            self._crew.close()

    def _prepare(self) -> Work:
        def work(_: Any) -> tuple[Any, bytes]:
            texts = publish.texts_of(self._inventory)
            split = len(texts.manifest), texts.manifest_sha256, texts.metadata_sha256
            return split, texts.manifest + texts.metadata

        return work

    def _take(self, answers: Iterable[tuple[Any, tuple[int, str, str], bytes]]) -> None:
        for _, (size, manifest_sha256, metadata_sha256), data in answers:
            self._formed = Texts(data[:size], data[size:], manifest_sha256, metadata_sha256)

    def texts(self) -> Texts:
        """Both texts, as soon as they are there; formed here where nobody else has done it."""
        if self._crew is not None:
            self._take(self._crew.finish())
            # What it holds is a copy of all this.
            self._crew.close()
        texts = self._formed or publish.texts_of(self._inventory)
        self._formed = None
        return texts
