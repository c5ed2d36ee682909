"""Manifest and metadata of a tree, formed as its entries pass by on the way to somebody else, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gitsnap.core.manifest import ManifestLines, format_header
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.mtree import MetadataLines
from gitsnap.core.mtree_comments import commented
from gitsnap.sidecar.spool import Spool

_AT_ONCE = 4096
_FILE, _DIR = Type.FILE, Type.DIR


class StreamedTexts:
    """Both texts of a live tree of so many `files` of `size` bytes together; `about` is an inventory that may lack its
    entries. Read pass_by() to the end, then end(); `entries` and `directories` count what passed. Close it."""

    def __init__(self, scratch: str, about: Inventory, files: int, size: int) -> None:
        self.manifest, self.metadata = Spool(scratch), Spool(scratch)
        self._about = about
        self._files, self._size = files, size
        self._lines, self._metadata_lines = ManifestLines(), MetadataLines()
        self._commented: list[Entry] = []
        self.entries = self.directories = 0
        self.manifest.write(format_header(files, size, about.rules, about.excluded))

    def pass_by(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries, which are sorted. ValueError for what could not be read back."""
        block: list[Entry] = []
        for entry in entries:
            block.append(entry)
            if len(block) == _AT_ONCE:
                self._take(block)
                block = []
            yield entry
        if block:
            self._take(block)

    def _take(self, block: list[Entry]) -> None:
        files = [entry for entry in block if entry.type is _FILE]
        self.entries += len(block)
        self.directories += sum([entry.type is _DIR for entry in block])
        self._files -= len(files)
        self._size -= sum([entry.size for entry in files])
        self.metadata.write(self._metadata_lines.of(block))
        self.manifest.write(self._lines.of(files))
        self._commented += filter(commented, block)

    def end(self) -> None:
        """Form what comes behind the entries. ValueError where they were not the files that were announced."""
        if self._files or self._size:
            raise ValueError("not the files that were announced")
        self.metadata.write(self._metadata_lines.end(replace(self._about, entries=self._commented)))

    def close(self) -> None:
        """Let go of them."""
        self.manifest.close()
        self.metadata.close()
