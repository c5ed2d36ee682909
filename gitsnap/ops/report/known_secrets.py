"""Secrets of the files that changed, learned before any of them is shown: one that stands in another file is masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitsnap.core.changelog import Changelog
from gitsnap.core.model import Entry, Type
from gitsnap.core.secrets.kinds import Kind, kind_of
from gitsnap.core.secrets.masker import Masker

# Configuration that somebody writes is no larger, and there are not more files of it.
_LARGEST, _MOST = 64 << 10, 300


def learn(log: Changelog, read: Callable[[int, Entry], Iterator[bytes]], masker: Masker) -> None:
    """Have the masker know the secrets of both versions of each configuration file in a changelog."""
    if masker.shows:
        return
    wanted = [
        f.change for f in log.files if f.what == "text" and kind_of(f.change.path) not in (Kind.PROGRAM, Kind.PROSE)
    ]
    for change in wanted[:_MOST]:
        for side, entry in enumerate((change.old, change.new)):
            if entry is not None and entry.type is Type.FILE and 0 < entry.size <= _LARGEST:
                text = b"".join(read(side, entry)).decode("utf-8", "surrogateescape")
                masker.learn(masker.secrets(change.path, text))
