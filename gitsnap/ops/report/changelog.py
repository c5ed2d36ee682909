"""What an upgrade changed, told so that a person reads it with profit: packages by version, configuration by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from gitsnap.core.changelog import (
    Changelog,
    FileChange,
    Package,
    count_lines,
    innermost,
    is_content,
    npm_package,
    python_package,
    size_of,
)
from gitsnap.core.comparison import Change, Status
from gitsnap.core.component import component_of
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.filetype import HEAD, file_type
from gitsnap.core.model import Entry, Type
from gitsnap.core.settings import Settings
from gitsnap.ops.compare import components, diff, structured
from gitsnap.sidecar.repository import Sidecar

_LARGEST_TEXT = 1 << 20

Read = Callable[[int, Entry], Iterator[bytes]]


def changelog(
    sidecar: Sidecar,
    old: str,
    new: str,
    settings: Settings,
    *,
    component: str | None = None,
    pristine: Mapping[bytes, bytes] | None = None,
    observer: Observer = SILENT,
) -> Changelog:
    """The changes from one state to another (selectors, or `now`), perhaps of one component.

    `pristine` are the digests of the files as their maker shipped them, by path: what differed from them before is the
    user's own.
    """
    found, contents = diff.diff(sidecar, old, new, settings, observer=observer)
    if component is not None:
        components.narrow(found, sidecar, component, settings)
    return told(found, contents.read, settings, pristine)


def told(found: diff.Difference, read: Read, settings: Settings, pristine: Mapping[bytes, bytes] | None) -> Changelog:
    """The changelog of a difference, whose contents `read` has."""
    changes = found.comparison.changes
    log = Changelog(found.old, found.new, summary=_summary(changes))
    log.grown = sum(size_of(c.new) - size_of(c.old) for c in changes)
    log.packages, tops = _packages(changes, read)
    for change in changes:
        if innermost(change.path, tops) is not None:
            log.within += _is_file(change)
            continue
        file = FileChange(change, component_of(change.path, settings.components))
        _look_inside(file, read)
        if pristine is not None:
            file.yours = _is_yours(change, pristine)
        log.files.append(file)
    return log


def _summary(changes: Collection[Change]) -> dict[str, int]:
    """How many changes of each status. Directories that came or went are not counted: what is in them is."""
    counts = Counter(c.status for c in changes if _is_file(c) or c.status not in (Status.ADDED, Status.REMOVED))
    return {status.value: counts[status] for status in Status}


def _is_file(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is not Type.DIR


def _is_yours(change: Change, pristine: Mapping[bytes, bytes]) -> bool:
    path = change.old_path or change.path
    return change.old is not None and change.old.type is Type.FILE and pristine.get(path) != change.old.sha256


def _packages(changes: list[Change], read: Read) -> tuple[list[Package], set[bytes]]:
    """The packages whose versions differ, and the directories that are told with them."""
    npm = {top: c for c in changes if (top := npm_package(c.path)) is not None and c.status is not Status.METADATA}
    found: dict[bytes, Package] = {}
    for top, change in npm.items():
        old, new = (_version(change, side, read) for side in (0, 1))
        if old != new:
            name = top.rpartition(b"node_modules/")[2].decode("utf-8", "replace")
            found[top] = Package(name, top, old, new)
    count = Counter(top for c in changes if _is_file(c) and (top := innermost(c.path, found)) is not None)
    out = [Package(p.name, p.where, p.old, p.new, count[top]) for top, p in found.items()]
    python, tops = _python_packages(changes)
    return sorted([*out, *python], key=lambda p: (p.name, p.where)), {*found, *tops}


def _version(change: Change, side: int, read: Read) -> str | None:
    entry = (change.old, change.new)[side]
    if entry is None or entry.type is not Type.FILE:
        return None
    try:
        found = structured.parse(b"package.json", _content(entry, side, read))
    except ValueError:
        return None
    version = found.get("version") if isinstance(found, dict) else None
    return version if isinstance(version, str) else None


def _python_packages(changes: list[Change]) -> tuple[list[Package], set[bytes]]:
    versions: dict[tuple[bytes, str], list[str | None]] = {}
    tops = set()
    for change in changes:
        told = python_package(change.path)
        if told and change.status in (Status.ADDED, Status.REMOVED):
            top, name, version = told
            tops.add(top)
            pair = versions.setdefault((top.rpartition(b"/")[0], name), [None, None])
            pair[change.status is Status.ADDED] = version
    return [Package(name, where, old, new) for (where, name), (old, new) in versions.items()], tops


def _look_inside(file: FileChange, read: Read) -> None:
    """Say what changed in a file, as closely as its kind allows."""
    change = file.change
    entry = change.new or change.old
    if entry is None or entry.type is not Type.FILE or change.status in (Status.METADATA, Status.RENAMED):
        return
    if not is_content(change):
        side = int(change.new is not None)
        file.what = file_type(_head(entry, side, read))
        return
    assert change.old is not None
    assert change.new is not None
    if max(change.old.size, change.new.size) > _LARGEST_TEXT:
        file.what = file_type(_head(change.new, 1, read))
        return
    old, new = _content(change.old, 0, read), _content(change.new, 1, read)
    file.what = file_type(new[:HEAD] if new else old[:HEAD])
    if file.what == "text" and b"\0" not in old + new:
        file.keys = structured.key_changes(change.path, old, new)
        file.lines = count_lines(old, new)
    elif file.what == "text":
        file.what = "binary"


def _content(entry: Entry, side: int, read: Read) -> bytes:
    return b"".join(read(side, entry)) if entry.size <= _LARGEST_TEXT else b""


def _head(entry: Entry, side: int, read: Read) -> bytes:
    return next(read(side, entry), b"")[:HEAD] if entry.size else b""
