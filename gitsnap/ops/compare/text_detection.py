"""Which contents are texts that can be shown line by line, and what the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitsnap.core.errors import exhausted
from gitsnap.core.filetype import HEAD, file_type
from gitsnap.core.model import Entry, Type

# In bytes: longer texts are not compared line by line.
LARGEST = 8 << 20

Read = Callable[[int, Entry], Iterator[bytes]]


class TextDetector:
    """Tells texts from what is none, and remembers it."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self._known: dict[tuple[int, bytes, bytes | None], str] = {}

    def is_text(self, side: int, entry: Entry) -> bool:
        """Whether it can be shown line by line."""
        return self.kind(side, entry) == "text"

    def kind(self, side: int, entry: Entry) -> str:
        """`text`, or what else it is."""
        if entry.type is Type.LINK:
            return "text"
        key = side, entry.path, entry.sha256
        if key not in self._known:
            self._known[key] = self._look(side, entry)
        return self._known[key]

    def _look(self, side: int, entry: Entry) -> str:
        if entry.sha256 is None:
            return "unread"
        try:
            chunks = self.read(side, entry)
            first = next(chunks, b"")
            kind = file_type(first[:HEAD])
            if entry.size > LARGEST:
                return "large text" if kind == "text" else kind
            nul = b"\0" in first or any(b"\0" in chunk for chunk in chunks)
        except OSError as error:
            if exhausted(error):
                raise
            return "gone since it was seen"
        if not nul:
            return "text"
        return "binary" if kind == "text" else kind
