"""What a rollback or restore will do, as data. Making a plan touches nothing; a dry run prints it and stops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gitsnap.core.entry_comparison import same_content, same_metadata
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Entry, Inventory, Problem, Type


class Action(StrEnum):
    """What a step does to its path."""

    REMOVE = "remove"
    RMDIR = "rmdir"
    MKDIR = "mkdir"
    WRITE = "write"
    METADATA = "metadata"


# Looked up once, because access to an enumeration's members is slow.
_DIR, _FILE, _LINK, _METADATA = Type.DIR, Type.FILE, Type.LINK, Action.METADATA


class Step(NamedTuple):
    """One idempotent action on one path.

    `entry` is what shall be there (None for removals). `replaces` tells whether something that is not a directory is
    there now. `link_of` is the path, written before, that this file shares its inode with.
    """

    action: Action
    path: bytes
    entry: Entry | None = None
    replaces: bool = False
    link_of: bytes | None = None


@dataclass(slots=True)
class RestorePlan:
    """Steps in the order in which they are to be applied, and the paths that have to stay as they are, with reasons.

    `foreseen` names what will not come back with all of its metadata, and where there may be too little space.
    """

    steps: list[Step] = field(default_factory=list)
    kept: list[Problem] = field(default_factory=list)
    foreseen: list[Problem] = field(default_factory=list)

    def paths(self, *actions: Action) -> list[bytes]:
        """The paths of the steps with these actions."""
        return [s.path for s in self.steps if s.action in actions]

    @property
    def written(self) -> list[bytes]:
        """Paths that get content, directories included."""
        return self.paths(Action.WRITE, Action.MKDIR)

    @property
    def removed(self) -> list[bytes]:
        """Paths that go."""
        return self.paths(Action.REMOVE, Action.RMDIR)

    @property
    def metadata_only(self) -> list[bytes]:
        """Paths that get nothing but other metadata."""
        return self.paths(Action.METADATA)

    def size(self) -> int:
        """How many bytes of content will be written."""
        return sum(s.entry.size for s in self.steps if s.action is Action.WRITE and s.entry and not s.link_of)


def fingerprint(target: str, plan: RestorePlan, live: Inventory) -> str:
    """What a plan would do, as a digest: to which commit, by which steps, and what each would do away with.

    `live` is what the plan was made for. Another plan has another one; so has the same where anything that it would
    replace or remove is no longer what it was.
    """
    there = live.by_path()
    digest = hashlib.sha256(target.encode())
    for step in plan.steps:
        both = [_facts(entry) for entry in (step.entry, there.get(step.path))]
        digest.update(repr((step.action.value, step.path, step.link_of, *both)).encode())
    return digest.hexdigest()


def _facts(entry: Entry | None) -> tuple[object, ...] | None:
    if entry is None:
        return None
    own = (entry.type.value, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.size)
    return (*own, entry.target, entry.device, entry.xattrs, entry.sha256)


def everything(_path: bytes) -> bool:
    """The scope of a whole rollback."""
    return True


def make_plan(
    wanted: Inventory,
    live: Inventory,
    *,
    scope: Callable[[bytes], bool],
    protected: Excludes,
    mounts: Collection[bytes] = (),
    refused: Mapping[bytes, str] | None = None,
) -> RestorePlan:
    """The steps that turn `live` into `wanted` within `scope`, leaving `protected` paths alone.

    `scope` tells whether a path is to be brought back at all, `protected(path, is_dir)` whether it must never be
    touched. Paths that `wanted` names as partial are protected, too. Sockets, `mounts` and what is excluded in the live
    tree cannot be replaced or removed; `refused` are other paths that no step can change, with reasons. What holds any
    of these stays.

    `live` is what is on the disk (Inventory.on_disk). The files beside a database of which it has an image go when the
    database is replaced or removed, before that, and whatever excludes them: SQLite would take a journal that stays for
    one of the new database. Otherwise they are left alone.
    """
    return _Planner(wanted, live, scope, protected, frozenset(mounts), refused or {}).plan()


class _Planner:
    def __init__(
        self,
        wanted: Inventory,
        live: Inventory,
        scope: Callable[[bytes], bool],
        protected: Excludes,
        mounts: frozenset[bytes],
        refused: Mapping[bytes, str],
    ) -> None:
        self._wanted_inventory, self._live_inventory = wanted, live
        self._wanted, self._live = wanted.by_path(), live.by_path()
        self._database_of = live.beside()
        self._scope, self._protects = scope, protected
        self._partial = {p.path for p in wanted.partial}
        # Then there is nothing to ask, some hundred thousand times.
        self._all_in_play = scope is everything and protected is nothing_excluded and not self._partial
        self._mounts, self._refused = mounts, refused
        self._obstacles = {p.rstrip(b"/") for p in live.excluded} | set(live.skipped)
        self._holders = _ancestors(self._obstacles | self._partial | mounts | refused.keys())
        self._groups, have = self._in_play_links(wanted, self._wanted), self._in_play_links(live, self._live)
        self._relinked = self._changed_links(have)
        whole = set(have.values())
        self._shared = {p for group in live.hardlinks if group not in whole for p in group}
        self._out = RestorePlan()

    def plan(self) -> RestorePlan:
        removals, rmdirs = self._removals()
        removed = {s.path for s in removals} | {s.path for s in rmdirs}
        mkdirs, writes, metadata = self._wanted_steps(removed)
        journals = self._journals(removed.union(s.path for s in writes))
        changed = journals + removals + rmdirs + mkdirs + writes
        directories = self._directory_metadata(changed, mkdirs)
        self._out.steps = changed + metadata + directories
        return self._out

    def _in_play(self, path: bytes, entry: Entry) -> bool:
        if self._all_in_play:
            return True
        path = self._database_of.get(path, path)
        if not self._scope(path) or _within(path, self._partial):
            return False
        return not self._protects(path, entry.type is Type.DIR)

    def _removals(self) -> tuple[list[Step], list[Step]]:
        files, folders = [], []
        for entry in reversed(self._live_inventory.entries):
            path = entry.path
            wanted = self._wanted.get(path)
            # Nearly all of a large installation stays, so that is asked first.
            if (wanted is not None and wanted.type is entry.type) or not path or not self._in_play(path, entry):
                continue
            if path in self._database_of and wanted is None:
                # It goes with its database, or stays with it.
                continue
            if entry.type is not Type.DIR and wanted is not None and wanted.type is not Type.DIR:
                # A file that another non-directory follows is exchanged with it, not removed first.
                continue
            if path in self._mounts or path in self._refused:
                self._out.kept.append(Problem(path, self._refused.get(path, "is a mount point")))
                if entry.type is not Type.DIR:
                    self._obstacles.add(path)
            elif entry.type is not Type.DIR:
                files.append(Step(Action.REMOVE, path))
            elif path in self._holders or self._holds_unplayed(path):
                self._out.kept.append(Problem(path, "holds paths that have to stay"))
            else:
                folders.append(Step(Action.RMDIR, path))
        return files, folders

    def _journals(self, replaced: Collection[bytes]) -> list[Step]:
        """The files beside the databases that are replaced, but for those that the target has itself."""
        out = []
        for path, database in sorted(self._database_of.items()):
            if database not in replaced or path in self._wanted:
                continue
            if path in self._mounts or path in self._refused:
                self._out.kept.append(Problem(path, self._refused.get(path, "is a mount point")))
            else:
                out.append(Step(Action.REMOVE, path))
        return out

    def _holds_unplayed(self, folder: bytes) -> bool:
        if not hasattr(self, "_unplayed"):
            self._unplayed = _ancestors(p for p, e in self._live.items() if p and not self._in_play(p, e))
        return folder in self._unplayed

    def _wanted_steps(self, removed: Collection[bytes]) -> tuple[list[Step], list[Step], list[Step]]:
        mkdirs, writes, metadata = [], [], []
        first_of: dict[tuple[bytes, ...], bytes] = {}
        kept = {p.path for p in self._out.kept}
        all_in_play, obstacles = self._all_in_play, self._obstacles
        for entry in self._wanted_inventory.entries:
            path = entry.path
            live = self._live.get(path)
            if not (all_in_play or self._in_play(path, entry)):
                continue
            if obstacles and _within(path, obstacles):
                self._out.kept.append(Problem(path, "something excluded, a socket or a mount point is in the way"))
                continue
            if kept and path in kept:
                self._out.kept.append(Problem(path, f"a {entry.type.noun} belongs here"))
                continue
            if path in self._refused:
                # A directory's metadata come last.
                if entry.type is not _DIR or live is None or live.type is not _DIR:
                    self._out.kept.append(Problem(path, self._refused[path]))
                continue
            if entry.type is _DIR:
                if live is None or live.type is not _DIR:
                    mkdirs.append(Step(Action.MKDIR, path, entry))
            elif live is None or path in self._relinked or self._differs(entry, live):
                if path in self._mounts:
                    self._out.kept.append(
                        Problem(path, f"is a mount point, and another {entry.type.noun} belongs here")
                    )
                    continue
                first = first_of.setdefault(self._groups.get(path, (path,)), path)
                there = live is not None and path not in removed
                link_of = first if first != path else None
                writes.append(Step(Action.WRITE, path, entry, replaces=there, link_of=link_of))
            elif not same_metadata(entry, live):
                metadata.append(Step(_METADATA, path, entry))
        return mkdirs, writes, metadata

    def _differs(self, entry: Entry, live: Entry) -> bool:
        """Whether the file has to be written: what it shares with a name that must not change is left to that name.

        A database whose target has journals of its own is written with them, even where the image is the same.
        """
        image = self._live_inventory.images.get(entry.path)
        if image is not None and any(e.path in self._wanted for e in image.beside):
            return True
        return not same_content(entry, live) or (entry.path in self._shared and not same_metadata(entry, live))

    def _in_play_links(self, of: Inventory, entries: dict[bytes, Entry]) -> dict[bytes, tuple[bytes, ...]]:
        """The group of each path that has one, without the names that are not in play."""
        refused = self._refused
        groups = (
            tuple(p for p in group if p not in refused and self._in_play(p, entries[p])) for group in of.hardlinks
        )
        return {path: group for group in groups if len(group) > 1 for path in group}

    def _changed_links(self, have: dict[bytes, tuple[bytes, ...]]) -> set[bytes]:
        """Every path whose set of names for one inode differs, or that shares a group with content that does."""
        groups = self._groups
        out: set[bytes] = set()
        for path in groups.keys() | have.keys():
            group = groups.get(path, ())
            if group != have.get(path, ()) or not all(map(self._alike, group)):
                out.update(group or (path,))
        return out

    def _alike(self, path: bytes) -> bool:
        live = self._live.get(path)
        return live is not None and same_content(self._wanted[path], live)

    def _directory_metadata(self, changed: Iterable[Step], mkdirs: Iterable[Step]) -> list[Step]:
        """Directories whose own metadata differ, or whose times our steps will change; deepest first."""
        touched = {s.path.rpartition(b"/")[0] for s in changed} | {s.path for s in mkdirs}
        if touched:
            touched.add(b"")
        out = []
        kept = {p.path for p in self._out.kept}
        refused = self._refused
        for entry in reversed(self._wanted_inventory.entries):
            if entry.type is not _DIR or entry.path in kept:
                continue
            live = self._live.get(entry.path)
            if not self._in_play(entry.path, entry):
                if entry.path not in touched or live is None:
                    continue
                # Outside the scope, but its time moved: it keeps what it has.
                out.append(Step(Action.METADATA, entry.path, live))
            elif refused and entry.path in refused:
                self._out.kept.append(Problem(entry.path, refused[entry.path]))
            elif entry.path in touched or live is None or live.type is not _DIR or not same_metadata(entry, live):
                out.append(Step(Action.METADATA, entry.path, entry))
        return out


def _ancestors(paths: Iterable[bytes]) -> set[bytes]:
    found = set()
    for path in paths:
        while path := path.rpartition(b"/")[0]:
            if path in found:
                break
            found.add(path)
    return found


def _within(path: bytes, tops: Collection[bytes]) -> bool:
    if not tops:
        return False
    while path:
        if path in tops:
            return True
        path = path.rpartition(b"/")[0]
    return b"" in tops
