"""Components: how the directory divides, and one of them as something to bring back or compare."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gitsnap.core.comparison import Change, counted, grown
from gitsnap.core.component import Part, component_of, glob, part_named
from gitsnap.core.content import Discarding
from gitsnap.core.counts import Counts
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.settings import Settings
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.compare.diff import NOW, Difference
from gitsnap.ops.live import exclusions
from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Division:
    """How the files divide: name → (files, bytes), and the globs that match nothing, as (component, glob)."""

    components: dict[str, tuple[int, int]] = field(default_factory=dict)
    idle: list[tuple[str, str]] = field(default_factory=list)
    paths: list[tuple[bytes, str]] = field(default_factory=list)


def part(sidecar: Sidecar, selector: str | None, name: str, settings: Settings) -> Part:
    """The component of this name, in a snapshot and in the directory as it is; GitsnapError when neither has it."""
    living = catalog.snapshots(sidecar)
    target = selectors.default_target(living) if selector is None else selectors.choose(sidecar, selector, living)
    found = [*contents.metadata(sidecar, target).entries, *_look(sidecar.installation, settings).entries]
    folders = {e.path for e in found if e.type is Type.DIR and e.path and b"/" not in e.path}
    return part_named(name, settings.components, {e.path for e in found}, folders)


def narrow(result: Difference, sidecar: Sidecar, name: str, settings: Settings) -> None:
    """Leave only one component's changes in a difference; GitsnapError when neither side has such a component."""
    entries = [*_entries(sidecar, result.old, settings), *_entries(sidecar, result.new, settings)]
    folders = {e.path for e in entries if e.type is Type.DIR and e.path and b"/" not in e.path}
    wanted = part_named(name, settings.components, {e.path for e in entries}, folders)
    result.narrow(lambda c: wanted.holds(c.path) or (c.old_path is not None and wanted.holds(c.old_path)))


def _entries(sidecar: Sidecar, side: str, settings: Settings) -> list[Entry]:
    if side == NOW:
        return _look(sidecar.installation, settings).entries
    return contents.metadata(sidecar, selectors.choose(sidecar, side)).entries


def divide(root: str, settings: Settings, paths: list[bytes]) -> Division:
    """How the directory as it is divides, or which component each of the named paths belongs to."""
    components: Mapping[str, tuple[str, ...]] = settings.components
    if paths:
        return Division(paths=[(p, component_of(p, components)) for p in paths])
    files = _look(root, settings).files()
    found: dict[str, tuple[int, int]] = {}
    for entry in files:
        name = component_of(entry.path, components)
        count, size = found.get(name, (0, 0))
        found[name] = (count + 1, size + entry.size)
    idle = [
        (name, pattern)
        for name, patterns in components.items()
        for pattern in patterns
        if not any(glob(pattern).fullmatch(e.path) for e in files)
    ]
    return Division(dict(sorted(found.items())), idle)


@dataclass(slots=True)
class Tally:
    """How many files and directories of a component changed in which way, and by how many bytes its files grew."""

    counts: Counts
    grown: int = 0


def tally(changes: Iterable[Change], components: Mapping[str, tuple[str, ...]]) -> dict[str, Tally]:
    """Changes by component, sorted by its name. Without a table, a directory at the root belongs to its own."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(_name_of(change, change.path, components), []).append(change)
    return {name: Tally(counted(of), grown(of)) for name, of in sorted(found.items())}


def components_of(changes: Iterable[Change], components: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The components in which a file or directory changed, or which one was moved out of; sorted."""
    found = {_name_of(c, c.path, components) for c in changes}
    return sorted(found | {_name_of(c, c.old_path, components) for c in changes if c.old_path is not None})


def _name_of(change: Change, path: bytes, components: Mapping[str, tuple[str, ...]]) -> str:
    name = component_of(path, components)
    return os.fsdecode(path) if name == "." and not components and _is_top_directory(change) else name


def _is_top_directory(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is Type.DIR and change.path != b"" and b"/" not in change.path


def _look(root: str, settings: Settings) -> Inventory:
    rules = exclusions.current(root, settings)
    return Scanner(root, Discarding(), ScanOptions(excludes=exclusions.as_predicate(rules))).run().inventory
