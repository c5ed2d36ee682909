"""What a directory is to become: a snapshot, or named paths of it, and what has to be left alone on the way there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from gitsnap.core.comparison import Status, compare
from gitsnap.core.component import Part
from gitsnap.core.coverage import Coverage, beyond, completed, unread, unrecorded
from gitsnap.core.database_servers import Running, read_told, sentence
from gitsnap.core.entry_comparison import same_content, same_metadata
from gitsnap.core.errors import GitsnapError
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot, Type
from gitsnap.core.plan import Action, RestorePlan, everything, make_plan
from gitsnap.installation.owners import localise
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.live import database_servers, exclusions
from gitsnap.ops.live.exclusions import RuleTexts
from gitsnap.ops.live.feasible import explained, feasible
from gitsnap.ops.live.pending import without
from gitsnap.sidecar import contents
from gitsnap.sidecar.catalog import not_held
from gitsnap.sidecar.repository import Sidecar

Scope = Callable[[bytes], bool]


@dataclass(slots=True, frozen=True)
class Only:
    """The paths of a target that count, exactly these: all else stays as it is, whatever others make of it meanwhile.

    `seen` is what was there when that was decided (None: nothing), where it was.
    """

    paths: frozenset[bytes]
    seen: Mapping[bytes, Entry | None] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Extent:
    """What of a snapshot is meant: `paths` (none: everything), a component (None: all), `only` what a merge changed."""

    paths: tuple[bytes, ...] = ()
    part: Part | None = None
    only: Only | None = None


EVERYTHING = Extent()


def merged_paths(sidecar: Sidecar, target: Snapshot, safety: Snapshot, leaving: Iterable[bytes]) -> Only:
    """What a merge changed: where its two snapshots differ, but for the paths that others wrote to meanwhile."""
    before, after = (contents.inventory(sidecar, s) for s in (safety, target))
    return Only(frozenset(c.path for c in compare(before, after, renames=False).changes) - set(leaving))


class Target:
    """One snapshot as the state to reach, in the `extent` asked for. `texts` are the rules that hold.

    `reversing` says that a restore is undone: names that it has cut off from their hard links come with them. `sqlite`
    says whether databases that the snapshot does not know as such may be images.

    `unrecorded` counts what a foreign copy does not record, `beyond` is what it does not cover of what is there now.

    Reading it raises IntegrityError when notes, tree and commit do not agree.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        snapshot: Snapshot,
        texts: RuleTexts,
        extent: Extent = EVERYTHING,
        *,
        reversing: bool = False,
        sqlite: bool = True,
        leaving_servers: bool = False,
    ) -> None:
        self.extent, self.paths, self.part, self.only = extent, extent.paths, extent.part, extent.only
        self.snapshot, self.texts = snapshot, texts
        self._leaving_servers = leaving_servers
        # Databases at work in what was to be touched.
        self.running: list[Running] = []
        self._reversing, self.sqlite = reversing, sqlite
        # The directory itself was gone, and is made again whatever the paths are.
        self.remade = False
        # Entries whose contents were staged, by path: these have both of their digests.
        self.staged: dict[bytes, Entry] = {}
        self._root, self._store = sidecar.installation, sidecar.path
        self.wanted, self.trees = contents.whole(sidecar, snapshot)
        self.renumbered = localise(self.wanted)
        self.held = {e.path for e in self.wanted.entries}
        # Then the directory is not what the snapshot says even where it is as it shall be.
        self.unrecorded, self.beyond = unrecorded(self.wanted), list[bytes]()
        self.lacking = bool(self.wanted.unlisted) or bool(self.unrecorded)
        self.rules = exclusions.rules_for(texts, self.wanted)
        self._protected = self.rules.protected if self.rules else nothing_excluded

    def excludes(self, hidden: Collection[bytes] = ()) -> Excludes:
        """What a scan leaves out: nothing that a rollback may touch, and the `hidden` stages of one."""
        return without(hidden, self.rules.excluded_from_safety if self.rules else nothing_excluded)

    def plan(self, scan: Scan) -> RestorePlan:
        """The steps from what was scanned to this target; GitsnapError when something could not be kept safe."""
        live = scan.inventory.on_disk()
        self.beyond = [p for p in beyond(self.wanted, live) if self._asked_for(p)]
        self.wanted = completed(self.wanted, live)
        scope = self._scope(live)

        def plan_around(refused: Mapping[bytes, str]) -> RestorePlan:
            return make_plan(
                self.wanted, live, scope=scope, protected=self._protected, mounts=scan.mounts, refused=refused
            )

        found = database_servers.look(self._root, (e.path for e in live.entries))
        left = {r.path: f"{sentence(r)}: it was left alone" for r in found} if self._leaving_servers else {}
        plan = feasible(self._root, live, plan_around, self._store, left)
        at = [*(s.path for s in plan.steps), *(p.path for p in plan.kept)] if found else []
        self.running = [r for r in found if any(map(r.covers, at))]
        plan.foreseen += [Problem(r.path, sentence(r)) for r in self.running if not left]
        lost = unsaved(plan, live)
        if lost:
            raise GitsnapError(
                f"{len(lost)} of the paths to be replaced could not be read, so they cannot be kept safe",
                kind="unreadable",
                path=lost[0],
                hint="stop what is writing them, or make them readable, and try again; nothing was touched",
            )
        plan.foreseen += self.unread()
        if plan.steps:
            plan.foreseen += self._captured_at_work(plan)
        return plan

    def _captured_at_work(self, plan: RestorePlan) -> Iterator[Problem]:
        """The databases that come back from files that were copied while a server wrote to them."""
        for database, shown in map(read_told, self.snapshot.running):
            path = b"" if shown == "." else shown.encode("utf-8", "surrogateescape")
            if any(not path or s.path == path or s.path.startswith(path + b"/") for s in plan.steps):
                yield Problem(path, f"{database} was running when this was captured: it may not start from these files")

    @property
    def whole(self) -> bool:
        """Whether all of the snapshot is meant."""
        return not (self.paths or self.part or self.only)

    def drifted(self, live: Inventory) -> list[bytes]:
        """The paths that do not count and are not as the snapshot has them: somebody else is writing to them.

        GitsnapError where that is so of one that counts, since it was decided what becomes of it.
        """
        if self.only is None:
            return []
        here = live.by_path()
        for path, was in self.only.seen.items():
            now = here.get(path)
            if (was is None) != (now is None) or (was and now and not same_content(was, now)):
                raise GitsnapError(
                    "this was changed again while the merge was made; nothing was touched",
                    kind="changed-meanwhile",
                    path=path,
                    hint="stop what writes to it, and try again",
                )
        changes = compare(self.wanted, live, renames=False).changes
        return sorted(c.path for c in changes if c.path not in self.only.paths)

    def served(self, wrong: list[Problem]) -> list[Problem]:
        """Those of the differences that a database at work accounts for, which was left alone."""
        if not self._leaving_servers:
            return []
        return [
            Problem(p.path, f"{sentence(r)}: it was left alone")
            for p in wrong
            for r in self.running
            if r.covers(p.path)
        ]

    def differences(self, found: Inventory) -> list[Problem]:
        """Where the directory is not what it shall be."""
        if found.entries is self.wanted.entries:
            # It has been compared name by name (ops.parallel.match).
            return []
        return differences(self.wanted, found, self._scope(found), self._protected)

    def unread(self) -> list[Problem]:
        """What could not be read when the snapshot was taken, of what is to be brought back."""
        return [p for p in unread(self.wanted) if self._asked_for(p.path)]

    def unlooked(self, found: Inventory) -> list[Problem]:
        """What is there now, could not be looked at, and is nothing that the snapshot holds or names as unread."""
        if not found.partial:
            return []
        told = {*self.held, *(e.path for e in found.entries), *(p.path for p in self.wanted.partial)}
        return [p for p in found.partial if p.path not in told and self._asked_for(p.path)]

    def explained(self, wrong: Iterable[Problem], stayed: Set[bytes]) -> list[Problem]:
        """Those of the differences that nothing could have been done about, with the reason for each, where the paths
        `stayed` are as they were."""
        return explained(self._root, wrong, self.wanted.hardlinks, stayed)

    def _asked_for(self, path: bytes) -> bool:
        if self.part is not None:
            return self.part.holds(path)
        if self.only is not None:
            return path in self.only.paths
        return not self.paths or b"" in self.paths or any(_within(path, p) or _within(p, path) for p in self.paths)

    def _scope(self, live: Inventory) -> Scope:
        if self.only is not None:
            return self.only.paths.__contains__
        asked = scope_of(self.paths, self.wanted, live, self.part)
        scope = (lambda path: not path or asked(path)) if self.remade and asked is not everything else asked
        if not self._reversing or not (self.paths or self.part):
            return scope
        before, now = self.wanted.by_path(), live.by_path()
        linked = {
            path
            for group in self.wanted.hardlinks
            if any(map(scope, group))
            for path in group
            # What was changed since is somebody's; it stays, and the link stays cut.
            if path in now and same_content(before[path], now[path]) and same_metadata(before[path], now[path])
        }
        return lambda path: path in linked or scope(path)


def require_paths(paths: Sequence[bytes], wanted: Inventory, target: Snapshot) -> None:
    """Raise GitsnapError for the first path that the snapshot does not hold."""
    held = {e.path for e in wanted.entries} if paths else set()
    for path in paths:
        if path not in held:
            raise not_held(target, path, wanted)


def _within(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top + b"/")


def unsaved(plan: RestorePlan, live: Inventory) -> list[bytes]:
    """What the plan would change or enter, though it could not be read and no safety snapshot holds it."""
    if not live.partial:
        return []
    gone = set(plan.paths(Action.WRITE, Action.REMOVE, Action.RMDIR))
    entered = {above for path in gone.union(plan.paths(Action.MKDIR)) for above in _above(path)}
    return [
        p.path
        for p in live.partial
        if p.path in gone or p.path in entered or any(above in gone for above in _above(p.path))
    ]


def replaced(plan: RestorePlan, live: Inventory) -> list[bytes]:
    """The contents (raw ids) that a plan takes away: the safety snapshot must surely hold them."""
    gone = set(plan.paths(Action.WRITE, Action.REMOVE))
    return [e.oid for e in live.entries if e.oid is not None and e.path in gone]


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def scope_of(paths: Sequence[bytes], wanted: Inventory, live: Inventory, part: Part | None = None) -> Scope:
    """What is to be brought back: everything, a part, or the named paths with what is below them; and those of the
    directories above them that only one side has."""
    if part is not None:
        paths = [e.path for side in (wanted, live) for e in side.entries if part.holds(e.path)]
    elif not paths or b"" in paths:
        return everything
    sides = [{e.path for e in side.entries if e.type is Type.DIR} for side in (wanted, live)]
    above = {folder for path in paths for folder in _above(path) if not all(folder in side for side in sides)}
    tops = frozenset(paths)

    def within(path: bytes) -> bool:
        if path in above:
            return True
        if part is not None:
            return part.holds(path)
        while path:
            if path in tops:
                return True
            path = path.rpartition(b"/")[0]
        return False

    return within


_DIFFERS = {
    Status.ADDED: "not in the snapshot",
    Status.REMOVED: "missing",
    Status.MODIFIED: "other content",
    Status.TYPE: "of another type",
}


def differences(
    wanted: Inventory, found: Inventory, scope: Scope, protected: Callable[[bytes, bool], bool]
) -> list[Problem]:
    """Where a directory is not what the snapshot says, metadata and hard links included.

    What could not be read when it was taken is nothing that it says.
    """
    out = []

    coverage = Coverage(wanted)

    def compared(path: bytes) -> bool:
        return scope(path) and not protected(path, False) and not coverage.unread(path)

    a = replace(wanted, hardlinks=_links_in(wanted, compared))
    b = replace(found, hardlinks=_links_in(found, compared))
    for change in compare(a, b, renames=False, directory_times=True).changes:
        is_dir = any(e is not None and e.type is Type.DIR for e in (change.old, change.new))
        if scope(change.path) and not protected(change.path, is_dir) and not coverage.unread(change.path):
            words = _DIFFERS.get(change.status) or f"other {' and '.join(change.what)}"
            out.append(Problem(change.path, words))
    return out


def _links_in(inventory: Inventory, compared: Callable[[bytes], bool]) -> list[tuple[bytes, ...]]:
    groups = [tuple(p for p in group if compared(p)) for group in inventory.hardlinks]
    return [g for g in groups if len(g) > 1]
