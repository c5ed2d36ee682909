"""What an upgrade changed, told so that a person reads it with profit: packages by version, configuration by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from gitsnap.core.changelog import (
    Changelog,
    FileChange,
    count_lines,
    is_content,
)
from gitsnap.core.comparison import Change, Status, grown
from gitsnap.core.component import component_of
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.filetype import HEAD, file_type
from gitsnap.core.generated_files import generated_kind
from gitsnap.core.likely_yours import Reason
from gitsnap.core.model import Entry, Type
from gitsnap.core.secrets.masker import NOTHING as UNMASKED
from gitsnap.core.secrets.masker import Masker
from gitsnap.core.settings import Settings
from gitsnap.ops.compare import components, diff, packages, patch, structured
from gitsnap.ops.report import known_secrets, repositories
from gitsnap.ops.report.evidence import Evidence, Judge
from gitsnap.sidecar.repository import Sidecar

_LARGEST_TEXT = 1 << 20
_MOST_COUNTED, _LARGEST_COUNTED = 400, 16 << 20
NOTHING = Evidence()

Read = Callable[[int, Entry], Iterator[bytes]]


def changelog(
    sidecar: Sidecar,
    old: str,
    new: str,
    settings: Settings,
    *,
    component: str | None = None,
    known: Evidence = NOTHING,
    masker: Masker = UNMASKED,
    observer: Observer = SILENT,
) -> Changelog:
    """The changes from one state to another (selectors, or `now`), perhaps of one component.

    By `known` it is judged what is the user's own. `masker` learns the secrets of the files that changed.
    """
    found, contents = diff.diff(sidecar, old, new, settings, observer=observer)
    if component is not None:
        components.narrow(found, sidecar, component, settings)
    log = told(sidecar, found, contents.read, settings, known)
    known_secrets.learn(log, contents.read, masker)
    return log


def told(
    sidecar: Sidecar, found: diff.Difference, read: Read, settings: Settings, known: Evidence = NOTHING
) -> Changelog:
    """The changelog of a difference, whose contents `read` has."""
    changes = found.comparison.changes
    log = Changelog(found.old, found.new, counts=found.comparison.counts, grown=grown(changes))
    of_packages = packages.compare(found.entries, changes, read, settings.packages, narrowed=found.narrowed)
    log.packages, log.edited = of_packages.changes, of_packages.edited
    log.repositories = repositories.moved(changes, found.entries, read)
    judge = Judge(changes, found.entries[0], known, of_packages, settings.components)
    for change in changes:
        # What the user had changed in a package is told, although the package is.
        if change.path in of_packages.within and not judge.is_evident(change):
            log.within += not change.is_directory
            continue
        file = FileChange(change, component_of(change.path, settings.components))
        _look_inside(file, read)
        file.generated = generated_kind(change.path) if not change.is_directory else None
        file.likely = judge.likely(change)
        if known.shipped is not None:
            file.yours = _is_yours(change, known.shipped)
        if file.likely is not None and file.likely.reason is Reason.RECORD:
            file.yours = True
        log.files.append(file)
    _count_as_git(sidecar, log, read)
    return log


def _count_as_git(sidecar: Sidecar, log: Changelog, read: Read) -> None:
    """Count the lines that came and went as `diff` shows them: of the files that are worth most, in one run of git.

    Of the others the count is of lines that are nowhere in the other version, which is quick.
    """
    counted: list[FileChange] = []
    room = _LARGEST_COUNTED
    for file in log.likely_first():
        change = file.change
        if file.lines is not None and change.old is not None and change.new is not None:
            room -= change.old.size + change.new.size
            if room < 0 or len(counted) == _MOST_COUNTED:
                break
            counted.append(file)
    if not counted:
        return
    for number, body in patch.hunks([f.change for f in counted], read, sidecar).items():
        signs = Counter(line[:1] for line in body.split(b"\n"))
        counted[number].lines = signs[b"+"], signs[b"-"]


def _is_yours(change: Change, pristine: Mapping[bytes, bytes]) -> bool:
    path = change.old_path or change.path
    return change.old is not None and change.old.type is Type.FILE and pristine.get(path) != change.old.sha256


def _look_inside(file: FileChange, read: Read) -> None:
    """Say what changed in a file, as closely as its kind allows."""
    change = file.change
    entry = change.new or change.old
    if entry is None or entry.type is not Type.FILE or change.status is Status.METADATA:
        return
    if not is_content(change):
        if change.status is Status.RENAMED:
            return
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
