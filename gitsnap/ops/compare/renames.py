"""Renames of files that were changed as well: stock git tells which are alike, of numbered copies."""

from __future__ import annotations

import bisect
import hashlib
import os
from collections.abc import Iterator, Sequence

from gitsnap.core.comparison import Change, Status
from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Type
from gitsnap.ops.compare.scratch import scratch
from gitsnap.ops.compare.text_detection import LARGEST, Read, TextDetector
from gitsnap.sidecar.repository import Sidecar

# More than this are not looked at: a rename is a convenience, and what came and went is told without it as well.
_MOST_FILES, _MOST_BYTES = 6_000, 256 << 20
_LEAST = 0.5
_FIND = ("diff", "--no-index", "--no-ext-diff", "--no-textconv", "--find-renames=50%", "--name-status", "-z", "a", "b")


def pair(changes: Sequence[Change], read: Read, sidecar: Sidecar, observer: Observer = SILENT) -> list[Change]:
    """The changes, with files that went and came again, at least half of them the same, as one rename each.

    `similarity` of those is in percent, below 100. A text and what is none are never the same file: a patch can take
    the one away or bring it, and can say nothing of the other.
    """
    gone = [c for c in changes if c.status is Status.REMOVED and _comparable(c.old)]
    came = [c for c in changes if c.status is Status.ADDED and _comparable(c.new)]
    gone, came = _plausible(gone, came), _plausible(came, gone)
    size = sum(map(_size, (*gone, *came)))
    if not gone or not came or len(gone) + len(came) > _MOST_FILES or size > _MOST_BYTES:
        return list(changes)
    texts = TextDetector(read)
    try:
        pairs = {
            came[b].path: (gone[a], percent)
            for a, b, percent in _alike(gone, came, read, sidecar, observer)
            if _is_text(texts, 0, gone[a].old) == _is_text(texts, 1, came[b].new)
        }
    except (GitsnapError, OSError):
        # No git, no room, a damaged content: what came and went is told all the same.
        return list(changes)
    used = {source.path for source, _ in pairs.values()}
    out = []
    for change in changes:
        if change.status is Status.ADDED and change.path in pairs:
            source, percent = pairs[change.path]
            change = change._replace(
                status=Status.RENAMED, old=source.old, old_path=source.path, similarity=min(percent, 99)
            )
        elif change.status is Status.REMOVED and change.path in used:
            continue
        out.append(change)
    return out


def _is_text(texts: TextDetector, side: int, entry: Entry | None) -> bool:
    return entry is not None and texts.is_text(side, entry)


def _comparable(entry: Entry | None) -> bool:
    return entry is not None and entry.type is Type.FILE and 0 < entry.size <= LARGEST and entry.sha256 is not None


def _plausible(some: list[Change], others: list[Change]) -> list[Change]:
    """Those with a counterpart that is neither twice as long nor half."""
    sizes = sorted({_size(c) for c in others})
    out = []
    for change in some:
        at = bisect.bisect_left(sizes, _size(change) * _LEAST)
        if at < len(sizes) and sizes[at] <= _size(change) / _LEAST:
            out.append(change)
    return out


def _size(change: Change) -> int:
    entry = change.old or change.new
    return entry.size if entry else 0


def _alike(
    gone: Sequence[Change], came: Sequence[Change], read: Read, sidecar: Sidecar, observer: Observer
) -> Iterator[tuple[int, int, int]]:
    """(number in `gone`, number in `came`, percent)."""
    observer.started("looking for renames", files=len(gone) + len(came))
    with scratch(sidecar) as folder:
        for side, (letter, found) in enumerate((("a", gone), ("b", came))):
            os.mkdir(os.path.join(folder, letter), 0o700)
            for number, change in enumerate(found):
                entry = change.new if side else change.old
                assert entry is not None
                # git looks first at those of the same name: that tells nothing of the name but whether it is the same.
                name = hashlib.sha1(change.path.rpartition(b"/")[2], usedforsecurity=False).hexdigest()
                # Numbers of its side alone: a path that both sides had would be one file that was changed.
                place = os.path.join(folder, letter, f"{letter}{number}")
                os.mkdir(place, 0o700)
                try:
                    with open(os.path.join(place, name), "xb") as file:
                        for data in read(side, entry):
                            file.write(data)
                            observer.advanced(0, len(data))
                    observer.advanced(1)
                except OSError:
                    # Gone, or changed, since it was seen: then it is like nothing.
                    continue
        out = sidecar.git_elsewhere(*_FIND, cwd=folder, ok=(0, 1))
    observer.finished()
    words = iter(out.split(b"\0"))
    for status in words:
        if status[:1] == b"R":
            old, new = next(words), next(words)
            yield int(old.split(b"/")[1][1:]), int(new.split(b"/")[1][1:]), int(status[1:])
        elif status:
            next(words)
